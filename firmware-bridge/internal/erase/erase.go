package erase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"

	"camseal/firmware-bridge/internal/permit"
	"camseal/firmware-bridge/internal/storage"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

// Volume is a mounted volume of a recorder that is plugged in.
type Volume struct {
	Mount   string                            // where it is mounted, read-only
	Devices func() ([]*storage.Device, error) // opens what is written to, if the same medium is still there
}

// Eraser erases on permits. One request for a volume at a time; it is safe for concurrent use for several.
type Eraser struct {
	Journal *Journal
	Log     *slog.Logger
	Step    func(name string) // called between the steps, for tests of what a power cut does; may be nil
}

// Before answers for what was erased on this permit before, without the recorder.
func (e *Eraser) Before(p permit.Permit) (handoff.Erased, bool) {
	phase, hash := e.Journal.Look(p.Leaf)
	return handoff.Erased{Hash: hash, Permit: p.Leaf, Before: true}, phase == PhaseDone
}

// Erase removes the permit's file from the volume, after reading all of it once more from the medium. It answers once the medium holds that it is
// gone. Errors are *handoff.Error; with all but one, which says so, nothing was erased.
func (e *Eraser) Erase(ctx context.Context, v Volume, p permit.Permit) (handoff.Erased, error) {
	if done, ok := e.Before(p); ok {
		return done, nil
	}
	f, err := storage.OpenFile(v.Mount, p.Source.RawPath(), p.Source.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return e.missing(v, p)
	}
	if err != nil {
		return handoff.Erased{}, refusal(p, err)
	}
	hash, err := f.Hash(ctx)
	if err == nil && hash != p.Hash {
		err = &storage.ChangedError{What: fmt.Sprintf("its bytes have the SHA-256 %s, those that were sealed have %s", hash, p.Hash)}
	}
	e.step("read")
	if err != nil {
		return handoff.Erased{}, refusal(p, errors.Join(err, f.Close()))
	}
	if err := e.Journal.Note(p.Leaf, hash, PhaseIntent); err != nil {
		return handoff.Erased{}, errors.Join(internal(err), f.Close())
	}
	e.step("intent noted")
	err = e.remove(v, f)
	switch {
	case errors.Is(err, storage.ErrUncertain):
		return handoff.Erased{}, uncertain(p, err)
	case err != nil: // the file is where it was: should somebody else remove it, that was not us
		return handoff.Erased{}, refusal(p, errors.Join(err, e.Journal.Note(p.Leaf, hash, PhaseNone)))
	}
	e.step("removed")
	return e.done(p, hash, false)
}

// remove takes f away, and closes it.
func (e *Eraser) remove(v Volume, f *storage.File) error {
	devices, err := v.Devices()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer func() {
		for _, d := range devices {
			if err := d.Close(); err != nil {
				e.Log.Warn("closing a device", slog.Any("error", err))
			}
		}
	}()
	w, err := storage.OpenWriting(v.Mount, devices...)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	e.step("writable")
	err = w.Remove(f)
	e.step("unlinked")
	if closed := w.Close(); closed != nil { // the mount that others see is read-only all the same
		e.Log.Warn("the volume did not become read-only again at once; it will with the next erasure, or when it is unplugged", slog.Any("error", closed))
	}
	return err
}

// missing answers when the file is not there: an erasure that was begun is finished, and anything else was not ours.
func (e *Eraser) missing(v Volume, p permit.Permit) (handoff.Erased, error) {
	phase, hash := e.Journal.Look(p.Leaf)
	if phase != PhaseIntent {
		return handoff.Erased{}, &handoff.Error{Status: http.StatusNotFound, Code: handoff.CodeNoFile, Message: fmt.Sprintf("%q is not on the recorder, and was not erased on this permit.", p.Source.Path),
			Kept: "Nothing was erased. The vault holds the footage.", Do: "Nothing, if somebody removed it on the recorder."}
	}
	if err := storage.Sync(v.Mount); err != nil { // it may be gone in memory only
		return handoff.Erased{}, uncertain(p, err)
	}
	return e.done(p, hash, true)
}

func (e *Eraser) done(p permit.Permit, hash evidence.Digest, before bool) (handoff.Erased, error) {
	if err := e.Journal.Note(p.Leaf, hash, PhaseDone); err != nil {
		return handoff.Erased{}, uncertain(p, err)
	}
	e.step("done noted")
	return handoff.Erased{Hash: hash, Permit: p.Leaf, Before: before}, nil
}

func (e *Eraser) step(name string) {
	if e.Step != nil {
		e.Step(name)
	}
}

const kept = "Nothing was erased; the file is on the recorder as it was."

func refusal(p permit.Permit, err error) error {
	var changed *storage.ChangedError
	var swapped *storage.SwappedError
	switch {
	case errors.As(err, &changed):
		return &handoff.Error{Status: http.StatusConflict, Code: handoff.CodeChanged, Message: fmt.Sprintf("%q is not what was sealed: %v.", p.Source.Path, err),
			Kept: kept, Do: "Keep the recorder apart and have a person look at it; importing it again takes in what it holds now."}
	case errors.As(err, &swapped):
		return &handoff.Error{Status: http.StatusNotFound, Code: handoff.CodeNoDocking, Message: "The recorder was pulled out.", Kept: kept, Do: "Plug it in again."}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &handoff.Error{Status: http.StatusInternalServerError, Code: handoff.CodeInternal, Message: "Whoever asked did not wait for the end.", Kept: kept, Do: "Ask again."}
	}
	return &handoff.Error{Status: http.StatusBadGateway, Code: handoff.CodeMedium, Message: fmt.Sprintf("%q: the medium gave an error: %v.", p.Source.Path, err),
		Kept: kept, Do: "Plug the recorder in again; if it recurs, its storage is write-protected or failing, and its footage is in the vault."}
}

func uncertain(p permit.Permit, err error) error {
	return &handoff.Error{Status: http.StatusBadGateway, Code: handoff.CodeMedium, Message: fmt.Sprintf("%q was removed, and it is not certain that the recorder has kept that: %v.", p.Source.Path, err),
		Kept: "The vault holds the footage; no other file was touched.", Do: "Plug the recorder in again and ask again: the answer then is certain."}
}

func internal(err error) error {
	return &handoff.Error{Status: http.StatusInternalServerError, Code: handoff.CodeInternal, Message: err.Error() + ".", Kept: kept,
		Do: "See that the bridge's state folder has space and can be written to, and restart the bridge."}
}
