// Package erase removes a recorder's copy of a file on a permit: read again from the medium, compared, and removed, with a journal that makes
// the same request again get the same answer, whatever happens in between.
package erase

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"camseal/pkg/evidence"
)

// Phase says how far an erasure came.
type Phase string

// The phases.
const (
	PhaseNone   Phase = "none"   // nothing was begun, or what was begun was given up with the file in its place
	PhaseIntent Phase = "intent" // the file was read and found to be the permit's; it is being removed, or is gone
	PhaseDone   Phase = "done"   // the medium holds that it is gone
)

// record is one line of the journal.
type record struct {
	Permit evidence.Digest `json:"permit"` // leaf hash
	Hash   evidence.Digest `json:"hash"`   // of the file
	Phase  Phase           `json:"phase"`
}

type entry struct {
	hash  evidence.Digest
	phase Phase
}

// Keep is how many finished erasures a journal remembers at least; unfinished ones it never forgets.
const Keep = 200_000

const fileName = "erased.jsonl"

// Journal remembers what was erased on which permit. Every method that changes it returns once that is durable. It is safe for concurrent use, by
// one process.
type Journal struct {
	mu    sync.Mutex
	f     *os.File
	known map[evidence.Digest]entry
	order []evidence.Digest // finished ones, oldest first
	keep  int
	lines int // in the file
}

// OpenJournal reads the journal in a folder, which must be there, or begins one. A last line that a power cut left half is cut off; any other
// line that can't be read is an error, since what was erased must not be forgotten.
func OpenJournal(dir string) (*Journal, error) { return openJournal(dir, Keep) }

func openJournal(dir string, keep int) (*Journal, error) {
	j := &Journal{known: map[evidence.Digest]entry{}, keep: keep}
	path := filepath.Join(dir, fileName)
	raw, err := os.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		err = errors.Join(j.load(raw), raw.Close())
		if err != nil {
			return nil, fmt.Errorf("journal of erasures %s: %w", path, err)
		}
	}
	if err := j.rewrite(dir); err != nil {
		return nil, fmt.Errorf("journal of erasures: %w", err)
	}
	return j, nil
}

func (j *Journal) load(r io.Reader) error {
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what has no line feed was never answered for
		}
		if err != nil {
			return err
		}
		var rec record
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&rec); err != nil {
			return fmt.Errorf("line %d can't be read (%w); nothing was erased since the start. Look at the file, and move it away if its loss is acceptable: "+
				"then erasures that were under way are not recognised", n, err)
		}
		j.put(rec)
	}
}

func (j *Journal) put(r record) {
	before := j.known[r.Permit].phase
	switch r.Phase {
	case PhaseNone:
		delete(j.known, r.Permit)
		return
	case PhaseDone:
		if before != PhaseDone {
			j.order = append(j.order, r.Permit)
		}
	case PhaseIntent:
		if before == PhaseDone {
			return
		}
	}
	j.known[r.Permit] = entry{r.Hash, r.Phase}
	for len(j.order) > j.keep {
		delete(j.known, j.order[0])
		j.order = j.order[1:]
	}
}

// rewrite replaces the file by one that holds only what is remembered, and opens it.
func (j *Journal) rewrite(dir string) error {
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	n := 0
	write := func(permit evidence.Digest) {
		e := j.known[permit]
		if err == nil {
			err = json.NewEncoder(w).Encode(record{permit, e.hash, e.phase})
			n++
		}
	}
	for _, p := range j.order {
		write(p)
	}
	for p, e := range j.known {
		if e.phase == PhaseIntent {
			write(p)
		}
	}
	if err == nil {
		err = errors.Join(w.Flush(), f.Sync())
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, fileName))
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.RemoveAll(f.Name()))
	}
	if j.f != nil {
		err = j.f.Close()
	}
	j.f, j.lines = f, n
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Look says how far the erasure on a permit came, and which file it was about.
func (j *Journal) Look(permit evidence.Digest) (Phase, evidence.Digest) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e, ok := j.known[permit]
	if !ok {
		return PhaseNone, evidence.Digest{}
	}
	return e.phase, e.hash
}

// Note writes down how far the erasure on a permit came. Durable when it returns. After an error, the journal takes no more until it is opened anew.
func (j *Journal) Note(permit, hash evidence.Digest, phase Phase) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := record{permit, hash, phase}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if j.lines > 2*j.keep+1000 {
		if err := j.rewrite(filepath.Dir(j.f.Name())); err != nil {
			return fmt.Errorf("journal of erasures: %w", err)
		}
	}
	_, err = j.f.Write(append(line, '\n'))
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("journal of erasures: %w", err), j.f.Close()) // half a line may stand there: nothing may follow it
	}
	j.lines++
	j.put(r)
	return nil
}

// Close closes the journal.
func (j *Journal) Close() error { return j.f.Close() }
