package uplink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/agent/internal/spool"
	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/evidence"
)

var testDevice = evidence.DeviceID{0, 0x0b, 1, 2, 3}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a device that captures, a server, and the uplink between them.
type rig struct {
	t      *testing.T
	spool  *spool.Spool
	server *uplinktest.Server
	uplink *Uplink
	ahead  atomic.Int64 // of the uplink's clock
	made   map[evidence.RecordingID]*made
}

// made is what was captured of a recording.
type made struct {
	segments [][]byte
	size     uint64
	whole    []byte
}

func newRig(t *testing.T, server *uplinktest.Server, maxBytes int64, c Config, dial DialContext) *rig {
	s, _, err := spool.Open(spool.Config{Dir: t.TempDir(), MaxBytes: maxBytes})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	check(t, s.Enrol(t.Context(), testDevice, &evidence.Enrol{AK: []byte{1}, Class: evidence.ClassSoftware, HomeLog: server.VKey, TLSKey: []byte{1}}))
	r := &rig{t: t, spool: s, server: server, made: map[evidence.RecordingID]*made{}}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(server.CA)
	client, err := NewClient(ClientConfig{Server: server.URL, CA: pool, Device: server.DeviceCertificate(t), Now: time.Now, Dial: dial})
	check(t, err)
	c.Spool, c.Client, c.Server = s, client, server.URL
	c.Log, err = note.NewVerifier(server.VKey)
	check(t, err)
	c.Now, c.Logger = func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }, slog.New(slog.DiscardHandler)
	r.uplink = New(c)
	r.seal()
	return r
}

// run runs the uplink until the test ends.
func (r *rig) run() {
	ctx, stop := context.WithCancel(context.Background())
	var up sync.WaitGroup
	up.Go(func() { r.uplink.Run(ctx) })
	r.t.Cleanup(func() {
		stop()
		up.Wait()
	})
}

// seal seals all that was said. The test's server looks at no signatures.
func (r *rig) seal() {
	r.t.Helper()
	tip, err := r.spool.Tip(r.t.Context())
	check(r.t, err)
	head, err := r.spool.HeadAt(tip - 1)
	check(r.t, err)
	check(r.t, r.spool.PutSeal(r.t.Context(), evidence.Seal{Type: "seal", Upto: tip - 1, Head: head, Attest: []byte{1}, Sig: []byte{1}}))
}

func (r *rig) say(rec evidence.RecordingID, bodies ...evidence.Body) {
	r.t.Helper()
	for _, b := range bodies {
		_, err := r.spool.Append(r.t.Context(), spool.Entry{Rec: rec, Body: b})
		check(r.t, err)
	}
	r.seal()
}

// open begins a recording.
func (r *rig) open(first byte) evidence.RecordingID {
	rec := evidence.RecordingID{first}
	r.made[rec] = &made{}
	r.say(rec, &evidence.Open{Mode: evidence.ModeCapture, MediaType: "video/mp4", Source: evidence.Source{Name: "camera"}})
	return rec
}

// segment seals a segment of so many bytes. Errors: spool.ErrFull.
func (r *rig) segment(rec evidence.RecordingID, size int) error {
	r.t.Helper()
	m := r.made[rec]
	data := make([]byte, size)
	random := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, rec, len(m.segments))))
	_, err := random.Read(data)
	check(r.t, err)
	index := uint64(len(m.segments))
	tmp, err := r.spool.Temp(rec, index, int64(size))
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	check(r.t, err)
	_, err = r.spool.Append(r.t.Context(), spool.Entry{Rec: rec, File: tmp, Body: &evidence.Chunk{Index: index, Offset: m.size, Size: uint64(size),
		Hash: evidence.Sum(data), Keyframe: true, Start: 3000 * index, Duration: 3000}})
	check(r.t, err)
	m.segments, m.size, m.whole = append(m.segments, data), m.size+uint64(size), append(m.whole, data...)
	r.seal()
	return nil
}

func (r *rig) close(rec evidence.RecordingID) {
	m := r.made[rec]
	r.say(rec, &evidence.Close{Chunks: uint64(len(m.segments)), Size: m.size, Hash: evidence.Sum(m.whole), Why: evidence.WhyComplete})
}

// until waits for a condition.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-r.t.Context().Done():
			r.t.Fatalf("not yet: %s; %+v", what, r.uplink.Status())
		}
	}
}

func (r *rig) recording(rec evidence.RecordingID) spool.Recording {
	r.t.Helper()
	got, err := r.spool.Recording(rec)
	check(r.t, err)
	return got
}

// stored waits until the server confirmed all of these, and compares what it has with what was made.
func (r *rig) stored(recs ...evidence.RecordingID) {
	r.t.Helper()
	for _, rec := range recs {
		r.until(fmt.Sprintf("recording %x is stored", rec[0]), func() bool { return r.recording(rec).Done })
		r.server.With(func() {
			if got := r.server.Recordings[rec]; !bytes.Equal(got.Whole(), r.made[rec].whole) {
				r.t.Errorf("recording %x: the server has other bytes", rec[0])
			}
		})
	}
}

// TestReceiptsWhileItGrows: what was sent of a recording is confirmed, and frees its room, long before it ends.
func TestReceiptsWhileItGrows(t *testing.T) {
	r := newRig(t, uplinktest.Start(t), 0, Config{Uploads: 2}, nil)
	r.run()
	rec := r.open(1)
	for i := range uint64(5) {
		r.ahead.Add(int64(askAtLeast + time.Second))
		check(t, r.segment(rec, 5000))
		if i > 0 { // the first one begins the turns
			r.until("all of it is confirmed", func() bool { return r.recording(rec).Covered == i+1 })
		} else {
			r.until("it is sent", func() bool { return r.uplink.q.standing(rec).bytes > 0 })
		}
	}
	r.close(rec)
	r.stored(rec)
	r.server.With(func() {
		if n := r.server.Recordings[rec].Stored; n < 4 || n > 12 {
			t.Errorf("%d receipts", n)
		}
	})
	r.emptied()
}

// emptied waits until nothing is held.
func (r *rig) emptied() {
	r.t.Helper()
	r.until("nothing is held", func() bool {
		st, err := r.spool.Status()
		check(r.t, err)
		return st.Held == 0
	})
	if r.uplink.Behind() != 0 {
		r.t.Errorf("%d behind", r.uplink.Behind())
	}
}

// puts notes which chunks come, as "recording/index", and holds them back while held is not nil.
type puts struct {
	mu    sync.Mutex
	order []string
	away  atomic.Bool   // the server is
	held  chan struct{} // closed when chunks may come
}

func (p *puts) before(w http.ResponseWriter, req *http.Request) bool {
	if p.away.Load() {
		panic(http.ErrAbortHandler)
	}
	part := strings.Split(req.URL.Path, "/")
	if req.Method != http.MethodPut {
		return false
	}
	p.mu.Lock()
	p.order = append(p.order, strings.TrimLeft(part[3][:2], "0")+"/"+part[5])
	p.mu.Unlock()
	if p.held != nil {
		select {
		case <-p.held:
		case <-req.Context().Done():
		}
	}
	return false
}

// TestSealsDoNotWait: on a full spool, with footage that does not get on, what is sealed is seen all the same; what somebody asks for goes
// next then.
func TestSealsDoNotWait(t *testing.T) {
	r := newRig(t, uplinktest.Start(t), 100_000, Config{Uploads: 1}, nil)
	p := &puts{held: make(chan struct{})}
	r.server.Intercept(p.before)
	r.run()
	rec := r.open(1)
	for len(r.made[rec].segments) < 9 {
		check(t, r.segment(rec, 10_000))
		tip, err := r.spool.Tip(t.Context())
		check(t, err)
		r.until("the seal is seen", func() bool { return r.uplink.Status().Sent == tip })
	}
	if got := r.uplink.Behind(); got != 9 {
		t.Errorf("behind %d", got)
	}
	check(t, r.uplink.Prefer(rec, 7))
	if err := r.uplink.Prefer(rec, 9); !errors.Is(err, ErrNotHeld) {
		t.Errorf("a chunk that was never made: %v", err)
	}
	close(p.held)
	r.close(rec)
	r.stored(rec)
	same(t, p.order, "1/0", "1/7", "1/1", "1/2", "1/3", "1/4", "1/5", "1/6", "1/8")
}

// TestMarkedOnAFullSpool: what was marked goes from its end back, but not while it grows and the spool fills: then its beginning must get to the
// server to make room.
func TestMarkedOnAFullSpool(t *testing.T) {
	for most, want := range map[int64][]string{0: {"1/0", "1/5", "1/4", "1/3", "1/2", "1/1"}, 100_000: {"1/0", "1/1", "1/2", "1/3", "1/4", "1/5"}} {
		r := newRig(t, uplinktest.Start(t), most, Config{Uploads: 1}, nil)
		p := &puts{held: make(chan struct{})}
		r.server.Intercept(p.before)
		r.run()
		rec := r.open(1)
		for range 6 {
			check(t, r.segment(rec, 10_000))
		}
		r.say(rec, &evidence.Mark{Moment: 7000, Text: "a knife"})
		tip, err := r.spool.Tip(t.Context())
		check(t, err)
		r.until("the mark is seen", func() bool { return r.uplink.Status().Sent == tip })
		close(p.held)
		r.until("all is sent", func() bool { return r.uplink.q.standing(rec).count == 0 })
		r.close(rec)
		r.stored(rec)
		same(t, p.order, want...)
	}
}

// TestServerGoneForADay: the spool fills and nothing of it goes; from a threshold on a person is told; when the server is back, all goes, what
// was marked first, its newest part ahead.
func TestServerGoneForADay(t *testing.T) {
	r := newRig(t, uplinktest.Start(t), 200_000, Config{Uploads: 4}, nil)
	r.uplink.SetLink(LinkMobile)
	p := &puts{}
	p.away.Store(true)
	r.server.Intercept(p.before)
	r.run()
	var recs []evidence.RecordingID
	filling := func() bool {
		return slices.ContainsFunc(r.uplink.Status().Alarms, func(a Alarm) bool { return a.Key == keyFilling })
	}
	for n := byte(1); ; n++ {
		rec := r.open(n)
		recs = append(recs, rec)
		var err error
		for i := 0; i < 5 && err == nil; i++ {
			if st, _ := r.spool.Status(); filling() != (st.Held >= 160_000) {
				t.Fatalf("%d bytes held, and the alarm stands: %v", st.Held, filling())
			}
			err = r.segment(rec, 10_000)
		}
		r.close(rec)
		if errors.Is(err, spool.ErrFull) {
			break
		}
		check(t, err)
	}
	r.say(recs[2], &evidence.Mark{Moment: 7000, Text: "a knife"})
	if st, err := r.spool.Status(); err != nil || st.Held != 200_000 || r.uplink.Behind() != 20 {
		t.Fatalf("held %d, behind %d, %v", st.Held, r.uplink.Behind(), err)
	}
	p.away.Store(false)
	r.uplink.Kick()
	r.stored(recs...)
	r.emptied()
	if filling() {
		t.Errorf("alarms %v", r.uplink.Status().Alarms)
	}
	want := []string{"3/0", "3/4", "3/3", "3/2", "3/1"}
	for _, rec := range []int{1, 2, 4} {
		for i := range 5 {
			want = append(want, fmt.Sprintf("%d/%d", rec, i))
		}
	}
	same(t, p.order, want...)
}
