package axis

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"camseal/firmware-bridge/internal/erase"
	"camseal/firmware-bridge/internal/permit"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
)

const keptStaged = "Nothing was erased; the file is staged as it was."

// Erase implements serve.Source: it removes the staged copy of the permit's file once all of it was read again and found unchanged. It answers once that
// is durable; the same again gets the same answer.
func (d *Destination) Erase(ctx context.Context, p permit.Permit) (handoff.Erased, error) {
	e, ok := d.find(func(dk handoff.Docking) bool { return dk.Volume == p.Source.Volume && dk.Serial == p.Source.Serial })
	if ok {
		defer d.lock(e.dir)()
	}
	phase, hash := d.journal.Look(p.Leaf)
	switch {
	case phase == erase.PhaseDone:
		return handoff.Erased{Hash: hash, Permit: p.Leaf, Before: true}, nil
	case !ok && phase == erase.PhaseIntent: // the recording's last file; its absence was durable before the recording was called gone
		return d.erased(p, hash, true)
	case !ok:
		return handoff.Erased{}, errNoDocking
	}
	before, hash, err := d.remove(ctx, filepath.Join(e.dir, "files"), p)
	if err != nil {
		return handoff.Erased{}, err
	}
	done, err := d.erased(p, hash, before)
	if err != nil {
		return done, err
	}
	c, err := d.container(e.dir)
	if err == nil && !c.Gone {
		err = d.leave(e.dir, &c)
	}
	if err != nil {
		return handoff.Erased{}, internal(err, "The file is released and noted so; nothing else was touched.")
	}
	return done, nil
}

func (d *Destination) erased(p permit.Permit, hash evidence.Digest, before bool) (handoff.Erased, error) {
	if err := d.journal.Note(p.Leaf, hash, erase.PhaseDone); err != nil {
		return handoff.Erased{}, internal(err, "The file is released; the vault holds the footage. Nothing else was touched.")
	}
	d.step("done noted")
	return handoff.Erased{Hash: hash, Permit: p.Leaf, Before: before}, nil
}

// remove takes the file away, durably. It reports whether an earlier request had done so.
func (d *Destination) remove(ctx context.Context, dir string, p permit.Permit) (before bool, hash evidence.Digest, err error) {
	name := strings.TrimPrefix(string(p.Source.RawPath()), "/")
	if name == "" || strings.Contains(name, "/") || !filepath.IsLocal(name) {
		return false, hash, noFile(p)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, hash, internal(err, keptStaged)
	}
	defer func() { _ = root.Close() }() // nothing is written through it
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		phase, hash := d.journal.Look(p.Leaf)
		if phase != erase.PhaseIntent {
			return false, hash, noFile(p)
		}
		if err := syncDir(dir); err != nil {
			return false, hash, internal(err, "The file was removed, and it is not certain that the disk has kept that. The vault holds the footage.")
		}
		return true, hash, nil
	}
	if err != nil {
		return false, hash, internal(err, keptStaged)
	}
	defer f.Close()
	was, err := f.Stat()
	if err != nil {
		return false, hash, internal(err, keptStaged)
	}
	if hash, err = hashOf(ctx, f, was, p); err != nil {
		return false, hash, err
	}
	d.step("read")
	if err := d.journal.Note(p.Leaf, hash, erase.PhaseIntent); err != nil {
		return false, hash, internal(err, keptStaged)
	}
	d.step("intent noted")
	now, err := root.Lstat(name)
	if err == nil && (!os.SameFile(was, now) || now.Size() != was.Size() || !now.ModTime().Equal(was.ModTime())) {
		err = changed(p, "it changed while it was read")
	}
	if err == nil {
		err = root.Remove(name)
	}
	if err != nil { // it is where it was: should somebody else remove it, that was not us
		return false, hash, errors.Join(internal(err, keptStaged), d.journal.Note(p.Leaf, hash, erase.PhaseNone))
	}
	d.step("unlinked")
	if err := syncDir(dir); err != nil {
		return false, hash, internal(err, "The file was removed, and it is not certain that the disk has kept that. The vault holds the footage.")
	}
	d.step("synced")
	return false, hash, nil
}

// hashOf reads the whole file and compares it with what was sealed.
func hashOf(ctx context.Context, f *os.File, was fs.FileInfo, p permit.Permit) (evidence.Digest, error) {
	sum := sha256.New()
	switch {
	case !was.Mode().IsRegular():
		return evidence.Digest{}, changed(p, "it is no regular file")
	case uint64(was.Size()) != p.Source.Size:
		return evidence.Digest{}, changed(p, fmt.Sprintf("it has %d bytes, %d were sealed", was.Size(), p.Source.Size))
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{&until{ctx, f}}, make([]byte, 256<<10))
	if err != nil {
		return evidence.Digest{}, internal(err, keptStaged)
	}
	hash := evidence.Digest(sum.Sum(nil))
	if n != was.Size() || hash != p.Hash {
		return hash, changed(p, fmt.Sprintf("its bytes have the SHA-256 %s, those that were sealed have %s", hash, p.Hash))
	}
	return hash, nil
}

// until reads as long as somebody waits.
type until struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (u *until) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

func (d *Destination) step(name string) {
	if d.Step != nil {
		d.Step(name)
	}
}

func noFile(p permit.Permit) error {
	return &handoff.Error{Status: http.StatusNotFound, Code: handoff.CodeNoFile, Message: fmt.Sprintf("%q is not staged, and was not erased on this permit.", p.Source.Path),
		Kept: "Nothing was erased. The vault holds the footage.", Do: "Nothing, if it was erased on another permit."}
}

func changed(p permit.Permit, what string) error {
	return &handoff.Error{Status: http.StatusConflict, Code: handoff.CodeChanged, Message: fmt.Sprintf("%q is not what was sealed: %s.", p.Source.Path, what),
		Kept: keptStaged, Do: "Have a person look at the staging folder; the vault holds what was sealed."}
}

func internal(err error, kept string) error {
	var e *handoff.Error
	if errors.As(err, &e) {
		return e
	}
	return &handoff.Error{Status: http.StatusInternalServerError, Code: handoff.CodeInternal, Message: err.Error() + ".", Kept: kept,
		Do: "See that the content destination's state folder can be written to, and restart it; then ask again."}
}
