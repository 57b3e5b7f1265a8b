package uplink

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// TestNeverBusy: whatever fails again and again is tried seldom, and a final refusal more seldom still.
func TestNeverBusy(t *testing.T) {
	for name, c := range map[string]struct {
		final    bool
		most     int
		least    int
		duration time.Duration
	}{"passing": {false, 60, 5, 10 * time.Minute}, "final": {true, 12, 2, 30 * time.Minute}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gate{now: time.Now}
				begun, tries := time.Now(), 0
				for time.Since(begun) < c.duration {
					if err := g.wait(t.Context()); err != nil {
						t.Fatal(err)
					}
					tries++
					g.fail(c.final)
					g.fail(c.final) // another goroutine's, sent at the same time
				}
				if tries > c.most || tries < c.least {
					t.Errorf("%d tries in %s", tries, c.duration)
				}
			})
		})
	}
}

func TestKickOpensTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{now: time.Now}
		g.fail(true)
		begun := time.Now()
		time.AfterFunc(time.Second, g.open)
		if err := g.wait(t.Context()); err != nil || time.Since(begun) != time.Second {
			t.Error(err, time.Since(begun))
		}
	})
}

func TestQueueKeepsOneOfEach(t *testing.T) {
	q := newQueue(func(evidence.RecordingID) bool { return false })
	rec := evidence.RecordingID{1}
	list := []transport.Wanted{{Rec: rec, Index: 0}, {Rec: rec, Index: 1}}
	q.want(list)
	q.want(list)
	for i := range 2 {
		w, err := q.next(t.Context())
		if err != nil || w.Index != uint64(i) {
			t.Fatal(w, err)
		}
		q.want(list[i:]) // announced again while it is on its way
		if _, drained := q.done(w, 5); drained != (i == 1) {
			t.Errorf("chunk %d: drained %v", i, drained)
		}
	}
}

// TestImportantChunksGoFirst: what was marked on the recorder does not wait behind the rest.
func TestImportantChunksGoFirst(t *testing.T) {
	important := evidence.RecordingID{2}
	q := newQueue(func(id evidence.RecordingID) bool { return id == important })
	q.want([]transport.Wanted{{Rec: evidence.RecordingID{1}}, {Rec: evidence.RecordingID{1}, Index: 1}, {Rec: important}})
	q.want([]transport.Wanted{{Rec: important, Index: 1}})
	var got []string
	for range 4 {
		w, err := q.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d/%d", w.Rec[0], w.Index))
	}
	if want := []string{"2/0", "2/1", "1/0", "1/1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
