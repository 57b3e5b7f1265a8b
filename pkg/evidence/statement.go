package evidence

import (
	"encoding/json"
	"fmt"
)

// Kind says what a statement is about.
type Kind string

// The kinds of statement; SPEC.md section 2 says what each means.
const (
	KindEnrol      Kind = "enrol"
	KindBoot       Kind = "boot"
	KindAnchor     Kind = "anchor"
	KindIntake     Kind = "intake"
	KindOpen       Kind = "open"
	KindChunk      Kind = "chunk"
	KindBeat       Kind = "beat"
	KindHeader     Kind = "header"
	KindMark       Kind = "mark"
	KindNote       Kind = "note"
	KindFault      Kind = "fault"
	KindClose      Kind = "close"
	KindUnrecorded Kind = "unrecorded"
	KindRelease    Kind = "release"
)

// Body is what a statement of one kind says; one Go type a kind.
type Body interface{ Kind() Kind }

// Statement is one thing that a device says. Once written it never changes; a correction is a further statement.
type Statement struct {
	At     int64       `json:"at"`     // the device's clock, milliseconds since 1970 UTC: a claim
	Body   Body        `json:"body"`   // what it says
	Device DeviceID    `json:"device"` // who says it
	Kind   Kind        `json:"kind"`   // of Body
	N      uint64      `json:"n"`      // running number among this device's statements of the same Rec
	Rec    RecordingID `json:"rec"`    // the recording, zeros for the device itself
	Salt   Salt        `json:"salt"`   // random, so that a withheld statement can't be guessed from its digest
	Seq    uint64      `json:"seq"`    // running number for the life of the device's key
	V      int         `json:"v"`      // Version
}

// NewStatement fills in what follows from the others: the kind and the version.
func NewStatement(device DeviceID, rec RecordingID, body Body) Statement {
	return Statement{Body: body, Device: device, Kind: body.Kind(), Rec: rec, V: Version}
}

// Encode writes the statement as its one line, without a line feed, and returns its digest D beside it.
func (s Statement) Encode() (line []byte, d Digest, err error) {
	if err := s.check(); err != nil {
		return nil, Digest{}, err
	}
	line, err = Encode(s)
	if err != nil {
		return nil, Digest{}, err
	}
	return line, Sum(line), nil
}

// ParseUnverified reads one statement and its digest D. It says nothing about who wrote it: only the chain and a seal do.
// Errors are *SyntaxError.
func ParseUnverified(line []byte) (Statement, Digest, error) {
	var s Statement
	if err := Decode(line, &s); err != nil {
		return Statement{}, Digest{}, err
	}
	if err := s.check(); err != nil {
		return Statement{}, Digest{}, err
	}
	return s, Sum(line), nil
}

// UnmarshalJSON chooses the body's type by the kind.
func (s *Statement) UnmarshalJSON(raw []byte) error {
	type plain Statement
	shell := struct {
		*plain
		Body json.RawMessage `json:"body"`
	}{plain: (*plain)(s)}
	if err := strictJSON(raw, &shell); err != nil {
		return err
	}
	body, err := newBody(s.Kind)
	if err != nil {
		return err
	}
	if err := strictJSON(shell.Body, body); err != nil {
		return fmt.Errorf("%s: %w", s.Kind, err)
	}
	s.Body = body
	return nil
}

func (s Statement) check() error {
	switch {
	case s.V != Version:
		return syntaxf("version %d, this is version %d", s.V, Version)
	case s.Body == nil || s.Body.Kind() != s.Kind:
		return syntaxf("kind %q does not fit the body", s.Kind)
	case ofDevice(s.Kind) != s.Rec.IsZero():
		return syntaxf("%s with recording %s", s.Kind, s.Rec)
	case s.Kind == KindEnrol && s.Seq != 0, s.Kind != KindEnrol && s.Seq == 0:
		return syntaxf("%s at seq %d: enrol is the first statement and no other", s.Kind, s.Seq)
	case s.At < 0:
		return syntaxf("at is negative")
	}
	if c, ok := s.Body.(interface{ check() error }); ok {
		return c.check()
	}
	return nil
}

// ofDevice reports whether statements of kind k belong to the device and not to a recording.
func ofDevice(k Kind) bool {
	return k == KindEnrol || k == KindBoot || k == KindAnchor || k == KindIntake
}

// Withheld stands in a bundle for a statement about another recording.
type Withheld struct {
	Digest Digest      `json:"digest"`
	Rec    RecordingID `json:"rec"`
	Seq    uint64      `json:"seq"`
}

// Line is one line of chain.jsonl: a whole statement, or a withheld one.
type Line struct {
	Statement *Statement // nil when withheld
	Rec       RecordingID
	Seq       uint64
	Digest    Digest
}

// ParseLineUnverified reads one line of chain.jsonl.
func ParseLineUnverified(line []byte) (Line, error) {
	s, d, err := ParseUnverified(line)
	if err == nil {
		return Line{Statement: &s, Rec: s.Rec, Seq: s.Seq, Digest: d}, nil
	}
	var w Withheld
	if Decode(line, &w) != nil {
		return Line{}, err
	}
	if w.Rec.IsZero() {
		return Line{}, syntaxf("a statement of the device itself is withheld")
	}
	return Line{Rec: w.Rec, Seq: w.Seq, Digest: w.Digest}, nil
}
