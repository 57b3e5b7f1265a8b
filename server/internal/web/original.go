package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
	"camseal/server/internal/export"
)

// originalPolicy lets what a recorder recorded do nothing, even if it is a page in disguise.
const originalPolicy = "sandbox; default-src 'none'; media-src 'self'; img-src 'self'; style-src 'unsafe-inline'"

const keptOriginals = 32

// original streams the exhibit from the vault, whole or one range of it.
func (s *site) original(c *gin.Context) {
	v, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	stored, err := export.StoredLeaf(v.Recording)
	if err != nil {
		s.fail(c, err)
		return
	}
	o, name, err := s.open(c.Request.Context(), stored)
	if err != nil {
		s.fail(c, err)
		return
	}
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", originalPolicy)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Cache-Control", "private, no-cache")
	etag := `"` + stored.List.String() + `"` // the digest of all its chunks' statements, and so of its bytes
	h.Set("ETag", etag)
	kind, disposition := "application/octet-stream", "attachment"
	if playerOf(v.MediaType) != "" {
		kind, disposition = baseType(v.MediaType), "inline"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": name}))
	if c.GetHeader("If-None-Match") == etag {
		c.Status(http.StatusNotModified)
		return
	}
	from, until, status := rangeOf(c.Request, etag, o.Size())
	if status == http.StatusRequestedRangeNotSatisfiable {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", o.Size()))
		h.Del("Content-Type")
		h.Del("Content-Disposition")
		c.Status(status)
		return
	}
	if status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, until-1, o.Size()))
	}
	h.Set("Content-Length", strconv.FormatInt(until-from, 10))
	c.Status(status)
	if c.Request.Method == http.MethodHead {
		return
	}
	s.stream(c, v.Rec, func(w io.Writer) error { return o.ShowRange(c.Request.Context(), w, from, until) })
}

// stream writes, and breaks the connection off if that fails: the reader must see that this was not all.
func (s *site) stream(c *gin.Context, rec string, write func(io.Writer) error) {
	err := write(c.Writer)
	if err == nil {
		return
	}
	var wrong *archive.WrongBytes
	switch {
	case errors.As(err, &wrong):
		s.Slog.ErrorContext(c.Request.Context(), "the vault holds bytes that are not what was sealed; the connection was broken off",
			slog.String("rec", rec), slog.Any("error", err))
		s.foundIn(c.Request.Context(), rec, wrong.Key, err, s.me(c).Actor())
	case c.Request.Context().Err() == nil:
		s.Slog.WarnContext(c.Request.Context(), "stream broken off", slog.String("rec", rec), slog.Any("error", err))
	}
	panic(http.ErrAbortHandler)
}

// rangeOf reads what is wanted: 200 and all, 206 and one range, or 416. Several ranges at once are not served.
func rangeOf(r *http.Request, etag string, size int64) (from, until int64, status int) {
	spec, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if cond := r.Header.Get("If-Range"); !ok || cond != "" && cond != etag {
		return 0, size, http.StatusOK
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || strings.Contains(spec, ",") {
		return 0, 0, http.StatusRequestedRangeNotSatisfiable
	}
	until = size
	if first == "" { // the last n bytes
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n <= 0 || size == 0 {
			return 0, 0, http.StatusRequestedRangeNotSatisfiable
		}
		return max(size-n, 0), size, http.StatusPartialContent
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 || from >= size {
		return 0, 0, http.StatusRequestedRangeNotSatisfiable
	}
	if last != "" {
		end, err := strconv.ParseInt(last, 10, 64)
		if err != nil || end < from {
			return 0, 0, http.StatusRequestedRangeNotSatisfiable
		}
		until = min(end, size-1) + 1
	}
	return from, until, http.StatusPartialContent
}

// open finds the chunks in the vault, once for each stored leaf.
func (s *site) open(ctx context.Context, stored *evidence.Stored) (*export.Original, string, error) {
	view, err := s.Log.Recordings.View(ctx, catalog.RecordingKey{Device: stored.Device, Rec: stored.Rec})
	if err != nil {
		return nil, "", err
	}
	name := verify.SafeName(view.Open.Source.RawName())
	s.mu.Lock()
	o := s.originals[stored.Manifest]
	s.mu.Unlock()
	if o != nil {
		return o, name, nil
	}
	if o, err = export.OpenOriginal(ctx, s.Vault, &view, stored); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.originals) >= keptOriginals {
		clear(s.originals)
	}
	s.originals[stored.Manifest] = o
	return o, name, nil
}

// bundle streams a bundle as a zip file.
func (s *site) bundle(c *gin.Context) {
	rec, err := evidence.ParseRecordingID(c.Param("rec"))
	if err != nil {
		s.sorry(c, http.StatusNotFound, "no-recording")
		return
	}
	b, err := s.Exporter.Open(c.Request.Context(), rec)
	if err != nil {
		s.fail(c, err)
		return
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": b.Name + ".zip"}))
	h.Set("Cache-Control", "no-store")
	s.stream(c, rec.String(), func(w io.Writer) error {
		return b.Write(c.Request.Context(), s.me(c).Actor(), export.NewZip(w, s.Now()))
	})
}
