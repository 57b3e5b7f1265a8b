package app

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"camseal/server/internal/live/livetest"
)

// TestLivePublishing: an enrolled device publishes under its own name; one that is not enrolled, or was revoked, gets 403.
func TestLivePublishing(t *testing.T) {
	r := newRig(t)
	d := r.register("live")
	ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	film, err := livetest.Film(ctx, "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4", time.Second/30)
	check(t, err)
	publish := func(d *device) (*livetest.Publisher, error) {
		return livetest.Publish(ctx, "https://"+r.agents+"/v1/live/whip", film, livetest.Options{HTTP: d.client(r).http})
	}
	p, err := publish(d)
	check(t, err)
	if s := r.core.live.Streams(); len(s) != 1 || s[0].Name != d.id().String() || !s[0].Publishing {
		t.Errorf("streams: %+v", s)
	}
	check(t, p.Delete(ctx))
	if s := r.core.live.Streams(); len(s) > 0 && s[0].Publishing {
		t.Errorf("after DELETE: %+v", s)
	}
	_, err = publish(d)
	check(t, err)
	_, err = r.says(revokeCommand{Device: d.id().String()})
	check(t, err)
	if s := r.core.live.Streams(); len(s) > 0 && s[0].Publishing {
		t.Errorf("after it was revoked: %+v", s)
	}
	var refused *livetest.Refused
	if _, err = publish(d); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("a revoked device: %v", err)
	}
	stranger := newDevice(t, "stranger", r.vkey)
	_, err = publish(stranger)
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("a device that is not enrolled: %v", err)
	}
}
