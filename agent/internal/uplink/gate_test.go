package uplink

import (
	"testing"
	"testing/synctest"
	"time"
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
