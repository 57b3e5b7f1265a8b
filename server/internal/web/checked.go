package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/export"
)

// playerPolicy is for pages with a player: their scripts check footage in the reader's browser, by WebAssembly and a service worker.
const playerPolicy = "default-src 'none'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; script-src 'self' 'wasm-unsafe-eval'; " +
	"connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// scriptPolicy is what workers run under: a worker has the policy of its own script's answer.
const scriptPolicy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"

const dirWasm = "static/wasm"

// checkedRoutes are for players that check what they play. See static/js/checked.js.
func (s *site) checkedRoutes() []Route {
	return []Route{
		{"GET", "/checked-worker.js", auth.Anybody, s.checkedWorker},
		{"GET", "/wasm/:name", auth.Anybody, s.wasm},
		{"GET", "/recordings/:rec/parts", auth.SeeRecordings, s.parts},
		{"GET", "/recordings/:rec/parts/:index", auth.SeeRecordings, s.part},
		{"GET", "/recordings/:rec/proof", auth.SeeRecordings, s.proof},
	}
}

// checkedWorker serves the service worker. It stands at the root, for that is how far its reach may go.
func (s *site) checkedWorker(c *gin.Context) {
	c.Header("Service-Worker-Allowed", "/")
	s.serveScript(c, "checked-worker.js")
}

// wasm serves the verifier for browsers and what runs it. A server built without them has none.
func (s *site) wasm(c *gin.Context) {
	name := path.Base(path.Clean("/" + c.Param("name")))
	raw, err := files.ReadFile(path.Join(dirWasm, name+".gz"))
	if err != nil {
		s.sorry(c, http.StatusNotFound, "no-page")
		return
	}
	kind := "text/javascript; charset=utf-8"
	if path.Ext(name) == ".wasm" {
		kind = "application/wasm"
	}
	c.Header("Content-Security-Policy", scriptPolicy)
	c.Header("Content-Encoding", "gzip")
	c.Header("Cache-Control", "public, max-age=31536000, immutable") // its address changes with its content
	c.Data(http.StatusOK, kind, raw)
}

// wasmAddress is where the verifier and its runner are, with the digest of their content; empty if this server was built without.
func wasmAddress(name string) string {
	raw, err := fs.ReadFile(files, path.Join(dirWasm, name+".gz"))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return "/wasm/" + name + "?v=" + hex.EncodeToString(sum[:8])
}

// whole finds the original that the address names, as far as it is stored.
func (s *site) whole(c *gin.Context) (row, *export.Original, error) {
	v, err := s.find(c)
	if err != nil {
		return v, nil, err
	}
	stored, err := export.StoredLeaf(v.Recording)
	if err != nil {
		return v, nil, err
	}
	o, _, err := s.open(c.Request.Context(), stored)
	return v, o, err
}

// partLine is a part in the list that parts answers with. It is the server's word: the proofs say what was sealed.
type partLine struct {
	Hash   evidence.Digest `json:"hash"`
	Size   uint64          `json:"size"`
	Absent bool            `json:"absent,omitempty"`
	From   *float64        `json:"from,omitempty"` // seconds of footage, if the recorder stated them
	Until  *float64        `json:"until,omitempty"`
}

// parts lists what a player may ask for, one part after the other, so that it need not wait for the proofs; and gives it its words.
func (s *site) parts(c *gin.Context) {
	v, o, err := s.whole(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	kind := "application/octet-stream"
	if playerOf(v.MediaType) != "" {
		kind = baseType(v.MediaType)
	}
	head := map[string]any{"rec": v.Rec, "size": o.Size(), "type": kind, "sealed": v.Chunks, "wasm": s.verifier, "runner": s.runner, "texts": textsFor(s.langOf(c), "checked-", textsChecked)}
	if next, err := indexPart(c.Request.Context(), o); err == nil && next > 0 { // it is the browser that must find a part to be gone
		head["next"] = next
	}
	raw, err := json.Marshal(head)
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Content-Type", "application/json")
	c.Header("Cache-Control", "no-store")
	s.stream(c, v.Rec, func(w io.Writer) error {
		if _, err := io.WriteString(w, string(raw[:len(raw)-1])+`,"parts":[`); err != nil {
			return err
		}
		enc := json.NewEncoder(w)
		for i, p := range o.Parts() {
			if i > 0 {
				if _, err := io.WriteString(w, ","); err != nil {
					return err
				}
			}
			if err := enc.Encode(lineOf(p)); err != nil {
				return err
			}
		}
		_, err := io.WriteString(w, "]}\n")
		return err
	})
}

func lineOf(p export.Part) partLine {
	l := partLine{Hash: p.Hash, Size: p.Size, Absent: p.Absent}
	if p.Duration > 0 {
		from, until := float64(p.Start)/1000, float64(p.Start+p.Duration)/1000
		l.From, l.Until = &from, &until
	}
	return l
}

// part streams one part's bytes as they lie in the vault. This server does not check them again: the reader's browser does, and so finds
// what is wrong with them even if this server would not say so. No more than one byte above the most that a part may have is sent.
func (s *site) part(c *gin.Context) {
	v, o, err := s.whole(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	i, err := strconv.ParseUint(c.Param("index"), 10, 64)
	if err != nil {
		s.sorry(c, http.StatusNotFound, "no-page")
		return
	}
	in, err := o.OpenPart(c.Request.Context(), i)
	if errors.Is(err, archive.ErrNotFound) {
		s.sorry(c, http.StatusGone, "part-gone")
		return
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	defer in.Close()
	c.Header("Content-Security-Policy", originalPolicy)
	c.Header("Content-Type", "application/octet-stream")
	c.Header("Cache-Control", "no-store")
	s.stream(c, v.Rec, func(w io.Writer) error {
		_, err := io.Copy(w, io.LimitReader(in, transport.MaxChunk+1))
		return err
	})
}

// proof streams what vouches for a recording, without its footage. It is no export: nothing leaves that the page does not show.
func (s *site) proof(c *gin.Context) {
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
	c.Header("Content-Type", "application/zip")
	c.Header("Cache-Control", "no-store")
	s.stream(c, rec.String(), func(w io.Writer) error { return b.Proof(c.Request.Context(), export.NewZip(w, s.Now())) })
}

// textsFor returns the texts of an area in a language, by what follows the prefix of their keys.
func textsFor(l lang, prefix string, area map[string][2]string) map[string]string {
	out := map[string]string{}
	for key := range area {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			out[rest] = l.in(key)
		}
	}
	return out
}
