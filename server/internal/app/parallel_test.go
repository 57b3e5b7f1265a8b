package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
)

// Many devices at once, each with several chunks at once, chunks sent twice, receipts asked for in the middle.
func TestManyAtOnce(t *testing.T) { onBoth(t, manyAtOnce) }

func manyAtOnce(t *testing.T, r *rig) {
	var all sync.WaitGroup
	const chunks = 12
	recs := make([]evidence.RecordingID, 5)
	for n := range recs {
		d := r.register(fmt.Sprint("many ", n))
		all.Go(func() {
			c := d.client(r)
			from := uint64(0)
			recs[n] = d.take("a.mp4", "video/mp4", "", content(chunks*testChunk, byte(n)))
			d.end(recs[n], evidence.WhyComplete)
			d.seal()
			for upto := range uint64(len(d.lines)) { // a batch a seal
				if !sealed(d, upto) {
					continue
				}
				if _, err := c.statements(d.batch(from, upto)); err != nil {
					t.Errorf("statements %d to %d: %v", from, upto, err)
				}
				from = upto + 1
			}
			var puts sync.WaitGroup
			for i := range 2 * chunks {
				puts.Go(func() {
					if err := c.put(recs[n], i%chunks, d.chunk(recs[n], i%chunks)); err != nil {
						t.Errorf("chunk %d: %v", i%chunks, err)
					}
					_, _ = c.stored(recs[n]) // missing chunks, or stored: both are right here
				})
			}
			puts.Wait()
			s, err := c.stored(recs[n])
			if err != nil {
				t.Error(err)
				return
			}
			if leaf := r.storedLeaf(d, recs[n], s); !verify.Complete(leaf) {
				t.Errorf("leaf %+v", leaf)
			}
		})
	}
	all.Wait()
	for _, rec := range recs {
		path, err := r.export(rec, false)
		check(t, err)
		r.verified(path, verify.Verified)
	}
}

func sealed(d *device, seq uint64) bool {
	for _, l := range d.items {
		if l.seal && l.seq == seq {
			return true
		}
	}
	return false
}

func TestConnectionCutInTheMiddleOfAChunk(t *testing.T) {
	r := newRig(t)
	d := r.register("cut")
	c := d.client(r)
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	_, err := c.statements(d.all())
	check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(r.ca)
	conn, err := tls.Dial("tcp", r.agents, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: []tls.Certificate{d.cert}})
	check(t, err)
	_, err = fmt.Fprintf(conn, "PUT /v1/recordings/%s/chunks/0 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", rec, testChunk, d.chunk(rec, 0)[:1000])
	check(t, err)
	check(t, conn.Close())
	check(t, c.put(rec, 0, d.chunk(rec, 0)))
	_, err = c.stored(rec)
	check(t, err)
	if _, err := os.Stat(r.env.settings.path(dirHeld) + "/" + d.id().String()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a cut connection went to quarantine: %v", err)
	}
}
