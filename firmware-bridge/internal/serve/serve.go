// Package serve is the bridge's side of handoff: it answers the agent over HTTP on a Unix socket, for any Source of dockings.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"camseal/firmware-bridge/internal/permit"
	"camseal/pkg/handoff"
)

// Source is where dockings come from. Errors that are *handoff.Error reach the agent as they are. All methods are safe for concurrent use.
type Source interface {
	// Watch calls emit for each docking that there is, and then for each that changes, until ctx ends or emit fails.
	Watch(ctx context.Context, emit func(handoff.Docking) error) error
	// Files calls emit for every file of a docking, important ones first; not for the end of the list.
	Files(ctx context.Context, id string, emit func(handoff.File) error) error
	// Erase erases the permit's file. The same again gives the same answer.
	Erase(ctx context.Context, p permit.Permit) (handoff.Erased, error)
}

// Check reads a request to erase and checks it: permit.Checker.Read.
type Check func(request io.Reader) (permit.Permit, error)

const (
	beat      = 10 * time.Second // between two empty lines at most, as handoff says
	patience  = 30 * time.Second // for the agent to take a line
	kept      = "Nothing was changed on any recorder."
	mediaType = "application/jsonl"
)

// Config is what the routes need.
type Config struct {
	Source Source
	Check  Check // nil: this bridge is not configured to erase, and refuses every request to
	Log    *slog.Logger
	Now    func() time.Time
}

type handler Config

// New returns the routes of handoff.
func New(c Config) http.Handler {
	h := (*handler)(&c)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/dockings", h.dockings)
	mux.HandleFunc("GET /v1/dockings/{id}/files", h.files)
	mux.HandleFunc("POST /v1/erase", h.erase)
	return mux
}

func (h *handler) dockings(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	out := h.lines(w, true)
	var beats sync.WaitGroup
	beats.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for out.line(nil) == nil { // the first says at once that the bridge is there
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		cancel() // the agent is gone
	})
	err := h.Source.Watch(ctx, func(d handoff.Docking) error { return out.json(d) })
	left := ctx.Err() != nil
	cancel()
	beats.Wait()
	if err != nil && !left && !errors.Is(err, errAgent) {
		h.Log.ErrorContext(ctx, "watching dockings ended", slog.Any("error", err))
	}
}

func (h *handler) files(w http.ResponseWriter, r *http.Request) {
	out := h.lines(w, false)
	err := h.Source.Files(r.Context(), r.PathValue("id"), func(f handoff.File) error {
		f.End = false
		return out.json(f)
	})
	if err == nil {
		err = out.json(handoff.File{End: true})
	}
	if err == nil {
		return
	}
	if !errors.Is(err, errAgent) && r.Context().Err() == nil {
		h.Log.WarnContext(r.Context(), "a list of files was not completed", slog.String("docking", r.PathValue("id")), slog.Any("error", err))
	}
	if out.begun {
		panic(http.ErrAbortHandler) // the agent must see that it was cut off
	}
	refuse(w, err)
}

func (h *handler) erase(w http.ResponseWriter, r *http.Request) {
	if h.Check == nil {
		refuse(w, &handoff.Error{Status: http.StatusForbidden, Code: handoff.CodeNotAllowed, Message: "This bridge is not configured to erase.",
			Kept: kept, Do: "To release recorders on permits, set erase: true in the bridge's configuration."})
		return
	}
	p, err := h.Check(r.Body)
	if err != nil {
		h.Log.WarnContext(r.Context(), "a permit was refused", slog.Any("error", err))
		refuse(w, err)
		return
	}
	done, err := h.Source.Erase(r.Context(), p)
	if err != nil {
		h.Log.WarnContext(r.Context(), "a file was not erased", slog.String("recording", p.Rec.String()), slog.Any("error", err))
		refuse(w, err)
		return
	}
	h.Log.InfoContext(r.Context(), "a file is released", slog.String("recording", p.Rec.String()), slog.String("permit", done.Permit.String()),
		slog.Bool("before", done.Before))
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(done) // who asked is gone if this fails, and asks again
}

// refuse answers with an Error.
func refuse(w http.ResponseWriter, err error) {
	var e *handoff.Error
	if !errors.As(err, &e) {
		e = &handoff.Error{Status: http.StatusInternalServerError, Code: handoff.CodeInternal, Message: err.Error(), Kept: kept, Do: "See the bridge's log."}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(e) // who asked is gone if this fails
}

// errAgent wraps what went wrong in talking to the agent.
var errAgent = errors.New("agent does not take the answer")

// lines writes JSON lines.
type lines struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	ctl   *http.ResponseController
	now   func() time.Time
	flush bool // each line goes out at once
	begun bool
}

func (h *handler) lines(w http.ResponseWriter, flush bool) *lines {
	return &lines{w: w, ctl: http.NewResponseController(w), now: h.Now, flush: flush}
}

func (l *lines) json(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.line(raw)
}

func (l *lines) line(raw []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		l.w.Header().Set("Content-Type", mediaType)
		l.begun = true
	}
	err := l.ctl.SetWriteDeadline(l.now().Add(patience))
	if err == nil {
		_, err = l.w.Write(append(raw, '\n'))
	}
	if err == nil && l.flush {
		err = l.ctl.Flush()
	}
	if err != nil {
		return errors.Join(errAgent, err)
	}
	return nil
}
