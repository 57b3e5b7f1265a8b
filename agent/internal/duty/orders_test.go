package duty

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

func order(number uint64, kind transport.CommandKind) transport.Command {
	return transport.Command{Number: number, Kind: kind, By: "Li Wei", Until: time.Now().Add(time.Minute).UnixMilli(), Text: "look"}
}

// results are those said so far, each once, by number.
func (b *board) results() map[uint64]transport.Result {
	out := map[uint64]transport.Result{}
	for _, rep := range b.seen() {
		for _, r := range rep.Results {
			out[r.Number] = r
		}
	}
	return out
}

// A server that repeats every command in every answer, and fails to take the results, still has each carried out once; a restart changes nothing of that.
func TestOrdersOnce(t *testing.T) {
	b, path := newBoard(t), journalPath(t)
	r := newRig(t, b, path, nil)
	r.run()
	rec := evidence.RecordingID{7}
	b.with(func() {
		late := order(2, transport.CommandStart)
		late.Until = time.Now().Add(-time.Minute).UnixMilli()
		chunk := order(8, transport.CommandChunk)
		chunk.Rec = &rec
		b.commands = []transport.Command{order(1, transport.CommandStart), late, order(3, transport.CommandMark), order(4, transport.CommandStart), order(5, transport.CommandLive),
			order(6, transport.CommandLiveEnd), order(7, transport.CommandStop), chunk, order(9, "dance"), order(1<<60, transport.CommandStart)}
	})
	want := []string{"start Li Wei", "mark look Li Wei", "start Li Wei", "stop Li Wei"}
	until(t, "nine results", func() bool { return len(b.results()) == 9 })
	b.with(func() {
		b.refuse = http.StatusServiceUnavailable
		b.commands = append(b.commands[:9], order(10, transport.CommandStop))
	})
	b.with(func() { b.refuse = 0 })
	until(t, "the tenth result", func() bool { return len(b.results()) == 10 })
	want = append(want, "stop Li Wei")
	for n, done := range map[uint64]bool{1: true, 2: false, 3: true, 4: false, 5: true, 6: true, 7: true, 8: true, 9: false, 10: false} {
		if got := b.results()[n]; got.Done != done || !done && got.Text == "" {
			t.Errorf("result of %d: %+v", n, got)
		}
	}
	if first, again := b.results()[1].Rec, b.results()[4].Rec; first == nil || again == nil || *first != *again {
		t.Errorf("recording of the first start %v, of the second one, which was refused, %v", first, again)
	}
	b.with(func() { b.watched = 1 })
	until(t, "results that were taken are not said again", func() bool { s := b.seen(); return len(s[len(s)-1].Results) == 0 })
	if got := r.capture.calls(); !slices.Equal(got, want) {
		t.Errorf("asked of the capture: %q", got)
	}
	if got := r.live.calls(); !slices.Equal(got, []string{"on", "off"}) || !slices.Equal(r.chunks, []string{rec.String()}) {
		t.Errorf("live %q, chunks %q", got, r.chunks)
	}
	r.end()
	again := newRig(t, b, path, nil)
	again.run()
	before := len(b.seen())
	until(t, "a report after the restart", func() bool { return len(b.seen()) > before })
	b.with(func() { b.commands = append(b.commands, order(11, transport.CommandStart)) })
	until(t, "a new command after the restart", func() bool { return b.results()[11].Done })
	if got := again.capture.calls(); len(got) != 1 {
		t.Errorf("asked after the restart: %q", got)
	}
	if last := b.seen()[len(b.seen())-1]; last.Known != 11 || last.Station != "car 7" || last.Video != "h264" || last.Audio != "pcma" || last.Link != "wifi" || last.Behind != 3 {
		t.Errorf("report: %+v", last)
	}
}

// Killed while it carries a command out, the agent says that it does not know; what was not begun is carried out by the next run, if there is time.
func TestOrdersAcrossKill(t *testing.T) {
	b, path := newBoard(t), journalPath(t)
	r := newRig(t, b, path, nil)
	r.capture.hold = make(chan struct{})
	r.run()
	b.with(func() {
		b.commands = []transport.Command{order(1, transport.CommandStart), order(2, transport.CommandMark)}
	})
	until(t, "both came", func() bool { s := b.seen(); return len(s) > 0 && s[len(s)-1].Known == 2 })
	killed := path + "-as-it-was" // what a kill leaves
	until(t, "the first is begun", func() bool {
		raw, err := os.ReadFile(path)
		return err == nil && bytes.Contains(raw, []byte(`"begun":1`)) && os.WriteFile(killed, append(raw, `{"at":17`...), 0o600) == nil
	})
	r.end()
	b.with(func() { b.commands = nil; b.reports = nil })
	again := newRig(t, b, killed, nil)
	again.run()
	until(t, "both results", func() bool { return len(b.results()) == 2 })
	if got := again.capture.calls(); !slices.Equal(got, []string{"mark look Li Wei"}) {
		t.Errorf("asked by the next run: %q", got)
	}
	if got := b.results()[1]; got.Done || got.Text != unknownEnd {
		t.Errorf("result of what was under way: %+v", got)
	}
}

// How many watch is shown while the server says so, and not any more when it can't be asked.
func TestWatched(t *testing.T) {
	b := newBoard(t)
	lamp := write(t, "lamp", "")
	r := newRig(t, b, journalPath(t), func(c *Config) { c.Indicator = lamp })
	r.run()
	until(t, "a report", func() bool { return len(b.seen()) > 0 })
	b.with(func() { b.watched = 3 })
	until(t, "three watchers are shown, and the server knows", func() bool {
		s := b.seen()
		return r.State(t.Context()).Watched == 3 && s[len(s)-1].Watched == 3 && read(t, lamp) == "1\n"
	})
	b.with(func() { b.refuse = http.StatusServiceUnavailable })
	until(t, "none is shown", func() bool {
		st := r.State(t.Context())
		return st.Watched == 0 && !st.Orders && read(t, lamp) == "0\n"
	})
	if troubles := r.State(t.Context()).Troubles; len(troubles) > 0 {
		t.Errorf("a server that is away is trouble: %q", troubles)
	}
	b.with(func() { b.refuse = 0; b.watched = 1 })
	until(t, "one is shown", func() bool { return r.State(t.Context()).Watched == 1 })
	r.end()
	if read(t, lamp) != "0\n" {
		t.Error("the indicator stays on")
	}
}

// A change is told at once by a report that overtakes the one under way, over connections that are kept.
func TestChangesAreTold(t *testing.T) {
	b := newBoard(t)
	r := newRig(t, b, journalPath(t), nil)
	r.run()
	addresses := map[string]bool{}
	b.Intercept(func(w http.ResponseWriter, q *http.Request) bool {
		b.with(func() { addresses[q.RemoteAddr] = true })
		b.poll(w, q)
		return true
	})
	for i := range 6 {
		var err error
		if i%2 == 0 {
			_, err = r.Start(t.Context(), ByButton)
		} else {
			_, err = r.Stop(t.Context(), ByPage)
		}
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the change is told", func() bool {
			s := b.seen()
			return len(s) > 0 && (s[len(s)-1].Recording != nil) == (i%2 == 0)
		})
	}
	b.with(func() {
		if len(addresses) > maxUnder {
			t.Errorf("%d connections for 7 reports", len(addresses))
		}
	})
}

// A server of before this issue is asked once a minute, and is no trouble.
func TestOldServer(t *testing.T) {
	b := newBoard(t)
	asks := make(chan struct{}, 100)
	b.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.NotFound(w, r)
		asks <- struct{}{}
		return true
	})
	log := write(t, "log", "")
	f, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := newRig(t, b, journalPath(t), func(c *Config) { c.Log = slog.New(slog.NewTextHandler(f, nil)) })
	r.run()
	<-asks
	if _, err := r.Start(t.Context(), ByButton); err != nil {
		t.Fatal(err)
	}
	until(t, "it is said", func() bool { return strings.Contains(read(t, log), "asked again every minute") })
	if st := r.State(t.Context()); len(st.Troubles) > 0 || st.Recording == nil {
		t.Errorf("state: %+v", st)
	}
	r.end()
	if len(asks) > 0 {
		t.Errorf("asked %d times more", len(asks))
	}
}

// The journal is bounded, and keeps what is not finished.
func TestJournalRotates(t *testing.T) {
	path := journalPath(t)
	j, err := openJournal(path, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	waits := order(1, transport.CommandMark)
	if n, err := j.came([]transport.Command{waits, waits}); n != 1 || err != nil {
		t.Fatalf("%d came, %v", n, err)
	}
	last := uint64(1)
	for range 700 {
		last++
		c := order(last, transport.CommandMark)
		c.Text = strings.Repeat("x", 400)
		if _, err := j.came([]transport.Command{c}); err != nil {
			t.Fatal(err)
		}
		r := transport.Result{Number: last, Done: true}
		if err := j.begin(last); err != nil {
			t.Fatal(err)
		}
		if err := j.finish(r); err != nil {
			t.Fatal(err)
		}
		if last < 700 {
			if err := j.said([]transport.Result{r}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".old"} {
		if st, err := os.Stat(p); err != nil || st.Size() > 2*journalMax {
			t.Errorf("%s: %v %v", p, st, err)
		}
	}
	j, err = openJournal(path, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	known, unsaid := j.standing()
	if c, ok := j.next(); !ok || c.Number != 1 || known != last || fmt.Sprint(unsaid) != fmt.Sprint([]transport.Result{{Number: 700, Done: true}, {Number: 701, Done: true}}) {
		t.Errorf("after all: %+v %v, known %d, unsaid %+v", c, ok, known, unsaid)
	}
}
