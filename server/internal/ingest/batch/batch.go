// Package batch is what a device sends in one go: statements and the seals that cover them, and how they lie in the vault.
//
// In the vault a batch is one object of whole statements for each recording that it speaks of (a part), and a skeleton with
// the digests of all its statements and its seals, so that one recording can be disposed of without breaking the chain.
package batch

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"camseal/pkg/evidence"
)

// Item is one line of a batch: a statement, or a seal or count record.
type Item struct {
	Raw      []byte
	Attested *evidence.Attested // nil for a statement
	Rec      evidence.RecordingID
	Seq      uint64 // of the statement; of a seal or count record, the one that it is about
	Digest   evidence.Digest
}

// Batch is a run of a device's statements with their seals and count records, in order. A count record stands after the seal
// that covers its statement, so that those of earlier statements stand ahead of the first. The last statement is sealed. It is
// immutable.
type Batch struct {
	Device evidence.DeviceID
	First  uint64 // seq of the first statement
	Upto   uint64 // seq of the last statement
	Head   evidence.Digest
	Items  []Item
}

// SyntaxError says which line is not in the form of the format.
type SyntaxError struct {
	Line int // from 1
	Err  error
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *SyntaxError) Unwrap() error { return e.Err }

// ParseUnverified reads JSON lines as a device sends them. It checks the form of each line, that numbers follow each other,
// that each seal stands right after the statement it covers, that count records stand behind a seal or at the very beginning, in
// ascending order and none ahead of its statement, and that the last statement is sealed. It checks no signature and no
// chain. Errors are *SyntaxError. The batch keeps references to body.
func ParseUnverified(body []byte) (*Batch, error) {
	b := &Batch{}
	p := parser{Batch: b, sealed: true}
	for n, raw := range bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n")) {
		if err := p.add(raw); err != nil {
			return nil, &SyntaxError{Line: n + 1, Err: err}
		}
	}
	switch {
	case p.statements == 0:
		return nil, &SyntaxError{Line: len(b.Items), Err: errors.New("no statement")}
	case !p.sealed:
		return nil, &SyntaxError{Line: len(b.Items), Err: errors.New("the last statement is not sealed")}
	}
	return b, nil
}

// parser reads a batch line by line.
type parser struct {
	*Batch
	statements int
	sealed     bool    // no statement so far lacks a seal
	counted    *uint64 // of the last count record
}

// sealPrefix is how every canonical seal and count line begins, and no statement.
var sealPrefix = []byte(`{"attest":`)

func (p *parser) add(raw []byte) error {
	if bytes.HasPrefix(raw, sealPrefix) {
		return p.addAttested(raw)
	}
	s, d, err := evidence.ParseUnverified(raw)
	if err != nil {
		return err
	}
	return p.addStatement(Item{Raw: raw, Rec: s.Rec, Seq: s.Seq, Digest: d}, s.Device)
}

func (p *parser) addStatement(it Item, device evidence.DeviceID) error {
	switch {
	case p.statements == 0:
		if p.counted != nil && *p.counted >= it.Seq {
			return fmt.Errorf("a count record of statement %d stands ahead of it", *p.counted)
		}
		p.Device, p.First = device, it.Seq
	case device != p.Device:
		return fmt.Errorf("statement of device %s among those of %s", device, p.Device)
	case it.Seq != p.Upto+1:
		return fmt.Errorf("statement %d follows statement %d", it.Seq, p.Upto)
	}
	p.Upto, p.sealed = it.Seq, false
	p.statements++
	p.Items = append(p.Items, it)
	return nil
}

func (p *parser) addAttested(raw []byte) error {
	a, err := evidence.ParseSealUnverified(raw)
	if err != nil {
		return err
	}
	it := Item{Raw: raw, Attested: &a}
	if a.Count != nil {
		it.Seq = a.Count.Seq
		switch {
		case !p.sealed:
			return fmt.Errorf("a count record of statement %d stands behind statement %d, which is not sealed yet", it.Seq, p.Upto)
		case p.statements > 0 && it.Seq > p.Upto, p.counted != nil && it.Seq <= *p.counted:
			return fmt.Errorf("a count record of statement %d does not stand in order", it.Seq)
		}
		p.counted = &it.Seq
		p.Items = append(p.Items, it)
		return nil
	}
	it.Seq, p.Head = a.Seal.Upto, a.Seal.Head
	if p.sealed || it.Seq != p.Upto {
		return fmt.Errorf("a seal over statement %d does not stand right after it", it.Seq)
	}
	p.sealed = true
	p.Items = append(p.Items, it)
	return nil
}

// Split cuts off what lies before statement seq: known holds the statements below it, rest is the batch from it on, nil if there is
// none. Rest begins with those count records of earlier statements that are owed; others of them are known too, and left out.
func (b *Batch) Split(seq uint64, owed []uint64) (known []Item, rest *Batch) {
	var counts []Item
	for i, it := range b.Items {
		switch {
		case it.Attested == nil && it.Seq >= seq:
			items := b.Items[i:]
			if i > 0 {
				items = append(counts, items...)
			}
			return known, &Batch{Device: b.Device, First: it.Seq, Upto: b.Upto, Head: b.Head, Items: items}
		case it.Attested == nil:
			known = append(known, it)
		case it.Attested.Count != nil && slices.Contains(owed, it.Seq):
			counts = append(counts, it)
		}
	}
	return known, nil
}
