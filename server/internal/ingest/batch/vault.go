package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/archive"
)

// Part names the object that holds one recording's statements of a batch.
type Part struct {
	Rec     evidence.RecordingID `json:"rec"`
	First   uint64               `json:"first"` // seq of its first statement
	Key     string               `json:"key"`
	Version string               `json:"version"`
	Hash    evidence.Digest      `json:"hash"`
	Size    uint64               `json:"size"`
}

// Ref says where the part lies.
func (p Part) Ref() archive.Ref {
	return archive.Ref{Key: p.Key, Version: p.Version, Hash: p.Hash, Size: int64(p.Size)}
}

// header is the first line of a skeleton.
type header struct {
	Device evidence.DeviceID `json:"device"`
	First  uint64            `json:"first"`
	Head   evidence.Digest   `json:"head"`
	Parts  uint64            `json:"parts"` // lines of Part that follow
	Type   string            `json:"type"`
	Upto   uint64            `json:"upto"`
	V      int               `json:"v"`
}

const (
	skeletonType = "batch"
	maxObject    = 2 * transport.MaxBatch // bytes of a skeleton or part
)

// Write archives the batch: the parts, then the skeleton that names them. Safe to redo; durable when it returns.
func (b *Batch) Write(ctx context.Context, v archive.Vault, until time.Time) error {
	parts, err := b.writeParts(ctx, v, until)
	if err != nil {
		return err
	}
	skeleton, err := b.skeleton(parts)
	if err != nil {
		return err
	}
	hash := evidence.Sum(skeleton)
	return put(ctx, v, archive.BatchKey(b.Device, b.Upto, b.Head, hash), skeleton, until, nil)
}

func (b *Batch) writeParts(ctx context.Context, v archive.Vault, until time.Time) ([]Part, error) {
	var parts []Part
	at := map[evidence.RecordingID]int{}
	var bodies []*bytes.Buffer
	for _, it := range b.Items {
		if it.Attested != nil {
			continue
		}
		i, ok := at[it.Rec]
		if !ok {
			i = len(parts)
			at[it.Rec] = i
			parts = append(parts, Part{Rec: it.Rec, First: it.Seq})
			bodies = append(bodies, &bytes.Buffer{})
		}
		bodies[i].Write(it.Raw)
		bodies[i].WriteByte('\n')
	}
	for i := range parts {
		p, body := &parts[i], bodies[i].Bytes()
		p.Hash, p.Size = evidence.Sum(body), uint64(len(body))
		if p.Rec.IsZero() {
			p.Key = archive.DeviceStatementsKey(b.Device, p.First, p.Hash)
		} else {
			p.Key = archive.StatementsKey(b.Device, p.Rec, p.First, p.Hash)
		}
		if err := put(ctx, v, p.Key, body, until, p); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

func (b *Batch) skeleton(parts []Part) ([]byte, error) {
	var out bytes.Buffer
	line := func(v any) error {
		raw, err := evidence.Encode(v)
		out.Write(raw)
		out.WriteByte('\n')
		return err
	}
	h := header{Device: b.Device, First: b.First, Upto: b.Upto, Head: b.Head, Parts: uint64(len(parts)), Type: skeletonType, V: evidence.Version}
	if err := line(h); err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := line(p); err != nil {
			return nil, err
		}
	}
	for _, it := range b.Items {
		if it.Attested == nil {
			if err := line(evidence.Withheld{Digest: it.Digest, Rec: it.Rec, Seq: it.Seq}); err != nil {
				return nil, err
			}
		}
	}
	for _, it := range b.Items {
		if it.Attested != nil {
			out.Write(it.Raw)
			out.WriteByte('\n')
		}
	}
	return out.Bytes(), nil
}

func put(ctx context.Context, v archive.Vault, key string, body []byte, until time.Time, p *Part) error {
	o := archive.Object{Key: key, Size: int64(len(body)), Hash: evidence.Sum(body), Until: until}
	held, err := v.Put(ctx, o, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("archive %s: %w", key, err)
	}
	if p != nil {
		p.Version = held.Version
	}
	return nil
}

// Skeleton is a batch without the words of its statements.
type Skeleton struct {
	Device evidence.DeviceID
	First  uint64
	Upto   uint64
	Head   evidence.Digest
	Parts  []Part
	Held   archive.Held
	Items  []Item // statements have no Raw
}

// LoadSkeleton reads the skeleton at ref. What it says is as good as the seals in it: a caller walks the chain.
func LoadSkeleton(ctx context.Context, v archive.Vault, ref archive.Ref) (*Skeleton, error) {
	raw, err := archive.Read(ctx, v, ref, maxObject)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref.Key, err)
	}
	s, err := parseSkeleton(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref.Key, err)
	}
	s.Held = archive.Held{Key: ref.Key, Version: ref.Version, Size: int64(len(raw)), Hash: ref.Hash}
	return s, nil
}

// FindSkeleton looks for the skeleton of the batch that ends at upto with the given head. If a crash left one and the batch was sent again
// with more count records, it is the one with the most.
// Errors: archive.ErrNotFound.
func FindSkeleton(ctx context.Context, v archive.Vault, device evidence.DeviceID, upto uint64, head evidence.Digest) (*Skeleton, error) {
	prefix := archive.BatchPrefix(device, upto, head)
	var best *Skeleton
	for held, err := range v.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		s, err := LoadSkeleton(ctx, v, archive.Ref{Key: held.Key, Version: held.Version, Hash: held.Hash, Size: held.Size})
		if err != nil {
			return nil, err
		}
		if best == nil || s.counted() > best.counted() {
			best = s
		}
	}
	if best == nil {
		return nil, fmt.Errorf("batch up to %d of device %s: %w", upto, device.Short(), archive.ErrNotFound)
	}
	return best, nil
}

// counted is how many count records there are.
func (s *Skeleton) counted() (n int) {
	for _, it := range s.Items {
		if it.Attested != nil && it.Attested.Count != nil {
			n++
		}
	}
	return n
}

func parseSkeleton(raw []byte) (*Skeleton, error) {
	lines := bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n"))
	var h header
	if err := evidence.Decode(lines[0], &h); err != nil {
		return nil, err
	}
	if h.Type != skeletonType || h.V != evidence.Version || h.Upto < h.First || h.Parts > uint64(len(lines)-1) {
		return nil, fmt.Errorf("not a skeleton of version %d", evidence.Version)
	}
	s := &Skeleton{Device: h.Device, First: h.First, Upto: h.Upto, Head: h.Head}
	lines = lines[1:]
	for _, l := range lines[:h.Parts] {
		var p Part
		if err := evidence.Decode(l, &p); err != nil {
			return nil, err
		}
		s.Parts = append(s.Parts, p)
	}
	lines = lines[h.Parts:]
	n := h.Upto - h.First + 1
	if n > uint64(len(lines)) {
		return nil, fmt.Errorf("%d statements, %d lines", n, len(lines))
	}
	return s, s.interleave(lines[:n], lines[n:])
}

// interleave puts each seal after the statement that it covers, and each count record where it stood: after the seal that is
// ahead of it, or at the beginning.
func (s *Skeleton) interleave(statements, lines [][]byte) error {
	attested := make([]Item, 0, len(lines))
	for _, l := range lines {
		a, err := evidence.ParseSealUnverified(l)
		if err != nil {
			return err
		}
		it := Item{Raw: l, Attested: &a}
		if a.Seal != nil {
			it.Seq = a.Seal.Upto
		} else {
			it.Seq = a.Count.Seq
		}
		attested = append(attested, it)
	}
	attested = s.counts(attested)
	for i, l := range statements {
		var w evidence.Withheld
		if err := evidence.Decode(l, &w); err != nil {
			return err
		}
		if w.Seq != s.First+uint64(i) {
			return fmt.Errorf("statement %d where %d is due", w.Seq, s.First+uint64(i))
		}
		s.Items = append(s.Items, Item{Rec: w.Rec, Seq: w.Seq, Digest: w.Digest})
		if len(attested) > 0 && attested[0].Seq == w.Seq {
			s.Items = append(s.Items, attested[0])
			attested = s.counts(attested[1:])
		}
	}
	if len(attested) > 0 {
		return fmt.Errorf("%d seals cover no statement of the batch", len(attested))
	}
	return nil
}

// counts takes the count records off the front; a seal is first among the rest.
func (s *Skeleton) counts(attested []Item) []Item {
	for len(attested) > 0 && attested[0].Attested.Count != nil {
		s.Items, attested = append(s.Items, attested[0]), attested[1:]
	}
	return attested
}

// Batch reads the parts and puts the whole batch together again. Every statement must have the digest that the skeleton names. Where a
// recording's part is not in the vault, gone is asked: with nil from it, the recording's statements stand in the batch as digests alone,
// without Raw; else its error is returned. A nil gone demands all parts.
func (s *Skeleton) Batch(ctx context.Context, v archive.Vault, gone func(evidence.RecordingID) error) (*Batch, error) {
	missing := map[evidence.RecordingID]bool{}
	words, err := s.words(ctx, v, func(rec evidence.RecordingID) bool { return !missing[rec] }, func(p Part, err error) error {
		if gone == nil || p.Rec.IsZero() || !errors.Is(err, archive.ErrNotFound) {
			return err
		}
		missing[p.Rec] = true
		return gone(p.Rec)
	})
	if err != nil {
		return nil, err
	}
	b := &Batch{Device: s.Device, First: s.First, Upto: s.Upto, Head: s.Head}
	for _, it := range s.Items {
		if it.Attested == nil {
			it.Raw = words[it.Seq]
		}
		b.Items = append(b.Items, it)
	}
	return b, nil
}

// Words reads the statements of those recordings that keep says yes to, by their seq; none of them is missing.
func (s *Skeleton) Words(ctx context.Context, v archive.Vault, keep func(evidence.RecordingID) bool) (map[uint64][]byte, error) {
	return s.words(ctx, v, keep, func(_ Part, err error) error { return err })
}

// words is Words; where a part can't be read, it goes on if unread returns nil.
func (s *Skeleton) words(ctx context.Context, v archive.Vault, keep func(evidence.RecordingID) bool, unread func(Part, error) error) (map[uint64][]byte, error) {
	words := map[uint64][]byte{}
	for _, p := range s.Parts {
		if keep(p.Rec) {
			if err := s.readPart(ctx, v, p, words); err != nil {
				if err := unread(p, err); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, it := range s.Items {
		if it.Attested == nil && keep(it.Rec) && words[it.Seq] == nil {
			return nil, fmt.Errorf("batch up to %d: the words of statement %d are in no part", s.Upto, it.Seq)
		}
	}
	return words, nil
}

func (s *Skeleton) readPart(ctx context.Context, v archive.Vault, p Part, words map[uint64][]byte) error {
	next := 0
	return EachLine(ctx, v, p.Ref(), func(line []byte) error {
		d := evidence.Sum(line)
		for next < len(s.Items) && (s.Items[next].Attested != nil || s.Items[next].Rec != p.Rec) {
			next++
		}
		if next == len(s.Items) || s.Items[next].Digest != d {
			return fmt.Errorf("%s: a line is not what the skeleton names", p.Key)
		}
		words[s.Items[next].Seq] = line
		next++
		return nil
	})
}

// EachLine calls f with each line of the object at ref, whose hash is checked first.
func EachLine(ctx context.Context, v archive.Vault, ref archive.Ref, f func(line []byte) error) error {
	raw, err := archive.Read(ctx, v, ref, maxObject)
	if err != nil {
		return fmt.Errorf("read %s: %w", ref.Key, err)
	}
	for _, line := range bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n")) {
		if err := f(line); err != nil {
			return err
		}
	}
	return nil
}
