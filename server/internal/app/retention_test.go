package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

var second = person("second", auth.Custodian, "城管")

// refusedFor demands that something is refused for one reason.
func refusedFor(t *testing.T, err error, key string) {
	t.Helper()
	var r *casework.Refusal
	if !errors.As(err, &r) || r.Key != key {
		t.Errorf("got %v, want it refused: %s", err, key)
	}
}

// objects returns the objects of a recording with the ends of their locks.
func (r *rig) objects(k catalog.RecordingKey) map[string]time.Time {
	r.t.Helper()
	out := map[string]time.Time{}
	for h, err := range r.core.vault.List(context.Background(), archive.RecordingPrefix(k.Device, k.Rec)) {
		check(r.t, err)
		held, err := r.core.vault.Stat(context.Background(), h.Ref())
		check(r.t, err)
		out[h.Key] = held.Until
	}
	return out
}

// dump is the whole catalog.
func (r *rig) tables() string {
	r.t.Helper()
	out, err := r.core.catalog.Dump(context.Background())
	check(r.t, err)
	return out
}

// sameAnew demands that the vault alone gives the same catalog, and starts the server again.
func (r *rig) sameAnew() {
	r.t.Helper()
	want := r.tables()
	r.stop()
	check(r.t, reindexCommand{}.Run(r.env))
	c, err := catalog.Open(context.Background(), r.env.settings.path(fileCatalog))
	check(r.t, err)
	got, err := c.Dump(context.Background())
	check(r.t, errors.Join(err, c.Close()))
	if got != want {
		a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				r.t.Errorf("reindexed:\n%.600s\nwas\n%.600s", a[i], b[i])
			}
		}
		r.t.Fatalf("%d lines, were %d", len(a), len(b))
	}
	r.start()
}

// Locks follow a longer term and a hold: every object of the recording, and a stored receipt says so; nothing gets shorter; a lost chunk is
// said, and keeps no other object from being locked.
func TestLocksFollow(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	d := r.register("one")
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(5*testChunk, 1))
	other := d.take("b.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk, 2))
	d.say(rec, &evidence.Note{By: "李伟", Text: "a note"})
	d.seal()
	r.stored(d, 0, rec, other)
	keeping, k, ok := r.core.keeping, d.keyOf(rec), d.keyOf(other)
	refusedFor(t, keeping.SetClass(ctx, reviewer, "two days", 2), "retain-role")
	refusedFor(t, keeping.SetClass(ctx, keeper, "default", 2), "retain-name")
	refusedFor(t, keeping.SetClass(ctx, keeper, "<b>", 2), "retain-name")
	refusedFor(t, keeping.SetClass(ctx, keeper, "long", 3), "retain-longest")
	check(t, keeping.SetClass(ctx, keeper, "两天 two", 1))
	refusedFor(t, keeping.SetClass(ctx, keeper, "两天 two", 1), "retain-lengthen")
	refusedFor(t, keeping.Retain(ctx, keeper, rec, "none such"), "retain-unknown")
	check(t, keeping.SetClass(ctx, keeper, "short", 1))
	check(t, keeping.SetClass(ctx, keeper, "两天 two", 2))
	check(t, keeping.Retain(ctx, keeper, rec, "两天 two"))
	refusedFor(t, keeping.Retain(ctx, keeper, rec, "short"), "retain-shorter")
	kept, err := r.core.catalog.Retained(ctx, k)
	check(t, err)
	until := kept.UntilAt
	check(t, keeping.Sweep(ctx))
	leaves := func() (int, int64) {
		row, err := r.core.catalog.FindRecording(ctx, rec)
		check(t, err)
		return int(r.core.log.Size()), row.StoredUntil
	}
	size, stored := leaves()
	if stored < until {
		t.Errorf("the newest receipt says %d, the term %d", stored, until)
	}
	short := 0
	for key, at := range r.objects(k) {
		if at.UnixMilli() < until {
			t.Errorf("%s is locked until %s", key, at)
		}
	}
	for _, at := range r.objects(ok) {
		if at.UnixMilli() < until {
			short++
		}
	}
	if p, ok := keeping.Progress(k); !ok || p.Done != p.Total || p.Total != len(r.objects(k))-1 || short == 0 { // the newest manifest came behind the listing
		t.Errorf("progress %+v of %d objects; %d of the other recording are locked for less", p, len(r.objects(k)), short)
	}
	check(t, keeping.Sweep(ctx))
	if again, _ := leaves(); again != size {
		t.Errorf("another sweep added %d leaves", again-size)
	}
	if _, err := d.client(r).stored(rec); err != nil {
		t.Error(err)
	}

	// A hold keeps locks a year ahead, and lasts; a chunk is lost on the way.
	cases := r.core.cases
	id, err := cases.Open(ctx, keeper, described())
	check(t, err)
	check(t, cases.Link(ctx, keeper, id, rec))
	check(t, cases.Link(ctx, keeper, id, other))
	check(t, cases.Hold(ctx, keeper, id, "litigation"))
	lost := ""
	for h, err := range r.core.vault.List(ctx, archive.RecordingPrefix(ok.Device, ok.Rec)+"chunks/") {
		check(t, err)
		lost = h.Key
	}
	check(t, os.Remove(filepath.Join(r.env.settings.vaultDir(), "objects", lost)))
	if err := keeping.Sweep(ctx); err == nil {
		t.Error("a lost chunk was passed over in silence")
	}
	year := r.now().Add(360 * 24 * time.Hour)
	for _, key := range []catalog.RecordingKey{k, ok} {
		for name, at := range r.objects(key) {
			if at.Before(year) {
				t.Errorf("on hold, %s is locked until %s", name, at)
			}
		}
	}
	if p := keeping.Shortfalls(); len(p) != 1 || p[ok].Done != p[ok].Total && p[ok].Trouble == "" {
		t.Errorf("shortfalls %+v", p)
	}
	r.sameAnew()
	path, err := r.export(rec, true)
	check(t, err)
	r.verified(path, verify.Verified)
	r.verifiedLog()
}

// Nobody disposes of anything alone or early. What two persons disposed of is gone, object by object as its locks end; the tombstone stays, the
// neighbours still verify, a killed removal goes on, and the vault alone gives the same.
func TestDisposal(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	d := r.register("one")
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(5*testChunk, 1))
	d.say(rec, &evidence.Header{Cause: "secret cause", Department: "城管", Confirmed: "x", Companions: []string{}, Officers: []evidence.Officer{}, Further: []evidence.FurtherField{}})
	d.seal()
	other := d.take("b.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk, 2))
	capture := d.take("c.mp4", "video/mp4", evidence.WhyComplete, content(2*testChunk, 3))
	r.stored(d, 0, rec, other, capture)
	k, keeping := d.keyOf(rec), r.core.keeping
	refusedFor(t, keeping.Propose(ctx, keeper, rec, "expired"), "dispose-kept")
	r.pass(25 * time.Hour)
	refusedFor(t, keeping.Propose(ctx, reviewer, rec, "expired"), "dispose-role")
	refusedFor(t, keeping.Propose(ctx, keeper, rec, "  "), "dispose-reason")
	id, err := r.core.cases.Open(ctx, keeper, described())
	check(t, err)
	check(t, r.core.cases.Link(ctx, keeper, id, rec))
	refusedFor(t, keeping.Propose(ctx, keeper, rec, "expired"), "dispose-case")
	check(t, r.core.cases.Unlink(ctx, keeper, id, rec, "wrong one"))
	refusedFor(t, keeping.Confirm(ctx, second, rec), "dispose-no-proposal")
	check(t, keeping.Propose(ctx, keeper, rec, "retention ended"))
	refusedFor(t, keeping.Propose(ctx, second, rec, "again"), "dispose-proposed")
	refusedFor(t, keeping.Confirm(ctx, keeper, rec), "dispose-same")
	check(t, keeping.Withdraw(ctx, keeper, rec))
	check(t, keeping.Propose(ctx, keeper, rec, "retention ended <b>"))
	from := uint64(len(d.lines))
	d.say(rec, &evidence.Note{By: "李伟", Text: "something newer"})
	d.seal()
	_, err = d.client(r).statements(d.batch(from, evidence.MaxInt))
	check(t, err)
	refusedFor(t, keeping.Confirm(ctx, second, rec), "dispose-newer")
	check(t, keeping.Withdraw(ctx, second, rec))
	check(t, keeping.Propose(ctx, keeper, rec, "retention ended <b>"))
	r.sameAnew()
	keeping = r.core.keeping

	// The removal breaks off in the middle: the vault's disk gives an error at one object.
	keeping.Disposer = &breaking{Disposer: r.core.disposer, after: 2}
	check(t, keeping.Confirm(ctx, second, rec))
	if err := keeping.Sweep(ctx); err == nil {
		t.Fatal("the removal did not break off")
	}
	r.sameAnew()
	keeping = r.core.keeping
	check(t, keeping.Sweep(ctx))
	left := r.objects(k)
	for name := range left {
		if strings.Contains(name, "/chunks/") {
			t.Errorf("%s is left", name)
		}
	}
	tomb, err := r.core.catalog.Disposal(ctx, k)
	check(t, err)
	if tomb.State != catalog.DisposalDone || int(tomb.Kept) != len(left) || tomb.Objects != 5 || tomb.ProposedAccount != keeper.ID || tomb.Hash != evidence.Sum(content(5*testChunk, 1)).String() {
		t.Errorf("tombstone %+v; left %d", tomb, len(left))
	}
	r.sameAnew()

	// What the device says of it later is taken in as a part of the chain; a receipt is not given, nor is the file known.
	from = uint64(len(d.lines))
	d.say(rec, &evidence.Release{Erased: evidence.Sum(nil), Permit: evidence.Sum(nil)})
	d.seal()
	_, err = d.client(r).statements(d.batch(from, evidence.MaxInt))
	check(t, err)
	var refusal *transport.Error
	if _, err := d.client(r).stored(rec); !errors.As(err, &refusal) || refusal.Status != 410 {
		t.Errorf("a receipt for what was disposed of: %v", err)
	}
	if _, err := r.export(rec, true); err == nil {
		t.Error("what was disposed of was exported")
	}
	for _, x := range []evidence.RecordingID{other, capture} {
		path, err := r.export(x, true)
		check(t, err)
		r.verified(path, verify.Verified)
	}
	r.sameAnew()

	// When the last locks end, the rest goes.
	r.pass(48 * time.Hour)
	check(t, r.core.keeping.Sweep(ctx))
	tomb, err = r.core.catalog.Disposal(ctx, k)
	check(t, err)
	if tomb.Kept > 1 || tomb.Objects < 8 { // the late statement's own lock lasts
		t.Errorf("tombstone %+v; left %d", tomb, len(r.objects(k)))
	}
	r.sameAnew()
	path, err := r.export(other, true)
	check(t, err)
	r.verified(path, verify.Verified)
	r.verifiedLog()
}

// verifiedLog demands that a stranger finds nothing wrong in the log's own folder, which a monitor or mirror serves as it is.
func (r *rig) verifiedLog() {
	r.t.Helper()
	trust := &verify.Trust{V: 1, Logs: []verify.TrustedLog{{Key: r.vkey}}}
	report, err := verify.Log(context.Background(), os.DirFS(filepath.Join(r.env.settings.path(dirLedger), "log")), verify.LogOptions{Trust: trust})
	check(r.t, err)
	if report.Verdict != verify.Verified {
		r.t.Errorf("the log: %s, %+v", report.Verdict, report.First)
	}
}

// breaking fails after some removals, as a disk may.
type breaking struct {
	archive.Disposer
	after int
}

func (f *breaking) Dispose(ctx context.Context, key string, now time.Time) error {
	if f.after--; f.after < 0 {
		return fmt.Errorf("%s: %w", key, archive.ErrUnavailable)
	}
	return f.Disposer.Dispose(ctx, key, now)
}

// Statements that are gone without a disposal are a loss, whatever lies beside them: reindex refuses.
func TestLossIsNoDisposal(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	d := r.register("one")
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	r.stored(d, 0, rec)
	k := d.keyOf(rec)
	id := d.id()
	forged, err := evidence.Encode(evidence.CustodyEvent{Act: catalog.ActDisposalConfirmed, Actor: "nobody", Detail: evidence.Detail{}, Device: &id, Rec: rec,
		Type: "custody-event", V: evidence.Version})
	check(t, err)
	for h, err := range r.core.vault.List(ctx, archive.RecordingPrefix(k.Device, k.Rec)+"statements/") {
		check(t, err)
		check(t, os.Remove(filepath.Join(r.env.settings.vaultDir(), "objects", h.Key)))
	}
	v := r.core.vault
	for _, with := range []bool{false, true} {
		if with {
			_, err := archive.PutBytes(ctx, v, func(h evidence.Digest) string { return archive.DisposalKey(k.Device, k.Rec, h) }, forged, r.now().Add(time.Hour))
			check(t, err)
		}
		r.stop()
		if err := (reindexCommand{}).Run(r.env); err == nil || !strings.Contains(err.Error(), "left as it is") {
			t.Errorf("with a forged disposal %v: %v", with, err)
		}
		r.start()
		v = r.core.vault
	}
}
