package device

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsHaveNoZerosAndDoNotPrint(t *testing.T) {
	for range 2000 {
		v, err := newSecret()
		if err != nil || len(v) != 32 || bytes.IndexByte(v, 0) >= 0 {
			t.Fatalf("%x %v", []byte(v), err)
		}
		if text := fmt.Sprintf("%v %s %#v", v, v, v); text != "(secret) (secret) (secret)" {
			t.Fatal(text)
		}
	}
}

func TestAuthsAreKeptBeforeUseAndNeverGuessed(t *testing.T) {
	dir := t.TempDir()
	a, err := readAuths(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.prepare(permanentLockoutSet); err != nil { // somebody else's lockout value
		t.Fatal(err)
	}
	b, err := readAuths(dir)
	if err != nil || len(b.values) != 3 || b.values["lockout"] != nil || !bytes.Equal(b.values["owner"], a.values["owner"]) {
		t.Fatalf("%d values, %v", len(b.values), err)
	}
	if err := b.prepare(0); err != nil { // cleared since
		t.Fatal(err)
	}
	c, err := readAuths(dir)
	if err != nil || len(c.values) != 4 || !bytes.Equal(c.values["owner"], a.values["owner"]) {
		t.Fatalf("%d values, %v", len(c.values), err)
	}
	if err := os.WriteFile(filepath.Join(dir, authFile), []byte(`{"owner":"zz"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readAuths(dir); err == nil || !strings.Contains(err.Error(), "owner") {
		t.Fatal(err)
	}
}
