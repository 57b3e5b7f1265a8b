package app

import (
	"bytes"
	"context"
	"testing"

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
