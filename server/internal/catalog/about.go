package catalog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// Standings of a recording among those of one original.
const (
	StandingNone   = 0
	StandingPartly = 1 // some of it is stored
	StandingClosed = 2 // it was closed with the whole source taken in
	StandingWhole  = 3 // and all of that is stored
)

// Original names a file as its recorder has it, whichever dock takes it in and however often: a digest over what tells it from others.
// It is empty if that can't be told: without a serial number, or without the file's own time.
func Original(f transport.KnownFile) string {
	if f.Serial == "" || f.Modified == 0 {
		return ""
	}
	h := sha256.New()
	h.Write([]byte("camseal original v1\n"))
	for _, part := range [][]byte{[]byte(f.Serial), []byte(f.Volume), f.Path} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, f.Size), f.Modified))
	return evidence.Digest(h.Sum(nil)).String()
}

func fileOf(s evidence.Source) transport.KnownFile {
	return transport.KnownFile{Serial: s.Serial, Volume: s.Volume, Path: s.RawPath(), Size: s.Size, Modified: s.Modified}
}

// kindOf says what a recording is by its type. What a recorder captures itself is footage, whatever it calls it.
func kindOf(o *evidence.Open) handoff.Kind {
	family, _, _ := strings.Cut(o.MediaType, "/")
	switch {
	case strings.EqualFold(family, "audio"):
		return handoff.KindSound
	case strings.EqualFold(family, "image"):
		return handoff.KindPhoto
	case strings.EqualFold(family, "video"), o.Mode == evidence.ModeCapture:
		return handoff.KindVideo
	}
	return handoff.KindOther
}

// fillSource writes into a new row what open says of where a recording was found.
func fillSource(row *db.Recording, o *evidence.Open) {
	s := o.Source
	row.Serial, row.Volume = verify.Display(s.Serial), verify.Display(s.Volume)
	row.Path = base64.StdEncoding.EncodeToString(s.RawPath())
	row.SourceSize, row.Modified, row.Original = int64(s.Size), int64(s.Modified), Original(fileOf(s))
	kind := kindOf(o)
	row.Kind, row.Footage = string(kind), number(kind.Footage())
	if o.Continues != nil {
		row.Continues = o.Continues.String()
	}
	if o.Sequence != nil {
		row.Sequence, row.SequenceIndex = o.Sequence.ID.String(), int64(o.Sequence.Index)
	}
}

func number(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// fillAbout writes what a batch says a recording is about. The first header's time stays; of everything else the newest counts.
func fillAbout(row *db.Recording, said []*evidence.Statement) error {
	for _, s := range said {
		switch b := s.Body.(type) {
		case *evidence.Header:
			at := sql.NullInt64{Int64: s.At, Valid: true}
			if !row.HeaderFirstAt.Valid {
				row.HeaderFirstAt = at
			}
			row.HeaderAt = at
			if err := fillHeader(row, b); err != nil {
				return err
			}
		case *evidence.Note:
			row.Note = verify.Display(strings.Join(strings.Fields(b.Text), " "))
		case *evidence.Mark:
			row.Marks++
		case *evidence.Release:
			row.Released = 1
		}
	}
	return nil
}

func fillHeader(row *db.Recording, h *evidence.Header) error {
	officers := make([]evidence.Officer, 0, len(h.Officers))
	for _, o := range h.Officers {
		officers = append(officers, evidence.Officer{Certificate: verify.Display(o.Certificate), Name: verify.Display(o.Name)})
	}
	raw, err := json.Marshal(officers)
	if err != nil {
		return err
	}
	row.Officers = string(raw)
	if h.Spoken != nil {
		row.Spoken = 1
	}
	row.Department, row.Cause, row.HeaderTime, row.Place = verify.Display(h.Department), verify.Display(h.Cause), verify.Display(h.Time), verify.Display(h.Place)
	row.Activity, row.CaseNumber, row.Confirmed = verify.Display(h.Activity), verify.Display(h.Case), verify.Display(h.Confirmed)
	return nil
}

// standing says how much of its original a recording is. What a recorder captured is the original itself, however it ended.
func standing(row db.Recording) int64 {
	whole := row.ClosedAt.Valid && (row.Why == evidence.WhyComplete || row.Mode == string(evidence.ModeCapture))
	switch {
	case whole && row.StoredClosed == 1 && row.StoredAbsent == 0:
		return StandingWhole
	case whole:
		return StandingClosed
	case row.StoredIndex.Valid:
		return StandingPartly
	}
	return StandingNone
}

// put writes a recording's row, what it can be found by, and which of the recordings of its original stands for all. old is the row as it
// was, zero if there was none: then the new one gets its number.
func put(ctx context.Context, q *db.Queries, old db.Recording, row *db.Recording) error {
	row.Standing = standing(*row)
	if old.Num == 0 {
		if err := enter(ctx, q, row); err != nil {
			return err
		}
	}
	if err := q.PutRecording(ctx, db.PutRecordingParams(*row)); err != nil {
		return err
	}
	if err := changeFacets(ctx, q, old, *row); err != nil || row.Original == "" {
		return err
	}
	return q.SetShown(ctx, row.Original)
}

// numberBits is how much of a recording's number tells it from others of its batch. The number comes from the log alone, so that it is the same
// after other recordings were disposed of.
const numberBits = 20

// enter fills in what a recording keeps from the moment it is opened.
func enter(ctx context.Context, q *db.Queries, row *db.Recording) error {
	dev, err := q.DeviceByID(ctx, row.Device)
	if err != nil {
		return err
	}
	row.Num, row.At, row.Grade = row.FirstIndex<<numberBits|row.OpenSeq&(1<<numberBits-1), row.Modified, string(verify.GradeOf(evidence.Class(dev.Class), evidence.Mode(row.Mode)))
	if row.At == 0 {
		row.At = row.OpenedAt
	}
	return nil
}

// isSaid reports whether a statement goes to table said.
func isSaid(k evidence.Kind) bool {
	switch k {
	case evidence.KindOpen, evidence.KindHeader, evidence.KindNote, evidence.KindMark, evidence.KindFault, evidence.KindClose, evidence.KindRelease:
		return true
	}
	return false
}

// writeSaid writes what a batch says about its recordings, each as it was said.
func writeSaid(ctx context.Context, q *db.Queries, w *Walked) error {
	for _, list := range w.said {
		for _, s := range list {
			body, err := json.Marshal(s.Body)
			if err != nil {
				return err
			}
			err = q.InsertSaid(ctx, db.InsertSaidParams{Device: s.Device.String(), Rec: s.Rec.String(), Seq: int64(s.Seq), At: s.At, Kind: string(s.Kind), Body: string(body)})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// writeUnrecorded writes an act that was not recorded, once: s is its unrecorded statement.
func writeUnrecorded(ctx context.Context, q *db.Queries, e ledger.Entry, s *evidence.Statement) error {
	b, ok := s.Body.(*evidence.Unrecorded)
	if !ok {
		return fmt.Errorf("statement %d is a %s", s.Seq, s.Kind)
	}
	return q.InsertUnrecorded(ctx, db.InsertUnrecordedParams{Device: s.Device.String(), Rec: s.Rec.String(), At: s.At, Activity: verify.Display(b.Activity),
		SaidBy: verify.Display(b.By), Reason: verify.Display(b.Reason), LogIndex: int64(e.Index)})
}
