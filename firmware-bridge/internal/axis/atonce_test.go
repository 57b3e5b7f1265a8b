package axis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"camseal/pkg/handoff"
)

// TestUploadsAtOnceToOneObject: whoever is last, the record and the bytes are of one upload, and no other bytes stay.
func TestUploadsAtOnceToOneObject(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	ctx := context.Background()
	must(t, c.ContainerCreate(ctx, recording, nil))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := c.ObjectPut(ctx, recording, clip1, bytes.NewReader(fill(300_000+i, byte(i))), true, "", "", nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if left := s.staged(); len(left) != 1 {
		t.Errorf("staged %v", left)
	}
	info, _, err := c.Object(ctx, recording, clip1)
	must(t, err)
	complete(t, c, recording)
	e, _ := s.find(func(handoff.Docking) bool { return true })
	got, err := os.ReadFile(filepath.Join(e.dir, "files", clip1))
	must(t, err)
	if int64(len(got)) != info.Bytes || hash5(got) != info.Hash {
		t.Errorf("%d bytes of hash %s, said are %d, %s", len(got), hash5(got), info.Bytes, info.Hash)
	}
}

// TestCompleteWhileUploading: each upload that is running when the recording becomes complete is either in it, or refused; never answered and left out.
func TestCompleteWhileUploading(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	ctx := context.Background()
	must(t, c.ContainerCreate(ctx, recording, nil))
	var mu sync.Mutex
	stored := map[string]bool{}
	var all sync.WaitGroup
	for i := range 7 {
		name := fmt.Sprintf("clip%d.mp4", i)
		all.Go(func() {
			_, err := c.ObjectPut(ctx, recording, name, bytes.NewReader(fill(100_000*i, byte(i))), true, "", "", nil)
			if err != nil && code(err) != 400 {
				t.Errorf("%s: %v", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			stored[name] = err == nil
		})
	}
	all.Go(func() { complete(t, c, recording) })
	all.Wait()
	e, _ := s.find(func(handoff.Docking) bool { return true })
	for name, ok := range stored {
		_, err := os.Stat(filepath.Join(e.dir, "files", name))
		if ok != (err == nil) {
			t.Errorf("%s: stored %v, there %v", name, ok, err)
		}
	}
	if _, err := os.Stat(filepath.Join(e.dir, "parts")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("parts: %v", err)
	}
}

// TestWatchersSeeEveryChange: each gets what there is, then what changes, and what was gone before it came is not told.
func TestWatchersSeeEveryChange(t *testing.T) {
	h := newHub()
	show := func(id string, state handoff.State) { h.set(handoff.Docking{ID: id, State: state}, "") }
	watch := func() (next func() string, stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		seen := make(chan string)
		ended := make(chan error, 1)
		go func() {
			ended <- h.Watch(ctx, func(d handoff.Docking) error {
				select {
				case seen <- d.ID + " " + string(d.State):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}()
		return func() string { return <-seen }, func() {
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	}
	expect := func(next func() string, want ...string) {
		t.Helper()
		for _, w := range want {
			if got := next(); got != w {
				t.Errorf("%q, want %q", got, w)
			}
		}
	}
	show("a", handoff.StateReady)
	show("b", handoff.StateReady)
	fast, stopFast := watch()
	slow, stopSlow := watch()
	expect(fast, "a ready", "b ready")
	expect(slow, "a ready")
	show("a", handoff.StateGone)
	expect(fast, "a gone")
	late, stopLate := watch()
	expect(late, "b ready")
	show("c", handoff.StateReady)
	expect(late, "c ready")
	expect(fast, "c ready")
	stopFast()
	stopLate()
	expect(slow, "b ready", "a gone", "c ready")
	show("d", handoff.StateReady)
	expect(slow, "d ready")
	stopSlow()
	if len(h.entries) != 3 {
		t.Errorf("%d entries; what is gone is forgotten", len(h.entries))
	}
}
