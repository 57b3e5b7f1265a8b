package spool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"camseal/pkg/evidence"
)

// Entry is one statement to be made, with what belongs to it.
type Entry struct {
	Rec       evidence.RecordingID // zeros for the device itself
	Body      evidence.Body
	Origin    *Origin // with an open: where its bytes come from
	File      *Temp   // with a chunk: its bytes
	HashState []byte  // with a chunk: state of the whole file's SHA-256 after it
	Again     *Again  // with an open: what it takes in again
	Live      bool    // with an open: the recording is made as it goes
	Docked    *Docked // with an open: what the dock knows of it
	anchor    *anchor // with an anchor
}

// Again names what an open takes in again: the chunks of Rec from index At on. Of a captured recording, whose chunks have no one size, those up to
// before To are one chunk of the new one.
type Again struct {
	Rec evidence.RecordingID
	At  uint64
	To  uint64
}

// Said is a statement as it stands in the chain.
type Said struct {
	Seq    uint64
	Digest evidence.Digest
}

// Append makes statements, in order and all or none: it gives them seq, n, time and salt, and writes them, the end of the chain and
// the state of their recordings in one transaction. When it returns they survive a power cut, and so do the bytes of
// their chunks. Errors: ErrFull and ErrForked (nothing was written; the files of the entries are as before), ErrNotEnrolled.
func (s *Spool) Append(ctx context.Context, entries ...Entry) ([]Said, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i := range entries {
		if f := entries[i].File; f != nil {
			if err := f.place(entries[i]); err != nil {
				return nil, err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next, said := s.meta, make([]Said, 0, len(entries))
	var fresh uint64
	err := s.commit(func(t txn) error {
		recs := map[evidence.RecordingID]*Recording{}
		for _, e := range entries {
			d, err := s.say(t, &next, recs, e)
			if err != nil {
				return err
			}
			said = append(said, d)
		}
		for _, r := range recs {
			if err := t.putJSON(keyRecording(r.ID), r); err != nil {
				return err
			}
		}
		return t.putJSON(keyMeta, next)
	})
	if err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	s.meta = next
	for _, e := range entries {
		if e.File != nil {
			s.promise -= e.File.max
			s.held += int64(e.File.size)
			e.File.done = true
		}
		fresh += s.lostBytes(e)
	}
	s.held -= int64(fresh)
	s.wake()
	select {
	case s.notify <- struct{}{}:
	default:
	}
	return said, nil
}

// say writes one statement into the transaction.
func (s *Spool) say(t txn, m *meta, recs map[evidence.RecordingID]*Recording, e Entry) (Said, error) {
	if en, ok := e.Body.(*evidence.Enrol); ok {
		if m.Next != 0 {
			return Said{}, fmt.Errorf("%w: this device has an identity already", errOrder)
		}
		if m.Device == (evidence.DeviceID{}) {
			return Said{}, fmt.Errorf("%w: enrol of %d bytes without a device", errOrder, len(en.AK))
		}
	} else if m.Next == 0 {
		return Said{}, ErrNotEnrolled
	}
	st := evidence.NewStatement(m.Device, e.Rec, e.Body)
	st.Seq, st.At = m.Next, max(0, s.cfg.Now().UnixMilli())
	if _, err := rand.Read(st.Salt[:]); err != nil {
		return Said{}, err
	}
	var r *Recording
	if e.Rec.IsZero() {
		st.N = m.N
		m.N++
		if e.anchor != nil {
			m.Anchor = *e.anchor
		}
		switch st.Kind {
		case evidence.KindBoot:
			m.Boot = st.Seq
		case evidence.KindIntake:
			m.Intake = st.Seq
		}
	} else {
		var err error
		if r, err = s.recordingFor(t, m, recs, e); err != nil {
			return Said{}, err
		}
		r.Branch = len(m.Parts)
		st.N = r.N
		r.N++
		r.Last = st.Seq
	}
	line, d, err := st.Encode()
	if err != nil {
		return Said{}, err
	}
	m.Head = evidence.NextHead(st.Seq, e.Rec, m.Head, d)
	m.Next++
	if err := t.Set(keyStatement(st.Seq), append(m.Head[:], line...)); err != nil {
		return Said{}, err
	}
	if err := t.count(&st, m.Head); err != nil {
		return Said{}, err
	}
	if st.Kind == evidence.KindEnrol {
		if err := t.Set(keyEnrol, line); err != nil {
			return Said{}, err
		}
	}
	said := Said{Seq: st.Seq, Digest: d}
	if r != nil {
		err = track(t, m, r, e, said)
	}
	return said, err
}

func (s *Spool) recordingFor(t txn, m *meta, recs map[evidence.RecordingID]*Recording, e Entry) (*Recording, error) {
	if r := recs[e.Rec]; r != nil {
		return r, nil
	}
	r := &Recording{}
	err := t.json(keyRecording(e.Rec), r)
	open, opens := e.Body.(*evidence.Open)
	_, unrecorded := e.Body.(*evidence.Unrecorded)
	switch {
	case err == nil && (r.Gone || m.left(r)), opens && m.Base != nil && open.Intake != 0 && open.Intake <= m.Base.Seq:
		return nil, ErrForked
	case (opens || unrecorded) && errors.Is(err, ErrNotFound):
		r = &Recording{ID: e.Rec}
	case err != nil:
		return nil, fmt.Errorf("recording %s: %w", e.Rec, err)
	case opens || unrecorded:
		return nil, fmt.Errorf("%w: recording %s is there already", errOrder, e.Rec)
	}
	recs[e.Rec] = r
	return r, nil
}

// track brings the recording's state up to the statement.
func track(t txn, m *meta, r *Recording, e Entry, said Said) error {
	switch b := e.Body.(type) {
	case *evidence.Open:
		r.Source, r.MediaType, r.ChunkSize, r.Intake = b.Source, b.MediaType, b.ChunkSize, b.Intake
		r.Mode, r.Live = b.Mode, e.Live
		r.OpenSeq, r.Open = said.Seq, said.Digest
		if e.Origin != nil {
			r.Origin = *e.Origin
		}
		if e.Again != nil {
			if err := r.takesAgain(t, *e.Again); err != nil {
				return err
			}
		}
		m.Recordings++
		if err := t.Set(keyPending(said.Seq, r.ID), nil); err != nil {
			return err
		}
		if err := r.dock(t, e.Docked); err != nil {
			return err
		}
		id := Identity(b.Source)
		return t.Set(key('k', id[:], r.ID[:]), nil)
	case *evidence.Chunk:
		if r.Closed || b.Index != r.Next || b.Offset != r.Offset || e.File == nil || uint64(e.File.size) != b.Size {
			return fmt.Errorf("%w: chunk %d of %s", errOrder, b.Index, r.ID)
		}
		r.Next++
		r.Offset += b.Size
		r.HeldBytes += b.Size
		r.HashState = e.HashState
		return t.Set(keyChunk(r.ID, b.Index), Chunk{Seq: said.Seq, Size: b.Size, Hash: b.Hash, Digest: said.Digest}.encode())
	case *evidence.Close:
		if r.Closed {
			return fmt.Errorf("%w: %s is closed already", errOrder, r.ID)
		}
		r.Closed, r.CloseSeq, r.Close, r.Hash, r.Why = true, said.Seq, said.Digest, b.Hash, b.Why
		r.HashState = nil
	case *evidence.Fault:
		if b.Why == evidence.WhyLost {
			return r.lose(t, b.Chunks)
		}
	default:
		return r.tell(t, b, said)
	}
	return nil
}

// takesAgain notes on both sides that r takes in again what is held of another recording.
func (r *Recording) takesAgain(t txn, a Again) error {
	var old Recording
	if err := t.json(keyRecording(a.Rec), &old); err != nil {
		return err
	}
	r.From, r.FromAt, r.FromTo, old.Again = a.Rec, a.At, a.To, r.ID
	return t.putJSON(keyRecording(a.Rec), old)
}

// lose notes chunks declared lost.
func (r *Recording) lose(t txn, indexes []uint64) error {
	for _, i := range indexes {
		if i < r.Covered || i >= r.Next || slices.Contains(r.Absent, i) {
			return fmt.Errorf("%w: chunk %d of %s can't be lost", errOrder, i, r.ID)
		}
		raw, err := t.bytes(keyChunk(r.ID, i))
		if err != nil {
			return err
		}
		c, err := decodeChunk(i, raw)
		if err != nil {
			return err
		}
		r.HeldBytes -= c.Size
		r.Absent = append(r.Absent, i)
	}
	slices.Sort(r.Absent)
	return nil
}

// lostBytes returns how many held bytes a committed fault gave up.
func (s *Spool) lostBytes(e Entry) (n uint64) {
	f, ok := e.Body.(*evidence.Fault)
	if !ok || f.Why != evidence.WhyLost {
		return 0
	}
	for _, i := range f.Chunks {
		if c, err := s.Chunk(e.Rec, i); err == nil {
			n += c.Size
		}
	}
	return n
}

// Enrol makes the chain's first statement. Durable. It fails if there is one already.
func (s *Spool) Enrol(ctx context.Context, device evidence.DeviceID, body *evidence.Enrol) error {
	s.mu.Lock()
	if s.meta.Next == 0 {
		s.meta.Device = device
		s.meta.Head = evidence.FirstHead(device)
	}
	s.mu.Unlock()
	_, err := s.Append(ctx, Entry{Body: body})
	return err
}

// DeclareLost says by faults that chunks are gone or damaged, moves what is left of them to quarantine, and takes them out of the
// queue. Durable. Chunks that are declared already, or released, are passed over.
func (s *Spool) DeclareLost(ctx context.Context, id evidence.RecordingID, indexes []uint64, detail string) error {
	r, err := s.Recording(id)
	if err != nil {
		return err
	}
	var gone []uint64
	for _, i := range indexes {
		if i >= r.Covered && i < r.Next && !slices.Contains(r.Absent, i) {
			gone = append(gone, i)
		}
	}
	for part := range slices.Chunk(gone, 1024) {
		if _, err := s.Append(ctx, Entry{Rec: id, Body: &evidence.Fault{Why: evidence.WhyLost, Chunks: part, Detail: detail}}); err != nil {
			return err
		}
		for _, i := range part {
			s.quarantine(chunkName(id, i))
		}
	}
	return nil
}

func (s *Spool) now() time.Time { return s.cfg.Now() }
