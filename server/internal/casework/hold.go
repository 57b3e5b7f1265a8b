package casework

import (
	"context"
	"errors"
	"sync"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
)

// Acts that tell the chain of custody of each recording of a case about a hold. The hold itself is the case's.
const (
	ActRecordingHeld     = "recording-held"
	ActRecordingReleased = "recording-hold-lifted"
)

// atOnce is how many custody events are written at the same time: the log gathers them.
const atOnce = 16

// Hold keeps everything of the case from disposal, what is linked to it later too. It is in force when it returns without error, and after an error
// that came from telling the recordings' chains of custody.
func (c *Cases) Hold(ctx context.Context, by auth.Account, id casefile.ID, reason string) error {
	return c.hold(ctx, by, id, casefile.ActHeld, ActRecordingHeld, reason)
}

// LiftHold lifts the newest hold.
func (c *Cases) LiftHold(ctx context.Context, by auth.Account, id casefile.ID, reason string) error {
	return c.hold(ctx, by, id, casefile.ActLifted, ActRecordingReleased, reason)
}

func (c *Cases) hold(ctx context.Context, by auth.Account, id casefile.ID, act, each, reason string) error {
	if err := c.say(ctx, by, id, act, reason, nil); err != nil {
		return err
	}
	f, err := c.File(ctx, by, id)
	if err != nil {
		return err
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer done()
	linked := f.Linked()
	errs, slots := make([]error, len(linked)), make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, l := range linked {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			_, errs[i] = c.Book.Record(ctx, Act{Name: each, Actor: by.Actor(), Device: &l.Device, Rec: l.Rec, Detail: evidence.Detail{
				casefile.DetailCase: string(id), casefile.DetailAccount: by.ID, casefile.DetailBody: by.Body, casefile.DetailRole: string(by.Role),
				casefile.DetailText: tidy(reason)}})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
