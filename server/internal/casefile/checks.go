package casefile

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

func blank(s string) bool { return strings.TrimSpace(s) == "" }

func needText(e Event) error { return CheckText(e.Detail[DetailText], MaxText) }

// CheckText demands a text of some and at most max bytes of UTF-8.
func CheckText(text string, max int) error {
	switch {
	case blank(text):
		return refused("no-text")
	case len(text) > max:
		return refused("too-long")
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return refused("text")
	}
	return nil
}

// checkValue checks one field's value by itself.
func checkValue(k Field, text string) error {
	ok := slices.Contains(Fields, k)
	switch {
	case len(text) > MaxField:
		return refused("too-long")
	case ok && blank(text):
		return refused("no-text")
	case k == Day:
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return refused("day")
		}
	case k == Ground:
		ok = slices.Contains(Grounds, text)
	case k == Activity:
		ok = slices.Contains(Activities, text)
	}
	if !ok {
		return refused("value")
	}
	return nil
}

// CheckDocument checks what is said about a document.
func CheckDocument(d Document) error {
	switch {
	case len(d.Name) > MaxField || len(d.Refusal) > MaxField:
		return refused("too-long")
	case !slices.Contains(DocumentKinds, d.Kind):
		return refused("value")
	case d.Size <= 0:
		return refused("document-empty")
	case d.Size > MaxDocument:
		return refused("document-large")
	}
	return checkSignature(d)
}

// checkSignature holds R9: what touches the party's rights is signed, or it says why not.
func checkSignature(d Document) error {
	switch d.Signature {
	case Signed:
		return nil
	case RefusedToSign:
		if blank(d.Refusal) {
			return refused("refusal")
		}
		return nil
	case NotNeeded:
		if !slices.Contains(NeedsSignature, d.Kind) {
			return nil
		}
	}
	return refused("signature")
}

// checkOpinion demands an answer to each item (R12), and that problems are named.
func (f *File) checkOpinion(o Opinion) error {
	if len(o.Text) > MaxText {
		return refused("too-long")
	}
	answered, problems := map[string]bool{}, 0
	for _, c := range o.Checks {
		if answered[c.Item] || !slices.Contains(CheckItems, c.Item) || !slices.Contains([]string{OK, Problem, NotApplicable}, c.Result) {
			return refused("checks")
		}
		answered[c.Item] = true
		if c.Result == Problem {
			if problems++; blank(c.Text) {
				return refused("check-text")
			}
		}
		if err := f.checkPlaces(c); err != nil {
			return err
		}
	}
	switch {
	case len(answered) != len(CheckItems):
		return refused("checks")
	case o.Agree && problems > 0:
		return refused("agree-problem")
	case !o.Agree && problems == 0:
		return refused("problem-none")
	case !o.Agree && blank(o.Text):
		return refused("no-text")
	}
	return nil
}

// checkPlaces demands that moments and pages are of the case's own material.
func (f *File) checkPlaces(c Check) error {
	linked := f.Linked()
	for _, m := range c.Moments {
		if !slices.ContainsFunc(linked, func(l Link) bool { return l.Rec == m.Rec }) {
			return refused("check-places")
		}
	}
	for _, p := range c.Pages {
		if _, ok := f.Document(p.Document); !ok || p.Page < 1 {
			return refused("check-places")
		}
	}
	return nil
}
