package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify/verifytest"
)

const testChunk = 4096

// device is an agent by hand: it enrols, writes a chain, seals it, and talks to a server.
type device struct {
	t       testing.TB
	sealer  *verifytest.Emulated
	ek      *endorsement
	key     *ecdsa.PrivateKey
	cert    tls.Certificate // made by itself, until it is enrolled
	homeLog string

	lines [][]byte // statements
	items []line   // statements, seals and count records in order
	head  evidence.Digest
	heads []evidence.Digest
	n     map[evidence.RecordingID]uint64
	files map[evidence.RecordingID][]byte
	ahead time.Duration // of its clock
}

type line struct {
	raw  []byte
	seq  uint64 // of the newest statement then
	seal bool
}

func newDevice(t testing.TB, seed, homeLog string) *device {
	t.Helper()
	return newDeviceWith(t, seed, homeLog, 0)
}

// newDeviceWith makes a device whose TPM has a counter at an NV index; 0: it has none.
func newDeviceWith(t testing.TB, seed, homeLog string, counter uint64) *device {
	t.Helper()
	return newDeviceOf(t, seed, homeLog, counter, sharedEK())
}

func newDeviceOf(t testing.TB, seed, homeLog string, counter uint64, ek *endorsement) *device {
	t.Helper()
	sealer, err := verifytest.NewEmulated(seed)
	check(t, err)
	sealer.Index = counter
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	d := &device{t: t, sealer: sealer, ek: ek, key: key, cert: selfSigned(t, key), homeLog: homeLog,
		head: evidence.FirstHead(sealer.Key().Name()), n: map[evidence.RecordingID]uint64{}, files: map[evidence.RecordingID][]byte{}}
	d.say(evidence.RecordingID{}, &evidence.Enrol{AK: sealer.Key().Bytes(), Class: evidence.ClassTPM, Counter: d.counterRef(), EK: d.ek.public, EKCert: d.ek.cert,
		HomeLog: homeLog, TLSKey: d.spki()})
	d.boot(nil)
	d.seal()
	return d
}

func selfSigned(t testing.TB, key *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)} // long over: the key counts
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (d *device) counterRef() *evidence.CounterRef {
	ref, _, err := d.sealer.Counter(context.Background())
	check(d.t, err)
	return ref
}

// boot says what the TPM says now; last, if not nil, is the device's own last statement.
func (d *device) boot(last *uint64) uint64 {
	pcrs, err := d.sealer.PCRs(context.Background())
	check(d.t, err)
	b := &evidence.Boot{ChainPCR: uint64(d.sealer.ChainPCR()), Intents: []evidence.Digest{}, Last: last, PCRs: slices.Clone(pcrs),
		ResetCount: uint64(d.sealer.Reset), RestartCount: uint64(d.sealer.Restart), Software: "test"}
	if d.sealer.Index != 0 {
		b.Counter = fmt.Sprint(d.sealer.Value)
	}
	return d.say(evidence.RecordingID{}, b)
}

func (d *device) id() evidence.DeviceID { return d.sealer.Key().Name() }

func (d *device) spki() []byte {
	spki, err := x509.MarshalPKIXPublicKey(d.key.Public())
	check(d.t, err)
	return spki
}

func (d *device) say(rec evidence.RecordingID, body evidence.Body) uint64 {
	s := evidence.NewStatement(d.id(), rec, body)
	s.Seq, s.N, s.At = uint64(len(d.lines)), d.n[rec], 1790000000000+int64(len(d.lines))+d.ahead.Milliseconds()
	_, err := rand.Read(s.Salt[:])
	check(d.t, err)
	raw, digest, err := s.Encode()
	check(d.t, err)
	d.head = evidence.NextHead(s.Seq, rec, d.head, digest)
	d.lines, d.heads = append(d.lines, raw), append(d.heads, d.head)
	d.items = append(d.items, line{raw: raw, seq: s.Seq})
	d.n[rec]++
	return s.Seq
}

func (d *device) seal() {
	if d.items[len(d.items)-1].seal {
		return
	}
	upto := uint64(len(d.lines) - 1)
	check(d.t, d.sealer.Extend(context.Background(), d.head))
	s, err := d.sealer.Quote(context.Background(), d.head, upto)
	check(d.t, err)
	raw, err := evidence.Encode(s)
	check(d.t, err)
	d.items = append(d.items, line{raw: raw, seq: upto, seal: true})
}

// count writes the count record of a statement.
func (d *device) count(seq uint64) []byte {
	c, err := d.sealer.Count(context.Background(), seq, d.heads[seq])
	check(d.t, err)
	raw, err := evidence.Encode(c)
	check(d.t, err)
	d.items = append(d.items, line{raw: raw, seq: uint64(len(d.lines) - 1), seal: true})
	return raw
}

// take takes in a file as one recording; an empty why leaves it open.
func (d *device) take(name, mediaType, why string, content []byte) evidence.RecordingID {
	return d.takeFrom(source("DCIM/"+name, 0, content), nil, mediaType, why, content)
}

// source is where a file of the recorder BZ02712 was found.
func source(path string, modified uint64, content []byte) evidence.Source {
	src := evidence.Source{Serial: "BZ02712", Size: uint64(len(content)), Volume: "0A1B-2C3D", Modified: modified}
	src.SetPath([]byte(path), []byte(filepath.Base(path)))
	return src
}

// takeFrom is take from a source of one's own, as a part of a sequence if it is one.
func (d *device) takeFrom(src evidence.Source, seq *evidence.Sequence, mediaType, why string, content []byte) evidence.RecordingID {
	var rec evidence.RecordingID
	_, err := rand.Read(rec[:])
	check(d.t, err)
	in := &evidence.Intake{Recorder: src.Serial, Slot: "import"}
	if d.sealer.Index != 0 {
		in.Counter = fmt.Sprint(d.sealer.Value + 1)
	}
	intake := d.say(evidence.RecordingID{}, in)
	if d.sealer.Index != 0 {
		d.seal()
		check(d.t, d.sealer.Increment(context.Background()))
		d.count(intake)
	}
	d.say(rec, &evidence.Open{ChunkSize: testChunk, Intake: intake, MediaType: mediaType, Mode: evidence.ModeImport, Sequence: seq, Source: src})
	n := 0
	for part := range slices.Chunk(content, testChunk) {
		d.say(rec, &evidence.Chunk{Hash: evidence.Sum(part), Index: uint64(n), Offset: uint64(n * testChunk), Size: uint64(len(part))})
		if n++; n%3 == 0 {
			d.seal()
		}
	}
	d.files[rec] = content
	if why != "" {
		d.end(rec, why)
	}
	d.seal()
	return rec
}

func (d *device) end(rec evidence.RecordingID, why string) {
	b := d.files[rec]
	d.say(rec, &evidence.Close{Chunks: uint64((len(b) + testChunk - 1) / testChunk), Hash: evidence.Sum(b), Size: uint64(len(b)), Why: why})
}

// batch is the body for statements from seq on.
func (d *device) batch(from, upto uint64) []byte {
	var b bytes.Buffer
	for _, l := range d.items {
		if l.seq >= from && l.seq <= upto {
			b.Write(l.raw)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func (d *device) all() []byte { return d.batch(0, evidence.MaxInt) }

func (d *device) chunk(rec evidence.RecordingID, i int) []byte {
	b := d.files[rec]
	return b[i*testChunk : min((i+1)*testChunk, len(b))]
}

// client talks to a server as the device.
type client struct {
	http *http.Client
	url  string
}

func (d *device) client(r *rig) *client {
	roots := x509.NewCertPool()
	roots.AddCert(r.ca)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{d.cert}, MinVersion: tls.VersionTLS13}}
	d.t.Cleanup(tr.CloseIdleConnections)
	return &client{http: &http.Client{Transport: tr, Timeout: 30 * time.Second}, url: "https://" + r.agents}
}

// do sends a request and reads the answer into v; a refusal comes back as *transport.Error.
func (c *client) do(method, path string, body []byte, v any) error {
	req, err := http.NewRequest(method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return transport.ReadError(resp)
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil || v == nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

func (c *client) statements(body []byte) (a transport.Accepted, err error) {
	return a, c.do("POST", "/v1/statements", body, &a)
}

func (c *client) head() (h transport.Head, err error) { return h, c.do("GET", "/v1/head", nil, &h) }

func (c *client) put(rec evidence.RecordingID, i int, b []byte) error {
	return c.do("PUT", fmt.Sprintf("/v1/recordings/%s/chunks/%d", rec, i), b, nil)
}

func (c *client) stored(rec evidence.RecordingID) (s transport.Stored, err error) {
	return s, c.do("POST", fmt.Sprintf("/v1/recordings/%s/stored", rec), nil, &s)
}

// putAll sends all chunks of a recording and asks for the receipt.
func (c *client) putAll(d *device, rec evidence.RecordingID) (transport.Stored, error) {
	for i := range (len(d.files[rec]) + testChunk - 1) / testChunk {
		if err := c.put(rec, i, d.chunk(rec, i)); err != nil {
			return transport.Stored{}, err
		}
	}
	return c.stored(rec)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
