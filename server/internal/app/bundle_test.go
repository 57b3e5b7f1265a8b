package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/verify"
	"camseal/server/internal/ledger/ledgertest"
)

// cosigning is a witness that believes everything.
func cosigning(t testing.TB, name string) (vkey, url string) {
	t.Helper()
	skey, vkey, err := tlog.GenerateCosigner(rand.Reader, name)
	check(t, err)
	key, err := tlog.NewCosignerKey(skey, time.Now)
	check(t, err)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, cp, _ := bytes.Cut(body, []byte("\n\n"))
		if signed, err := key.Cosign(cp); err == nil {
			_, _ = w.Write(signed[len(cp):])
		}
	}))
	t.Cleanup(s.Close)
	return vkey, s.URL
}

// TestBundleHoldsTime exports a bundle whose receipts are cosigned by a quorum and stamped by an authority, and has camseal's verifier
// and openssl check both.
func TestBundleHoldsTime(t *testing.T) {
	authority := ledgertest.NewAuthority(t)
	var keys []string
	r := newRig(t, func(s *settings) {
		for _, name := range []string{"witness.example/a", "witness.example/b"} {
			vkey, url := cosigning(t, name)
			keys = append(keys, vkey)
			s.Witnesses = append(s.Witnesses, vkey+" "+url)
		}
		s.Quorum, s.TSA, s.TSAInterval, s.TSARoots = 2, authority.URL, time.Second, authority.Roots(t)
	})
	d := newDeviceWith(t, "timed", r.vkey, 0x01000000)
	check(t, d.enrol(r, r.token(enrolTokenCommand{For: days(time.Hour)})))
	c := d.client(r)
	_, err := c.statements(d.all())
	check(t, err)
	d.count(0) // these two come in only with the next batch, which the bundle does not hold
	d.count(1)
	again := d.boot(nil)
	d.seal()
	_, err = c.statements(d.all())
	check(t, err)
	d.count(again)
	until(t, "the log is witnessed", func() bool { return r.core.ledger.Status().Witnessed > 0 })
	d.say(evidence.RecordingID{}, &evidence.Anchor{Checkpoint: string(r.core.ledger.Newest())})
	d.seal()
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk+5, 1))
	_, err = c.statements(d.all())
	check(t, err)
	_, err = c.putAll(d, rec)
	check(t, err)
	until(t, "the recording is stamped", func() bool {
		row, err := r.core.catalog.FindRecording(context.Background(), rec)
		check(t, err)
		return row.StoredIndex.Valid && r.core.ledger.Status().TSA.Size > uint64(row.StoredIndex.Int64)
	})
	times, err := r.core.exporter.Bracket(context.Background(), rec)
	check(t, err)
	if text := strings.Join(times.Text(verify.English), "\n"); times.After == nil || times.Before == nil || !strings.Contains(text, "by two witnesses") ||
		!strings.Contains(text, "the server says: sealed between") {
		t.Errorf("the page says of the time:\n%s", text)
	}
	path, err := r.export(rec, true)
	check(t, err)
	read := func(pattern string) []byte {
		found, err := filepath.Glob(filepath.Join(path, pattern))
		check(t, err)
		if len(found) == 0 {
			t.Fatalf("no %s in the bundle", pattern)
		}
		raw, err := os.ReadFile(found[0])
		check(t, err)
		return raw
	}
	authority.Verify(t, read("data/time/*.checkpoint"), read("data/time/*.tsr"))
	block, rest := pem.Decode(read("data/device/ek.pem"))
	if block == nil || len(rest) != 0 || !bytes.Equal(block.Bytes, d.ek.cert) {
		t.Fatal("ek.pem is not the certificate of the endorsement key")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	if custody := string(read("data/custody.jsonl")); !strings.HasPrefix(custody, `{"act":"device-enrolled"`) {
		t.Fatalf("the enrolment is not the first of\n%s", custody)
	}
	// Of enrol and its boot, and of the intake; not of the boot that the bundle leaves out.
	if seals := read("data/seals.jsonl"); bytes.Count(seals, []byte(`"type":"count"`)) != 3 {
		t.Fatalf("count records:\n%s", seals)
	}

	dir := filepath.Join(t.TempDir(), "trust")
	_, err = r.says(trustExportCommand{Dir: dir})
	check(t, err)
	trust, err := verify.LoadTrust(dir)
	check(t, err)
	if trust.Quorum != 2 || len(trust.Witnesses) != 2 || trust.Witnesses[0] != keys[0] || trust.Logs[0].Clock == "" {
		t.Fatalf("%+v", trust)
	}
	src, err := verify.OpenBundle(path)
	check(t, err)
	report, err := verify.Bundle(context.Background(), src, verify.Options{Trust: trust, Now: time.Now})
	check(t, err)
	raw, err := json.MarshalIndent(report, "", " ")
	check(t, err)
	if report.Verdict != verify.Verified || report.Time == nil || report.Time.After == nil || report.Time.Before == nil {
		t.Fatalf("%s", raw)
	}
	if b := report.Time.Before; b.By != verify.ByWitnesses || len(b.Names) != 2 || time.Since(time.UnixMilli(b.At)).Abs() > time.Minute {
		t.Fatalf("%s", raw)
	}

	// Without witnesses there is the time stamp.
	trust.Witnesses, trust.Quorum = nil, 0
	report, err = verify.Bundle(context.Background(), src, verify.Options{Trust: trust, Now: time.Now})
	check(t, err)
	if report.Verdict != verify.Verified || report.Time.Before == nil || report.Time.Before.By != verify.ByStamp {
		raw, _ := json.MarshalIndent(report, "", " ")
		t.Fatalf("%s", raw)
	}
}

// until waits for something that happens in the background.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
