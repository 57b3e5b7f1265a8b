package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/casework"
	"camseal/server/internal/workdays"
)

// concerned are the concerns of a case as key and arguments.
func (r *rig) concerned(id casefile.ID) (all []string) {
	r.t.Helper()
	f, err := r.core.cases.File(context.Background(), keeper, id)
	check(r.t, err)
	list, err := r.core.cases.Concerns(context.Background(), f)
	check(r.t, err)
	for _, c := range list {
		if c.Key == "concern-calendar" { // hangs on the day of the test
			continue
		}
		line := c.Key
		for _, a := range c.Args {
			line += fmt.Sprintf(" | %v", a)
		}
		all = append(all, strings.TrimPrefix(line, "concern-"))
	}
	return all
}

func (r *rig) concerns(id casefile.ID, want ...string) {
	r.t.Helper()
	got := r.concerned(id)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("concerns:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What speaks against a case's material is said: certificates on that day, and for what must be recorded from end to end all that lacks.
func TestConcerns(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	cases := r.core.cases
	d := r.registerCounting("one")
	d.today(r)
	good := d.take("good.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	d.say(good, header("x"))
	check(t, d.sealer.Increment(ctx)) // a recording or docking of which nothing arrives
	lost := fmt.Sprint(d.sealer.Value)
	d.sealer.PowerCycle()
	boot := d.boot(nil)
	d.seal()
	d.count(boot)
	broken := d.take("broken.mp4", "video/mp4", evidence.WhyReadError, content(testChunk, 2))
	d.say(evidence.RecordingID{9}, &evidence.Unrecorded{Activity: "扣押", By: "李伟 A1", Reason: "battery empty"})
	d.say(evidence.RecordingID{8}, &evidence.Unrecorded{Activity: "检查", By: "somebody else", Reason: "x"})
	r.stored(d, 0, good)
	now := r.now().In(cases.Zone)
	values := described()
	values[casefile.Officers], values[casefile.Day] = "李伟, A1\n王芳，A1\nnobody, B9\nold, A3\nplain", now.Format(time.DateOnly)
	values[casefile.Activity] = casefile.OnSite
	delete(values, casefile.Party)
	id, err := cases.Open(ctx, keeper, values)
	check(t, err)
	r.concerns(id, "rule-lacks-party", "rule-lacks-record", "no-register")
	r.setRegister(fmt.Sprintf(`departments: [城管]
officers:
  - {name: 李伟, certificate: A1, valid_until: 2099-12-31, department: 城管}
  - {name: old, certificate: A3, valid_until: %s, department: 城管}
`, now.AddDate(0, 0, -1).Format(time.DateOnly)))
	officers := []string{"rule-lacks-party", "rule-lacks-record", "officer-other | 王芳 | A1 | 李伟", "officer-unknown | nobody | B9",
		"officer-invalid | old | A3 | " + now.AddDate(0, 0, -1).Format(time.DateOnly), "officer-plain | plain"}
	check(t, cases.Link(ctx, keeper, id, good))
	r.concerns(id, officers...)
	check(t, cases.Link(ctx, keeper, id, broken))
	r.concerns(id, append(officers, "not-stored | broken.mp4", "needs-header | broken.mp4")...)
	check(t, cases.Set(ctx, keeper, id, casefile.Activity, casefile.Liberty))
	r.concerns(id, append(officers, "not-stored | broken.mp4", "needs-header | broken.mp4", "incomplete | broken.mp4", "no-span | 2",
		"counter | "+d.id().Short()+" | "+lost+" | "+lost,
		"unrecorded | 扣押 | 李伟 A1 | battery empty")...)
	check(t, cases.Unlink(ctx, keeper, id, good, "another case's"))
	check(t, cases.Unlink(ctx, keeper, id, broken, "too"))
	r.concerns(id, append(officers, "no-recording", "unrecorded | 扣押 | 李伟 A1 | battery empty")...)
}

// An officer links only recordings whose header has the officer's certificate; what people look at a recording for follows from its cases.
func TestWhoMayLinkAndWhatFor(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	cases := r.core.cases
	d := r.register("one")
	own, others := d.take("own.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1)), d.take("others.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 2))
	d.say(own, header("x"))
	r.send(d, 0)
	officer := person("officer", auth.Officer, "城管")
	officer.Certificate = "A1"
	id, err := cases.Open(ctx, officer, described())
	check(t, err)
	check(t, cases.Link(ctx, officer, id, own))
	if err := cases.Link(ctx, officer, id, others); err == nil {
		t.Error("an officer linked a recording of others")
	}
	if got := why(t, cases.Link(ctx, officer, id, own)); got != "linked" {
		t.Errorf("linked twice: %q", got)
	}
	purposes := func(want map[string]auth.Purpose) {
		t.Helper()
		for _, by := range []auth.Account{keeper, officer, reviewer, leader, stranger, person("s", auth.Supervisor, "城管")} {
			got, err := cases.Implied(ctx, by, d.id(), own)
			check(t, err)
			if got != want[by.Name] {
				t.Errorf("%s: %q, want %q", by.Name, got, want[by.Name])
			}
		}
	}
	handling := map[string]auth.Purpose{"keeper": auth.PurposeCase, "officer": auth.PurposeCase, "leader": auth.PurposeCase}
	purposes(handling)
	_, err = cases.AddDocument(ctx, keeper, id, casefile.Document{Name: "笔录.pdf", Kind: casefile.OnSiteRecord, Signature: casefile.Signed}, strings.NewReader(pdf("a")))
	check(t, err)
	check(t, cases.Submit(ctx, officer, id, ""))
	handling["reviewer"] = auth.PurposeReview
	purposes(handling)
	check(t, cases.Opine(ctx, reviewer, id, true, "", findings("")))
	check(t, cases.Decide(ctx, officer, id, "done"))
	purposes(nil)
	for by, want := range map[*auth.Account]int{&keeper: 1, &officer: 1, &reviewer: 1, &leader: 1, &stranger: 0} {
		of, err := cases.OfRecording(ctx, *by, d.id(), own)
		check(t, err)
		list, _, err := cases.List(ctx, *by, casework.Query{N: 10})
		check(t, err)
		if len(of) != want || len(list) != want {
			t.Errorf("%s sees %d and %d cases", by.Name, len(of), len(list))
		}
	}
}

// Lists are paged without gaps or repetitions, and look for parts of words in any case, with no sign that stands for others.
func TestListsOfCases(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	cases := r.core.cases
	want := []casefile.ID{}
	for i := range 5 {
		id, err := cases.Open(ctx, keeper, map[casefile.Field]string{casefile.Number: fmt.Sprintf("No_%d%%!", i), casefile.Title: "Unlicensed 噪声扰民", casefile.ReviewBody: "法制科"})
		check(t, err)
		want = append([]casefile.ID{id}, want...)
	}
	look := func(q casework.Query) (ids []casefile.ID) {
		t.Helper()
		for range 10 {
			list, next, err := cases.List(ctx, keeper, q)
			check(t, err)
			for _, s := range list {
				ids = append(ids, s.ID)
			}
			if q.After = next; next == "" {
				break
			}
		}
		return ids
	}
	if got := look(casework.Query{N: 2}); !slices.Equal(got, want) {
		t.Errorf("paged: %v, want %v", got, want)
	}
	for text, n := range map[string]int{"unlicensed": 5, "噪声": 5, "no_3": 1, "o_3%!": 1, "no%3": 0, "_": 5, "'": 0, "\\": 0, strings.Repeat("长", 5000): 0, "\xff": 5} {
		if got := look(casework.Query{N: 2, Text: text}); len(got) != n {
			t.Errorf("%q: %d", text, len(got))
		}
	}
	if n := len(look(casework.Query{N: 9, State: casefile.InReview})) + len(look(casework.Query{N: 9, Body: "elsewhere"})) + len(look(casework.Query{N: 9, Due: 1 << 60})); n != 0 {
		t.Errorf("%d", n)
	}
	if got := look(casework.Query{N: 9, State: casefile.Open, Body: " 城管", ReviewBody: "法制科"}); len(got) != 5 {
		t.Errorf("%d", len(got))
	}
	if got := look(casework.Query{N: 9, After: "nonsense"}); len(got) != 0 {
		t.Errorf("%d", len(got))
	}
}

// The administrator's calendar moves terms of submissions from then on, is rebuilt by reindex, and its page says what is known.
func TestCalendar(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	cases := r.core.cases
	admin := person("admin", auth.Administrator, "")
	calendar, err := cases.Calendar(ctx)
	check(t, err)
	usual := calendar.Due(r.now(), workdays.ReviewDays)
	next := calendar.Due(r.now(), 1).In(cases.Zone)
	if got := why(t, cases.SetCalendar(ctx, keeper, next.Year(), "", "")); got != "role" {
		t.Errorf("a custodian changed the calendar: %q", got)
	}
	var wrong *workdays.WrongDay
	if err := cases.SetCalendar(ctx, admin, next.Year(), "1999-01-01", ""); !errors.As(err, &wrong) {
		t.Errorf("a day of another year: %v", err)
	}
	check(t, cases.SetCalendar(ctx, admin, next.Year(), next.Format(time.DateOnly), ""))
	check(t, cases.SetCalendar(ctx, admin, 2061, "2061-02-01 2061-02-02", "2061-02-05"))
	other, err := cases.Open(ctx, keeper, described())
	check(t, err)
	id, err := cases.Open(ctx, keeper, described())
	check(t, err)
	_, err = cases.AddDocument(ctx, keeper, id, casefile.Document{Name: "笔录.pdf", Kind: casefile.InquiryRecord, Signature: casefile.Signed}, strings.NewReader(pdf("a")))
	check(t, err)
	check(t, cases.Submit(ctx, keeper, id, ""))
	f, err := cases.File(ctx, keeper, id)
	check(t, err)
	if due := time.UnixMilli(f.Rounds[0].Due); !due.After(usual) {
		t.Errorf("due %s, without the day off %s", due, usual)
	}
	check(t, cases.SetCalendar(ctx, admin, next.Year(), "", ""))
	// In a year of which nobody knows the holidays the case says so, until they are entered.
	r.pass(24 * time.Hour * 365 * 36)
	unknown := r.now().In(cases.Zone).Year()
	warned := func() bool {
		f, err := r.core.cases.File(ctx, keeper, other)
		check(t, err)
		list, err := r.core.cases.Concerns(ctx, f)
		check(t, err)
		return slices.ContainsFunc(list, func(c casework.Concern) bool { return c.Key == "concern-calendar" })
	}
	if !warned() {
		t.Errorf("nobody knows %d, and nothing says so", unknown)
	}
	for _, y := range []int{unknown, unknown + 1} {
		check(t, r.core.cases.SetCalendar(ctx, admin, y, fmt.Sprintf("%d-01-01", y), ""))
	}
	if warned() {
		t.Errorf("%d was entered, and still not known", unknown)
	}
	r.pass(-24 * time.Hour * 365 * 36)
	r.reindexed()
	for lang, words := range map[string][]string{"en": {"Calendar of working days", "2061-02-01 2061-02-02", "entered here", "not known yet"}, "zh-CN": {"工作日历", "已录入"}} {
		resp, body := r.by(administer).gets("/calendar?lang=" + lang)
		if resp.StatusCode != 200 {
			t.Fatalf("%s %s", resp.Status, body)
		}
		says(t, string(body), words...)
	}
}
