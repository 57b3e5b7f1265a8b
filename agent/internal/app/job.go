package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"camseal/agent/internal/source"
	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
)

// importRequest asks the running agent to take files in.
type importRequest struct {
	Paths      [][]byte `json:"paths"` // absolute, raw bytes
	Recorder   string   `json:"recorder"`
	SealedOnly bool     `json:"sealed_only"`
}

// progress is one line of an import's progress. Besides the kinds of source.Event there are sealed and stored (of one
// recording), alarm, over (of an alarm) and, last, summary.
type progress struct {
	Event   string   `json:"event"`
	Path    string   `json:"path,omitempty"`
	PathRaw []byte   `json:"path_raw,omitempty"` // when the path is not UTF-8
	Rec     string   `json:"rec,omitempty"`
	Bytes   uint64   `json:"bytes,omitempty"`
	Size    uint64   `json:"size,omitempty"`
	Text    string   `json:"text,omitempty"`
	Summary *summary `json:"summary,omitempty"`
}

// summary is what an import came to.
type summary struct {
	Files      int      `json:"files"`
	Taken      int      `json:"taken"`
	Known      int      `json:"known"`
	Faulty     int      `json:"faulty"`
	Failed     int      `json:"failed"`
	Skipped    int      `json:"skipped"`
	Bytes      uint64   `json:"bytes"`
	Sealed     int      `json:"sealed"`
	Stored     int      `json:"stored"`
	Recordings []string `json:"recordings"`
	Error      string   `json:"error,omitempty"`
	Exit       int      `json:"exit"`
}

// job is one import.
type job struct {
	n    *node
	req  importRequest
	emit func(progress)

	mu      sync.Mutex
	sum     summary
	waiting map[evidence.RecordingID]*waitingFor
	order   []evidence.RecordingID
	read    chan struct{} // closed when all files are read
	alarms  map[string]string
}

type waitingFor struct {
	path   []byte
	sealed bool
}

// runJob takes the files in and returns when all of them are stored, or sealed if that is all that is asked for, or ctx ends.
// Lines come one at a time; the summary is the last.
func runJob(ctx context.Context, n *node, req importRequest, emit func(progress)) summary {
	j := &job{n: n, req: req, emit: emit, waiting: map[evidence.RecordingID]*waitingFor{}, read: make(chan struct{}), alarms: map[string]string{}}
	n.uplink.Kick()
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		j.follow(ctx)
	}()
	err := j.take(ctx)
	close(j.read)
	<-followed
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	j.finish(err)
	return j.sum
}

func (j *job) take(ctx context.Context) error {
	o := source.Options{Serial: j.req.Recorder, Retry: true, Except: j.n.own(), Report: j.report}
	if err := j.n.taker.Resume(ctx, j.n.takeOpen(), o); err != nil {
		return err
	}
	var paths []string
	for _, p := range j.req.Paths {
		paths = append(paths, string(p))
	}
	return j.n.taker.Take(ctx, paths, o)
}

// takeOpen returns, once, what an earlier run left open.
func (n *node) takeOpen() []evidence.RecordingID {
	n.openMu.Lock()
	defer n.openMu.Unlock()
	open := n.open
	n.open = nil
	return open
}

func (j *job) report(e source.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch e.Kind {
	case source.EventFound:
		j.sum.Files++
	case source.EventTaken:
		j.sum.Taken++
		j.sum.Bytes += e.Bytes
	case source.EventKnown:
		j.sum.Known++
	case source.EventFaulty:
		j.sum.Faulty++
		j.sum.Bytes += e.Bytes
	case source.EventFailed:
		j.sum.Failed++
	case source.EventSkipped:
		j.sum.Skipped++
	}
	switch e.Kind {
	case source.EventTaken, source.EventKnown, source.EventFaulty:
		if _, ok := j.waiting[e.Rec]; !ok {
			j.waiting[e.Rec] = &waitingFor{path: e.Path}
			j.order = append(j.order, e.Rec)
			j.sum.Recordings = append(j.sum.Recordings, e.Rec.String())
		}
	}
	p := progress{Event: string(e.Kind), Bytes: e.Bytes, Size: e.Size, Text: e.Text}
	p.setPath(e.Path)
	if !e.Rec.IsZero() {
		p.Rec = e.Rec.String()
	}
	j.emit(p)
}

func (p *progress) setPath(raw []byte) {
	p.Path = string(raw)
	if !utf8.Valid(raw) {
		p.PathRaw = raw
	}
}

// follow says when recordings are sealed and stored, and what alarms come and go, until all are done.
func (j *job) follow(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		changed := j.n.spool.Changed()
		begun := now()
		left := j.look(ctx)
		j.tellAlarms()
		read := j.read
		select {
		case <-read:
			if left == 0 || ctx.Err() != nil {
				return
			}
			read = nil
		default:
		}
		// Looking costs time for each recording waited for: a tenth of the time at most is spent on it.
		calm := time.NewTimer(max(50*time.Millisecond, 10*now().Sub(begun)))
		select {
		case <-calm.C:
		case <-ctx.Done():
		}
		calm.Stop()
		select {
		case <-read:
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			<-j.read
		}
	}
}

// look finds out which recordings got sealed or stored, and returns how many are still waited for.
func (j *job) look(ctx context.Context) int {
	sealed := j.n.spool.Sealed()
	j.mu.Lock()
	defer j.mu.Unlock()
	rest := j.order[:0]
	for _, id := range j.order {
		w := j.waiting[id]
		r, err := j.n.spool.Recording(id)
		for err == nil && r.Gone && !r.Again.IsZero() { // a fork: its bytes are taken in again
			r, err = j.n.spool.Recording(r.Again)
		}
		if err != nil {
			j.n.log.ErrorContext(ctx, err.Error())
			rest = append(rest, id)
			continue
		}
		if !w.sealed && r.Closed && r.CloseSeq < sealed {
			w.sealed = true
			j.sum.Sealed++
			j.tell("sealed", r, w, "")
		}
		switch {
		case w.sealed && (r.Done || r.Gone):
			j.sum.Stored++
			text := ""
			if len(r.Absent) > 0 {
				j.sum.Faulty++
				text = fmt.Sprintf("%d of its %d chunks were lost on this machine's disk; import it again if the recorder still has it", len(r.Absent), r.Next)
			}
			j.tell("stored", r, w, text)
		case w.sealed && j.req.SealedOnly:
		default:
			rest = append(rest, id)
		}
	}
	j.order = rest
	return len(rest)
}

func (j *job) tell(event string, r spool.Recording, w *waitingFor, text string) {
	p := progress{Event: event, Rec: r.ID.String(), Bytes: r.Offset, Size: r.Source.Size, Text: text}
	p.setPath(w.path)
	j.emit(p)
}

func (j *job) tellAlarms() {
	j.mu.Lock()
	defer j.mu.Unlock()
	standing := map[string]string{}
	for _, a := range j.n.alarms(j.n.ctx) {
		standing[a.Key] = a.What
		if j.alarms[a.Key] != a.What {
			j.emit(progress{Event: "alarm", Text: a.String()})
		}
	}
	for k, what := range j.alarms {
		if _, ok := standing[k]; !ok {
			j.emit(progress{Event: "over", Text: what})
		}
	}
	j.alarms = standing
}

// finish fills in the summary; j.mu is held.
func (j *job) finish(err error) {
	s := &j.sum
	switch {
	case errors.Is(err, context.Canceled):
		s.Error = fmt.Sprintf("stopped before the end; what was read is kept in %s, and what is not sealed, sent or stored yet will be; run the same command again to go on", j.n.set.State)
	case err != nil:
		s.Error = err.Error()
	}
	if s.Recordings == nil {
		s.Recordings = []string{}
	}
	if s.Error != "" || s.Faulty > 0 || s.Failed > 0 {
		s.Exit = exitFault
	}
	out := *s
	j.emit(progress{Event: "summary", Summary: &out})
}
