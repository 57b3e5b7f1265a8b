package app

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/pressly/goose/v3"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/archive"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

// What a device said that was registered before devices enrolled by challenge stays where it is, and can be handed out.
func TestDevicesOfOlderServersStayKnown(t *testing.T) {
	r := newRig(t)
	d := newDevice(t, "old", r.vkey)
	id := d.id()
	text := func(b evidence.Bytes) string { x, _ := b.MarshalText(); return string(x) }
	_, err := r.core.book.Record(context.Background(), casework.Act{Name: catalog.ActRegistered, Actor: "test", Device: &id, Detail: evidence.Detail{
		"class": "tpm", "ak": text(d.sealer.Key().Bytes()), "tls_key": text(d.spki())}})
	check(t, err)
	row, err := r.core.catalog.Device(context.Background(), id)
	check(t, err)
	if row.Vouched != catalog.VouchedNobody || row.Model != "" {
		t.Errorf("%+v", row)
	}
	_, err = d.client(r).head()
	refused(t, err, transport.CodeCertificate)
	check(t, d.enrol(r, r.token(hour))) // with the same keys it goes on
	_, err = d.client(r).statements(d.all())
	check(t, err)
	r.reindexed()
}

// The vault is full at the moment of enrolment: nothing is half done, and the same token serves.
func TestEnrolmentWithAFullVault(t *testing.T) {
	full := make(chan struct{}, 1)
	testVault = func(v archive.Vault) archive.Vault { return fullVault{v, full} }
	t.Cleanup(func() { testVault = nil })
	r := newRig(t)
	d, thief := newDevice(t, "full", r.vkey), newDevice(t, "thief", r.vkey)
	token := r.token(hour)
	c := d.client(r)
	challenge, err := c.begin(d.request(token))
	check(t, err)
	secret, err := d.ek.activate(challenge, d.id())
	check(t, err)
	full <- struct{}{}
	_, err = c.finish(challenge.ID, secret)
	refused(t, err, transport.CodeVaultFull)
	if _, err := r.core.catalog.Device(context.Background(), d.id()); err == nil {
		t.Fatal("the device is known, though nothing is on record")
	}
	<-full
	refused(t, thief.enrol(r, token), transport.CodeBadToken) // it is the first one's by now
	challenge, err = c.begin(d.request(token))
	check(t, err)
	secret, err = d.ek.activate(challenge, d.id())
	check(t, err)
	done, err := c.finish(challenge.ID, secret)
	check(t, err)
	if n := len(r.events(d.id(), catalog.ActEnrolled)); n != 1 || bytes.Equal(done.Certificate, d.cert.Certificate[0]) {
		t.Errorf("%d enrolments on record", n)
	}
}

// A catalog that an older server left is brought up to date from the vault when the newer one starts, to the tables that reindex makes.
func TestCatalogsOfOlderServersAreBroughtUpToDate(t *testing.T) {
	r := newRig(t)
	r.setRegister(officersFile)
	d := r.register("one")
	rec := d.takeFrom(source("DCIM/a.mp4", filmed, content(3*testChunk, 1)), nil, "video/mp4", evidence.WhyComplete, content(3*testChunk, 1))
	d.say(rec, spoken(header("无照经营检查")))
	d.say(evidence.RecordingID{9}, &evidence.Unrecorded{Activity: "x", By: "y", Reason: "z"})
	r.stored(d, 0, rec)
	page := seen([]byte(r.text(rec.String(), "en")))
	r.stop()
	path := r.env.settings.path(fileCatalog)
	for _, version := range []int64{1, 2, 3} {
		size := olderCatalog(t, path, r.vkey, r.core.vault.ID(), version)
		r.start()
		if got := r.core.log.Size(); got < size {
			t.Fatalf("%d leaves applied of %d", got, size)
		}
		if again := seen([]byte(r.text(rec.String(), "en"))); again != page {
			t.Errorf("from version %d: the page is another", version)
		}
		if got, err := d.client(r).known(fileOf(source("DCIM/a.mp4", filmed, content(3*testChunk, 1)))); err != nil || len(got.Known) != 1 {
			t.Errorf("from version %d: %+v, %v", version, got, err)
		}
		r.reindexed()
		r.stop()
	}
}

// olderCatalog puts a catalog with the tables of an older version in the place of the newest one: it says that it has applied all that the
// newest had. It returns how much that was.
func olderCatalog(t *testing.T, path, vkey, vault string, version int64) uint64 {
	t.Helper()
	ctx := context.Background()
	c, err := catalog.Open(ctx, path)
	check(t, err)
	size, err := c.Size(ctx)
	check(t, errors.Join(err, c.Close(), os.Remove(path)))
	conn, err := sql.Open("sqlite", path)
	check(t, err)
	p, err := goose.NewProvider(goose.DialectSQLite3, conn, os.DirFS("../catalog/migrations"))
	check(t, err)
	_, err = p.UpTo(ctx, version)
	check(t, err)
	for name, value := range map[string]string{"log": vkey, "vault": vault, "log-size": fmt.Sprint(size)} {
		_, err = conn.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES ($1, $2)", name, value)
		check(t, err)
	}
	_, err = conn.ExecContext(ctx, "INSERT INTO anchors (device, seq) VALUES ('left over', 1)")
	check(t, errors.Join(err, conn.Close()))
	return size
}
