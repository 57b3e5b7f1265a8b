package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/pkg/register"
	"camseal/pkg/transport"
	"camseal/server/internal/catalog"
)

const officersFile = `departments: [城管, "<b>Market & Sons</b>"]
officers:
  - {name: 李伟, spoken: Li Wei, certificate: A1, valid_until: 2099-12-31, department: 城管, number: "011314", card: "0004829913", pin: 048291735261}
  - {name: "<script>alert(1)</script>", certificate: "';DROP TABLE registers;--", valid_until: 2020-01-31, department: "<b>Market & Sons</b>"}
causes: ["无照经营检查", "%s%n", "\\u0000"]
places: [张掖路]
activities: [现场检查]
`

// setRegister brings a register into force as the administrator does.
func (r *rig) setRegister(text string) string {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "register.yaml")
	check(r.t, os.WriteFile(file, []byte(text), 0o600))
	out, err := r.says(registerSetCommand{File: file})
	check(r.t, err)
	return out
}

// register fetches the register as an agent does; seen, if not empty, is the ETag it has.
func (c *client) register(seen string) (status int, etag string, reg *transport.Register, err error) {
	req, err := http.NewRequest("GET", c.url+"/v1/register", nil)
	if err != nil {
		return 0, "", nil, err
	}
	if seen != "" {
		req.Header.Set("If-None-Match", seen)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		reg = &transport.Register{}
		err = json.NewDecoder(resp.Body).Decode(reg)
	}
	return resp.StatusCode, resp.Header.Get("ETag"), reg, err
}

// The way of a register from the administrator's file to a dock, through a restart and through the vault alone.
func TestRegisterReachesDocks(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	if status, _, _, err := d.client(r).register(""); err != nil || status != http.StatusNoContent {
		t.Fatalf("before there is one: %d, %v", status, err)
	}
	if _, err := r.says(registerShowCommand{}); err == nil || !strings.Contains(err.Error(), "register set FILE") {
		t.Errorf("before there is one: %v", err)
	}
	out := r.setRegister(officersFile)
	status, etag, reg, err := d.client(r).register("")
	check(t, err)
	if status != http.StatusOK || etag != `"`+reg.Version.String()+`"` || !strings.Contains(out, reg.Version.String()) {
		t.Fatalf("%d %s %+v %s", status, etag, reg, out)
	}
	verify := func(reg *transport.Register) {
		t.Helper()
		if len(reg.Officers) != 2 || reg.Officers[1].Name != "<script>alert(1)</script>" || reg.Officers[1].Certificate != "';DROP TABLE registers;--" ||
			len(reg.Causes) != 3 || reg.Causes[1] != "%s%n" || reg.Departments[1] != "<b>Market & Sons</b>" || reg.Places[0] != "张掖路" {
			t.Errorf("%+v", reg)
		}
		if o, ok := register.ByCard(reg, "0004829913"); !ok || o.Certificate != "A1" || !o.Valid(time.Now()) {
			t.Errorf("%+v %v", o, ok)
		}
		if o, ok := register.ByPIN(reg, "A1", "048291735261"); !ok || o.Name != "李伟" {
			t.Errorf("%+v %v", o, ok)
		}
		if reg.Officers[1].Valid(time.Now()) {
			t.Error("a certificate that is over is valid")
		}
	}
	verify(reg)
	if status, again, _, err := d.client(r).register(etag); err != nil || status != http.StatusNotModified || again != etag {
		t.Errorf("asked again: %d, %s, %v", status, again, err)
	}
	_, _, _, err = newDevice(t, "stranger", r.vkey).client(r).register("")
	check(t, err)
	if status, _, _, _ := newDevice(t, "stranger", r.vkey).client(r).register(""); status != http.StatusForbidden {
		t.Errorf("a stranger gets %d", status)
	}
	r.reindexed()
	status, same, reg, err := d.client(r).register("")
	check(t, err)
	if status != http.StatusOK || same != etag {
		t.Fatalf("after reindex: %d, %s", status, same)
	}
	verify(reg)
	r.setRegister(strings.Replace(officersFile, "2099-12-31", "2020-12-31", 1))
	status, newer, reg, err := d.client(r).register(etag)
	check(t, err)
	if status != http.StatusOK || newer == etag || reg.Officers[0].Valid(time.Now()) {
		t.Errorf("the newer register: %d, %s", status, newer)
	}
	dump, err := r.core.catalog.Dump(context.Background())
	check(t, err)
	if n := strings.Count(dump, catalog.ActRegisterSet); n != 2 {
		t.Errorf("%d custody events", n)
	}
}

// Set while no server runs, it is in force when one starts.
func TestRegisterSetWithoutARunningServer(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	r.stop()
	r.setRegister(officersFile)
	r.start()
	if status, _, reg, err := d.client(r).register(""); err != nil || status != http.StatusOK || len(reg.Officers) != 2 {
		t.Errorf("%d, %v", status, err)
	}
}

// No card and no PIN is in any file of server and vault, in the server's log, or in what the command shows.
func TestCardsAndPINsAreNowhereInClear(t *testing.T) {
	r := newRig(t)
	out := r.setRegister(officersFile)
	text, err := r.says(registerShowCommand{})
	check(t, err)
	raw, err := r.says(registerShowCommand{JSON: true})
	check(t, err)
	for _, want := range []string{"李伟", "card and PIN", "can't sign in", "NOT VALID since the end of 2020-01-31"} {
		if !strings.Contains(text, want) {
			t.Errorf("register show does not say %q:\n%s", want, text)
		}
	}
	var shown registerShown
	check(t, json.Unmarshal([]byte(raw), &shown))
	if !shown.Officers[0].Card || !shown.Officers[0].PIN || shown.Officers[1].Card || shown.Officers[1].PIN {
		t.Errorf("%+v", shown.Officers)
	}
	for _, hashed := range []string{"argon2id", "card_salt"} {
		if strings.Contains(raw+text+out, hashed) {
			t.Errorf("%q is shown", hashed)
		}
	}
	r.stop()
	files, secrets := 0, []string{"0004829913", "048291735261"}
	check(t, filepath.WalkDir(r.env.settings.State, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		files++
		for _, s := range secrets {
			if bytes.Contains(raw, []byte(s)) {
				t.Errorf("%s holds %s", path, s)
			}
		}
		return err
	}))
	if files < 10 {
		t.Fatalf("%d files looked at", files)
	}
	for _, s := range secrets {
		if strings.Contains(r.log.String()+out+text+raw, s) {
			t.Errorf("%s is shown or logged", s)
		}
	}
}

// A register that is wrong changes nothing.
func TestWrongRegisterChangesNothing(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	r.setRegister(officersFile)
	_, etag, _, err := d.client(r).register("")
	check(t, err)
	file := filepath.Join(t.TempDir(), "register.yaml")
	for _, text := range []string{"", strings.Replace(officersFile, "A1", "';DROP TABLE registers;--", 1), strings.Replace(officersFile, "城管, number", "税务, number", 1)} {
		check(t, os.WriteFile(file, []byte(text), 0o600))
		if _, err := r.says(registerSetCommand{File: file}); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%v", err)
		}
	}
	if _, err := r.says(registerSetCommand{File: file + ".gone"}); err == nil {
		t.Error("a file that is not there is taken")
	}
	if status, _, _, err := d.client(r).register(etag); err != nil || status != http.StatusNotModified {
		t.Errorf("%d, %v", status, err)
	}
}

// What is changed in the vault is handed to no dock.
func TestChangedRegisterIsNotHandedOut(t *testing.T) {
	r := newRig(t)
	d := r.register("one")
	r.setRegister(officersFile)
	r.stop()
	changed := 0
	check(t, filepath.WalkDir(r.env.settings.vaultDir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(path, "registers") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(raw, []byte("2020-01-31")) {
			return err
		}
		changed++
		check(t, os.Chmod(path, 0o600))
		return os.WriteFile(path, bytes.Replace(raw, []byte("2020-01-31"), []byte("2030-01-31"), 1), 0o600)
	}))
	if changed == 0 {
		t.Fatal("nothing was changed")
	}
	r.start()
	if status, _, reg, err := d.client(r).register(""); err != nil || status != http.StatusInternalServerError || reg != nil {
		t.Errorf("%d, %+v, %v", status, reg, err)
	}
	if status, _, _, err := r.get("/"); err != nil || status != http.StatusOK {
		t.Errorf("the list of recordings: %d, %v", status, err)
	}
}
