package uplink

import (
	"context"
	"errors"
	"fmt"

	"camseal/agent/internal/spool"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// keyFork is the alarm that stands once the chain had to go on elsewhere: a person must find out why.
const keyFork = "fork"

// elsewhere has the chain go on after the server's head, which is not ours, if the home log's receipt says that it is this device's.
// The chain of this state folder and another one of the same device parted: an old copy was put back, or two agents run on copies.
func (u *Uplink) elsewhere(ctx context.Context, head transport.Head) error {
	a, err := u.adoption(head)
	if err != nil {
		return &transport.Error{Status: 409, Code: transport.CodeFork,
			Message: fmt.Sprintf("the server has another chain of this device than this state folder, up to statement %d, and does not prove it: %v", *head.Seq, err),
			Kept:    allKept,
			Do:      "do not delete anything; was an old copy of the state folder put back? A person must compare the two"}
	}
	if u.GoOn == nil {
		return errors.New("the chain must go on elsewhere, and nobody sees to that")
	}
	if err := u.GoOn(ctx, a); err != nil {
		return fmt.Errorf("go on after statement %d, the server's last: %w", a.Seq, err)
	}
	u.alarms.raise(ctx, Alarm{Key: keyFork,
		What: fmt.Sprintf("the server had other statements of this device than this state folder: an old copy of it was put back, or two agents run on copies of it. "+
			"The chain went on after statement %d", a.Seq),
		Kept: "what conflicts is in the spool's quarantine, and the footage that it was about is taken in again",
		Do:   "find out who copied the state folder; never run two copies"})
	return nil
}

// adoption checks that the home log vouches for the server's head.
func (u *Uplink) adoption(head transport.Head) (a spool.Adoption, err error) {
	if head.Seen == nil || head.N == nil {
		return a, errors.New("it shows no receipt for it")
	}
	device, err := u.Spool.Device()
	if err != nil {
		return a, err
	}
	seen := evidence.Seen{Device: device, Seq: *head.Seq, Head: head.Head}
	if err := u.checkSeen(*head.Seen, seen); err != nil {
		return a, err
	}
	return spool.Adoption{Seq: *head.Seq, Head: head.Head, N: *head.N, Receipt: head.Seen.Tlog()}, nil
}

// again hands a recording that stayed behind to who takes its bytes in again.
func (u *Uplink) again(ctx context.Context, id evidence.RecordingID) {
	if u.Again != nil {
		u.Again(ctx, id)
	}
}
