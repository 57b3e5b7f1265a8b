package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
)

func TestEveryRefusalSaysWhyAndArchivesNothing(t *testing.T) {
	r := newRig(t)
	d := r.register("refused")
	c := d.client(r)
	first := uint64(len(d.lines))
	_, err := c.statements(d.all())
	check(t, err)
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk, 9))
	good := d.batch(first, evidence.MaxInt)
	lines := bytes.SplitAfter(bytes.TrimSuffix(good, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')

	change := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("%s is not in the batch", old)
		}
		return bytes.Replace(good, []byte(old), []byte(new), 1)
	}
	statements := map[string]struct {
		body []byte
		code transport.Code
	}{
		"no lines":                 {nil, transport.CodeBadStatement},
		"no JSON":                  {[]byte("hello\n"), transport.CodeBadStatement},
		"not canonical":            {change(`{"at":`, `{ "at":`), transport.CodeBadStatement},
		"no seal at the end":       {bytes.Join(lines[:1], nil), transport.CodeBadStatement},
		"one line dropped":         {bytes.Join(append(append([][]byte{}, lines[:1]...), lines[2:]...), nil), transport.CodeBadStatement},
		"one line twice":           {bytes.Join(append([][]byte{lines[0]}, lines...), nil), transport.CodeBadStatement},
		"a word changed":           {change(`"slot":"import"`, `"slot":"impost"`), transport.CodeSealBroken},
		"a signature changed":      {changeSig(t, good), transport.CodeSealBroken},
		"the first one is missing": {bytes.Join(lines[1:], nil), transport.CodeBehind},
		"a size changed":           {change(`"offset":4096`, `"offset":4097`), transport.CodeBadStatement},
		"too many bytes":           {make([]byte, transport.MaxBatch+1), transport.CodeTooLarge},
	}
	for name, s := range statements {
		t.Run(name, func(t *testing.T) {
			_, err := c.statements(s.body)
			refused(t, err, s.code)
			if h, err := c.head(); err != nil || *h.Seq != first-1 {
				t.Fatalf("head %+v, %v", h, err)
			}
		})
	}
	refused(t, c.put(rec, 0, d.chunk(rec, 0)), transport.CodeUnknownRec)
	_, err = c.stored(rec)
	refused(t, err, transport.CodeUnknownRec)
	if _, err := os.Stat(filepath.Join(r.env.settings.vaultDir(), "objects/recordings")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("something of a refused batch is in the vault: %v", err)
	}

	_, err = c.statements(good)
	check(t, err)
	refused(t, c.put(rec, 3, d.chunk(rec, 0)), transport.CodeUnknownChunk)
	refused(t, c.put(rec, 0, d.chunk(rec, 1)), transport.CodeWrongBytes)
	refused(t, c.put(rec, 0, d.chunk(rec, 0)[1:]), transport.CodeWrongBytes)
	refused(t, c.do("PUT", "/v1/recordings/zz/chunks/0", nil, nil), transport.CodeBadRequest)
	refused(t, c.do("PUT", "/v1/recordings/"+rec.String()+"/chunks/00", nil, nil), transport.CodeBadRequest)
	refused(t, c.do("DELETE", "/v1/head", nil, nil), transport.CodeBadRequest)
	refused(t, c.do("PUT", "/v1/recordings/"+rec.String()+"/chunks/0", make([]byte, transport.MaxChunk+1), nil), transport.CodeTooLarge)
	unsized, err := http.NewRequest("PUT", c.url+"/v1/recordings/"+rec.String()+"/chunks/0", io.MultiReader(bytes.NewReader(d.chunk(rec, 0))))
	check(t, err)
	resp, err := c.http.Do(unsized)
	check(t, err)
	refused(t, transport.ReadError(resp), transport.CodeBadRequest)
	check(t, resp.Body.Close())
	_, err = c.putAll(d, rec)
	check(t, err)

	// A device that was rolled back says something else under known numbers.
	twin := newDevice(t, "refused", r.vkey)
	twin.key, twin.cert = d.key, d.cert
	_, err = twin.client(r).statements(twin.all())
	if e := refusalOf(t, err, transport.CodeFork); e.Seq == nil || *e.Seq != 0 {
		t.Fatalf("fork at %v", e.Seq)
	}
	quarantineHolds(t, r, d)
}

func changeSig(t *testing.T, batch []byte) []byte {
	t.Helper()
	lines := bytes.SplitAfter(batch, []byte("\n"))
	for i, l := range lines {
		a, err := evidence.ParseSealUnverified(bytes.TrimSuffix(l, []byte("\n")))
		if err != nil {
			continue
		}
		a.Seal.Sig[len(a.Seal.Sig)-1] ^= 1
		raw, err := evidence.Encode(a.Seal)
		check(t, err)
		lines[i] = append(raw, '\n')
		break
	}
	return bytes.Join(lines, nil)
}

// quarantineHolds expects as many entries as fit, each with its reason, its bytes, and its place in the log.
func quarantineHolds(t *testing.T, r *rig, d *device) {
	t.Helper()
	dir := filepath.Join(r.env.settings.path(dirHeld), d.id().String())
	reasons, err := filepath.Glob(filepath.Join(dir, "*.json"))
	check(t, err)
	if len(reasons) != r.env.settings.QuarantineEntries {
		t.Fatalf("%d entries in quarantine, want as many as fit, %d", len(reasons), r.env.settings.QuarantineEntries)
	}
	for _, path := range reasons {
		raw, err := os.ReadFile(path)
		check(t, err)
		var f struct {
			Code   transport.Code  `json:"code"`
			Size   int             `json:"size"`
			Digest evidence.Digest `json:"digest"`
		}
		check(t, json.Unmarshal(raw, &f))
		base := strings.TrimSuffix(path, ".json")
		if _, err := os.Stat(base + ".logged"); err != nil || f.Code == "" {
			t.Errorf("%s: %v, %s", path, err, raw)
		}
		if body, err := os.ReadFile(base + ".jsonl"); f.Size > 0 && (err != nil || evidence.Sum(body) != f.Digest) {
			t.Errorf("%s: its bytes: %v", path, err)
		}
	}
}

func TestUnknownDevices(t *testing.T) {
	r := newRig(t)
	d := newDevice(t, "unknown", r.vkey)
	_, err := d.client(r).statements(d.all())
	refused(t, err, transport.CodeUnknownDevice)
	known := r.register("known")
	_, err = known.client(r).statements(d.all()) // says what another device said
	refused(t, err, transport.CodeBadStatement)
	_, err = known.client(r).statements(known.all())
	check(t, err)

	foreign := newDevice(t, "foreign", "other.example/log+00000000+AAAA")
	check(t, foreign.enrol(r, r.token(enrolTokenCommand{For: days(time.Hour)})))
	_, err = foreign.client(r).statements(foreign.all())
	refused(t, err, transport.CodeBadStatement)
	plain := http.Client{}
	if _, err := plain.Get("https://" + r.agents + "/v1/head"); err == nil {
		t.Fatal("a client without certificate got an answer")
	}
}

// flipped returns b with another last bit.
func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// What a device says in its first statement is what it enrolled with.
func TestEnrolStatementIsTheEnrolment(t *testing.T) {
	r := newRig(t)
	for name, change := range map[string]func(*evidence.Enrol){
		"another TLS key":         func(e *evidence.Enrol) { e.TLSKey = flipped(e.TLSKey) },
		"another endorsement key": func(e *evidence.Enrol) { e.EK = flipped(e.EK) },
		"no EK certificate":       func(e *evidence.Enrol) { e.EKCert = nil },
		"a counter": func(e *evidence.Enrol) {
			e.Counter = &evidence.CounterRef{Index: 0x01800100, Name: evidence.Bytes("name")}
		},
	} {
		d := r.register(name)
		body := &evidence.Enrol{AK: d.sealer.Key().Bytes(), Class: evidence.ClassTPM, EK: d.ek.public, EKCert: d.ek.cert, HomeLog: r.vkey, TLSKey: d.spki()}
		change(body)
		d.lines, d.heads, d.items, d.n, d.head = nil, nil, nil, map[evidence.RecordingID]uint64{}, evidence.FirstHead(d.id())
		d.say(evidence.RecordingID{}, body)
		d.seal()
		_, err := d.client(r).statements(d.all())
		if e := refusalOf(t, err, transport.CodeBadStatement); e.Seq == nil || *e.Seq != 0 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// fullVault has no space left when told so.
type fullVault struct {
	archive.Vault
	full chan struct{} // holds a token while there is none
}

func (v fullVault) Put(ctx context.Context, o archive.Object, r io.Reader) (archive.Held, error) {
	if len(v.full) > 0 && (strings.HasPrefix(o.Key, "recordings/") || strings.HasPrefix(o.Key, archive.CustodyKey(evidence.Digest{})[:8])) {
		return archive.Held{}, archive.ErrFull
	}
	return v.Vault.Put(ctx, o, r)
}

func TestFullVaultLosesNothing(t *testing.T) {
	full := make(chan struct{}, 1)
	testVault = func(v archive.Vault) archive.Vault { return fullVault{v, full} }
	t.Cleanup(func() { testVault = nil })
	r := newRig(t)
	d := r.register("full")
	c := d.client(r)
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(3*testChunk, 9))
	full <- struct{}{}
	_, err := c.statements(d.all())
	refused(t, err, transport.CodeVaultFull)
	<-full
	_, err = c.statements(d.all())
	check(t, err)
	full <- struct{}{}
	refused(t, c.put(rec, 0, d.chunk(rec, 0)), transport.CodeVaultFull)
	<-full
	for i := range 3 {
		check(t, c.put(rec, i, d.chunk(rec, i)))
	}
	full <- struct{}{}
	_, err = c.stored(rec)
	refused(t, err, transport.CodeVaultFull)
	<-full
	s, err := c.stored(rec)
	check(t, err)
	r.storedLeaf(d, rec, s)
	path, err := r.export(rec, false)
	check(t, err)
	r.verified(path, verify.Verified)
}

func TestChangedObjectInTheVaultIsNeverShown(t *testing.T) {
	r := newRig(t)
	d := r.register("changed")
	c := d.client(r)
	data := content(4*testChunk, 9)
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, data)
	_, err := c.statements(d.all())
	check(t, err)
	_, err = c.putAll(d, rec)
	check(t, err)
	key := archive.ChunkKey(d.id(), rec, 2, evidence.Sum(d.chunk(rec, 2)))
	object := filepath.Join(r.env.settings.vaultDir(), "objects", filepath.FromSlash(key))
	bad := bytes.Clone(d.chunk(rec, 2))
	bad[100] ^= 1
	check(t, os.Remove(object))
	check(t, os.WriteFile(object, bad, 0o444))

	if path, err := r.export(rec, false); err == nil || !strings.Contains(err.Error(), "wrong bytes") {
		t.Fatalf("export of a changed chunk: %v", err)
	} else if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a bundle is there all the same: %v", err)
	}
	at := "/recordings/" + rec.String() + "/original"
	_, _, body, err := r.get(at)
	if err == nil || bytes.Contains(body, bad[:100]) || !bytes.HasPrefix(data, body) {
		t.Fatalf("the whole original: %d bytes, %v", len(body), err)
	}
	if _, _, body, err = r.get(at, "Range", "bytes=8200-8300"); err == nil || len(body) > 0 {
		t.Fatalf("a range of the changed chunk: %d bytes, %v", len(body), err)
	}
	if _, _, body, err = r.get(at, "Range", "bytes=0-8191"); err != nil || !bytes.Equal(body, data[:8192]) {
		t.Fatalf("a range of good chunks: %d bytes, %v", len(body), err)
	}
}
