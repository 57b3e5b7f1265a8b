package register

import (
	"crypto/rand"
	"strings"
	"testing"

	"camseal/pkg/transport"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPINs(t *testing.T) {
	a, err := HashPIN(rand.Reader, "482913")
	check(t, err)
	b, err := HashPIN(rand.Reader, "482913")
	check(t, err)
	if a == b {
		t.Error("two officers with one PIN have one hash")
	}
	if !CheckPIN(a, "482913") || !CheckPIN(b, "482913") {
		t.Error("the right PIN is refused")
	}
	for _, pin := range []string{"", "482914", "0482913", "482913 ", "482913\x00"} {
		if CheckPIN(a, pin) {
			t.Errorf("PIN %q is taken", pin)
		}
	}
}

// The vector is what the reference program prints: echo -n password | argon2 somesalt -id -t 2 -k 256 -p 1 -l 32 -e.
func TestPINsOfTheReferenceImplementation(t *testing.T) {
	const hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	if !CheckPIN(hash, "password") || CheckPIN(hash, "differentpassword") {
		t.Error("argon2id is another one here")
	}
}

// A register says how much memory a check takes; what it says is bounded, and has one form.
func TestPINsThatAskTooMuchOrAreInAnotherForm(t *testing.T) {
	good, err := HashPIN(rand.Reader, "1")
	check(t, err)
	for _, h := range []string{"", "1", "$", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=19456", "m=4194304", 1), strings.Replace(good, "t=2", "t=4000000", 1), strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, "t=2", "t=0", 1), strings.Replace(good, "m=19456", "m=0", 1), strings.Replace(good, "p=1", "p=1,x=2", 1),
		strings.Replace(good, "t=2", "t=02", 1), good + "=", good + "$", good + "\n", " " + good, good[:len(good)-20], strings.Repeat("$", 1<<20)} {
		if CheckPIN(h, "1") {
			t.Errorf("%.80q is taken", h)
		}
	}
}

func TestWhoHasACardOrAPIN(t *testing.T) {
	salt := []byte("0123456789abcdef0123456789abcdef")
	pin, err := HashPIN(rand.Reader, "777000")
	check(t, err)
	r := &transport.Register{CardSalt: salt, Officers: []transport.Officer{
		{Name: "李伟", Certificate: "A1", Card: CardHash(salt, "0004829913")}, {Name: "王芳", Certificate: "A2", PIN: pin}, {Name: "nobody", Certificate: ""}}}
	if o, ok := ByCard(r, "0004829913"); !ok || o.Certificate != "A1" {
		t.Errorf("%+v %v", o, ok)
	}
	if o, ok := ByPIN(r, "A2", "777000"); !ok || o.Name != "王芳" {
		t.Errorf("%+v %v", o, ok)
	}
	for _, card := range []string{"", "4829913", "0004829914"} {
		if o, ok := ByCard(r, card); ok {
			t.Errorf("card %q is %+v", card, o)
		}
	}
	for _, c := range [][2]string{{"A1", ""}, {"A1", "777000"}, {"A2", ""}, {"A2", "777001"}, {"", ""}, {"A3", "777000"}} {
		if o, ok := ByPIN(r, c[0], c[1]); ok {
			t.Errorf("%q is %+v", c, o)
		}
	}
	other := *r
	other.CardSalt = []byte("another one")
	if _, ok := ByCard(&other, "0004829913"); ok {
		t.Error("a card fits under another register's salt")
	}
}

func FuzzPIN(f *testing.F) {
	f.Add("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR")
	f.Fuzz(func(t *testing.T, s string) {
		h, ok := parse(s)
		if ok && (h.String() != s || h.memory > maxMemory || h.passes > maxPasses || h.lanes > maxLanes) {
			t.Errorf("%q is read as %q", s, h.String())
		}
	})
}
