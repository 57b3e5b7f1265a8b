package officers

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"camseal/pkg/register"
	"camseal/pkg/transport"
)

const good = `departments: [Market Supervision, 城管]
officers:
  - {name: 李伟, spoken: Li Wei, certificate: A1, valid_until: 2027-06-30, department: 城管, number: "011314", card: "0004829913", pin: 048291}
  - {name: Wang Fang, certificate: A2, department: Market Supervision}
causes: [unlicensed sale]
places: []
`

func TestRegistersAsTheyAreWritten(t *testing.T) {
	f, err := Parse(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Content()
	if err != nil {
		t.Fatal(err)
	}
	r := &transport.Register{CardSalt: c.CardSalt, Officers: c.Officers}
	if o, ok := register.ByPIN(r, "A1", "048291"); !ok || o.Name != "李伟" || o.ValidUntil != "2027-06-30" || o.Number != "011314" || o.Spoken != "Li Wei" {
		t.Errorf("%+v, %v", o, ok)
	}
	if o, ok := register.ByCard(r, "0004829913"); !ok || o.Certificate != "A1" {
		t.Errorf("%+v, %v", o, ok)
	}
	if len(c.Officers[1].Card) > 0 || c.Officers[1].PIN != "" || c.Places == nil || c.Activities == nil || len(c.CardSalt) != 32 {
		t.Errorf("%+v", c)
	}
	again, err := f.Content()
	if err != nil {
		t.Fatal(err)
	}
	if string(again.CardSalt) == string(c.CardSalt) || again.Officers[0].PIN == c.Officers[0].PIN || string(again.Officers[0].Card) == string(c.Officers[0].Card) {
		t.Error("salts are not fresh")
	}
}

func TestTheExampleIsARegister(t *testing.T) {
	f, err := os.Open("../../../deploy/register.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Parse(f); err != nil {
		t.Error(err)
	}
}

func TestCardsAndPINsDoNotShowThemselves(t *testing.T) {
	f, err := Parse(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", slog.Any("pin", f.Officers[0].PIN), slog.Any("entry", f.Officers[0].Card))
	all := log.String() + fmt.Sprintf("%v %+v %#v %s %q", f, f, f, f.Officers, f.Officers)
	for _, secret := range []string{"048291", "0004829913"} {
		if strings.Contains(all, secret) {
			t.Errorf("%s shows: %s", secret, all)
		}
	}
}

// What would mislead a dock, or whoever reads a header, does not come into force; the error says where it is and gives no secret away.
func TestRegistersThatAreRefused(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatal(old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":              {"", "departments: none"},
		"no officers":          {"departments: [a]", "officers: none"},
		"unknown key":          {change("causes:", "cuases:"), "cuases"},
		"unknown officer key":  {change("spoken:", "spokn:"), "spokn"},
		"no certificate":       {change("certificate: A2, ", ""), "number 2: no certificate"},
		"no name":              {change("name: Wang Fang, ", ""), "number 2: no name"},
		"same certificate":     {change("A2", "A1"), "same certificate"},
		"no such department":   {change("department: Market Supervision", "department: Market"), "not among the departments"},
		"no day":               {change("2027-06-30", "2027-02-30"), "no day"},
		"day in another form":  {change("2027-06-30", "30.6.2027"), "no day"},
		"short PIN":            {change("048291", "482"), "4 to 12 digits"},
		"PIN of letters":       {change("048291", "S3CRET"), "4 to 12 digits"},
		"PIN that is a list":   {change("048291", "[4, 8]"), "Secret"},
		"text turned around":   {change("李伟", `"Li\u202eieW"`), "number 1: name"},
		"text that shows none": {change("李伟", `"Li\u200bWei"`), "number 1: name"},
		"two lines":            {change("[unlicensed sale]", `["unlicensed\nsale"]`), "causes"},
		"escape":               {change("[unlicensed sale]", `["\e[2Jsale"]`), "causes"},
		"NUL":                  {change("[unlicensed sale]", `["a\0b"]`), "causes"},
		"spaces around":        {change("[unlicensed sale]", `[" sale"]`), "causes"},
		"empty cause":          {change("[unlicensed sale]", `[""]`), "causes"},
		"twice":                {change("[unlicensed sale]", `[a, a]`), "twice"},
		"too long":             {change("unlicensed sale", strings.Repeat("长", 201)), "causes"},
		"card of two lines":    {change(`card: "0004829913"`, `card: "0004829913\n"`), "card"},
		"key twice":            {change("places: []", "places: []\nplaces: []"), "already"},
		"second document":      {good + "---\ndepartments: []\n", "one YAML document"},
		"not UTF-8":            {change("李伟", "\xc0\xee\xce\xb0"), ""},
		"not YAML":             {"\t{", ""},
		"bomb":                 {bomb(), ""},
		"too large":            {good + strings.Repeat("#", MaxFile), "may have"},
	} {
		_, err := Parse(strings.NewReader(c.text))
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q does not say %q", name, err, c.want)
		}
		for _, secret := range []string{"048291", "0004829913", "S3CRET", "482"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %q gives %s away", name, err, secret)
			}
		}
	}
}

// bomb is a document whose aliases stand for more than fits into memory.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	return b.String() + "causes: *a11\n"
}

// Whoever reaches the administrator's socket puts no secret into the vault by mistake.
func TestContentThatWasNotHashedIsRefused(t *testing.T) {
	f, err := Parse(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Content){
		"PIN in clear":  func(c *Content) { c.Officers[0].PIN = "048291" },
		"card in clear": func(c *Content) { c.Officers[0].Card = []byte("0004829913") },
		"no salt":       func(c *Content) { c.CardSalt = nil },
		"another type":  func(c *Content) { c.Type = "custody-event" },
	} {
		c, err := f.Content()
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		if c.check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
