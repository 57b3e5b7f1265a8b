package app

import (
	"testing"
	"testing/synctest"
	"time"
)

// A stream ends a whole while after the last viewer left, however often somebody came and left before.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const while = 15 * time.Second
		var l linger
		began := time.Now()
		ended := make(chan time.Duration, 8)
		end := func() { ended <- time.Since(began) }
		l.after(while, "a", end)
		<-time.After(10 * time.Second)
		l.after(0, "a", nil) // somebody watches
		<-time.After(4 * time.Second)
		l.after(while, "a", end)
		if at := <-ended; at != 29*time.Second {
			t.Errorf("it ended after %v", at)
		}
		<-time.After(time.Minute)
		if len(ended) > 0 {
			t.Error("it ended twice")
		}
	})
}
