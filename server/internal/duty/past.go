package duty

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/casework"
)

// remember takes up what a former run of the server left of a device's commands, once: numbers are not given again, and a result that is still to
// come is recorded.
func (b *Board) remember(ctx context.Context, id evidence.DeviceID) error {
	b.mu.Lock()
	known := b.devices[id] != nil
	b.mu.Unlock()
	if known {
		return nil
	}
	past, err := b.Past(ctx, id)
	if err != nil {
		return fmt.Errorf("former commands to %s: %w", id.Short(), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.devices[id] != nil {
		return nil
	}
	r := &recorder{id: id}
	r.orders, r.given = unanswered(past, b.Now().UnixMilli())
	b.devices[id] = r
	for _, o := range r.orders {
		if !o.expired {
			b.work.Go(func() { b.follow(r, o) })
		}
	}
	return nil
}

// unanswered finds the commands without a result among events, the newest first, in the order of their numbers; none of them is handed out again. It
// returns the greatest number too.
func unanswered(past []evidence.CustodyEvent, now int64) (out []*order, given uint64) {
	ended, expired := map[string]bool{}, map[string]bool{}
	for _, ev := range past {
		text := ev.Detail[detailNumber]
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n > maxNumber {
			continue
		}
		given = max(given, n)
		switch ev.Act {
		case casework.ActCommandDone, casework.ActCommandRefused:
			ended[text] = true
		case casework.ActCommandExpired:
			expired[text] = true
		case casework.ActCommanded:
			if ended[text] || len(out) == transport.MaxCommands {
				continue
			}
			ended[text] = true
			o := newOrder(ev.Actor, transport.Command{Number: n, Kind: transport.CommandKind(ev.Detail[casework.DetailCommand]), Until: now})
			o.Index, _ = strconv.ParseUint(ev.Detail[detailPart], 10, 64) // 0 for those that are about none
			o.rec, o.expired = ev.Rec, expired[text]
			out = append(out, o)
		}
	}
	slices.Reverse(out)
	return out, given
}
