package recorder

import (
	"context"
	"fmt"
	"strings"
	"time"
)

type faults struct {
	stallUntil, noKeyUntil, noSoundUntil, garbageUntil time.Time
	jump                                               time.Duration
}

func (c *Camera) set(f func(now time.Time)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(time.Now())
}

// Stall lets it send nothing for a while, 0 ends that; its connections stay open. What would have been sent is lost.
func (c *Camera) Stall(d time.Duration) { c.set(func(now time.Time) { c.stallUntil = now.Add(d) }) }

// DropKeys lets it leave keyframes out for a while, 0 ends that.
func (c *Camera) DropKeys(d time.Duration) { c.set(func(now time.Time) { c.noKeyUntil = now.Add(d) }) }

// DropSound lets it send no sound for a while, 0 ends that.
func (c *Camera) DropSound(d time.Duration) {
	c.set(func(now time.Time) { c.noSoundUntil = now.Add(d) })
}

// Garble lets it send random bytes instead of pictures for a while, 0 ends that.
func (c *Camera) Garble(d time.Duration) { c.set(func(now time.Time) { c.garbageUntil = now.Add(d) }) }

// Jump sets its clock forward, or back if d is negative.
func (c *Camera) Jump(d time.Duration) { c.set(func(time.Time) { c.jump += d }) }

// Fault is one thing that goes wrong at a time after the start. Do carries it out.
type Fault struct {
	After time.Duration
	Do    func(context.Context, *Camera) error
}

// ParseFaults understands faults such as stall=10s@20s,size=640x360@15s,codec=h265@1m,jump=-1h@5s,nokey=60s@10s,noaudio=5s@3s and
// garbage=3s@8s: what, how long (or how much, or to what), and how long after the start.
func ParseFaults(text string) ([]Fault, error) {
	var list []Fault
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		what, rest, _ := strings.Cut(one, "=")
		value, at, ok := strings.Cut(rest, "@")
		after, err := time.ParseDuration(at)
		if !ok || err != nil {
			return nil, fmt.Errorf("fault %q: it should be like stall=10s@20s", one)
		}
		f := Fault{After: after}
		switch what {
		case "size":
			f.Do = func(ctx context.Context, c *Camera) error { return c.Change(ctx, "", value) }
		case "codec":
			f.Do = func(ctx context.Context, c *Camera) error { return c.Change(ctx, value, "") }
		default:
			do := map[string]func(*Camera, time.Duration){"stall": (*Camera).Stall, "nokey": (*Camera).DropKeys,
				"noaudio": (*Camera).DropSound, "garbage": (*Camera).Garble, "jump": (*Camera).Jump}[what]
			d, err := time.ParseDuration(value)
			if do == nil || err != nil {
				return nil, fmt.Errorf("fault %q: it should be like stall=10s@20s", one)
			}
			f.Do = func(_ context.Context, c *Camera) error { do(c, d); return nil }
		}
		list = append(list, f)
	}
	return list, nil
}
