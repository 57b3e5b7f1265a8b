// Package batch is what a device sends in one go: statements and the seals that cover them, and how they lie in the vault.
//
// In the vault a batch is one object of whole statements for each recording that it speaks of (a part), and a skeleton with
// the digests of all its statements and its seals, so that one recording can be disposed of without breaking the chain.
package batch

import (
	"bytes"
	"errors"
	"fmt"

	"camseal/pkg/evidence"
)

// Item is one line of a batch: a statement, or a seal or count record.
type Item struct {
	Raw      []byte
	Attested *evidence.Attested // nil for a statement
	Rec      evidence.RecordingID
	Seq      uint64 // of the statement; of a seal, what it covers
	Digest   evidence.Digest
}

// Batch is a run of a device's statements with their seals, in order. The last item is a seal. It is immutable.
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
// that each seal stands right after the statement it covers, and that the last line is a seal. It checks no signature and no
// chain. Errors are *SyntaxError. The batch keeps references to body.
func ParseUnverified(body []byte) (*Batch, error) {
	b := &Batch{}
	for n, raw := range bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n")) {
		if err := b.add(raw); err != nil {
			return nil, &SyntaxError{Line: n + 1, Err: err}
		}
	}
	if len(b.Items) == 0 || b.Items[len(b.Items)-1].Attested == nil {
		return nil, &SyntaxError{Line: len(b.Items), Err: errors.New("the last line is not a seal")}
	}
	return b, nil
}

// sealPrefix is how every canonical seal and count line begins, and no statement.
var sealPrefix = []byte(`{"attest":`)

func (b *Batch) add(raw []byte) error {
	if bytes.HasPrefix(raw, sealPrefix) {
		return b.addSeal(raw)
	}
	s, d, err := evidence.ParseUnverified(raw)
	if err != nil {
		return err
	}
	return b.addStatement(Item{Raw: raw, Rec: s.Rec, Seq: s.Seq, Digest: d}, s.Device)
}

func (b *Batch) addStatement(it Item, device evidence.DeviceID) error {
	switch {
	case len(b.Items) == 0:
		b.Device, b.First = device, it.Seq
	case device != b.Device:
		return fmt.Errorf("statement of device %s among those of %s", device, b.Device)
	case it.Seq != b.Upto+1:
		return fmt.Errorf("statement %d follows statement %d", it.Seq, b.Upto)
	}
	b.Upto = it.Seq
	b.Items = append(b.Items, it)
	return nil
}

func (b *Batch) addSeal(raw []byte) error {
	a, err := evidence.ParseSealUnverified(raw)
	if err != nil {
		return err
	}
	it := Item{Raw: raw, Attested: &a}
	if a.Seal != nil {
		it.Seq, b.Head = a.Seal.Upto, a.Seal.Head
	} else {
		it.Seq = a.Count.Seq
	}
	if len(b.Items) == 0 || it.Seq != b.Upto {
		return fmt.Errorf("a seal or count over statement %d does not stand right after it", it.Seq)
	}
	b.Items = append(b.Items, it)
	return nil
}

// Split cuts off what lies before statement seq: known holds the statements below it, rest is the batch from it on, nil if
// there is none.
func (b *Batch) Split(seq uint64) (known []Item, rest *Batch) {
	at := len(b.Items)
	for i, it := range b.Items {
		if it.Attested == nil && it.Seq >= seq {
			at = i
			break
		}
		if it.Attested == nil {
			known = append(known, it)
		}
	}
	if at == len(b.Items) {
		return known, nil
	}
	return known, &Batch{Device: b.Device, First: b.Items[at].Seq, Upto: b.Upto, Head: b.Head, Items: b.Items[at:]}
}
