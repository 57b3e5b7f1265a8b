package casefile

import (
	"encoding/json"
	"errors"
	"strconv"

	"camseal/pkg/evidence"
)

// Apply adds an event in the order of the log. One that the state does not allow is kept among the events, as void, and changes nothing else.
func (f *File) Apply(e Event) {
	change, err := f.step(e)
	if err == nil {
		change()
	} else {
		e.Void = err.Error()
		if r := (*Refused)(nil); errors.As(err, &r) {
			e.Void = r.Key
		}
	}
	f.Events = append(f.Events, e)
	for k, v := range e.Detail {
		f.bytes += len(k) + len(v)
	}
}

// step says what an event changes, or with *Refused why the file does not allow it. It looks at nothing but the file and the event: these
// rules are part of the format, and what they made of a case once they always make of it.
func (f *File) step(e Event) (change func(), err error) {
	if e.Act != ActOpened && f.ID == "" {
		return nil, refused("unknown")
	}
	switch e.Act {
	case ActOpened:
		return f.open(e)
	case ActSet:
		return f.set(e)
	case ActLinked, ActUnlinked:
		return f.link(e)
	case ActDocument:
		return f.document(e)
	case ActWithdrawn:
		return f.withdraw(e)
	case ActSubmitted:
		return f.submit(e)
	case ActOpinion:
		return f.opine(e)
	case ActEscalated:
		return f.escalate(e)
	case ActDetermined:
		return f.determine(e)
	case ActDecided:
		return f.decide(e)
	case ActHeld, ActLifted:
		return f.hold(e)
	}
	return nil, refused("unknown")
}

func (f *File) open(e Event) (func(), error) {
	id, ok := ParseID(e.Detail[DetailCase])
	if !ok || f.ID != "" {
		return nil, refused("unknown")
	}
	if BodyKey(e.Body) == "" {
		return nil, refused("no-body")
	}
	values := map[Field][]Value{}
	for _, k := range Fields {
		text := e.Detail[firstKey(k)]
		if k == Body {
			text = e.Body
		}
		if text == "" {
			continue
		}
		if err := checkValue(k, text); err != nil {
			return nil, err
		}
		values[k] = []Value{{By: e.By, Text: text}}
	}
	if v := values[ReviewBody]; len(v) > 0 && SameBody(v[0].Text, e.Body) {
		return nil, refused("same-body")
	}
	return func() { f.ID, f.Opened, f.State, f.Values = id, e.By, Open, values }, nil
}

func (f *File) set(e Event) (func(), error) {
	if err := f.editable(e.Body); err != nil {
		return nil, err
	}
	k, text := Field(e.Detail[DetailField]), e.Detail[DetailText]
	if err := checkValue(k, text); err != nil {
		return nil, err
	}
	switch {
	case k == Body:
		return nil, refused("body-fixed")
	case k == ReviewBody && len(f.Rounds) > 0:
		return nil, refused("review-body-fixed")
	case k == ReviewBody && SameBody(text, f.Value(Body)):
		return nil, refused("same-body")
	case text == f.Value(k):
		return nil, refused("same-value")
	}
	return func() { f.Values[k] = append(f.Values[k], Value{By: e.By, Text: text}) }, nil
}

func (f *File) link(e Event) (func(), error) {
	if err := f.linkable(e.Body); err != nil {
		return nil, err
	}
	if e.Device == nil || e.Rec.IsZero() {
		return nil, refused("unknown")
	}
	at := -1
	for i, l := range f.Links {
		if l.Rec == e.Rec && l.Device == *e.Device && l.Unlinked == nil {
			at = i
		}
	}
	if e.Act == ActLinked {
		if at >= 0 {
			return nil, refused("linked")
		}
		return func() { f.Links = append(f.Links, Link{By: e.By, Device: *e.Device, Rec: e.Rec}) }, nil
	}
	if at < 0 {
		return nil, refused("not-linked")
	}
	if err := needText(e); err != nil {
		return nil, err
	}
	return func() { f.Links[at].Unlinked, f.Links[at].Reason = &e.By, e.Detail[DetailText] }, nil
}

func (f *File) document(e Event) (func(), error) {
	if err := f.editable(e.Body); err != nil {
		return nil, err
	}
	d := Document{By: e.By, Name: e.Detail[DetailName], MediaType: e.Detail[DetailMediaType], Kind: e.Detail[DetailKind],
		Signature: e.Detail[DetailSignature], Refusal: e.Detail[DetailRefusal]}
	var err error
	if d.Hash, err = evidence.ParseDigest(e.Detail[DetailDocument]); err != nil {
		return nil, refused("unknown")
	}
	if d.Size, err = strconv.ParseInt(e.Detail[DetailSize], 10, 64); err != nil {
		return nil, refused("unknown")
	}
	if err := CheckDocument(d); err != nil {
		return nil, err
	}
	if _, there := f.Document(d.Hash); there {
		return nil, refused("document-there")
	}
	return func() { f.Documents = append(f.Documents, d) }, nil
}

func (f *File) withdraw(e Event) (func(), error) {
	if err := f.editable(e.Body); err != nil {
		return nil, err
	}
	if err := needText(e); err != nil {
		return nil, err
	}
	for i, d := range f.Documents {
		if d.Withdrawn == nil && d.Hash.String() == e.Detail[DetailDocument] {
			return func() { f.Documents[i].Withdrawn, f.Documents[i].Reason = &e.By, e.Detail[DetailText] }, nil
		}
	}
	return nil, refused("no-document")
}

func (f *File) submit(e Event) (func(), error) {
	if err := f.submittable(e.Body); err != nil {
		return nil, err
	}
	mended := e.Detail[DetailText]
	if len(mended) > MaxText {
		return nil, refused("too-long")
	}
	if len(f.Rounds) > 0 && blank(mended) {
		return nil, refused("mended")
	}
	due, err := strconv.ParseInt(e.Detail[DetailDue], 10, 64)
	if err != nil {
		return nil, refused("unknown")
	}
	return func() {
		f.Rounds = append(f.Rounds, Round{Submitted: e.By, Mended: mended, Due: due})
		f.State = InReview
	}, nil
}

func (f *File) opine(e Event) (func(), error) {
	if err := f.reviewable(e.By); err != nil {
		return nil, err
	}
	o := Opinion{By: e.By, Agree: e.Detail[DetailAgree] == yes, Text: e.Detail[DetailText]}
	if e.Detail[DetailAgree] != yes && e.Detail[DetailAgree] != no {
		return nil, refused("unknown")
	}
	if err := json.Unmarshal([]byte(e.Detail[DetailChecks]), &o.Checks); err != nil {
		return nil, refused("checks")
	}
	if err := f.checkOpinion(o); err != nil {
		return nil, err
	}
	return func() {
		f.Rounds[len(f.Rounds)-1].Opinion = &o
		if f.State = Returned; o.Agree {
			f.State = Agreed
		}
	}, nil
}

func (f *File) escalate(e Event) (func(), error) {
	if err := f.escalatable(e.Body); err != nil {
		return nil, err
	}
	if err := needText(e); err != nil {
		return nil, err
	}
	return func() { f.Escalation, f.State = &Escalation{By: e.By, Text: e.Detail[DetailText]}, Escalated }, nil
}

func (f *File) determine(e Event) (func(), error) {
	if err := f.determinable(e.Body); err != nil {
		return nil, err
	}
	if err := needText(e); err != nil {
		return nil, err
	}
	if g := e.Detail[DetailGo]; g != yes && g != no {
		return nil, refused("unknown")
	}
	d := &Determination{By: e.By, Text: e.Detail[DetailText], Go: e.Detail[DetailGo] == yes}
	return func() {
		f.Determination = d
		if f.State = Refusal; d.Go {
			f.State = Determined
		}
	}, nil
}

func (f *File) decide(e Event) (func(), error) {
	if err := f.decidable(e.Body); err != nil {
		return nil, err
	}
	if err := needText(e); err != nil {
		return nil, err
	}
	return func() { f.Decision, f.State = &Decision{By: e.By, Text: e.Detail[DetailText]}, Decided }, nil
}

func (f *File) hold(e Event) (func(), error) {
	if err := needText(e); err != nil {
		return nil, err
	}
	if e.Act == ActHeld {
		return func() { f.Holds = append(f.Holds, HoldOn{By: e.By, Reason: e.Detail[DetailText]}) }, nil
	}
	for i := len(f.Holds) - 1; i >= 0; i-- {
		if f.Holds[i].Lifted == nil {
			return func() { f.Holds[i].Lifted, f.Holds[i].LiftReason = &e.By, e.Detail[DetailText] }, nil
		}
	}
	return nil, refused("no-hold")
}
