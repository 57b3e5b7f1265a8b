package app

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/archive/s3/s3test"
)

// The same way with the vault in S3: statements, chunks, receipt, page, register, known files, bundle, restart, reindex.
func TestWithTheVaultInS3(t *testing.T) {
	store := s3test.New(t)
	bucket, err := store.Bucket(context.Background(), "evidence")
	check(t, err)
	r := &rig{t: t}
	s := testSettings(filepath.Join(t.TempDir(), "state"))
	s.S3Endpoint, s.S3Bucket, s.S3CA, s.S3AccessKey = bucket.Endpoint, bucket.Bucket, bucket.CAFile, bucket.AccessKey
	r.env = &env{ctx: context.Background(), settings: s, out: io.Discard, now: time.Now, log: slog.New(slog.NewTextHandler(&syncWriter{w: &r.log}, nil))}
	check(t, os.MkdirAll(s.State, 0o700))
	check(t, os.WriteFile(s.path(fileS3Key), []byte(string(bucket.SecretKey)+"\n"), 0o600))
	r.init()
	r.start()
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("server's log:\n%s", r.log.String())
		}
	})
	d := r.register("s3")
	data := content(5*testChunk+1, 1)
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, data)
	_, err = d.client(r).statements(d.all())
	check(t, err)
	check(t, d.client(r).put(rec, 0, d.chunk(rec, 0)))
	r.stop()
	r.start()
	stored, err := d.client(r).putAll(d, rec)
	check(t, err)
	if leaf := r.storedLeaf(d, rec, stored); leaf.Lock != evidence.LockCompliance || !verify.Complete(leaf) {
		t.Fatalf("leaf %+v", leaf)
	}
	checkPages(t, r, rec, data)
	r.setRegister(officersFile)
	if status, _, reg, err := d.client(r).register(""); err != nil || status != 200 || len(reg.Officers) != 2 {
		t.Errorf("register: %d, %v", status, err)
	}
	src := source("DCIM/b.mp4", filmed, data)
	n := len(d.lines)
	r.stored(d, n, d.takeFrom(src, nil, "video/mp4", evidence.WhyComplete, data))
	known, err := d.client(r).known(fileOf(src))
	check(t, err)
	if len(known.Known) != 1 {
		t.Fatal("the file is not known")
	}
	r.believes(known.Known[0], fileOf(src))
	path, err := r.export(rec, true)
	check(t, err)
	r.verified(path, verify.Verified)
	derivedOverS3(t, r, d)
	ctx := context.Background()
	id, err := r.core.cases.Open(ctx, keeper, described())
	check(t, err)
	doc, err := r.core.cases.AddDocument(ctx, keeper, id, notice("a.pdf"), strings.NewReader(pdf("a")))
	check(t, err)
	_, from, err := r.core.cases.OpenDocument(ctx, keeper, id, doc.Hash)
	check(t, err)
	if got, err := io.ReadAll(from); err != nil || string(got) != pdf("a") || from.Close() != nil {
		t.Errorf("the document came back as %q, %v", got, err)
	}
	before, _ := everything(t, r, []evidence.RecordingID{rec})
	r.loseCatalog()
	check(t, reindexCommand{}.Run(r.env))
	if after := r.dump(); cutMeta(before) != cutMeta(after) {
		t.Errorf("reindexed from S3, the catalog is another:\n%s\nwas\n%s", after, before)
	}
	r.start()
	everything(t, r, []evidence.RecordingID{rec})
}
