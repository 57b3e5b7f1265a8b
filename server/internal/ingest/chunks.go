package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
)

// Chunk takes in the bytes of one chunk of the authenticated device, size of them as announced. They go straight to the
// vault, under the hash that was sealed. It is idempotent, and may leave body unread. When it returns nil, the chunk is durable, locked and read back.
func (s *Service) Chunk(ctx context.Context, id evidence.DeviceID, rec evidence.RecordingID, index uint64, size int64, body io.Reader) error {
	k := catalog.RecordingKey{Device: id, Rec: rec}
	view, c, err := s.sealedChunk(ctx, k, index)
	if err != nil {
		return err
	}
	if size < 0 {
		return refusal(400, transport.CodeBadRequest, "Content-Length is missing")
	}
	if size != int64(c.Size) {
		e := refusal(422, transport.CodeWrongBytes, fmt.Sprintf("%d bytes announced, %d were sealed", size, c.Size))
		s.Quarantine.Keep(ctx, id, Finding{Code: e.Code, Message: e.Message, Seq: &c.Seq, Rec: &rec, Chunk: &index}, nil)
		return e
	}
	h, err := s.holdings.of(ctx, k, &view)
	if err != nil {
		return err
	}
	if h.place(int(index)).readBack {
		return nil
	}
	o := archive.Object{Key: archive.ChunkKey(id, rec, index, c.Hash), Size: size, Hash: c.Hash, Until: s.until()}
	held, err := s.Vault.Put(ctx, o, body)
	if err != nil {
		var wrong *archive.WrongBytes
		if errors.As(err, &wrong) {
			s.Quarantine.Keep(ctx, id, Finding{Code: transport.CodeWrongBytes, Message: wrong.Error(), Seq: &c.Seq, Rec: &rec, Chunk: &index}, nil)
		}
		return fmt.Errorf("chunk %d of %s: %w", index, rec, err)
	}
	h.set(int(index), held)
	return nil
}

// sealedChunk finds what was sealed about a chunk.
func (s *Service) sealedChunk(ctx context.Context, k catalog.RecordingKey, index uint64) (verify.Recording, verify.ChunkAt, error) {
	view, err := s.view(ctx, k)
	if err != nil {
		return view, verify.ChunkAt{}, err
	}
	if index >= uint64(len(view.Chunks)) {
		e := refusal(404, transport.CodeUnknownChunk, fmt.Sprintf("no sealed statement speaks of chunk %d of recording %s yet", index, k.Rec))
		e.Do = "send the statements first, then the chunk"
		return view, verify.ChunkAt{}, e
	}
	return view, view.Chunks[index], nil
}

// view returns what is known about a recording of this device.
func (s *Service) view(ctx context.Context, k catalog.RecordingKey) (verify.Recording, error) {
	view, err := s.Log.Recordings.View(ctx, k)
	if err != nil {
		return view, err
	}
	if view.Open == nil {
		if _, err := s.Catalog.Disposal(ctx, k); !errors.Is(err, catalog.ErrUnknown) {
			return view, disposedOf(k, err)
		}
		e := refusal(404, transport.CodeUnknownRec, fmt.Sprintf("no sealed statement of this device speaks of recording %s yet", k.Rec))
		e.Do = "send the statements first"
		return view, e
	}
	return view, nil
}

// disposedOf refuses what a device asks about a recording that was disposed of: no receipt is given for bytes that are not kept.
func disposedOf(k catalog.RecordingKey, err error) error {
	if err != nil {
		return err
	}
	e := refusal(410, transport.CodeUnknownRec, fmt.Sprintf("recording %s was disposed of after its retention ended; this server gives no receipt for it", k.Rec))
	e.Kept, e.Do = "its statements' digests and the record of its disposal", "keep or erase the copy by hand; docked again, the file is taken in as a new recording"
	return e
}
