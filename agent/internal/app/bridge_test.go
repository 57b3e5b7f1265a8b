package app

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// fakeBridge stands in for the bridge where only the agent is under test: it hands over folders and erases what it is told to, without
// checking the permit. The real one is in scripts/e2e.
type fakeBridge struct {
	t      *testing.T
	socket string
	serve  *http.Server
	mu     sync.Mutex
	all    map[string]handoff.Docking
	order  []string
	heard  []chan handoff.Docking
	n      int
	refuse *handoff.Error                   // of every erase
	about  func(*handoff.File)              // what a profile would know
	erased map[evidence.Digest]bool         // by permit
	goes   bool                             // the recorder is gone with its last file, before the answer is sent,
	gone   chan struct{}                    // which waits for this
	after  func(evidence.Digest) (cut bool) // an erase was done; the answer is not sent
}

func newBridge(t *testing.T) *fakeBridge {
	dir, err := os.MkdirTemp("", "b") // a short name: the socket's may have 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &fakeBridge{t: t, socket: filepath.Join(dir, "s"), all: map[string]handoff.Docking{}, erased: map[evidence.Digest]bool{}}
	b.start()
	return b
}

func (b *fakeBridge) start() {
	l, err := net.Listen("unix", b.socket)
	if err != nil {
		b.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/dockings", b.dockings)
	mux.HandleFunc("GET /v1/dockings/{id}/files", b.files)
	mux.HandleFunc("POST /v1/erase", b.erase)
	b.serve = &http.Server{Handler: mux}
	go b.serve.Serve(l)
	b.t.Cleanup(func() { b.serve.Close() })
}

// plug docks a folder.
func (b *fakeBridge) plug(slot, serial, volume, root string, erases bool) (id string) {
	b.mu.Lock()
	b.n++
	id = fmt.Sprintf("%032d", b.n)
	b.mu.Unlock()
	b.say(handoff.Docking{ID: id, Slot: slot, State: handoff.StateReady, Root: []byte(root), Serial: serial, Volume: volume, System: "vfat", Profile: "none", Erases: erases})
	return id
}

func (b *fakeBridge) pull(id string) {
	b.mu.Lock()
	d := b.all[id]
	b.mu.Unlock()
	d.State = handoff.StateGone
	b.say(d)
}

func (b *fakeBridge) say(d handoff.Docking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all[d.ID].ID == "" {
		b.order = append(b.order, d.ID)
	}
	b.all[d.ID] = d
	for _, h := range b.heard {
		h <- d
	}
}

func (b *fakeBridge) dockings(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	mine := make(chan handoff.Docking, 100)
	b.heard = append(b.heard, mine)
	for _, id := range b.order {
		if b.all[id].State != handoff.StateGone {
			mine <- b.all[id]
		}
	}
	b.mu.Unlock()
	for {
		select {
		case d := <-mine:
			_ = json.NewEncoder(w).Encode(d)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (b *fakeBridge) files(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	root := string(b.all[r.PathValue("id")].Root)
	b.mu.Unlock()
	out := json.NewEncoder(w)
	for _, important := range []bool{true, false} {
		_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			f := handoff.File{Path: []byte(strings.TrimPrefix(p, root)), Size: uint64(info.Size()), Modified: info.ModTime().UnixMilli(), Kind: handoff.KindVideo,
				Important: strings.Contains(p, "IMP")}
			if b.about != nil {
				b.about(&f)
			}
			if f.Important == important {
				return out.Encode(f)
			}
			return nil
		})
	}
	_ = out.Encode(handoff.File{End: true})
}

func (b *fakeBridge) erase(w http.ResponseWriter, r *http.Request) {
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, handoff.MaxLine)
	var p handoff.Permit
	var open *evidence.Open
	var end *evidence.Close
	for n := 0; lines.Scan(); n++ {
		if n == 0 {
			if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
				b.t.Error(err)
			}
			continue
		}
		s, _, err := evidence.ParseUnverified(lines.Bytes())
		if err != nil {
			b.t.Error(err)
			return
		}
		switch body := s.Body.(type) {
		case *evidence.Open:
			open = body
		case *evidence.Close:
			end = body
		}
	}
	if open == nil || end == nil {
		b.t.Error("the agent did not show open and close")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		w.WriteHeader(b.refuse.Status)
		_ = json.NewEncoder(w).Encode(b.refuse)
		return
	}
	permit := evidence.Sum([]byte(base64.StdEncoding.EncodeToString(p.Leaf)))
	answer := handoff.Erased{Hash: end.Hash, Permit: permit, Before: b.erased[permit]}
	if !answer.Before {
		for _, d := range b.all {
			if d.Serial == open.Source.Serial && d.State == handoff.StateReady {
				if err := os.Remove(filepath.Join(string(d.Root), string(open.Source.RawPath()))); err != nil {
					b.t.Error(err)
				}
			}
		}
	}
	b.erased[permit] = true
	if b.goes {
		for _, d := range b.all {
			d.State = handoff.StateGone
			b.all[d.ID] = d
			for _, h := range b.heard {
				h <- d
			}
		}
		<-b.gone
	}
	if b.after != nil && b.after(permit) {
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(answer)
}
