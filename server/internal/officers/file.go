// Package officers keeps the department's register: who its officers are, with certificates (R13), and the words that case headers are
// made of. A register is an object in the vault and a custody event that names it; the newest one is in force.
package officers

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"camseal/pkg/evidence"
	"camseal/pkg/register"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
)

// MaxFile is the largest file that Parse reads, in bytes.
const MaxFile = 4 << 20

const maxText = 200 // characters of each text

// File is a register as an administrator writes it: YAML, with no other keys.
type File struct {
	Departments []string `yaml:"departments"`
	Officers    []Entry  `yaml:"officers"`
	Causes      []string `yaml:"causes"`
	Places      []string `yaml:"places"`
	Activities  []string `yaml:"activities"`
}

// Entry is one officer of a File. Card and PIN stand there in clear, and nowhere else.
type Entry struct {
	Name        string `yaml:"name"`
	Spoken      string `yaml:"spoken"`
	Certificate string `yaml:"certificate"`
	ValidUntil  string `yaml:"valid_until"` // YYYY-MM-DD
	Department  string `yaml:"department"`
	Number      string `yaml:"number"`
	Card        Secret `yaml:"card"`
	PIN         Secret `yaml:"pin"`
}

// Secret is a text that does not show itself.
type Secret string

// String implements fmt.Stringer.
func (Secret) String() string { return "(not shown)" }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return "(not shown)" }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Parse reads and checks a register. Errors name what is wrong and where, and repeat no card and no PIN.
func Parse(r io.Reader) (*File, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxFile {
		return nil, fmt.Errorf("a register may have %d bytes", MaxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	var f File
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("a register is one YAML document; there is more behind it")
	}
	return &f, f.check()
}

func (f *File) check() error {
	for _, list := range []struct {
		name  string
		texts []string
	}{{"departments", f.Departments}, {"causes", f.Causes}, {"places", f.Places}, {"activities", f.Activities}} {
		if err := unique(list.name, list.texts); err != nil {
			return err
		}
	}
	switch {
	case len(f.Departments) == 0:
		return errors.New("departments: none is named")
	case len(f.Officers) == 0:
		return errors.New("officers: none is named")
	}
	seen := map[string]int{}
	for i, o := range f.Officers {
		if err := f.checkEntry(o); err != nil {
			return fmt.Errorf("officers, number %d: %w", i+1, err)
		}
		for what, value := range map[string]string{"certificate": o.Certificate, "number": o.Number, "card": string(o.Card)} {
			if value == "" {
				continue
			}
			if first, ok := seen[what+" "+value]; ok {
				return fmt.Errorf("officers, number %d: officer number %d of this list has the same %s", i+1, first, what)
			}
			seen[what+" "+value] = i + 1
		}
	}
	return nil
}

var pins = regexp.MustCompile(`^[0-9]{4,12}$`)

func (f *File) checkEntry(o Entry) error {
	for _, t := range [][2]string{{"name", o.Name}, {"certificate", o.Certificate}, {"department", o.Department}} {
		if t[1] == "" {
			return fmt.Errorf("no %s", t[0])
		}
	}
	for _, t := range [][2]string{{"name", o.Name}, {"spoken", o.Spoken}, {"certificate", o.Certificate}, {"number", o.Number}} {
		if !fit(t[1]) {
			return fmt.Errorf("%s %q: %s", t[0], t[1], unfit)
		}
	}
	known := false
	for _, d := range f.Departments {
		known = known || d == o.Department
	}
	switch {
	case !known:
		return fmt.Errorf("department %q is not among the departments", o.Department)
	case !fit(string(o.Card)):
		return fmt.Errorf("card: %s", unfit)
	case o.PIN != "" && !pins.MatchString(string(o.PIN)):
		return errors.New("pin: 4 to 12 digits")
	}
	if _, err := time.Parse(time.DateOnly, o.ValidUntil); o.ValidUntil != "" && err != nil {
		return fmt.Errorf("valid_until %q is no day such as 2027-06-30", o.ValidUntil)
	}
	return nil
}

const unfit = "one line of at most 200 characters, without spaces around it and without characters that show nothing"

// fit reports whether a text can be shown, spoken of and compared as it is. An empty one can.
func fit(s string) bool {
	return utf8.RuneCountInString(s) <= maxText && s == strings.TrimSpace(s) && verify.Display(s) == s
}

func unique(name string, texts []string) error {
	seen := map[string]bool{}
	for _, t := range texts {
		switch {
		case t == "" || !fit(t):
			return fmt.Errorf("%s: %q: %s", name, t, unfit)
		case seen[t]:
			return fmt.Errorf("%s: %q stands there twice", name, t)
		}
		seen[t] = true
	}
	return nil
}

// Content is what of a register goes into the vault: no card and no PIN in clear.
type Content struct {
	Activities  []string            `json:"activities"`
	CardSalt    evidence.Bytes      `json:"card_salt"`
	Causes      []string            `json:"causes"`
	Departments []string            `json:"departments"`
	Officers    []transport.Officer `json:"officers"`
	Places      []string            `json:"places"`
	Type        string              `json:"type"` // "register"
	V           int                 `json:"v"`
}

const contentType = "register"

// Content hashes cards and PINs under fresh salts; about 30 ms for each PIN.
func (f *File) Content() (*Content, error) {
	c := &Content{Activities: list(f.Activities), CardSalt: make([]byte, 32), Causes: list(f.Causes), Departments: list(f.Departments),
		Officers: []transport.Officer{}, Places: list(f.Places), Type: contentType, V: evidence.Version}
	if _, err := rand.Read(c.CardSalt); err != nil {
		return nil, err
	}
	for _, e := range f.Officers {
		o := transport.Officer{Name: e.Name, Spoken: e.Spoken, Certificate: e.Certificate, ValidUntil: e.ValidUntil, Department: e.Department, Number: e.Number}
		if e.Card != "" {
			o.Card = register.CardHash(c.CardSalt, string(e.Card))
		}
		if e.PIN != "" {
			var err error
			if o.PIN, err = register.HashPIN(rand.Reader, string(e.PIN)); err != nil {
				return nil, err
			}
		}
		c.Officers = append(c.Officers, o)
	}
	return c, nil
}

func list(texts []string) []string { return append([]string{}, texts...) }
