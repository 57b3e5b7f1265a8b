package spool

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"camseal/pkg/durable"
	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// ErrForked says that the chain went on at another place: this recording, or the intake that the open names, stayed behind. The bytes that
// are held are taken in again; a reader begins the file anew.
var ErrForked = errors.New("the chain went on elsewhere; this belongs to the part that was left")

// Adoption is where the chain is to go on: at the statement after Seq, as the home log's receipt says.
type Adoption struct {
	Seq     uint64 // the server's last statement of this device
	Head    evidence.Digest
	N       uint64       // of the device's own next statement
	Receipt tlog.Receipt // seen, checked, of Head at Seq
}

// base is where the chain went on after a fork: nothing between the part that was left and Seq is here.
type base struct {
	Seq  uint64          `json:"seq"`
	Head evidence.Digest `json:"head"`
}

// Adopt makes the next boot statement go on there. Until it is said, all stays as it is and goes on.
func (s *Spool) Adopt(a Adoption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adoption = &a
}

// Branch is how often the chain went on elsewhere.
func (s *Spool) Branch() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.meta.Parts)
}

// Forked reports whether the recording stayed behind: its newest statements are not in the chain any more, and not all of it is
// stored or taken in again.
func (s *Spool) Forked(r Recording) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.meta.left(&r)
}

// left is Forked.
func (m *meta) left(r *Recording) bool {
	return !r.Done && r.Branch < len(m.Parts) && r.Last >= m.Parts[r.Branch]
}

// goOn says the boot statement where the adoption wants it. What conflicts is durable in quarantine before; chain, boot and receipt change
// in one transaction; what is left of the old statements goes after it, at the next start if need be. s.mu is not held.
func (s *Spool) goOn(b evidence.Boot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := *s.adoption
	from, err := s.common()
	if err != nil {
		return err
	}
	if from > a.Seq { // the log has another head for what it gave a receipt for
		s.adoption = nil
		return fmt.Errorf("%w: the head at %d contradicts a receipt for %d", errOrder, a.Seq, from-1)
	}
	if err := s.quarantineChain(from); err != nil {
		return err
	}
	s.cfg.Step("fork in quarantine")
	next := s.meta
	last := next.Next - 1
	b.Last, b.Intents = &last, nil
	next.Next, next.Head, next.N, next.Sealed = a.Seq+1, a.Head, a.N, a.Seq+1
	next.Base, next.Intake = &base{a.Seq, a.Head}, 0
	next.Parts = append(next.Parts[:len(next.Parts):len(next.Parts)], from)
	next.Stale = &span{from, last}
	err = s.commit(func(t txn) error {
		for _, k := range [][]byte{keyIntent, keySeal(next.Next)} {
			if err := t.Delete(k); err != nil {
				return err
			}
		}
		if err := t.putJSON(key('n', be(a.Seq)), savedReceipt{a.Receipt.Leaf, a.Receipt.Proof}); err != nil {
			return err
		}
		if _, err := s.say(t, &next, nil, Entry{Body: &b}); err != nil {
			return err
		}
		return t.putJSON(keyMeta, next)
	})
	if err != nil {
		return fmt.Errorf("go on at %d: %w", a.Seq+1, err)
	}
	s.meta, s.adoption = next, nil
	s.wake()
	select {
	case s.notify <- struct{}{}:
	default:
	}
	return s.clearStale()
}

// common returns the seq after the newest statement of ours that the home log gave a receipt for. s.mu is held.
func (s *Spool) common() (uint64, error) {
	seq, _, err := s.SeenReceipt()
	switch {
	case isNotFound(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return seq + 1, nil
}

// span is a stretch of statements, both ends included.
type span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// quarantineChain writes the statements from a seq on, with their seals and count records, to a file in quarantine. Writing it again
// changes nothing. s.mu is held.
func (s *Spool) quarantineChain(from uint64) error {
	if from == s.meta.Next {
		return nil
	}
	name := fmt.Sprintf("fork-%d-%d-%s.jsonl", from, s.meta.Next-1, hex.EncodeToString(s.meta.Head[:8]))
	dir := filepath.Join(s.cfg.Dir, "quarantine")
	f, err := os.CreateTemp(filepath.Join(s.cfg.Dir, "tmp"), "fork-*")
	if err != nil {
		return full(err)
	}
	w, err := s.encrypt(f, "quarantine", []byte(name))
	if err == nil {
		err = s.view(func(t txn) error {
			return t.walk(key('s'), keyStatement(from), func(k, v []byte) (bool, error) {
				if number(k[2:]) >= s.meta.Next {
					return false, nil
				}
				if k[10] == 0 {
					v = v[len(evidence.Digest{}):]
				}
				_, err := w.Write(append(v[:len(v):len(v)], '\n'))
				return true, err
			})
		})
		err = errors.Join(err, w.Close())
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("quarantine: %w", full(err)), os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("quarantine: %w", full(err))
	}
	return syncFolder(dir)
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// clearStale removes the old statements that lie about where the chain went on elsewhere, so that new ones never stand among them. s.mu is
// held; nothing is said before it has ended.
func (s *Spool) clearStale() error {
	stale := s.meta.Stale
	if stale == nil {
		return nil
	}
	boot := string(keyStatement(s.meta.Base.Seq + 1))
	for {
		var keys [][]byte
		err := s.view(func(t txn) error {
			return t.walk(key('s'), keyStatement(stale.From), func(k, _ []byte) (bool, error) {
				if number(k[2:]) > stale.To {
					return false, nil
				}
				if string(k) != boot {
					keys = append(keys, append([]byte(nil), k...))
				}
				return len(keys) < 256, nil
			})
		})
		if err != nil {
			return err
		}
		next := s.meta
		if len(keys) == 0 {
			next.Stale = nil
		}
		err = s.commit(func(t txn) error {
			for _, k := range keys {
				if err := t.Delete(k); err != nil {
					return err
				}
			}
			return t.putJSON(keyMeta, next)
		})
		if err != nil {
			return fmt.Errorf("clear what was left: %w", err)
		}
		s.meta = next
		if len(keys) == 0 {
			return nil
		}
	}
}

// Drop removes the file of a chunk of a recording that stayed behind: it is taken in again, durably. It can be repeated.
func (s *Spool) Drop(id evidence.RecordingID, index uint64) error {
	c, err := s.Chunk(id, index)
	if err != nil {
		return err
	}
	err = os.Remove(s.chunkPath(chunkName(id, index)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held -= int64(c.Size)
	s.wake()
	return nil
}

// Leave notes that all that was held of a recording that stayed behind is taken in again, as twin if that is not noted already. Durable.
func (s *Spool) Leave(id, twin evidence.RecordingID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.commit(func(t txn) error {
		var r Recording
		if err := t.json(keyRecording(id), &r); err != nil {
			return err
		}
		r.Gone, r.HeldBytes = true, 0
		if r.Again.IsZero() {
			r.Again = twin
		}
		if err := t.Delete(keyPending(r.OpenSeq, r.ID)); err != nil {
			return err
		}
		return t.putJSON(keyRecording(id), r)
	})
	if err == nil {
		s.wake()
	}
	return err
}

// Quarantine lists what lies in quarantine.
func (s *Spool) Quarantine() ([]string, error) {
	files, err := os.ReadDir(filepath.Join(s.cfg.Dir, "quarantine"))
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names, err
}

// WriteQuarantine writes the plain bytes of what lies in quarantine to a folder, and returns how many files that were. What can't be
// decrypted is written as it is.
func (s *Spool) WriteQuarantine(to string) (int, error) {
	names, err := s.Quarantine()
	if err != nil || len(names) == 0 {
		return 0, err
	}
	if err := durable.MkdirAll(to, 0o700); err != nil {
		return 0, err
	}
	for _, name := range names {
		if err := s.writeQuarantined(name, filepath.Join(to, name)); err != nil {
			return 0, fmt.Errorf("quarantine: %w", err)
		}
	}
	return len(names), nil
}

func (s *Spool) writeQuarantined(name, to string) error {
	use, parts := "quarantine", [][]byte{[]byte(name)}
	chunk, _, _ := strings.Cut(name, ".")
	if id, index, ok := parseChunkName(chunk); ok {
		use, parts = "chunk", chunkNames(id, index)
	}
	err := s.copyOut(name, to, func(f *os.File) (io.ReadCloser, error) { return s.decrypt(f, use, parts...) })
	if errors.Is(err, ErrDamaged) {
		err = s.copyOut(name, to+".damaged", func(f *os.File) (io.ReadCloser, error) { return f, nil })
	}
	return err
}

func (s *Spool) copyOut(name, to string, plain func(*os.File) (io.ReadCloser, error)) error {
	f, err := os.Open(filepath.Join(s.cfg.Dir, "quarantine", name))
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := plain(f)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Sync(), out.Close())
}

// moved reports up to which chunk a recording that stayed behind has been taken in again.
func (s *Spool) moved(r Recording) (uint64, error) {
	if r.Again.IsZero() {
		return 0, nil
	}
	m, err := s.Recording(r.Again)
	if m.FromTo > 0 {
		return m.FromTo, err
	}
	return m.FromAt + m.Next, err
}
