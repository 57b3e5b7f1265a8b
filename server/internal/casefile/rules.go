package casefile

import (
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
)

// Refused says why something may not be done with a case now. Nothing was changed.
type Refused struct {
	Key string // of a text
}

func (e *Refused) Error() string { return "not allowed on this case: " + e.Key }

// Reasons are the ends of all keys of Refused, which begin with "rule-".
var Reasons = []string{"unknown", "text", "too-long", "no-text", "role", "no-body", "not-handler", "not-reviewer", "not-leader", "frozen", "ended", "full",
	"body-fixed", "review-body-fixed", "same-body", "same-value", "linked", "not-linked", "document-there", "no-document", "document-large",
	"document-empty", "signature", "refusal", "value", "day", "mended", "in-review", "not-in-review", "handled", "checks", "check-text", "check-places", "agree-problem",
	"problem-none", "not-returned", "escalate-early", "not-escalated", "not-agreed", "no-hold", "moment",
	"lacks-number", "lacks-title", "lacks-officers", "lacks-party", "lacks-activity", "lacks-day", "lacks-ground", "lacks-review-body", "lacks-self-check",
	"lacks-record", "lacks-signature"}

func refused(why string) *Refused { return &Refused{Key: "rule-" + why} }

// How many events, and how many bytes of what they say, a case may have before no more material is taken in; it can be submitted, reviewed and
// decided all the same. A case is read whole, and these bound what that costs.
const (
	MaxEvents = 4000
	MaxBytes  = 8 << 20
)

// MaxDocument is the largest document, in bytes.
const MaxDocument = 2 << 30

// needed are the permissions that the acts take.
var needed = map[string]auth.Permission{ActOpened: auth.EditCases, ActSet: auth.EditCases, ActLinked: auth.LinkCases, ActUnlinked: auth.LinkCases,
	ActDocument: auth.EditCases, ActWithdrawn: auth.EditCases, ActSubmitted: auth.Submit, ActOpinion: auth.Opine, ActEscalated: auth.Submit,
	ActDetermined: auth.Determine, ActDecided: auth.Decide, ActHeld: auth.Hold, ActLifted: auth.Hold}

// permitted asks the table of permissions, which may change over the years, unlike the rules of step.
func (f *File) permitted(by auth.Account, act string) error {
	if !by.May(needed[act]) {
		return refused("role")
	}
	return nil
}

func (f *File) may(by auth.Account, act string, rule error) error {
	if err := f.permitted(by, act); err != nil {
		return err
	}
	return rule
}

// MaySee reports whether the account may see the case at all.
func (f *File) MaySee(by auth.Account) bool {
	return by.May(auth.SeeCases) && (!by.OwnBodyOnly() || SameBody(by.Body, f.Value(Body)))
}

// MayEdit says whether the account may change fields and documents now; *Refused why not.
func (f *File) MayEdit(by auth.Account) error { return f.may(by, ActSet, f.editable(by.Body)) }

// MayLink says whether the account may link and unlink recordings now.
func (f *File) MayLink(by auth.Account) error { return f.may(by, ActLinked, f.linkable(by.Body)) }

// MaySubmit says whether the account may submit the case now, and if something lacks, the first of it.
func (f *File) MaySubmit(by auth.Account) error {
	return f.may(by, ActSubmitted, f.submittable(by.Body))
}

// MayOpine says whether the account may give the review body's opinion now.
func (f *File) MayOpine(by auth.Account) error {
	return f.may(by, ActOpinion, f.reviewable(By{Account: by.ID, Body: by.Body}))
}

// MayEscalate says whether the account may put the case before the leader in charge now.
func (f *File) MayEscalate(by auth.Account) error {
	return f.may(by, ActEscalated, f.escalatable(by.Body))
}

// MayDetermine says whether the account may determine now.
func (f *File) MayDetermine(by auth.Account) error {
	return f.may(by, ActDetermined, f.determinable(by.Body))
}

// MayDecide says whether the account may write down the decision now.
func (f *File) MayDecide(by auth.Account) error { return f.may(by, ActDecided, f.decidable(by.Body)) }

// MayHold says whether the account may set a hold.
func (f *File) MayHold(by auth.Account) error { return f.permitted(by, ActHeld) }

// MayLift says whether there is a hold that the account may lift.
func (f *File) MayLift(by auth.Account) error {
	if !f.Held() {
		return refused("no-hold")
	}
	return f.permitted(by, ActLifted)
}

// BodyKey makes one text of all ways to write a body's name; SameBody compares by it.
func BodyKey(s string) string {
	return strings.Join(strings.Fields(cases.Fold().String(norm.NFKC.String(s))), " ")
}

// SameBody reports whether two names are one body's. No name is no body's.
func SameBody(a, b string) bool { return BodyKey(a) != "" && BodyKey(a) == BodyKey(b) }

// handled refuses everybody but the handling body.
func (f *File) handled(body string) error {
	if !SameBody(body, f.Value(Body)) {
		return refused("not-handler")
	}
	return nil
}

// loose refuses while the material may not be changed.
func (f *File) loose() error {
	switch f.State {
	case Open, Returned:
		if len(f.Events) >= MaxEvents || f.bytes >= MaxBytes {
			return refused("full")
		}
		return nil
	case InReview:
		return refused("frozen")
	}
	return refused("ended")
}

func (f *File) editable(body string) error {
	if err := f.handled(body); err != nil {
		return err
	}
	return f.loose()
}

// linkable lets the review body, once it is named, tie recordings to the case too.
func (f *File) linkable(body string) error {
	if f.handled(body) != nil && !SameBody(body, f.Value(ReviewBody)) {
		return refused("not-handler")
	}
	return f.loose()
}

func (f *File) submittable(body string) error {
	if err := f.handled(body); err != nil {
		return err
	}
	switch f.State {
	case Open, Returned:
	case InReview:
		return refused("in-review")
	default:
		return refused("ended")
	}
	if SameBody(f.Value(Body), f.Value(ReviewBody)) {
		return refused("same-body")
	}
	if lacks := f.Lacks(); len(lacks) > 0 {
		return &Refused{Key: lacks[0]}
	}
	return nil
}

// reviewable demands another body than the one that handles the case, and a person who never acted for that one.
func (f *File) reviewable(by By) error {
	if f.State != InReview {
		return refused("not-in-review")
	}
	if !SameBody(by.Body, f.Value(ReviewBody)) || SameBody(by.Body, f.Value(Body)) {
		return refused("not-reviewer")
	}
	for _, e := range f.Events {
		if e.Account == by.Account && SameBody(e.Body, f.Value(Body)) {
			return refused("handled")
		}
	}
	return nil
}

func (f *File) escalatable(body string) error {
	if err := f.handled(body); err != nil {
		return err
	}
	if f.State != Returned {
		return refused("not-returned")
	}
	if len(f.Rounds) < 2 {
		return refused("escalate-early")
	}
	return nil
}

func (f *File) determinable(body string) error {
	if f.State != Escalated {
		return refused("not-escalated")
	}
	if !SameBody(body, f.Value(Body)) {
		return refused("not-leader")
	}
	return nil
}

func (f *File) decidable(body string) error {
	if err := f.handled(body); err != nil {
		return err
	}
	if f.State != Agreed && f.State != Determined {
		return refused("not-agreed")
	}
	return nil
}

// Document returns the document of the case with this hash, unless it was withdrawn.
func (f *File) Document(hash evidence.Digest) (Document, bool) {
	for _, d := range f.Documents {
		if d.Hash == hash && d.Withdrawn == nil {
			return d, true
		}
	}
	return Document{}, false
}

// Lacks returns the keys of what a submission lacks (R9, R11): texts like those of Refused.
func (f *File) Lacks() (keys []string) {
	for _, k := range []Field{Number, Title, Officers, Party, Activity, Day, Ground, ReviewBody, SelfCheck} {
		if blank(f.Value(k)) {
			keys = append(keys, "rule-lacks-"+string(k))
		}
	}
	record, unsigned := false, false
	for _, d := range f.Documents {
		if d.Withdrawn != nil {
			continue
		}
		record = record || d.Kind == OnSiteRecord || d.Kind == InquiryRecord
		unsigned = unsigned || slices.Contains(NeedsSignature, d.Kind) && checkSignature(d) != nil
	}
	if !record {
		keys = append(keys, "rule-lacks-record")
	}
	if unsigned {
		keys = append(keys, "rule-lacks-signature")
	}
	return keys
}
