package vendors_test

import (
	"bytes"
	"strings"
	"testing"

	"camseal/firmware-bridge/internal/vendors"
)

// known is a record made by hand, with GBK bytes from the code table; the unit's number is filled up with spaces, the rest with NUL.
func known(t testing.TB) vendors.OfficerRecord {
	t.Helper()
	r, err := vendors.ParseOfficerRecord([]byte("BZ02712" + "011314" + "\xC0\xEE\xCE\xB0" + strings.Repeat("\x00", 28) +
		"4403" + strings.Repeat(" ", 8) + "\xC4\xCF\xC9\xBD" + strings.Repeat("\x00", 28)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type setter struct {
	name string
	get  func(*vendors.OfficerRecord) string
	set  func(*vendors.OfficerRecord, string) error
	from int
	size int
}

var fields = []setter{
	{"serial", (*vendors.OfficerRecord).Serial, (*vendors.OfficerRecord).SetSerial, 0, 7},
	{"number", (*vendors.OfficerRecord).Number, (*vendors.OfficerRecord).SetNumber, 7, 6},
	{"name", (*vendors.OfficerRecord).Name, (*vendors.OfficerRecord).SetName, 13, 32},
	{"unit number", (*vendors.OfficerRecord).UnitNumber, (*vendors.OfficerRecord).SetUnitNumber, 45, 12},
	{"unit name", (*vendors.OfficerRecord).UnitName, (*vendors.OfficerRecord).SetUnitName, 57, 32},
}

// TestOfficerRecordReadsFieldsAtTheirPlaces against bytes made by hand.
func TestOfficerRecordReadsFieldsAtTheirPlaces(t *testing.T) {
	r := known(t)
	for i, want := range []string{"BZ02712", "011314", "李伟", "4403", "南山"} {
		if got := fields[i].get(&r); got != want {
			t.Errorf("%s: %q, want %q", fields[i].name, got, want)
		}
	}
	for _, n := range []int{0, 88, 90} {
		if _, err := vendors.ParseOfficerRecord(make([]byte, n)); err == nil {
			t.Errorf("%d bytes were taken for a record", n)
		}
	}
}

// TestOfficerRecordSetsOneFieldAndKeepsItsFilling: other fields keep their bytes, and a field stays filled up the way it was.
func TestOfficerRecordSetsOneFieldAndKeepsItsFilling(t *testing.T) {
	for _, f := range fields {
		r := known(t)
		if err := f.set(&r, "7号"); err != nil {
			t.Fatal(f.name, err)
		}
		was := known(t)
		if !bytes.Equal(r[:f.from], was[:f.from]) || !bytes.Equal(r[f.from+f.size:], was[f.from+f.size:]) {
			t.Errorf("setting the %s changed another field", f.name)
		}
		fill := "\x00"
		if f.name == "unit number" {
			fill = " "
		}
		if got, want := string(r[f.from:f.from+f.size]), "7\xBA\xC5"+strings.Repeat(fill, f.size-3); got != want {
			t.Errorf("%s: %q, want %q", f.name, got, want)
		}
	}
}

// TestOfficerRecordRefusesWhatWouldNotReadTheSame: too long, no GBK, NUL, spaces at the end; the record stays as it was, nothing is cut.
func TestOfficerRecordRefusesWhatWouldNotReadTheSame(t *testing.T) {
	for _, f := range fields {
		for _, bad := range []string{strings.Repeat("x", f.size+1), strings.Repeat("汉", f.size/2+1), "a\x00b", "a ", "😀", "\uFFFD", "\xFF"} {
			r := known(t)
			if err := f.set(&r, bad); err == nil {
				t.Errorf("%s %q was taken", f.name, bad)
			}
			if r != known(t) {
				t.Errorf("%s %q was refused and changed the record", f.name, bad)
			}
		}
	}
	r := known(t)
	if err := r.SetName(strings.Repeat("汉", 16)); err != nil || r.Name() != strings.Repeat("汉", 16) {
		t.Errorf("a name that just fits: %v", err)
	}
}

func FuzzOfficerRecord(f *testing.F) {
	seed := known(f)
	f.Add(seed[:], "李伟")
	f.Add(make([]byte, vendors.OfficerRecordSize), "")
	f.Add(bytes.Repeat([]byte{0xFF}, vendors.OfficerRecordSize), "x")
	f.Add(bytes.Repeat([]byte{0x81}, vendors.OfficerRecordSize), "€")
	f.Add([]byte("short"), "\x80")
	f.Fuzz(func(t *testing.T, raw []byte, s string) {
		r, err := vendors.ParseOfficerRecord(raw)
		if (err == nil) != (len(raw) == vendors.OfficerRecordSize) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(r[:], raw) {
			t.Fatal("the bytes did not come back")
		}
		for _, f := range fields {
			if shown := f.get(&r); !strings.Contains(shown, "\uFFFD") {
				if err := f.set(&r, shown); err != nil || !bytes.Equal(r[:], raw) {
					t.Fatalf("%s %q set to what it is: %v", f.name, shown, err)
				}
			}
			before := r
			if err := f.set(&r, s); err != nil {
				if r != before {
					t.Fatal("a refusal changed the record")
				}
			} else if f.get(&r) != s {
				t.Fatalf("%s %q reads %q", f.name, s, f.get(&r))
			}
			r = before
		}
	})
}
