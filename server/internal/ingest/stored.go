package ingest

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
	"camseal/server/internal/ingest/manifest"
)

// Stored answers with a stored receipt of all chunks that were sealed so far; while the recording is open, of those from the first on that are
// there, if the newest receipt has fewer. Chunks that this process did not write are read back first. Errors: *transport.Error with
// CodeMissing and what is wanted.
func (s *Service) Stored(ctx context.Context, id evidence.DeviceID, rec evidence.RecordingID) (transport.Stored, error) {
	return s.store(ctx, catalog.RecordingKey{Device: id, Rec: rec}, time.Time{})
}

// Lengthen makes the locks of all chunks last at least until then, reads back what it changed, and issues a stored receipt that says so. It does
// nothing if the newest one does. It is safe to redo. Errors as Stored's: the chunks that are there are lengthened all the same.
func (s *Service) Lengthen(ctx context.Context, k catalog.RecordingKey, until time.Time) error {
	_, err := s.store(ctx, k, until)
	return err
}

// store issues a stored receipt, if there is something new to say: atLeast says how long the locks must last, beside what they must anyway.
func (s *Service) store(ctx context.Context, k catalog.RecordingKey, atLeast time.Time) (transport.Stored, error) {
	rec := k.Rec
	view, err := s.view(ctx, k)
	if err != nil {
		return transport.Stored{}, err
	}
	h, err := s.holdings.of(ctx, k, &view)
	if err != nil {
		return transport.Stored{}, err
	}
	h.storing.Lock()
	defer h.storing.Unlock()
	leaf, missing := s.newLeaf(&view, h, len(view.Chunks))
	last, out, err := s.lastStored(ctx, k, leaf)
	switch {
	case err != nil:
		return transport.Stored{}, err
	case len(missing) > 0 && !worth(leaf, last, view.Close != nil, atLeast):
		return transport.Stored{}, missingChunks(missing)
	case out != nil && last.Until >= atLeast.UnixMilli():
		return *out, nil
	}
	if atLeast.IsZero() {
		var done context.CancelFunc
		ctx, done = s.settled(ctx)
		defer done()
	}
	n := int(leaf.Chunks)
	if err := s.confirm(ctx, k, &view, h, n, last, atLeast); err != nil {
		return transport.Stored{}, err
	}
	if leaf, missing = s.newLeaf(&view, h, n); len(missing) > 0 { // a chunk declared lost may have turned out to be gone
		return transport.Stored{}, missingChunks(missing)
	}
	if err := s.writeManifest(ctx, k, &view, h, leaf); err != nil {
		return transport.Stored{}, fmt.Errorf("manifest of %s: %w", rec, err)
	}
	if last != nil && (leaf.Chunks < last.Chunks || leaf.Until < last.Until) {
		return transport.Stored{}, fmt.Errorf("stored receipt of %s would go back: %d chunks until %d, was %d until %d", rec, leaf.Chunks, leaf.Until, last.Chunks, last.Until)
	}
	index, receipt, err := s.Log.Append(ctx, leaf)
	if err != nil {
		return transport.Stored{}, err
	}
	s.Slog.InfoContext(ctx, "recording stored", slog.String("rec", rec.String()), slog.Uint64("chunks", leaf.Chunks),
		slog.Bool("closed", leaf.Close != nil), slog.Uint64("log_index", index))
	return transport.Stored{Receipt: sent(receipt)}, nil
}

// worth reports whether a receipt is to be made though chunks are missing: only of an open recording, only of more than its last one, or of the same
// with a longer retention.
func worth(leaf, last *evidence.Stored, closed bool, atLeast time.Time) bool {
	var covered uint64
	if last != nil {
		covered = last.Chunks
	}
	return !closed && (leaf.Chunks > covered || leaf.Chunks == covered && covered > 0 && !atLeast.IsZero())
}

// newLeaf begins the leaf about the first chunks, max at most, up to the first that is missing. It also returns what is missing of them.
func (s *Service) newLeaf(view *verify.Recording, h *holding, max int) (*evidence.Stored, []transport.Wanted) {
	leaf := &evidence.Stored{Device: view.Device, Rec: view.Rec, Open: view.OpenAt.Digest, Lock: s.Vault.Lock(), Vault: s.Vault.ID()}
	if view.Close != nil {
		leaf.Close = &view.CloseAt.Digest
	}
	n := max
	var missing []transport.Wanted
	for i := range max {
		switch {
		case h.has(i):
		case view.Lost[uint64(i)]:
			if len(missing) == 0 {
				leaf.Absent = append(leaf.Absent, uint64(i))
			}
		case len(missing) < transport.MaxWanted:
			n = min(n, i)
			missing = append(missing, wanted(view.Rec, uint64(i)))
		}
	}
	leaf.Chunks, leaf.List = uint64(n), evidence.ListDigest(view.ChunkDigests(n))
	return leaf, missing
}

func missingChunks(list []transport.Wanted) *transport.Error {
	return &transport.Error{Status: 409, Code: transport.CodeMissing, Message: "chunks of this recording are not in the vault yet",
		Kept: "all chunks that were confirmed", Do: "send those in the list, then ask again", Wanted: list}
}

// lastStored returns the newest stored leaf of the recording, nil if there is none, and the answer if it says all that the
// new one would.
func (s *Service) lastStored(ctx context.Context, k catalog.RecordingKey, leaf *evidence.Stored) (*evidence.Stored, *transport.Stored, error) {
	row, err := s.Catalog.Recording(ctx, k.Device, k.Rec)
	if err != nil || !row.StoredIndex.Valid {
		return nil, nil, err
	}
	l, err := evidence.ParseLeafUnverified([]byte(row.StoredLeaf))
	if err != nil {
		return nil, nil, err
	}
	last, ok := l.(*evidence.Stored)
	if !ok {
		return nil, nil, fmt.Errorf("the stored leaf of %s is a %T", k.Rec, l)
	}
	if last.Chunks != leaf.Chunks || (last.Close == nil) != (leaf.Close == nil) || !slices.Equal(last.Absent, leaf.Absent) {
		return last, nil, nil
	}
	r, err := s.Log.Receipt(ctx, uint64(row.StoredIndex.Int64), []byte(row.StoredLeaf))
	return last, &transport.Stored{Receipt: sent(r)}, err
}

// confirm reads back each chunk that this process has not, and lengthens retention that is too short: what a crash left
// without, or what ends before the last receipt said. The first n must be there.
func (s *Service) confirm(ctx context.Context, k catalog.RecordingKey, view *verify.Recording, h *holding, n int, last *evidence.Stored,
	atLeast time.Time) error {
	least := s.Now().Add(s.Retention * 9 / 10)
	target := s.until()
	if last != nil {
		if l := time.UnixMilli(last.Until); l.After(least) {
			least = l
		}
	}
	if atLeast.After(least) {
		least = atLeast
	}
	if target.Before(least) {
		target = least
	}
	var missing []transport.Wanted
	for i, c := range view.Chunks {
		p := h.place(i)
		if !p.there || p.readBack && !p.until.Before(least) {
			continue
		}
		ref := archive.Ref{Key: archive.ChunkKey(k.Device, k.Rec, uint64(i), c.Hash), Version: p.version, Hash: c.Hash, Size: int64(c.Size)}
		held, err := s.readBack(ctx, ref, p, least, target)
		var wrong *archive.WrongBytes
		if errors.Is(err, archive.ErrNotFound) || errors.As(err, &wrong) {
			s.Slog.ErrorContext(ctx, "a chunk in the vault is gone or changed", slog.String("key", ref.Key), slog.Any("error", err))
			h.gone(i)
			if i < n && len(missing) < transport.MaxWanted && !view.Lost[uint64(i)] {
				missing = append(missing, wanted(k.Rec, uint64(i)))
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read back chunk %d of %s: %w", i, k.Rec, err)
		}
		h.set(i, held)
	}
	if len(missing) > 0 {
		return missingChunks(missing)
	}
	return nil
}

func (s *Service) readBack(ctx context.Context, ref archive.Ref, p place, least, target time.Time) (held archive.Held, err error) {
	held = archive.Held{Until: p.until}
	if !p.readBack {
		if held, err = s.Vault.Stat(ctx, ref); err != nil {
			return held, err
		}
		if held.Hash != ref.Hash || held.Size != ref.Size {
			return held, &archive.WrongBytes{Key: ref.Key, Want: ref.Hash, Got: held.Hash, WantSize: ref.Size, GotSize: held.Size}
		}
	}
	if held.Until.Before(least) {
		return s.Vault.Extend(ctx, ref, target)
	}
	return held, nil
}

// writeManifest puts down what was read back for each chunk, in the vault, and completes the leaf with its digest and the
// earliest end of retention.
func (s *Service) writeManifest(ctx context.Context, k catalog.RecordingKey, view *verify.Recording, h *holding, leaf *evidence.Stored) error {
	f, err := os.CreateTemp(s.TempDir, "manifest-*")
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }()
	hash := sha256.New()
	out := bufio.NewWriter(io.MultiWriter(f, hash))
	until, err := s.manifestLines(out, view, h, leaf)
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	leaf.Manifest, leaf.Until = evidence.Digest(hash.Sum(nil)), until.UnixMilli()
	o := archive.Object{Key: archive.ManifestKey(k.Device, k.Rec, leaf.Chunks, leaf.Manifest), Size: size, Hash: leaf.Manifest, Until: s.LogUntil()}
	if until.After(o.Until) {
		o.Until = until
	}
	_, err = s.Vault.Put(ctx, o, f)
	return err
}

func (s *Service) manifestLines(out io.Writer, view *verify.Recording, h *holding, leaf *evidence.Stored) (until time.Time, err error) {
	head := manifest.Head{Absent: leaf.Absent, Chunks: leaf.Chunks, Device: view.Device, Rec: view.Rec, Type: manifest.Type, V: evidence.Version}
	if _, err := rand.Read(head.Salt[:]); err != nil {
		return until, err
	}
	if err := manifest.Write(out, head); err != nil {
		return until, err
	}
	for i, c := range view.Chunks[:leaf.Chunks] {
		p := h.place(i)
		if !p.there {
			continue
		}
		if until.IsZero() || p.until.Before(until) {
			until = p.until
		}
		err := manifest.Write(out, manifest.Line{Hash: c.Hash, Index: uint64(i), Key: archive.ChunkKey(view.Device, view.Rec, uint64(i), c.Hash),
			Lock: s.Vault.Lock(), Size: c.Size, Until: p.until.UnixMilli(), Version: p.version})
		if err != nil {
			return until, err
		}
	}
	if until.IsZero() {
		until = s.until() // a recording without bytes
	}
	return until, nil
}
