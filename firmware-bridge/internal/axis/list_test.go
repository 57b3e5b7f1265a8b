package axis

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ncw/swift/v2"
)

// TestListings: account and container as Swift lists them, page by page, plain and with details.
func TestListings(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	ctx := context.Background()
	if names, err := c.ContainerNames(ctx, nil); err != nil || len(names) != 0 {
		t.Errorf("%q, %v", names, err)
	}
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("c%d/%s", i, strings.Repeat("x", 10))
		must(t, c.ContainerCreate(ctx, fmt.Sprintf("c%d", i), nil))
		must(t, c.ContainerCreate(ctx, "c3", nil))
		put(t, c, "c3", name, fill(100+i, 1), nil)
		want = append(want, name)
	}
	must(t, c.ContainerCreate(ctx, strings.Repeat("王", 85), nil))
	names, err := c.ObjectNamesAll(ctx, "c3", &swift.ObjectsOpts{Limit: 3})
	must(t, err)
	if !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
	objects, err := c.Objects(ctx, "c3", &swift.ObjectsOpts{Prefix: "c", Marker: want[1], EndMarker: want[4]})
	must(t, err)
	if len(objects) != 2 || objects[0].Name != want[2] || objects[0].Bytes != 102 || objects[0].Hash != hash5(fill(102, 1)) || objects[0].LastModified.IsZero() {
		t.Errorf("%+v", objects)
	}
	containers, err := c.ContainersAll(ctx, &swift.ContainersOpts{Limit: 3})
	must(t, err)
	if len(containers) != 8 || containers[3].Name != "c3" || containers[3].Count != 7 || containers[3].Bytes != 721 || containers[7].Name != strings.Repeat("王", 85) {
		t.Errorf("%+v", containers)
	}
	account, _, err := c.Account(ctx)
	must(t, err)
	if account.Containers != 8 || account.Objects != 7 || account.BytesUsed != 721 {
		t.Errorf("%+v", account)
	}
	info, _, err := c.Container(ctx, "c3")
	must(t, err)
	if info.Count != 7 || info.Bytes != 721 {
		t.Errorf("%+v", info)
	}
}

// TestCapabilities: a body-worn system reads what is supported, and can read back what it said of itself, with its hash.
func TestCapabilities(t *testing.T) {
	s := newSite(t)
	c := s.connect()
	ctx := context.Background()
	for _, name := range []string{"Capabilities.json", "Capability.json"} {
		b, err := c.ObjectGetBytes(ctx, "System", name) // checks the hash
		must(t, err)
		if !strings.Contains(string(b), `"StoreGNSSTrackRecording":true`) {
			t.Errorf("%s", b)
		}
	}
	introduce(t, c)
	info, h, err := c.Object(ctx, "System", "0d2f")
	must(t, err)
	if info.Bytes != 0 || h["X-Object-Meta-Systemname"] != "Station%20North" {
		t.Errorf("%+v, %v", info, h)
	}
	put(t, c, "System", "0d2f", []byte("more"), metaHeaders("Object", "SystemName", "South"))
	if b, err := c.ObjectGetBytes(ctx, "System", "0d2f"); err != nil || string(b) != "more" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := c.ObjectPut(ctx, "Users", "big", bytes.NewReader(make([]byte, maxSpecial+1)), true, "", "", nil); code(err) != 400 {
		t.Errorf("a large user: %v", err)
	}
	must(t, c.ContainerUpdate(ctx, "System", metaHeaders("Container", "Status", "Complete")))
	put(t, c, "System", "0d2f", nil, metaHeaders("Object", "SystemName", "West"))
}

// TestUsersFile: what is refused, with the line, and a key from a file of its own.
func TestUsersFile(t *testing.T) {
	dir := t.TempDir()
	line, err := HashKey("bws-1", strings.NewReader("a key of some length\nmore\n"))
	must(t, err)
	secret := write(t, dir+"/secret", "a key of some length\n", 0o600)
	for text, words := range map[string]string{
		"": "names no user", "bws-1:x": "line 1", "# only this\n\nbws 1:" + line[6:]: "line 3", line + "\n" + line: "twice", "bws-1:file:/nonexistent": "line 1",
		"bws-1:$argon2id$v=19$m=99999999,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA": "allowed", "bws-1:file:" + write(t, dir+"/short", "0123456789", 0o600): "16 to 64",
		"bws-1:file:" + write(t, dir+"/open", "a key of some length\n", 0o644): "everybody",
	} {
		if _, err := ReadUsers(write(t, dir+"/users", text, 0o600)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q", text, err, words)
		}
	}
	if _, err := ReadUsers(write(t, dir+"/public", line, 0o644)); err == nil {
		t.Error("a file that everybody can read")
	}
	u, err := ReadUsers(write(t, dir+"/good", line+"\nbws-2:file:"+secret+"\n", 0o640))
	must(t, err)
	for _, c := range []struct {
		name, key string
		ok        bool
	}{{"bws-1", "a key of some length", true}, {"bws-2", "a key of some length", true}, {"bws-1", "a key of some lengtH", false}, {"bws-3", "a key of some length", false}, {"bws-1", "", false}, {"bws-1", strings.Repeat("k", 1000), false}} {
		if ok, err := u.check(context.Background(), c.name, c.key); ok != c.ok || err != nil {
			t.Errorf("%s, %s: %v, %v", c.name, c.key, ok, err)
		}
	}
}
