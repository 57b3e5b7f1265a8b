package app

import (
	"context"
	"errors"
	"strings"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

func person(name string, role auth.Role, body string) auth.Account {
	return auth.Account{ID: evidence.Sum([]byte(name)).String()[:32], Login: name, Name: name, Role: role, Body: body}
}

// The people of a case: two bodies.
var (
	keeper   = person("keeper", auth.Custodian, "城管")
	reviewer = person("reviewer", auth.Reviewer, "法制科")
	leader   = person("leader", auth.Leader, "城管")
	stranger = func() auth.Account {
		a := person("stranger", auth.Officer, "Other body")
		a.Certificate = "B7"
		return a
	}()
)

func pdf(seed string) string { return "%PDF-1.4\n" + seed + "\n%%EOF\n" }

// described are the values that a submission needs.
func described() map[casefile.Field]string {
	return map[casefile.Field]string{casefile.Number: "2026-0117", casefile.Title: "无照经营", casefile.Officers: "李伟, A1\r\n王芳，A2", casefile.Party: "张三",
		casefile.Activity: casefile.Property, casefile.Day: "2026-05-01", casefile.Ground: "rights", casefile.ReviewBody: "法制科", casefile.SelfCheck: "合法"}
}

func findings(problem string) (all []casefile.Check) {
	for _, item := range casefile.CheckItems {
		c := casefile.Check{Item: item, Result: casefile.OK}
		if item == problem {
			c.Result, c.Text = casefile.Problem, "what is wrong"
		}
		all = append(all, c)
	}
	return all
}

// why is the key of a refusal; empty if there was none.
func why(t *testing.T, err error) string {
	t.Helper()
	var r *casefile.Refused
	if err != nil && !errors.As(err, &r) {
		t.Fatal(err)
	}
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(r.Key, "rule-")
}

// A case goes its whole way over the real vault and log: the recording's chain of custody tells of it, a stranger verifies that, and reindex makes the
// same case.
func TestACaseGoesItsWay(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	d := r.register("one")
	rec := d.take("a.mp4", "video/mp4", evidence.WhyComplete, content(testChunk, 1))
	r.stored(d, 0, rec)
	cases := r.core.cases

	id, err := cases.Open(ctx, keeper, described())
	check(t, err)
	if _, err := cases.File(ctx, stranger, id); !errors.Is(err, catalog.ErrUnknown) {
		t.Errorf("another body's officer: %v", err)
	}
	check(t, cases.Link(ctx, keeper, id, rec))
	if got := why(t, cases.Submit(ctx, keeper, id, "")); got != "lacks-record" {
		t.Errorf("submitted without a record: %q", got)
	}
	doc, err := cases.AddDocument(ctx, keeper, id, casefile.Document{Name: "笔录.pdf", Kind: casefile.OnSiteRecord, Signature: casefile.RefusedToSign,
		Refusal: "left"}, strings.NewReader(pdf("a")))
	check(t, err)
	if doc.MediaType != "application/pdf" || doc.Size != int64(len(pdf("a"))) {
		t.Errorf("%+v", doc)
	}
	check(t, cases.Submit(ctx, keeper, id, ""))
	if got := why(t, cases.Set(ctx, keeper, id, casefile.Title, "x")); got != "frozen" {
		t.Errorf("changed under review: %q", got)
	}
	problems := findings("facts")
	problems[3].Moments, problems[3].Pages = []casefile.Moment{{Rec: rec, At: 1000}}, []casefile.Page{{Document: doc.Hash, Page: 1}}
	check(t, cases.Opine(ctx, reviewer, id, false, "facts are thin", problems))
	if got := why(t, cases.Escalate(ctx, keeper, id, "we stay")); got != "escalate-early" {
		t.Errorf("escalated after one round: %q", got)
	}
	check(t, cases.Set(ctx, keeper, id, casefile.SelfCheck, "更充分"))
	check(t, cases.Submit(ctx, keeper, id, "self-check"))
	check(t, cases.Opine(ctx, reviewer, id, false, "still", findings("law")))
	check(t, cases.Escalate(ctx, keeper, id, "we stay with ours"))
	if got := why(t, cases.Decide(ctx, keeper, id, "fine")); got != "not-agreed" {
		t.Errorf("decided without a determination: %q", got)
	}
	check(t, cases.Determine(ctx, leader, id, true, "go"))
	check(t, cases.Decide(ctx, keeper, id, "fine of 500"))
	check(t, cases.Hold(ctx, keeper, id, "appeal"))
	check(t, cases.Mark(ctx, keeper, rec, 12345, "签字"))

	f, err := cases.File(ctx, keeper, id)
	check(t, err)
	if f.State != casefile.Decided || len(f.Rounds) != 2 || !f.Held() || len(f.Values[casefile.SelfCheck]) != 2 || f.Rounds[0].Opinion == nil ||
		len(f.Rounds[0].Opinion.Checks[3].Moments) != 1 {
		t.Errorf("%+v", f)
	}
	held, err := r.core.catalog.HeldBy(ctx, d.id(), rec)
	check(t, err)
	if len(held) != 1 || held[0] != string(id) {
		t.Errorf("held by %v", held)
	}
	list, _, err := cases.List(ctx, keeper, casework.Query{Text: "无照", N: 10})
	check(t, err)
	if len(list) != 1 || list[0].State != casefile.Decided || !list[0].Held {
		t.Errorf("%+v", list)
	}
	path, err := r.export(rec, true)
	check(t, err)
	if report := r.verified(path, verify.Verified); report.Custody < 4 { // enrolment, link, hold, mark
		t.Errorf("the bundle tells of %d events", report.Custody)
	}
	r.reindexed()
}
