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

	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/media"
)

// mediaRoutes are what was made from originals for looking at.
func (s *site) mediaRoutes() []Route {
	return []Route{
		{"GET", "/recordings/:rec/poster", auth.SeeRecordings, s.madeFile(media.PosterFile, "image/jpeg")},
		{"GET", "/recordings/:rec/strip", auth.SeeRecordings, s.madeFile(media.TilesFile, "application/json")},
		{"GET", "/recordings/:rec/strip.jpg", auth.SeeRecordings, s.madeFile(media.StripFile, "image/jpeg")},
		{"GET", "/recordings/:rec/wave", auth.SeeRecordings, s.madeFile(media.WaveFile, "application/json")},
		{"GET", "/recordings/:rec/derived", auth.SeeRecordings, s.derived},
		{"HEAD", "/recordings/:rec/derived", auth.SeeRecordings, s.derived},
		{"POST", "/recordings/:rec/derive", auth.Derive, s.derive},
	}
}

// makings are what was found in a recording and made of it.
type makings struct {
	db.Medium
	Copy    media.Copy
	D       db.Derived // the copy, if there is one
	Trouble bool       // nothing can be made on this server
}

// Derivable reports whether a copy that browsers can play is worth making.
func (m makings) Derivable() bool { return media.Derivable(m.Medium) }

// Format names what is in the file: "AVI · H.264 · AAC".
func (m makings) Format() string {
	container, _, _ := strings.Cut(m.Container, ",")
	var parts []string
	for _, p := range []string{container, m.Video, m.Audio} {
		if name, ok := formats[p]; ok {
			parts = append(parts, name)
		} else if p != "" {
			parts = append(parts, strings.ToUpper(p))
		}
	}
	return strings.Join(parts, " · ")
}

// formats are names that people know better than ffmpeg's.
var formats = map[string]string{"h264": "H.264", "hevc": "H.265", "mpeg2video": "MPEG-2", "mpeg1video": "MPEG-1", "mpeg4": "MPEG-4", "mpegts": "MPEG-TS", "mov": "MP4/MOV",
	"pcm_s16le": "PCM", "pcm_s16be": "PCM", "pcm_mulaw": "G.711", "pcm_alaw": "G.711"}

// made describes what was made of a recording, in its row too.
func (s *site) made(ctx context.Context, v *row) (m makings, err error) {
	m.Medium, err = s.Catalog.Media(ctx, v.Device, v.Rec)
	if err != nil && !errors.Is(err, catalog.ErrUnknown) {
		return m, err
	}
	v.looked(m.Poster == 1, m.Duration)
	v.Odd = m.Derivable()
	m.Trouble = s.Media.Trouble() != nil
	m.Copy, m.D, err = s.Media.State(ctx, v.Recording)
	return m, err
}

// looks are what a list shows of what was made from its recordings.
func (s *site) looks(ctx context.Context, list []catalog.Listed) (map[string]catalog.Look, error) {
	recs := make([]string, len(list))
	for i, r := range list {
		recs[i] = r.Rec
	}
	return s.Catalog.Looks(ctx, recs)
}

// madeFile serves a file that was made from a recording; 404 and one line if it is not there, or not there yet.
func (s *site) madeFile(name, kind string) gin.HandlerFunc {
	return func(c *gin.Context) {
		h := c.Writer.Header()
		h.Set("Content-Security-Policy", originalPolicy)
		h.Set("Cache-Control", "private, no-cache")
		v, err := s.find(c)
		if err == nil {
			f, errOpen := s.Media.Open(c.Request.Context(), v.Recording, name)
			if err = errOpen; err == nil {
				defer f.Close()
				info, errStat := f.Stat()
				if err = errStat; err == nil {
					h.Set("Content-Type", kind)
					http.ServeContent(c.Writer, c.Request, "", info.ModTime(), f)
					return
				}
			}
		}
		if !errors.Is(err, catalog.ErrUnknown) {
			s.Slog.ErrorContext(c.Request.Context(), "what was made from a recording can't be served", slog.String("file", name), slog.Any("error", err))
			c.String(http.StatusInternalServerError, "it can't be read; the server's log says more\n")
			return
		}
		h.Set("Cache-Control", "no-store")
		c.String(http.StatusNotFound, "there is none of this recording\n")
	}
}

// derive has a copy made that browsers can play.
func (s *site) derive(c *gin.Context) {
	v, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	err = s.Media.Ask(c.Request.Context(), s.me(c).Actor(), v.Recording)
	switch {
	case errors.Is(err, media.ErrNoCopy):
		s.sorry(c, http.StatusConflict, "no-copy")
	case err != nil:
		s.fail(c, err)
	default:
		c.Redirect(http.StatusSeeOther, "/recordings/"+v.Rec)
	}
}

// derived streams a derived copy from the vault, whole or one range of it.
func (s *site) derived(c *gin.Context) {
	v, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	ctx := c.Request.Context()
	d, err := s.Catalog.Derived(ctx, v.Device, v.Rec)
	if err == nil && !d.MadeIndex.Valid {
		err = catalog.ErrUnknown
	}
	var wrong *archive.WrongBytes
	if err == nil {
		err = s.Media.Check(ctx, d)
	}
	switch {
	case errors.Is(err, catalog.ErrUnknown):
		s.sorry(c, http.StatusNotFound, "no-copy")
		return
	case errors.As(err, &wrong) || errors.Is(err, archive.ErrNotFound):
		s.Slog.ErrorContext(ctx, "a derived copy in the vault is gone or changed", slog.String("rec", v.Rec), slog.Any("error", err))
		s.sorry(c, http.StatusConflict, "copy-wrong")
		return
	case err != nil:
		s.fail(c, err)
		return
	}
	h, etag := c.Writer.Header(), `"`+d.Hash+`"`
	h.Set("Content-Security-Policy", originalPolicy)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", etag)
	if c.GetHeader("If-None-Match") == etag {
		c.Status(http.StatusNotModified)
		return
	}
	from, until, status := rangeOf(c.Request, etag, d.Size)
	if status == http.StatusRequestedRangeNotSatisfiable {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", d.Size))
		c.Status(status)
		return
	}
	if status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, until-1, d.Size))
	}
	h.Set("Content-Type", d.MediaType)
	h.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": "derived-" + v.Rec + ".mp4"}))
	h.Set("Content-Length", strconv.FormatInt(until-from, 10))
	c.Status(status)
	if c.Request.Method != http.MethodHead {
		s.stream(c, v.Rec, func(w io.Writer) error { return s.Media.Copy(ctx, w, d, from, until) })
	}
}
