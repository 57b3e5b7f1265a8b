package web

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
)

// caseTexts are the keys of texts of cases that are put together from what they are about.
func caseTexts() (keys []string) {
	add := func(prefix string, of ...string) {
		for _, x := range of {
			if key := prefix + x; key != "" && !strings.HasSuffix(key, "-") {
				keys = append(keys, key)
			}
		}
	}
	for _, k := range casefile.Fields {
		add("case-", string(k))
		if k != casefile.Body {
			add("case-", string(k)+"-hint")
		}
	}
	for _, s := range casefile.States {
		add("case-", string(s), string(s)+"-next")
	}
	for _, r := range auth.Roles {
		add("case-role-", string(r))
	}
	for _, k := range casefile.CheckItems {
		add("check-", k, k+"-hint")
	}
	add("activity-", casefile.Activities...)
	add("ground-", casefile.Grounds...)
	add("document-", casefile.DocumentKinds...)
	add("signature-", casefile.Signed, casefile.RefusedToSign, casefile.NotNeeded)
	add("act-", casefile.Acts...)
	add("act-", "review", "edit", "submit-again")
	for _, a := range acts {
		add("act-", a.name, a.name+"-says", a.name+"-do")
		for _, i := range a.inputs(Frame{}, &casefile.File{Rounds: make([]casefile.Round, 1)}) {
			add("", i.Label)
		}
	}
	for _, n := range navigation {
		add("", n.Text)
	}
	add("home-", "broken", "missing", "late", "mine")
	asked := regexp.MustCompile(`(?:T|wrong)\("([a-z-]+)"\)|s\.frame\(c, "([a-z-]+)"\)|s\.sorry\(c, [A-Za-z.]+, "([a-z-]+)"\)|(?:Label|Hint|Key): +"([a-z-]+)"`)
	for _, pattern := range []string{"cases*.go", "forms.go", "home.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			panic(err)
		}
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				panic(err)
			}
			for _, m := range asked.FindAllSubmatch(raw, -1) {
				for _, key := range m[1:] {
					if len(key) > 0 {
						add("", string(key))
					}
				}
			}
		}
	}
	return keys
}

func TestTimesOfMoments(t *testing.T) {
	for text, want := range map[string]int64{"03:12": 192000, "3:12": 192000, "1:02:03.5": 3723500, "03：12": 192000, "192": 192000, "0": 0, "0.044": 44, "3:12.440": 192440,
		"": -1, "3:2": -1, "3:60": -1, "1:2:3:4": -1, "-1": -1, "3:12.": -1, "3:12.1234": -1, "three": -1, "99999999999999999999": -1, ":12": -1, "+3:12": -1} {
		got, ok := readClock(text)
		if ok != (want >= 0) || ok && got != uint64(want) {
			t.Errorf("%q: %d %v, want %d", text, got, ok, want)
		}
	}
}

// Somebody's correction is not undone by another's form that was opened before it.
func TestCorrectionsAtTheSameTime(t *testing.T) {
	f := &casefile.File{Values: map[casefile.Field][]casefile.Value{casefile.Title: {{Text: "one"}, {Text: "two"}}}}
	for _, c := range []struct {
		text, base  string
		same, clash bool
	}{
		{"two", "2", true, false}, {"three", "2", false, false}, {"one", "1", true, false}, {"three", "1", false, true}, {"two", "1", true, false},
		{"three", "x", false, false}, {"three", "-1", false, false}, {"three", "99", false, false}, {"", "0", true, false}, {"three", "0", false, true},
	} {
		same, clash := compare(f, casefile.Title, c.text, c.base)
		if same != c.same || clash != c.clash {
			t.Errorf("%+v: %v %v", c, same, clash)
		}
	}
}
