package catalog

import (
	"context"
	"encoding/json"
	"fmt"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ingest/batch"
)

// Walked is a batch whose chain, seals and recordings were all checked, and where they stand after it.
type Walked struct {
	Batch    *batch.Batch
	State    verify.State
	Anchors  []uint64
	Unproven []verify.OrderUnproven
	Own      []*evidence.Statement // enrol, boots, and what the TPM counter counts
	Gaps     []verify.CounterGap
	recs     map[evidence.RecordingID]*verify.Recording

	said       map[evidence.RecordingID][]*evidence.Statement // what goes to table said, in order
	gone       map[evidence.RecordingID]bool                  // asked about; true: disposed of
	opens      []goneOpen                                     // counted ones whose words are gone
	unrecorded []*evidence.Statement
}

// Recordings returns the recordings that the batch speaks of, as they stand after it.
func (w *Walked) Recordings() []evidence.RecordingID {
	out := make([]evidence.RecordingID, 0, len(w.recs))
	for rec := range w.recs {
		out = append(out, rec)
	}
	return out
}

// Recording returns a recording as it stands after the batch; it must not be changed.
func (w *Walked) Recording(rec evidence.RecordingID) *verify.Recording { return w.recs[rec] }

// Walk checks that a batch goes on from where the device's chain stands: every head, seal and PCR value, and the rules of
// every recording. It is the one check of statements in the server, for what a device sends and for what the vault holds.
// Errors: *verify.ChainBreak, *verify.SealBreak and *verify.RecordingBreak. Nothing is changed on an error.
// What is said of a recording that was disposed of is only checked as a part of the chain.
func (c *Recordings) Walk(ctx context.Context, dev db.Device, b *batch.Batch) (*Walked, error) {
	return c.walk(ctx, c.cat.q, dev, b, nil)
}

// walk is Walk; opens is what the chain needs of recordings whose words are missing in b.
func (c *Recordings) walk(ctx context.Context, q *db.Queries, dev db.Device, b *batch.Batch, opens map[evidence.RecordingID]goneOpen) (*Walked, error) {
	chain, err := ResumeChain(dev)
	if err != nil {
		return nil, err
	}
	w := &Walked{Batch: b, recs: map[evidence.RecordingID]*verify.Recording{}, said: map[evidence.RecordingID][]*evidence.Statement{},
		gone: map[evidence.RecordingID]bool{}}
	for _, it := range b.Items {
		if it.Attested == nil && it.Raw == nil {
			err = w.goneStep(chain, it, opens[it.Rec])
		} else {
			err = c.step(ctx, q, chain, w, it)
		}
		if err != nil {
			return nil, err
		}
	}
	if chain.Unsealed() > 0 {
		return nil, fmt.Errorf("batch up to %d does not end with a seal", b.Upto)
	}
	w.State = chain.State()
	return w, nil
}

// goneStep takes in a statement of which the digest alone is left.
func (w *Walked) goneStep(chain *verify.Chain, it batch.Item, open goneOpen) error {
	var value *uint64
	if open.value != nil && open.seq == it.Seq {
		value = open.value
		w.opens = append(w.opens, open)
	}
	return chain.Disposed(evidence.Withheld{Digest: it.Digest, Rec: it.Rec, Seq: it.Seq}, value)
}

// isGone asks once for each recording of the batch.
func (w *Walked) isGone(ctx context.Context, q *db.Queries, rec evidence.RecordingID) (bool, error) {
	gone, asked := w.gone[rec]
	if asked {
		return gone, nil
	}
	gone, err := isGone(ctx, q, RecordingKey{Device: w.Batch.Device, Rec: rec})
	w.gone[rec] = gone
	return gone, err
}

func (c *Recordings) step(ctx context.Context, q *db.Queries, chain *verify.Chain, w *Walked, it batch.Item) error {
	if it.Attested != nil {
		if it.Attested.Count != nil {
			return chain.Count(*it.Attested.Count)
		}
		sealed, err := chain.Seal(*it.Attested.Seal)
		if err == nil && sealed.Unproven != nil {
			w.Unproven = append(w.Unproven, *sealed.Unproven)
		}
		w.Gaps = append(w.Gaps, sealed.Gaps...)
		return err
	}
	line, err := chain.Statement(it.Raw)
	if err != nil {
		return err
	}
	if ofDevice(line.Statement) {
		w.Own = append(w.Own, line.Statement)
	}
	if line.Rec.IsZero() {
		if line.Statement.Kind == evidence.KindAnchor {
			w.Anchors = append(w.Anchors, line.Seq)
		}
		return nil
	}
	if gone, err := w.isGone(ctx, q, line.Rec); err != nil || gone {
		return err
	}
	switch s := line.Statement; {
	case isSaid(s.Kind):
		w.said[s.Rec] = append(w.said[s.Rec], s)
	case s.Kind == evidence.KindUnrecorded:
		w.unrecorded = append(w.unrecorded, s)
	}
	r := w.recs[line.Rec]
	if r == nil {
		if r, err = c.take(ctx, RecordingKey{Device: line.Statement.Device, Rec: line.Rec}); err != nil {
			return err
		}
		w.recs[line.Rec] = r
	}
	return r.Add(line.Statement, line.Digest)
}

// ResumeChain goes on with a device's chain from its row.
func ResumeChain(dev db.Device) (*verify.Chain, error) {
	key, err := DeviceKey(dev)
	if err != nil {
		return nil, err
	}
	if dev.Chain == "" {
		return verify.NewChain(key), nil
	}
	s, err := ChainState(dev)
	if err != nil {
		return nil, err
	}
	return verify.Resume(key, s)
}

// ChainState is where a device's chain stands, from its row; dev.Chain must not be empty.
func ChainState(dev db.Device) (s verify.State, err error) {
	if err := json.Unmarshal([]byte(dev.Chain), &s); err != nil {
		return s, fmt.Errorf("chain state of device %s: %w", dev.Device, err)
	}
	return s, nil
}

// DeviceKey is the attestation key in a device's row.
func DeviceKey(dev db.Device) (*attestation.Key, error) {
	var ak evidence.Bytes
	if err := ak.UnmarshalText([]byte(dev.Ak)); err != nil {
		return nil, fmt.Errorf("key of device %s: %w", dev.Device, err)
	}
	return attestation.ParseKey(evidence.Class(dev.Class), ak)
}
