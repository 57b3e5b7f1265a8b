package app

import (
	"context"
	"errors"
	"os"
	"regexp"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog"
)

var custodyList = regexp.MustCompile(`/custody">[^<]*`)

// seen is a page without how many custody events there are, of which looking at it makes more.
func seen(page []byte) string { return custodyList.ReplaceAllString(string(page), "") }

// everything is a catalog's tables and the pages made from it.
func everything(t *testing.T, r *rig, recs []evidence.RecordingID) (tables string, pages []string) {
	t.Helper()
	paths := []string{"/recordings?lang=en", "/recordings?lang=zh-CN"}
	for _, rec := range recs {
		paths = append(paths, "/recordings/"+rec.String()+"?lang=en", "/recordings/"+rec.String()+"?lang=zh-CN")
	}
	for _, p := range paths {
		status, _, body, err := r.get(p)
		check(t, err)
		if status != 200 {
			t.Fatalf("%s: %d", p, status)
		}
		pages = append(pages, seen(body))
	}
	r.stop()
	return r.dump(), pages
}

// dump is the tables of a server that was stopped.
func (r *rig) dump() string {
	r.t.Helper()
	c, err := catalog.Open(context.Background(), r.place())
	check(r.t, err)
	tables, err := c.Dump(context.Background())
	check(r.t, errors.Join(err, c.Close()))
	return tables
}

func TestReindexRestoresTablesAndPages(t *testing.T) { onBoth(t, reindexRestores) }

func reindexRestores(t *testing.T, r *rig) {
	d, e := r.register("one"), r.register("two")
	whole := d.take("全程.mp4", "video/mp4", evidence.WhyComplete, content(5*testChunk, 1))
	open := d.take("open.mov", "video/quicktime", "", content(4*testChunk, 2))
	late := d.take("seen only.avi", "video/x-msvideo", evidence.WhyReadError, content(2*testChunk, 3))
	_, err := d.client(r).statements(d.all())
	check(t, err)
	same := e.take("全程.mp4", "video/mp4", evidence.WhyComplete, content(5*testChunk, 1))
	_, err = e.client(r).statements(e.all())
	check(t, err)
	for _, x := range []struct {
		d   *device
		rec evidence.RecordingID
	}{{d, whole}, {d, open}, {e, same}} {
		_, err := x.d.client(r).putAll(x.d, x.rec)
		check(t, err)
	}
	upto := len(d.lines)
	d.say(open, &evidence.Fault{Detail: "the medium gave an error", Why: evidence.WhyReadError})
	d.end(open, evidence.WhyReadError)
	d.seal()
	_, err = d.client(r).statements(d.batch(uint64(upto), evidence.MaxInt))
	check(t, err)
	_, err = d.client(r).stored(open)
	check(t, err)
	_, err = d.client(r).statements([]byte("nonsense\n"))
	if err == nil {
		t.Fatal("nonsense was accepted")
	}
	_, err = r.export(whole, false)
	check(t, err)

	recs := []evidence.RecordingID{whole, open, late, same}
	tables, pages := everything(t, r, recs)
	r.loseCatalog()
	check(t, reindexCommand{}.Run(r.env))
	if again := r.dump(); again != tables {
		t.Fatalf("the catalog is another:\n%s\nwas\n%s", again, tables)
	}
	r.start()
	for i, p := range []string{"/recordings?lang=en", "/recordings?lang=zh-CN"} {
		if _, _, body, err := r.get(p); err != nil || seen(body) != pages[i] {
			t.Errorf("%s is another page, %v", p, err)
		}
	}
	for i, rec := range recs {
		for j, l := range []string{"en", "zh-CN"} {
			if _, _, body, err := r.get("/recordings/" + rec.String() + "?lang=" + l); err != nil || seen(body) != pages[2+2*i+j] {
				t.Errorf("page of %s in %s is another, %v", rec, l, err)
			}
		}
	}
	path, err := r.export(whole, true)
	check(t, err)
	r.verified(path, verify.Verified)
	from := uint64(len(d.lines))
	next := d.take("after.mp4", "video/mp4", evidence.WhyComplete, content(2*testChunk, 8))
	_, err = d.client(r).statements(d.batch(from, evidence.MaxInt))
	check(t, err)
	_, err = d.client(r).putAll(d, next)
	check(t, err)
	if _, err := os.Stat(r.env.settings.path(fileCatalog) + ".new"); err == nil {
		t.Error("the new catalog's temporary file is left over")
	}
}
