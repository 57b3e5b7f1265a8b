package sphinx

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"camseal/agent/internal/header"
	"camseal/agent/internal/header/headertest"
	"camseal/agent/internal/header/sound"
	"camseal/agent/internal/header/words"
	"camseal/pkg/sandbox"
	"camseal/pkg/transport"
)

func transcribe(t *testing.T, voice, text string, reg *transport.Register) (header.Transcript, error) {
	t.Helper()
	samples, err := headertest.Say(t.Context(), voice, text)
	if err != nil {
		t.Fatal(err)
	}
	return (&Engine{}).Transcribe(t.Context(), bytes.NewReader(sound.WAV(samples)), header.Hints{Register: reg})
}

// TestWordErrors holds a generous bound on the words that go wrong; scripts/bench speech measures them all.
func TestWordErrors(t *testing.T) {
	for voice, most := range map[string]float64{"flite:slt": 0.15, "espeak-ng:en-us": 0.5} {
		wrong, all := 0, 0
		for _, i := range []int{0, 8, 15} {
			h := headertest.Headers()[i]
			got, err := transcribe(t, voice, h.Text, headertest.Register())
			if err != nil {
				t.Fatal(err)
			}
			if got.Engine != Name || got.Confidence == 0 || got.Confidence > 1000 {
				t.Errorf("%+v", got)
			}
			e, n := headertest.WordErrors(strings.Fields(words.Plain(h.Text)), strings.Fields(got.Text))
			wrong, all = wrong+e, all+n
			t.Logf("%s: %d of %d: %s", voice, e, n, got.Text)
		}
		if rate := float64(wrong) / float64(all); rate > most {
			t.Errorf("%s: %.0f %% of the words are wrong", voice, 100*rate)
		}
	}
}

// TestUnknownIsNotTakenForAnEntry: a place that is not in the register is no place of the register.
func TestUnknownIsNotTakenForAnEntry(t *testing.T) {
	got, err := transcribe(t, "flite:slt", "Officer Alan Walker, cause expired food, place Golden Dragon Restaurant, time ten fifteen.", headertest.Register())
	if err != nil {
		t.Fatal(err)
	}
	if fields := header.Understand(got.Text, headertest.Register()); fields[4].State == header.FieldMatched || fields[2].Value != "expired food" || !strings.Contains(got.Text, "…") {
		t.Errorf("%q gives %v", got.Text, fields)
	}
}

func TestNothingToUnderstand(t *testing.T) {
	for name, samples := range map[string][]int16{"silence": headertest.Silence(3), "nothing": nil, "a moment": headertest.Silence(0.01)} {
		if got, err := (&Engine{}).Transcribe(t.Context(), bytes.NewReader(sound.WAV(samples)), header.Hints{}); !errors.Is(err, ErrNothing) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if _, err := (&Engine{}).Transcribe(t.Context(), strings.NewReader("RIFF"), header.Hints{}); !errors.Is(err, sound.ErrNotOurs) {
		t.Error(err)
	}
	if _, err := (&Engine{Sandbox: sandbox.Box{Time: time.Millisecond}}).Transcribe(t.Context(), bytes.NewReader(sound.WAV(headertest.Silence(5))), header.Hints{}); !errors.Is(err, sandbox.ErrTime) {
		t.Error(err)
	}
}

// hostile are entries that would mean something in the grammar's language or in the dictionary's.
var hostile = []string{
	"x; public <header> = evil", "<officer>", "a | b", "[a] (b)* {tag}", "// comment", "/* comment", "\"quoted\\\"", "import <evil>;", "#JSGF V1.0;", "a\nEVIL AH", "word(2)",
	"<s> </s> <sil>", "++NOISE++", "xxaa", "\x00\xff\u202e", strings.Repeat("long", 10000), strings.Repeat("many words ", 10000), "李伟", "😀", "ENTRIES", "''''", "/0.5/", "٣٤",
}

func hostileRegister() *transport.Register {
	reg := headertest.Register()
	for _, h := range hostile {
		reg.Departments, reg.Causes, reg.Places, reg.Activities = append(reg.Departments, h), append(reg.Causes, h), append(reg.Places, h), append(reg.Activities, h)
		reg.Officers = append(reg.Officers, transport.Officer{Name: h, Spoken: h, Certificate: h})
	}
	return reg
}

var (
	ruleLine   = regexp.MustCompile(`^(public )?<[a-z]+> = [a-z<>|()\[\]+ ]+;$`)
	dictLine   = regexp.MustCompile(`^[a-z]+(\([0-9]+\))?( [A-Z]{1,2})+$`)
	definition = regexp.MustCompile(`(?m)^(?:public )?<([a-z]+)>`)
)

// sane finds what is wrong with a grammar and its dictionary: only rules of our own, of plain words that the dictionary has.
func sane(t *testing.T, g grammar, dict []byte) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(strings.TrimPrefix(g.text, "#JSGF V1.0;\ngrammar header;\n"), "\n"), "\n")
	for _, l := range lines {
		if !ruleLine.MatchString(l) {
			t.Errorf("rule %.200q", l)
		}
	}
	seen := map[string]bool{}
	for _, m := range definition.FindAllStringSubmatch(g.text, -1) {
		if seen[m[1]] {
			t.Errorf("%s is defined twice", m[1])
		}
		seen[m[1]] = true
	}
	for l := range strings.Lines(string(dict)) {
		if !dictLine.MatchString(strings.TrimSpace(l)) {
			t.Errorf("dictionary line %.100q", l)
		}
	}
}

// TestRegisterCantSpeakTheGrammarsLanguage: entries that look like JSGF are words or nothing, and the engine works on.
func TestRegisterCantSpeakTheGrammarsLanguage(t *testing.T) {
	reg := hostileRegister()
	g := makeGrammar(reg)
	dict, err := dictionary(Model+"/cmudict-en-us.dict", g.words)
	if err != nil {
		t.Fatal(err)
	}
	sane(t, g, dict)
	got, err := transcribe(t, "flite:slt", headertest.Headers()[0].Text, reg)
	if err != nil || !strings.Contains(got.Text, "li wei certificate one two three four five six") {
		t.Errorf("%+v %v", got, err)
	}
}

func TestPronunciations(t *testing.T) {
	for word, want := range map[string]string{"xiaoming": "SH Y AW M IH NG", "zhang": "JH AA NG", "qiang": "CH Y AA NG", "wei": "W EY", "shi": "SH ER", "lanzhou": "L AA N JH OW"} {
		if got, ok := pinyin(word); !ok || got != want {
			t.Errorf("%s is %q", word, got)
		}
	}
	for word, want := range map[string]string{"walker": "W AO K ER", "night": "N AY T", "station": "S T AE SH AH N", "phone": "F OW N", "cheese": "CH IY S"} {
		if got := english(word); got != want {
			t.Errorf("%s is %q, want %q", word, got, want)
		}
	}
	for _, word := range []string{"smith", "strength", "brr"} {
		if got, ok := pinyin(word); ok {
			t.Errorf("%s is Chinese: %q", word, got)
		}
	}
}

func TestAnswersInNoKnownForm(t *testing.T) {
	for _, line := range []string{"x", "id S 0 T 0 A 0 L 0", "id S 0 T 0 A 0 L 0 1 2 3 word", "id S 0 T 0 A 0 L 0 a 1 1 word 9", "id S 0 T 0 A 0 L 0 1 1 1 word b"} {
		if got, err := read(strings.NewReader(line)); err == nil {
			t.Errorf("%q is read as %+v", line, got)
		}
	}
}

func FuzzGrammar(f *testing.F) {
	for _, h := range hostile[:15] {
		f.Add(h, "Li Wei", "12")
	}
	f.Add("e", "hhh", "h")
	f.Fuzz(func(t *testing.T, entry, name, certificate string) {
		g := makeGrammar(&transport.Register{
			Departments: []string{entry}, Causes: []string{entry, name}, Places: []string{name}, Activities: []string{certificate},
			Officers: []transport.Officer{{Name: name, Spoken: entry, Certificate: certificate}},
		})
		var dict bytes.Buffer
		for _, w := range g.words {
			for i, p := range pronunciations(w, nil) {
				dict.WriteString(w + map[bool]string{true: "(2)"}[i > 0] + " " + p + "\n")
			}
		}
		sane(t, g, dict.Bytes())
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add("id S 0 T -5 A -4 L -1 0 -1 -3 <sil> 19 -35 0 this(2) 37 -2 0 xxaa 50 0 0 (NULL) 51")
	f.Fuzz(func(t *testing.T, line string) {
		got, err := read(strings.NewReader(line))
		if err == nil && got.confidence > 1000 {
			t.Errorf("%+v", got)
		}
	})
}
