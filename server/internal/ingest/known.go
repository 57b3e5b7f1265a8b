package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// knownRoom is how much of an answer the members of known files may take, before base64.
const knownRoom = transport.MaxAnswer / 2

// Known says which files are stored whole, with the proof. A file whose statements are damaged in the vault is not known.
func (s *Service) Known(ctx context.Context, req transport.KnownRequest) (transport.KnownAnswer, error) {
	out := transport.KnownAnswer{Known: []transport.Known{}}
	if len(req.Files) > transport.MaxKnown {
		return out, refusal(400, transport.CodeBadRequest, "at most "+strconv.Itoa(transport.MaxKnown)+" files at once")
	}
	if err := s.caughtUp(); err != nil {
		return out, err
	}
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return out, ctx.Err()
	}
	for i, room := 0, knownRoom; i < len(req.Files); i++ {
		row, err := s.Catalog.Whole(ctx, req.Files[i])
		if errors.Is(err, catalog.ErrUnknown) {
			continue
		}
		if err != nil {
			return out, err
		}
		k, err := s.proof(ctx, row)
		var wrong *archive.WrongBytes
		if errors.Is(err, archive.ErrNotFound) || errors.As(err, &wrong) {
			s.Slog.ErrorContext(ctx, "statements in the vault are gone or changed", slog.String("rec", row.Rec), slog.Any("error", err))
			continue
		}
		if err != nil {
			return out, fmt.Errorf("proof that %s is stored: %w", row.Rec, err)
		}
		if room -= len(k.Open) + len(k.Close) + len(k.Receipt.Leaf) + len(k.Receipt.Proof); room < 0 {
			break
		}
		k.Index = i
		out.Known = append(out.Known, k)
	}
	return out, nil
}

// proof reads what shows that a recording is stored.
func (s *Service) proof(ctx context.Context, row db.Recording) (k transport.Known, err error) {
	if k.Open, err = s.statement(ctx, row, row.OpenSeq, row.OpenDigest); err != nil {
		return k, err
	}
	if k.Close, err = s.statement(ctx, row, row.CloseSeq.Int64, row.CloseDigest); err != nil {
		return k, err
	}
	r, err := s.Log.Receipt(ctx, uint64(row.StoredIndex.Int64), []byte(row.StoredLeaf))
	k.Receipt = sent(r)
	return k, err
}

// statement reads the line of one statement of a recording.
func (s *Service) statement(ctx context.Context, row db.Recording, seq int64, digest string) (line []byte, err error) {
	var k catalog.RecordingKey
	if err := errors.Join(k.Device.UnmarshalText([]byte(row.Device)), k.Rec.UnmarshalText([]byte(row.Rec))); err != nil {
		return nil, err
	}
	err = s.Catalog.EachStatement(ctx, s.Vault, k, uint64(seq), uint64(seq), func(raw []byte, _ *evidence.Statement, d evidence.Digest) error {
		if d.String() == digest {
			line = append(line, raw...)
		}
		return nil
	})
	if err == nil && line == nil {
		return nil, fmt.Errorf("statement %d of recording %s: %w", seq, row.Rec, archive.ErrNotFound)
	}
	return line, err
}

// known serves POST /v1/known.
func (h handler) known(c *gin.Context) {
	var req transport.KnownRequest
	if err := h.message(c, transport.MaxKnownBytes, &req); err != nil {
		h.fail(c, err)
		return
	}
	h.answer(c)(h.Known(c.Request.Context(), req))
}

// register serves GET /v1/register.
func (h handler) register(c *gin.Context) {
	if err := h.caughtUp(); err != nil {
		h.fail(c, err)
		return
	}
	r, err := h.Register(c.Request.Context())
	var wrong *archive.WrongBytes
	if errors.As(err, &wrong) {
		err = errors.New(err.Error()) // the server's own trouble, not the device's
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	if r == nil {
		c.Status(http.StatusNoContent)
		return
	}
	etag := `"` + r.Version.String() + `"`
	c.Header("ETag", etag)
	if c.GetHeader("If-None-Match") == etag {
		c.Status(http.StatusNotModified)
		return
	}
	c.JSON(http.StatusOK, r)
}
