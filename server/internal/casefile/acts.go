package casefile

import (
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
)

// Acts of custody events that make a case.
const (
	ActOpened     = "case-opened"
	ActSet        = "case-field-set"
	ActLinked     = "case-linked"
	ActUnlinked   = "case-unlinked"
	ActDocument   = "case-document-added"
	ActWithdrawn  = "case-document-withdrawn"
	ActSubmitted  = "case-submitted"
	ActOpinion    = "case-opinion"
	ActEscalated  = "case-escalated"
	ActDetermined = "case-determined"
	ActDecided    = "case-decided"
	ActHeld       = "case-held"
	ActLifted     = "case-hold-lifted"
)

// Acts are all of them.
var Acts = []string{ActOpened, ActSet, ActLinked, ActUnlinked, ActDocument, ActWithdrawn, ActSubmitted, ActOpinion, ActEscalated, ActDetermined,
	ActDecided, ActHeld, ActLifted}

// Keys of the events' details. An opening also carries the first values, each under firstKey.
const (
	DetailCase      = "case"
	DetailAccount   = "account"
	DetailBody      = "body" // the person's
	DetailRole      = "role"
	DetailField     = "field"
	DetailText      = "text" // the value of a field; what was mended, said, decided; the reason of an unlinking, withdrawal or hold
	DetailDocument  = "document"
	DetailSize      = "size"
	DetailName      = "name"
	DetailMediaType = "media_type"
	DetailKind      = "kind"
	DetailSignature = "signature"
	DetailRefusal   = "refusal"
	DetailDue       = "due"
	DetailAgree     = "agree"
	DetailChecks    = "checks"
	DetailGo        = "go"

	fieldPrefix = "field_"
	yes         = "yes"
	no          = "no"
)

// Bounds of what people write, in bytes.
const (
	MaxField  = 16 << 10
	MaxText   = 32 << 10
	maxDetail = 60 << 10 // an event as a line of JSON stays below evidence.MaxLine
)

// Answer writes a yes or no into a detail.
func Answer(b bool) string {
	if b {
		return yes
	}
	return no
}

// firstKey is where an opening's detail has a field's first value; a detail's keys are of a-z and _.
func firstKey(k Field) string { return fieldPrefix + strings.ReplaceAll(string(k), "-", "_") }

// ParseID reads a case's id. Anything but 32 lower-case hexadecimal digits is none.
func ParseID(s string) (ID, bool) {
	if b, err := hex.DecodeString(s); err != nil || len(b) != 16 || strings.ToLower(s) != s {
		return "", false
	}
	return ID(s), true
}

// FromCustody returns what a custody event says about a case; false if it is about none.
func FromCustody(ev *evidence.CustodyEvent, index uint64) (Event, ID, bool) {
	id, ok := ParseID(ev.Detail[DetailCase])
	if !ok || !slices.Contains(Acts, ev.Act) {
		return Event{}, "", false
	}
	return Event{By: By{Account: ev.Detail[DetailAccount], Actor: ev.Actor, Body: ev.Detail[DetailBody], At: ev.At, Index: index},
		Act: ev.Act, Detail: ev.Detail, Device: ev.Device, Rec: ev.Rec}, id, true
}

// newEvent is an act of an account that is to be checked and recorded.
func newEvent(by auth.Account, id ID, act string, more evidence.Detail) Event {
	d := evidence.Detail{DetailCase: string(id), DetailAccount: by.ID, DetailBody: by.Body, DetailRole: string(by.Role)}
	for k, v := range more {
		d[k] = v
	}
	return Event{By: By{Account: by.ID, Actor: by.Actor(), Body: by.Body}, Act: act, Detail: d}
}

// Act makes the event of an act of by on the file, and says with *Refused why it may not be done now. When it is recorded and applied, it
// does what it says, if nothing else was applied between.
func (f *File) Act(by auth.Account, act string, more evidence.Detail, device *evidence.DeviceID, rec evidence.RecordingID) (Event, error) {
	if err := f.permitted(by, act); err != nil {
		return Event{}, err
	}
	return f.event(by, f.ID, act, more, device, rec)
}

// Opening makes the event that begins a case of the account's own body.
func Opening(by auth.Account, id ID, values map[Field]string) (Event, error) {
	f := &File{}
	if err := f.permitted(by, ActOpened); err != nil {
		return Event{}, err
	}
	more := evidence.Detail{}
	for k, v := range values {
		if !slices.Contains(Fields, k) {
			return Event{}, refused("value")
		}
		if v != "" {
			more[firstKey(k)] = v
		}
	}
	if b := values[Body]; b != "" && !SameBody(b, by.Body) {
		return Event{}, refused("body-fixed")
	}
	more[firstKey(Body)] = by.Body
	return f.event(by, id, ActOpened, more, nil, evidence.RecordingID{})
}

func (f *File) event(by auth.Account, id ID, act string, more evidence.Detail, device *evidence.DeviceID, rec evidence.RecordingID) (Event, error) {
	e := newEvent(by, id, act, more)
	e.Device, e.Rec = device, rec
	for _, v := range e.Detail {
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return Event{}, refused("text")
		}
	}
	if raw, err := evidence.Encode(e.Detail); err != nil || len(raw) > maxDetail {
		return Event{}, refused("too-long")
	}
	if _, err := f.step(e); err != nil {
		return Event{}, err
	}
	return e, nil
}
