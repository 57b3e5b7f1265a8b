package casefile

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
)

const thisCase ID = "00112233445566778899aabbccddeeff"

func person(name string, role auth.Role, body string) auth.Account {
	return auth.Account{ID: name, Login: name, Name: name, Role: role, Body: body}
}

// people are of three bodies, in all roles, some of them twice over: the same person in another body, a body written in another way.
var people = func() (all []auth.Account) {
	for _, role := range auth.Roles {
		for _, body := range []string{"Body A", "ｂｏｄｙ  a", "Body B", "Body C", ""} {
			all = append(all, person(string(role)+"@"+body, role, body))
		}
	}
	return append(all, person("custodian@Body A", auth.Reviewer, "Body B"), auth.Account{ID: "gone", Role: auth.Custodian, Body: "Body A", Disabled: true})
}()

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// attempt is a random act of a random person on a file: what is tried often enough to get far, and sometimes nonsense.
func attempt(r *rand.Rand, f *File, doc func() evidence.Digest) (by auth.Account, act string, more evidence.Detail, device *evidence.DeviceID, rec evidence.RecordingID) {
	by = pick(r, people...)
	if r.IntN(3) > 0 { // somebody whose turn it may be
		by = pick(r, person("h", auth.Custodian, "Body A"), person("r", auth.Reviewer, "Body B"), person("l", auth.Leader, "Body A"))
	}
	if act = pick(r, Acts...); r.IntN(2) == 0 {
		by, act = forward(r, f)
	}
	more = evidence.Detail{DetailText: pick(r, "", " ", "text", "text", "text", strings.Repeat("x", MaxText+1))}
	switch act {
	case ActSet:
		more[DetailField] = string(pick(r, append(Fields, "nonsense")...))
		more[DetailText] = pick(r, "", "v", "2026-05-01", Grounds[0], Property, "Body A", "Body B", "Body C", "BODY A")
	case ActLinked, ActUnlinked:
		device, rec = &evidence.DeviceID{byte(r.IntN(2))}, evidence.RecordingID{byte(r.IntN(3))}
	case ActDocument:
		more[DetailDocument], more[DetailSize], more[DetailKind] = doc().String(), pick(r, "1", "1", "0", "x", "99999999999"), pick(r, append(DocumentKinds, "x", OnSiteRecord, OnSiteRecord)...)
		more[DetailSignature], more[DetailRefusal] = pick(r, Signed, Signed, RefusedToSign, NotNeeded, ""), pick(r, "", "left")
	case ActWithdrawn:
		more[DetailDocument] = doc().String()
	case ActSubmitted:
		more[DetailDue] = pick(r, "1", "1", "x")
	case ActOpinion:
		more[DetailAgree], more[DetailChecks] = pick(r, yes, no, no, "maybe"), pick(r, "", "[]", checksJSON(r), checksJSON(r), checksJSON(r))
	case ActDetermined:
		more[DetailGo] = pick(r, yes, no, "")
	}
	return by, act, more, device, rec
}

// forward is an act that brings a case on, by whom it takes.
func forward(r *rand.Rand, f *File) (auth.Account, string) {
	h := person("h", auth.Custodian, "Body A")
	switch f.State {
	case Open, Returned:
		return h, pick(r, ActDocument, ActSubmitted, ActEscalated)
	case InReview:
		return person("r", auth.Reviewer, "Body B"), ActOpinion
	case Escalated:
		return person("l", auth.Leader, "Body A"), ActDetermined
	}
	return h, ActDecided
}

func checksJSON(r *rand.Rand) string {
	var all []string
	problem := r.IntN(len(CheckItems) * 3 / 2)
	for i, item := range CheckItems {
		result, text := OK, ""
		if i == problem {
			result, text = Problem, pick(r, "what", "what", "")
		}
		all = append(all, fmt.Sprintf(`{"item":%q,"result":%q,"text":%q}`, item, result, text))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// holds checks what must be true of every file whatever was tried on it.
func holds(t *testing.T, f *File) {
	t.Helper()
	fail := func(what string) {
		t.Fatalf("%s: state %s, %d rounds, %d events", what, f.State, len(f.Rounds), len(f.Events))
	}
	handling := f.Value(Body)
	if handling != f.Values[Body][0].Text || len(f.Values[Body]) != 1 {
		fail("the handling body changed")
	}
	if SameBody(handling, f.Value(ReviewBody)) {
		fail("handler and reviewer are one body")
	}
	for i, round := range f.Rounds {
		if !SameBody(round.Submitted.Body, handling) || i > 0 && blank(round.Mended) {
			fail("submission")
		}
		if i < len(f.Rounds)-1 && (round.Opinion == nil || round.Opinion.Agree) {
			fail("submitted again without problems found")
		}
		if o := round.Opinion; o != nil && (SameBody(o.Body, handling) || !SameBody(o.Body, f.Value(ReviewBody)) || len(o.Checks) != len(CheckItems)) {
			fail("opinion")
		}
	}
	last := func() *Opinion {
		if n := len(f.Rounds); n > 0 {
			return f.Rounds[n-1].Opinion
		}
		return nil
	}()
	agreed := last != nil && last.Agree
	if f.Escalation != nil && (len(f.Rounds) < 2 || agreed || !SameBody(f.Escalation.Body, handling)) {
		fail("escalated without two rounds of problems")
	}
	if d := f.Determination; d != nil && (f.Escalation == nil || !SameBody(d.Body, handling)) {
		fail("determined")
	}
	if f.Decision != nil && (f.State != Decided || !agreed && (f.Determination == nil || !f.Determination.Go)) {
		fail("decided without agreement or determination")
	}
	if (f.State == Decided) != (f.Decision != nil) || f.State == Agreed && !agreed || f.State == InReview && last != nil {
		fail("state")
	}
	live := map[evidence.Digest]bool{}
	for _, d := range f.Documents {
		if d.Withdrawn == nil && live[d.Hash] {
			fail("one document twice")
		}
		live[d.Hash] = live[d.Hash] || d.Withdrawn == nil
		if checkSignature(d) != nil {
			fail("neither signature nor reason")
		}
	}
}

// Whatever anybody tries, in whatever order: the rules of review hold, what the rules refuse before it is recorded changes nothing when it is recorded
// all the same, and the same events make the same file.
func TestRandomActsKeepTheRules(t *testing.T) {
	reached := map[State]int{}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		opening, err := Opening(person("h", auth.Custodian, "Body A"), thisCase, map[Field]string{Number: "1", Title: "t", Officers: "n, c", Party: "p",
			Activity: Property, Day: "2026-05-01", Ground: Grounds[0], ReviewBody: "Body B", SelfCheck: "lawful"})
		if err != nil {
			t.Fatal(err)
		}
		f := &File{}
		f.Apply(opening)
		doc := func() evidence.Digest { return evidence.Digest{byte(r.IntN(3))} }
		var events []Event
		for i := range 20 + r.IntN(100) {
			by, act, more, device, rec := attempt(r, f, doc)
			e, refusal := f.Act(by, act, more, device, rec)
			if refusal != nil {
				if r := (*Refused)(nil); !errors.As(refusal, &r) || !slices.Contains(Reasons, strings.TrimPrefix(r.Key, "rule-")) {
					t.Fatalf("refused as %v", refusal)
				}
				if by.May(needed[act]) { // another server, or a replay, records it all the same
					e = newEvent(by, thisCase, act, more)
					e.Device, e.Rec = device, rec
				} else {
					continue
				}
			}
			e.Index, e.At = uint64(i+1), int64(i)
			was := *f
			before := maps.Clone(f.Values)
			f.Apply(e)
			events = append(events, e)
			got := f.Events[len(f.Events)-1]
			if (refusal != nil) != (got.Void != "") {
				t.Fatalf("%s: before it was recorded %v, after %q", act, refusal, got.Void)
			}
			if got.Void != "" {
				was.Events, was.bytes = f.Events, f.bytes
				if !reflect.DeepEqual(was, *f) || !reflect.DeepEqual(before, f.Values) {
					t.Fatalf("%s is void (%s) and changed the file", act, got.Void)
				}
			}
			holds(t, f)
			reached[f.State]++
		}
		again := &File{}
		again.Apply(opening)
		for _, e := range events {
			again.Apply(e)
		}
		if !reflect.DeepEqual(again, f) {
			t.Fatal("the same events make another file")
		}
	}
	for _, s := range States {
		t.Logf("%s: %d", s, reached[s])
		if reached[s] == 0 {
			t.Errorf("no run reached %s: the test tries too little", s)
		}
	}
}

// The way of a case with everybody's rights at each step.
func TestWhoMayWhatWhen(t *testing.T) {
	custodian, officer, reviewer, leader := person("h", auth.Custodian, "Body A"), person("o", auth.Officer, "Body A"), person("r", auth.Reviewer, "Body B"), person("l", auth.Leader, "Body A")
	other, admin, supervisor, otherLeader := person("x", auth.Officer, "Body C"), person("a", auth.Administrator, "Body A"), person("s", auth.Supervisor, "Body A"), person("m", auth.Leader, "Body B")
	traitor := person("h", auth.Reviewer, "Body B") // handled the case before moving to the review body
	all := []auth.Account{custodian, officer, reviewer, leader, other, admin, supervisor, otherLeader, traitor}
	f := &File{}
	do := func(by auth.Account, act string, more evidence.Detail) {
		t.Helper()
		e, err := f.Act(by, act, more, nil, evidence.RecordingID{})
		if err != nil {
			t.Fatalf("%s: %v", act, err)
		}
		f.Apply(e)
	}
	only := func(what string, may func(auth.Account) error, who ...auth.Account) {
		t.Helper()
		for _, a := range all {
			if err := may(a); (err == nil) != slices.Contains(who, a) {
				t.Errorf("%s, %s: %s of %s: %v", f.State, what, a.Name, a.Body, err)
			}
		}
	}
	opening, err := Opening(custodian, thisCase, map[Field]string{Number: "1", Title: "t", Officers: "n, c", Party: "p", Activity: Property, Day: "2026-05-01",
		Ground: Grounds[0], ReviewBody: "Body B"})
	if err != nil {
		t.Fatal(err)
	}
	f.Apply(opening)
	only("edit", f.MayEdit, custodian, officer)
	only("link", f.MayLink, custodian, officer, reviewer, traitor)
	only("submit", f.MaySubmit)
	for _, a := range all {
		if got, want := f.MaySee(a), a != other && a != admin && a != otherLeader; got != want {
			t.Errorf("%s may see: %v", a.Name, got)
		}
	}
	do(officer, ActSet, evidence.Detail{DetailField: string(SelfCheck), DetailText: "lawful"})
	do(officer, ActDocument, evidence.Detail{DetailDocument: evidence.Digest{1}.String(), DetailSize: "9", DetailKind: OnSiteRecord, DetailSignature: Signed})
	only("submit", f.MaySubmit, custodian, officer)
	submit := func(mended string) { do(officer, ActSubmitted, evidence.Detail{DetailDue: "1", DetailText: mended}) }
	problems := evidence.Detail{DetailAgree: no, DetailText: "thin", DetailChecks: strings.Replace(okChecks, `"result":"ok","text":""`, `"result":"problem","text":"x"`, 1)}
	submit("")
	only("edit", f.MayEdit)
	only("link", f.MayLink)
	only("opine", f.MayOpine, reviewer)
	only("decide", f.MayDecide)
	do(reviewer, ActOpinion, problems)
	only("edit", f.MayEdit, custodian, officer)
	only("escalate", f.MayEscalate)
	submit("more")
	do(reviewer, ActOpinion, problems)
	only("escalate", f.MayEscalate, custodian, officer)
	do(custodian, ActEscalated, evidence.Detail{DetailText: "ours"})
	only("determine", f.MayDetermine, leader)
	only("decide", f.MayDecide)
	do(leader, ActDetermined, evidence.Detail{DetailText: "go", DetailGo: yes})
	only("decide", f.MayDecide, custodian, officer)
	only("hold", f.MayHold, custodian)
	do(custodian, ActDecided, evidence.Detail{DetailText: "done"})
	only("edit", f.MayEdit)
	only("decide", f.MayDecide)
	only("hold", f.MayHold, custodian)
}

var okChecks = func() string {
	var all []string
	for _, item := range CheckItems {
		all = append(all, fmt.Sprintf(`{"item":%q,"result":"ok","text":""}`, item))
	}
	return "[" + strings.Join(all, ",") + "]"
}()

func TestHostileValues(t *testing.T) {
	by := person("h", auth.Custodian, "Body A")
	for name, c := range map[string]struct {
		values map[Field]string
		want   string
	}{
		"its own reviewer":          {map[Field]string{ReviewBody: "body Ａ"}, "same-body"},
		"another body's case":       {map[Field]string{Body: "Body B"}, "body-fixed"},
		"unknown field":             {map[Field]string{"no Field;": "x"}, "value"},
		"long field":                {map[Field]string{Title: strings.Repeat("x", MaxField+1)}, "too-long"},
		"all fields long":           {map[Field]string{Title: strings.Repeat("长", 5000), Party: strings.Repeat("长", 5000), SelfCheck: strings.Repeat("长", 5000), Officers: strings.Repeat("长", 5000), Number: strings.Repeat("长", 5000)}, "too-long"},
		"escapes":                   {map[Field]string{Title: strings.Repeat("\x01", 12000)}, "too-long"},
		"no day":                    {map[Field]string{Day: "2026-02-30"}, "day"},
		"no activity":               {map[Field]string{Activity: "everything"}, "value"},
		"bytes that are no text":    {map[Field]string{Title: "\xff"}, "text"},
		"a NUL":                     {map[Field]string{Title: "a\x00b"}, "text"},
		"markup is but a text":      {map[Field]string{Title: "<script>alert(1)</script>"}, ""},
		"a review body with a name": {map[Field]string{ReviewBody: "Body B"}, ""},
	} {
		_, err := Opening(by, thisCase, c.values)
		got := ""
		if r := (*Refused)(nil); errors.As(err, &r) {
			got = strings.TrimPrefix(r.Key, "rule-")
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if _, err := Opening(person("h", auth.Custodian, " "), thisCase, nil); err == nil {
		t.Error("opened by somebody of no body")
	}
	for _, id := range []string{"", "0", strings.ToUpper(string(thisCase)), string(thisCase) + "0", "../../etc/passwd0000000000000000"} {
		if _, ok := ParseID(id); ok {
			t.Errorf("%q is an id", id)
		}
	}
}
