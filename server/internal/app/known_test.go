package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/catalog/db"
)

func (c *client) known(files ...transport.KnownFile) (a transport.KnownAnswer, err error) {
	return a, c.do("POST", "/v1/known", body(transport.KnownRequest{Files: files}), &a)
}

func body(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

func fileOf(s evidence.Source) transport.KnownFile {
	return transport.KnownFile{Serial: s.Serial, Volume: s.Volume, Path: s.RawPath(), Size: s.Size, Modified: s.Modified}
}

const filmed = 1789990000000 // the file's own time

// send sends everything that a device said and was not sent yet.
func (r *rig) send(d *device, from int) {
	r.t.Helper()
	d.seal()
	_, err := d.client(r).statements(d.batch(uint64(from), evidence.MaxInt))
	check(r.t, err)
}

// stored sends what a device said from a statement on, and the chunks of recordings.
func (r *rig) stored(d *device, from int, recs ...evidence.RecordingID) {
	r.t.Helper()
	r.send(d, from)
	for _, rec := range recs {
		_, err := d.client(r).putAll(d, rec)
		check(r.t, err)
	}
}

// believes checks the proof that a file is known as an agent would, which trusts the log's key and nobody's word.
func (r *rig) believes(k transport.Known, f transport.KnownFile) {
	r.t.Helper()
	opened, openDigest, err := evidence.ParseUnverified(k.Open)
	check(r.t, err)
	closed, closeDigest, err := evidence.ParseUnverified(k.Close)
	check(r.t, err)
	open, ok := opened.Body.(*evidence.Open)
	if !ok || string(body(fileOf(open.Source))) != string(body(f)) {
		r.t.Fatalf("open names another file: %s", k.Open)
	}
	end, ok := closed.Body.(*evidence.Close)
	if !ok || end.Why != evidence.WhyComplete || end.Size != f.Size {
		r.t.Fatalf("close is not whole: %s", k.Close)
	}
	v := r.receipt(k.Receipt)
	leaf, err := evidence.ParseLeafUnverified(v.Leaf)
	check(r.t, err)
	stored, ok := leaf.(*evidence.Stored)
	if !ok || stored.Open != openDigest || stored.Close == nil || *stored.Close != closeDigest || len(stored.Absent) > 0 || stored.Chunks != end.Chunks ||
		stored.Device != opened.Device || stored.Rec != opened.Rec || closed.Rec != opened.Rec || closed.Device != opened.Device {
		r.t.Fatalf("the receipt is for something else: %s", v.Leaf)
	}
}

// A file that one dock has stored is known at another, with a proof that needs no trust in the server; a file that differs in anything is not.
func TestFilesOfOneDockAreKnownAtAnother(t *testing.T) {
	r := newRig(t)
	d, e := r.register("one"), r.register("two")
	odd := evidence.Source{Serial: "BZ02712", Size: 2 * testChunk, Volume: "0A1B-2C3D", Modified: filmed}
	odd.SetPath([]byte("DCIM/\xd6\xb4\xb7\xa8.MP4"), []byte("\xd6\xb4\xb7\xa8.MP4")) // GBK
	src := source("DCIM/a.mp4", filmed, content(5*testChunk+7, 1))
	empty := source("DCIM/empty.mp4", filmed, nil)
	a := d.takeFrom(src, nil, "video/mp4", evidence.WhyComplete, content(5*testChunk+7, 1))
	b := d.takeFrom(odd, nil, "video/mp4", evidence.WhyComplete, content(2*testChunk, 2))
	c := d.takeFrom(empty, nil, "video/mp4", evidence.WhyComplete, nil)
	r.stored(d, 0, a, b, c)
	d.say(a, &evidence.Note{By: "李伟", Text: "later"}) // a longer recording, the same proof
	r.send(d, len(d.lines)-1)

	f := fileOf(src)
	other := func(change func(*transport.KnownFile)) transport.KnownFile {
		f := fileOf(src)
		f.Path = append(evidence.Bytes{}, f.Path...)
		change(&f)
		return f
	}
	ask := []transport.KnownFile{
		other(func(f *transport.KnownFile) { f.Serial = "BZ02713" }),
		f,
		other(func(f *transport.KnownFile) { f.Serial = "" }),
		other(func(f *transport.KnownFile) { f.Volume = "0A1B-2C3E" }),
		other(func(f *transport.KnownFile) { f.Path[5] = 'A' }),
		other(func(f *transport.KnownFile) { f.Size++ }),
		other(func(f *transport.KnownFile) { f.Modified++ }),
		other(func(f *transport.KnownFile) { f.Modified = 0 }),
		other(func(f *transport.KnownFile) { f.Serial, f.Volume = f.Serial+f.Volume, "" }),
		fileOf(odd),
		fileOf(empty),
	}
	for _, who := range []*device{e, d} {
		got, err := who.client(r).known(ask...)
		check(t, err)
		if len(got.Known) != 3 {
			t.Fatalf("%d files are known, want 3", len(got.Known))
		}
		for i, want := range []int{1, 9, 10} {
			if got.Known[i].Index != want {
				t.Fatalf("file %d is known, want %d", got.Known[i].Index, want)
			}
			r.believes(got.Known[i], ask[want])
		}
	}
	r.reindexed()
	got, err := e.client(r).known(f)
	check(t, err)
	if len(got.Known) != 1 {
		t.Fatal("after reindex the file is not known")
	}
	r.believes(got.Known[0], f)
}

// Only what is stored whole is known: whoever skips a file has nothing else of it.
func TestWhatIsNotStoredWholeIsNotKnown(t *testing.T) {
	r := newRig(t)
	d, e := r.register("one"), r.register("two")
	var files []transport.KnownFile
	take := func(name, why string) evidence.RecordingID {
		src := source("DCIM/"+name, filmed, content(3*testChunk, 1))
		files = append(files, fileOf(src))
		return d.takeFrom(src, nil, "video/mp4", why, content(3*testChunk, 1))
	}
	seen := take("seen.mp4", evidence.WhyComplete)
	partly := take("partly.mp4", evidence.WhyComplete)
	open := take("open.mp4", "")
	broken := take("read-error.mp4", evidence.WhyReadError)
	lost := take("lost.mp4", evidence.WhyComplete)
	d.say(lost, &evidence.Fault{Chunks: []uint64{1}, Why: evidence.WhyLost, Detail: "gone"})
	r.stored(d, 0, open, broken)
	c := d.client(r)
	check(t, c.put(partly, 0, d.chunk(partly, 0)))
	for _, i := range []int{0, 2} {
		check(t, c.put(lost, i, d.chunk(lost, i)))
	}
	_, err := c.stored(lost)
	check(t, err)
	got, err := e.client(r).known(files...)
	check(t, err)
	if len(got.Known) != 0 {
		t.Fatalf("file %d is known, and %s was not stored whole", got.Known[0].Index, files[got.Known[0].Index].Path)
	}
	for _, rec := range []evidence.RecordingID{seen, partly} {
		_, err = c.putAll(d, rec)
		check(t, err)
	}
	got, err = e.client(r).known(files...)
	check(t, err)
	if len(got.Known) != 2 || got.Known[0].Index != 0 || got.Known[1].Index != 1 {
		t.Fatalf("%+v", got)
	}
}

// A revoked device's word is nobody's proof. What another one has of the same file still is.
func TestFilesOfARevokedDeviceAreNotKnown(t *testing.T) {
	r := newRig(t)
	d, e, f := r.register("one"), r.register("two"), r.register("three")
	src := source("DCIM/a.mp4", filmed, content(3*testChunk, 1))
	r.stored(d, 0, d.takeFrom(src, nil, "video/mp4", evidence.WhyComplete, content(3*testChunk, 1)))
	second := source("DCIM/b.mp4", filmed, content(3*testChunk, 2))
	n := len(d.lines)
	r.stored(d, n, d.takeFrom(second, nil, "video/mp4", evidence.WhyComplete, content(3*testChunk, 2)))
	r.stored(e, 0, e.takeFrom(second, nil, "video/mp4", evidence.WhyComplete, content(3*testChunk, 2)))
	_, err := r.says(revokeCommand{Device: d.id().String()})
	check(t, err)
	got, err := f.client(r).known(fileOf(src), fileOf(second))
	check(t, err)
	if len(got.Known) != 1 || got.Known[0].Index != 1 {
		t.Fatalf("%+v", got)
	}
	r.believes(got.Known[0], fileOf(second))
	if s, _, err := evidence.ParseUnverified(got.Known[0].Open); err != nil || s.Device != e.id() {
		t.Errorf("the proof is the word of %s, %v", s.Device, err)
	}
	_, err = d.client(r).known(fileOf(src))
	refused(t, err, transport.CodeRevoked)
}

func TestQuestionsForKnownFilesThatAreRefused(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	many := make([]transport.KnownFile, transport.MaxKnown+1)
	_, err := d.client(r).known(many...)
	refused(t, err, transport.CodeBadRequest)
	_, err = d.client(r).known(transport.KnownFile{Serial: strings.Repeat("x", transport.MaxKnownBytes)})
	refused(t, err, transport.CodeTooLarge)
	for _, bad := range []string{"", "[]", `{"files":[{"size":-1}]}`, `{"files":[{"path":"%"}]}`, `{"file":[]}`} {
		refused(t, d.client(r).do("POST", "/v1/known", []byte(bad), nil), transport.CodeBadRequest)
	}
	_, err = newDevice(t, "stranger", r.vkey).client(r).known(many[0])
	refused(t, err, transport.CodeUnknownDevice)
	got, err := d.client(r).known(many[:transport.MaxKnown]...)
	check(t, err)
	if got.Known == nil || len(got.Known) != 0 {
		t.Errorf("%+v", got)
	}
}

// What is damaged in the vault is not known, and does not keep other files from being known.
func TestDamagedStatementsAreNotKnown(t *testing.T) {
	r := newRig(t)
	d, e := r.register("one"), r.register("two")
	src, other := source("DCIM/a.mp4", filmed, content(testChunk, 1)), source("DCIM/b.mp4", filmed, content(testChunk, 2))
	a := d.takeFrom(src, nil, "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	b := d.takeFrom(other, nil, "video/mp4", evidence.WhyComplete, content(testChunk, 2))
	r.stored(d, 0, a, b)
	changed := 0
	check(t, filepath.WalkDir(r.env.settings.vaultDir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(path, a.String()+"/statements") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(raw), "a.mp4") {
			return err
		}
		changed++
		return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte(strings.Replace(string(raw), "a.mp4", "A.mp4", 1)), 0o600))
	}))
	if changed == 0 {
		t.Fatal("nothing was changed")
	}
	got, err := e.client(r).known(fileOf(src), fileOf(other))
	check(t, err)
	if len(got.Known) != 1 || got.Known[0].Index != 1 {
		t.Fatalf("%+v", got)
	}
	if !strings.Contains(r.log.String(), "gone or changed") {
		t.Error("the server's log does not say so")
	}
}

// The same file on two docks, first pulled out half way, is one original in the list; two files that only look alike stay two.
func TestOneOriginalOfTwoDocks(t *testing.T) {
	r := newRig(t)
	d, e := r.register("one"), r.register("two")
	whole := content(6*testChunk, 1)
	src := source("DCIM/a.mp4", filmed, whole)
	first := d.takeFrom(src, nil, "video/mp4", evidence.WhyVanished, whole[:2*testChunk])
	r.stored(d, 0, first)
	list := func() string {
		status, _, page, err := r.get("/recordings?lang=en")
		check(t, err)
		if status != http.StatusOK {
			t.Fatal(status)
		}
		_, page2, _ := strings.Cut(string(page), "<h1>")
		if i := strings.LastIndex(page2, `<section class="panel"><table>`); i >= 0 {
			page2 = page2[i:]
		}
		return page2
	}
	nameLink := func(rec evidence.RecordingID) string {
		return `<div><a href="/recordings/` + rec.String() + `">`
	}
	if !strings.Contains(list(), nameLink(first)) {
		t.Fatal("the interrupted try is not in the list")
	}
	second := e.takeFrom(src, nil, "video/mp4", evidence.WhyComplete, whole)
	r.stored(e, 0, second)
	page := list()
	if strings.Contains(page, nameLink(first)) || !strings.Contains(page, nameLink(second)) || !strings.Contains(page, first.String()) {
		t.Errorf("not one original with a link to the first try:\n%s", page)
	}
	for rec, want := range map[evidence.RecordingID]string{first: "another recording for all of them", second: "this recording for all of them"} {
		_, _, p, err := r.get("/recordings/" + rec.String() + "?lang=en")
		check(t, err)
		if !strings.Contains(string(p), want) {
			t.Errorf("the page of %s does not say %q", rec, want)
		}
	}
	n := len(d.lines)
	forged := d.takeFrom(src, nil, "video/mp4", evidence.WhyComplete, content(6*testChunk, 9)) // says that it is the same file, and holds other bytes
	r.stored(d, n, forged)
	page = list()
	if !strings.Contains(page, nameLink(forged)) || !strings.Contains(page, nameLink(second)) || !strings.Contains(page, "its bytes differ") {
		t.Errorf("two whole files with different bytes are shown as one:\n%s", page)
	}
	r.reindexed()
	if list() != page {
		t.Error("after reindex the list is another")
	}
}

// Which of an original's recordings stands for it does not hang on the order in which they were stored.
func TestWhatStandsForAnOriginal(t *testing.T) { onBoth(t, whatStandsForAnOriginal) }

func whatStandsForAnOriginal(t *testing.T, r *rig) {
	d := r.register("one")
	whole := content(2*testChunk, 1)
	src := source("DCIM/a.mp4", filmed, whole)
	shown := func() (out []evidence.RecordingID) {
		list, err := r.core.catalog.Shown(context.Background(), evidence.MaxInt, "", 10)
		check(t, err)
		for _, x := range list {
			rec, err := evidence.ParseRecordingID(x.Rec)
			check(t, err)
			out = append(out, rec)
		}
		return out
	}
	a := d.takeFrom(src, nil, "video/mp4", "", whole[:testChunk])
	r.send(d, 0)
	n := len(d.lines)
	b := d.takeFrom(src, nil, "video/mp4", evidence.WhyComplete, whole)
	r.send(d, n)
	if got := shown(); len(got) != 1 || got[0] != b {
		t.Fatalf("%v: what is closed stands for what is open", got)
	}
	n = len(d.lines)
	c := d.takeFrom(src, nil, "video/mp4", evidence.WhyComplete, whole)
	r.stored(d, n, c)
	if got := shown(); len(got) != 1 || got[0] != c {
		t.Fatalf("%v: what is stored stands for what is only closed", got)
	}
	_, err := d.client(r).putAll(d, b)
	check(t, err)
	if got := shown(); len(got) != 1 || got[0] != b {
		t.Fatalf("%v: of two that are alike the earlier one stands", got)
	}
	if rows, more, err := r.core.catalog.Attempts(context.Background(), r.row(a), 10); err != nil || len(rows) != 2 || more != 2 {
		t.Errorf("%d attempts, %d in all, %v", len(rows), more, err)
	}
}

// row is a recording's row in the catalog.
func (r *rig) row(rec evidence.RecordingID) db.Recording {
	r.t.Helper()
	row, err := r.core.catalog.FindRecording(context.Background(), rec)
	check(r.t, err)
	return row
}

// As many files as may be asked for at once fit into one answer, with their proofs.
func TestAsManyKnownFilesAsMayBeAsked(t *testing.T) {
	r := newRig(t)
	d, e := r.register("one"), r.register("two")
	var files []transport.KnownFile
	var recs []evidence.RecordingID
	for i := range transport.MaxKnown {
		src := source(fmt.Sprintf("DCIM/NOR_8888888_000000_20170731155341_%04d.MP4", i), filmed, nil)
		files = append(files, fileOf(src))
		recs = append(recs, d.takeFrom(src, nil, "video/mp4", evidence.WhyComplete, nil))
	}
	r.send(d, 0)
	errs := make([]error, len(recs))
	var wg sync.WaitGroup
	c := d.client(r)
	for i := range 16 {
		wg.Go(func() {
			for j := i; j < len(recs); j += 16 {
				if _, err := c.stored(recs[j]); err != nil {
					errs[j] = err
				}
			}
		})
	}
	wg.Wait()
	check(t, errors.Join(errs...))
	begin := time.Now()
	got, err := e.client(r).known(files...)
	check(t, err)
	t.Logf("%d files known in %v, %d bytes", len(got.Known), time.Since(begin), len(body(got)))
	if len(got.Known) != len(files) || len(body(got)) > transport.MaxAnswer {
		t.Fatalf("%d files are known in %d bytes", len(got.Known), len(body(got)))
	}
	for i, k := range got.Known {
		r.believes(k, files[i])
	}
}
