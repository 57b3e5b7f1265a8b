package axis

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"camseal/pkg/evidence"
)

// maxSpecial bounds an object that a system says of itself, bytes.
const maxSpecial = 64 << 10

// unsupported are headers of a PUT that would change what it means.
var unsupported = []string{"X-Copy-From", "X-Object-Manifest", "X-Delete-At", "X-Delete-After", "X-Symlink-Target", "Content-Range", "Content-Encoding", "If-Match", "If-None-Match"}

// putBytes receives an object. It answers 201 once bytes and record are durable.
func (d *Destination) putBytes(w http.ResponseWriter, q request, dir string) error {
	for _, h := range unsupported {
		if q.Header.Get(h) != "" {
			return errUnsupported
		}
	}
	limit := d.MaxObject
	if special(q.container) {
		limit = maxSpecial
	}
	switch {
	case q.ContentLength == 0 && q.Header.Get("Content-Length") == "":
		return errLength
	case q.ContentLength > limit:
		return tooLarge(limit)
	}
	m, err := metaOf(q.Header, "X-Object-Meta-", "")
	if err != nil {
		return err
	}
	kind := q.Header.Get("Content-Type")
	if kind == "" {
		kind = "application/octet-stream"
	}
	if len(kind) > maxMetaValue {
		return refusef(400, "The content type has %d bytes; at most %d are possible. Nothing was stored.", len(kind), maxMetaValue)
	}
	c, err := d.container(dir)
	if err != nil {
		return err
	}
	select {
	case d.uploads <- struct{}{}:
		defer func() { <-d.uploads }()
	default:
		return errBusy
	}
	o := object{Name: q.object, Type: kind, Meta: m.given(), Received: d.Now().UnixMilli()}
	if err := d.take(w, q, dir, limit, c.complete(), &o); err != nil {
		return err
	}
	w.Header().Set("Etag", o.MD5)
	w.Header().Set("Last-Modified", time.UnixMilli(o.Received).UTC().Format(http.TimeFormat))
	w.WriteHeader(http.StatusCreated)
	return nil
}

func tooLarge(limit int64) error {
	return refusef(400, "The object is larger than the %d bytes that are allowed here; it was not stored. Raise max-object, or download the recording from the body-worn system.", limit)
}

// take brings the bytes to disk, compares the hash that the sender gave, and commits. Of what was complete before, it only takes the hash.
func (d *Destination) take(w http.ResponseWriter, q request, dir string, limit int64, compare bool, o *object) error {
	if compare {
		if err := d.copyBody(w, q, io.Discard, limit, o); err != nil {
			return err
		}
		return d.commit(dir, *o)
	}
	in := &budget{space: d.store.space}
	if err := in.begin(q.ContentLength); err != nil {
		return err
	}
	defer in.end()
	o.Part = randomID()
	path := filepath.Join(dir, "parts", o.Part)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if errors.Is(err, fs.ErrNotExist) {
		return errComplete // it became so right now
	}
	if err != nil {
		return d.store.space.note(err)
	}
	err = d.copyBody(w, q, &part{f, in}, limit, o)
	if err == nil {
		err = errors.Join(f.Sync(), syncDir(filepath.Dir(path)))
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.commit(dir, *o)
	}
	if errors.Is(err, fs.ErrNotExist) { // it became complete meanwhile, and has no parts any more
		return errComplete
	}
	if err != nil && !errors.Is(err, errUncertain) {
		err = errors.Join(err, removed(path))
	}
	return d.store.space.note(err)
}

// removed takes away a part; the container's completion may have done so.
func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *Destination) copyBody(w http.ResponseWriter, q request, dst io.Writer, limit int64, o *object) error {
	sum, etag := sha256.New(), md5.New()
	body := &patient{r: q.Body, ctl: http.NewResponseController(w), now: d.Now, idle: d.Idle, ctx: q.Context()}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(dst, sum, etag)}, io.LimitReader(body, limit+1), make([]byte, 256<<10))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSilent
	case err != nil:
		return err
	case n > limit:
		return tooLarge(limit)
	}
	o.Size, o.MD5, o.Hash = n, hex.EncodeToString(etag.Sum(nil)), evidence.Digest(sum.Sum(nil))
	if want := strings.ToLower(strings.Trim(q.Header.Get("Etag"), `"`)); want != "" && want != o.MD5 {
		return refusef(422, "What came is not what was sent: its MD5 is %s, and %s was said. It was not stored; send it again.", o.MD5, want)
	}
	return nil
}

// patient ends a sender who is silent for too long.
type patient struct {
	r    io.Reader
	ctl  *http.ResponseController
	now  func() time.Time
	idle time.Duration
	ctx  context.Context
}

// Read implements io.Reader.
func (p *patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	if err := p.ctl.SetReadDeadline(p.now().Add(p.idle)); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	if errors.Is(err, io.EOF) {
		if err := p.ctl.SetReadDeadline(time.Time{}); err != nil { // the disk may take its time
			return n, err
		}
	}
	return n, err
}

// part writes what was promised.
type part struct {
	f      *os.File
	budget *budget
}

// Write implements io.Writer.
func (p *part) Write(b []byte) (int, error) {
	if err := p.budget.need(int64(len(b))); err != nil {
		return 0, err
	}
	n, err := p.f.Write(b)
	p.budget.spend(int64(n))
	return n, err
}

// budget is the space promised to one upload.
type budget struct {
	space *space
	left  int64
}

// begin asks for all that the sender announced; nothing if it announced nothing.
func (b *budget) begin(length int64) error {
	if length < 0 {
		length = 0
	}
	if err := b.space.promise(length); err != nil {
		return err
	}
	b.left = length
	return nil
}

func (b *budget) need(n int64) error {
	if n <= b.left {
		return nil
	}
	more := max(step, n)
	if err := b.space.promise(more); err != nil {
		return err
	}
	b.left += more
	return nil
}

func (b *budget) spend(n int64) {
	b.space.settle(n)
	b.left -= n
}

func (b *budget) end() { b.space.settle(b.left) }
