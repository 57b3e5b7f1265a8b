package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

func notice(name string) casefile.Document {
	return casefile.Document{Name: name, Kind: "notice", Signature: casefile.NotNeeded}
}

func scan(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	check(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 3))))
	return b.String()
}

// What a document is, its bytes say. What is not what it says is kept, and called unknown; nothing of a refused one stays behind.
func TestDocumentsOfOddKinds(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	cases := r.core.cases
	id, err := cases.Open(ctx, keeper, described())
	check(t, err)
	for name, c := range map[string]struct{ bytes, is string }{
		"a.pdf":                     {pdf("a"), "application/pdf"},
		"b.png":                     {scan(t), "image/png"},
		"page.pdf":                  {"<html><script>alert(1)</script>", "application/octet-stream"},
		"picture.jpg":               {scan(t) + "x", "image/png"},
		"broken.png":                {scan(t)[:12], "application/octet-stream"},
		"huge.png":                  {strings.Replace(scan(t), "\x00\x00\x00\x03\x00\x00\x00\x03", "\x00\xff\xff\xff\x00\xff\xff\xff", 1), "application/octet-stream"},
		"drawing.svg":               {`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, "application/octet-stream"},
		"../../etc/\u202epdf\n.exe": {"MZ", "application/octet-stream"},
		"one byte":                  {"x", "application/octet-stream"},
	} {
		doc, err := cases.AddDocument(ctx, keeper, id, notice(name), strings.NewReader(c.bytes))
		check(t, err)
		if doc.MediaType != c.is || doc.Name != name || doc.Size != int64(len(c.bytes)) || doc.Hash != evidence.Sum([]byte(c.bytes)) {
			t.Errorf("%q: %+v", name, doc)
		}
		_, from, err := cases.OpenDocument(ctx, keeper, id, doc.Hash)
		check(t, err)
		got, err := io.ReadAll(from)
		check(t, errors.Join(err, from.Close()))
		if string(got) != c.bytes {
			t.Errorf("%q came back as %d other bytes", name, len(got))
		}
		if lies := casework.NameLies(doc); lies != (name == "page.pdf" || name == "picture.jpg" || name == "broken.png" || name == "huge.png") {
			t.Errorf("%q lies: %v", name, lies)
		}
	}
	before := entries(t, r)
	again, err := cases.AddDocument(ctx, keeper, id, notice("a.pdf"), strings.NewReader(pdf("a")))
	check(t, err)
	if now := entries(t, r); again.Name != "a.pdf" || now != before {
		t.Errorf("the same document again: %+v, %d log leaves", again, now-before)
	}
	other := notice("other.pdf")
	other.Kind = "decision"
	for want, f := range map[string]func() error{
		"document-there": func() error {
			_, err := cases.AddDocument(ctx, keeper, id, other, strings.NewReader(pdf("a")))
			return err
		},
		"document-empty": func() error {
			_, err := cases.AddDocument(ctx, keeper, id, notice("e"), strings.NewReader(""))
			return err
		},
		"signature": func() error {
			_, err := cases.AddDocument(ctx, keeper, id, casefile.Document{Name: "x", Kind: casefile.InquiryRecord, Signature: casefile.NotNeeded}, strings.NewReader("x"))
			return err
		},
		"not-handler": func() error {
			_, err := cases.AddDocument(ctx, person("k2", auth.Custodian, "Other body"), id, notice("x"), strings.NewReader("x"))
			return err
		},
		"no-document": func() error {
			_, _, err := cases.OpenDocument(ctx, keeper, id, evidence.Digest{1})
			return err
		},
	} {
		if got := why(t, f()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	broken := errors.New("the connection broke")
	if _, err := cases.AddDocument(ctx, keeper, id, notice("half"), io.MultiReader(strings.NewReader("half"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("a broken upload: %v", err)
	}
	// Withdrawn, it stays readable, and it can be entered anew.
	check(t, cases.WithdrawDocument(ctx, keeper, id, again.Hash, "wrong kind"))
	_, from, err := cases.OpenDocument(ctx, keeper, id, again.Hash)
	check(t, err)
	check(t, from.Close())
	_, err = cases.AddDocument(ctx, keeper, id, other, strings.NewReader(pdf("a")))
	check(t, err)
	if left, err := os.ReadDir(r.env.settings.path(dirTemp)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	r.reindexed()

	// Changed in the vault, its last byte never comes out.
	path := filepath.Join(r.env.settings.vaultDir(), "objects", archive.DocumentKey(string(id), again.Hash))
	check(t, os.Chmod(path, 0o600))
	check(t, os.WriteFile(path, []byte(pdf("b")), 0o600))
	_, from, err = r.core.cases.OpenDocument(ctx, keeper, id, again.Hash)
	check(t, err)
	got, err := io.ReadAll(from)
	check(t, from.Close())
	var wrong *archive.WrongBytes
	if !errors.As(err, &wrong) || len(got) >= len(pdf("b")) {
		t.Errorf("a changed document: %d bytes, %v", len(got), err)
	}
}

func entries(t *testing.T, r *rig) uint64 {
	t.Helper()
	n, err := r.core.catalog.Size(context.Background())
	check(t, err)
	return n
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// zeros is a reader of n bytes that are nowhere, and watches the heap.
type zeros struct {
	n, read int64
	most    uint64
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.read == z.n {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.n-z.read)
	clear(p[:n])
	if z.read>>28 != (z.read+n)>>28 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		z.most = max(z.most, m.HeapAlloc)
	}
	z.read += n
	return int(n), nil
}

// The largest document goes through flat memory; one byte more is refused, and nothing of it stays.
func TestLargestDocument(t *testing.T) {
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("writes 6 GiB")
	}
	ctx := context.Background()
	r := newRig(t)
	id, err := r.core.cases.Open(ctx, keeper, described())
	check(t, err)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	over := &zeros{n: casefile.MaxDocument + 1}
	if _, err := r.core.cases.AddDocument(ctx, keeper, id, notice("over"), over); why(t, err) != "document-large" {
		t.Errorf("over the bound: %v", err)
	}
	z := &zeros{n: casefile.MaxDocument}
	began := time.Now()
	doc, err := r.core.cases.AddDocument(ctx, keeper, id, notice("zeros"), z)
	check(t, err)
	t.Logf("2 GiB in %s, heap at most %d KiB more", time.Since(began).Round(time.Millisecond), (int64(max(z.most, over.most))-int64(m.HeapAlloc))>>10)
	if doc.Size != casefile.MaxDocument || z.most > m.HeapAlloc+32<<20 {
		t.Errorf("%d bytes, heap %d, before %d", doc.Size, z.most, m.HeapAlloc)
	}
	if left, err := os.ReadDir(r.env.settings.path(dirTemp)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Many people act on one case at the same time: one after the other, each by the rules, none told another thing than the log says.
func TestActsAtTheSameTime(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	cases := r.core.cases
	id, err := cases.Open(ctx, keeper, described())
	check(t, err)
	doc := casefile.Document{Name: "笔录.pdf", Kind: casefile.OnSiteRecord, Signature: casefile.Signed}
	const many = 12
	var mu sync.Mutex
	submitted, set := 0, 0
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			_, err := cases.AddDocument(ctx, keeper, id, doc, strings.NewReader(pdf("a")))
			if got := why(t, err); got != "" && got != "frozen" && got != "document-there" {
				t.Errorf("document: %s", got)
			}
			err = cases.Set(ctx, keeper, id, casefile.Title, fmt.Sprint("title ", i))
			mu.Lock()
			defer mu.Unlock()
			if why(t, err) == "" {
				set++
			}
		})
		wg.Go(func() {
			err := cases.Submit(ctx, keeper, id, "")
			mu.Lock()
			defer mu.Unlock()
			switch got := why(t, err); got {
			case "":
				submitted++
			case "in-review", "lacks-record":
			default:
				t.Errorf("submit: %s", got)
			}
		})
	}
	wg.Wait()
	f, err := cases.File(ctx, keeper, id)
	check(t, err)
	if len(f.Rounds) != submitted || len(f.Values[casefile.Title]) != set+1 || len(f.Documents) > 1 {
		t.Errorf("%d rounds, told %d; %d titles, told %d; %d documents", len(f.Rounds), submitted, len(f.Values[casefile.Title]), set+1, len(f.Documents))
	}
	for _, e := range f.Events {
		if e.Void != "" {
			t.Errorf("%s is void: %s", e.Act, e.Void)
		}
	}
	r.reindexed()
}

// Two more things go into the log that no case is made of: they change none, and the rebuilt catalog is the same.
func TestEventsThatTheRulesDoNotAllowChangeNothing(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	id, err := r.core.cases.Open(ctx, keeper, described())
	check(t, err)
	for _, a := range []casework.Act{
		{Name: casefile.ActDecided, Actor: "another server", Detail: evidence.Detail{casefile.DetailCase: string(id), casefile.DetailBody: "城管", casefile.DetailText: "x"}},
		{Name: casefile.ActSet, Actor: "another server", Detail: evidence.Detail{casefile.DetailCase: strings.Repeat("0", 32), casefile.DetailText: "x"}},
		{Name: casefile.ActOpened, Actor: "another server", Detail: evidence.Detail{casefile.DetailCase: "../" + string(id)}},
		{Name: casefile.ActOpened, Actor: "another server", Detail: evidence.Detail{casefile.DetailCase: string(id), casefile.DetailBody: "Thieves"}},
		{Name: casefile.ActLinked, Actor: "another server", Device: &evidence.DeviceID{1}, Rec: evidence.RecordingID{2}, Detail: evidence.Detail{casefile.DetailCase: string(id), casefile.DetailBody: "Thieves"}},
		{Name: catalog.ActMarked, Actor: "another server", Device: &evidence.DeviceID{1}, Rec: evidence.RecordingID{2}, Detail: evidence.Detail{catalog.DetailMoment: "soon"}},
		{Name: catalog.ActCalendarSet, Actor: "another server", Detail: evidence.Detail{catalog.DetailYear: "next"}},
	} {
		_, err := r.core.book.Record(ctx, a)
		check(t, err)
	}
	f, err := r.core.cases.File(ctx, keeper, id)
	check(t, err)
	if f.State != casefile.Open || f.Value(casefile.Body) != "城管" || len(f.Links) != 0 || len(f.Events) != 4 {
		t.Errorf("%+v", f)
	}
	if _, err := r.core.cases.File(ctx, keeper, casefile.ID(strings.Repeat("0", 32))); !errors.Is(err, catalog.ErrUnknown) {
		t.Errorf("a case that was never opened: %v", err)
	}
	r.reindexed()
}
