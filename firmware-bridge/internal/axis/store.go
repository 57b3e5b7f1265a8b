package axis

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"camseal/pkg/evidence"
)

// Limits of what an account may hold.
const (
	maxObjects    = 2000    // objects of a container
	maxContainers = 200_000 // containers of an account, those that are only remembered included
)

// meta holds metadata headers: lower-case key without its prefix, value as received.
type meta map[string]string

// object is what is known of an object.
type object struct {
	Name     string          `json:"name"`
	Part     string          `json:"part"`
	Size     int64           `json:"size"`
	MD5      string          `json:"md5"` // Swift's ETag
	Hash     evidence.Digest `json:"sha256"`
	Type     string          `json:"content_type"`
	Meta     meta            `json:"metadata"`
	Received int64           `json:"received"` // milliseconds since 1970
}

// container is what is known of a container.
type container struct {
	Account string `json:"account"`
	Name    string `json:"name"`
	Meta    meta   `json:"metadata"`
	Created int64  `json:"created"` // milliseconds since 1970
	Docking string `json:"docking"` // 32 hexadecimal digits once it is complete: from then on nothing of it changes
	Gone    bool   `json:"gone"`    // every file of it was erased on a permit; the name is remembered
	Objects int64  `json:"objects"` // how many, once it is complete
	Bytes   int64  `json:"bytes"`
	// What the system had said about these when the container became complete.
	User    meta   `json:"user"`
	Device  meta   `json:"device"`
	Systems []meta `json:"systems"`
}

func (c *container) complete() bool { return c.Docking != "" }

// special reports whether a container holds what a system says of itself and not a recording.
func special(name string) bool { return name == "System" || name == "Users" || name == "Devices" }

// store keeps containers and objects. Safe for concurrent use.
type store struct {
	dir   string
	space *space
	offer func(dir string, c container) // hands a complete container over, if that was not done; its lock is held
	locks [64]sync.Mutex                // of containers, by a hash of their folder

	mu    sync.Mutex
	count map[string]int64 // containers of each account
}

func (s *store) accountDir(account string) string {
	return filepath.Join(s.dir, "accounts", fileName(account))
}

func (s *store) containerDir(account, name string) string {
	return filepath.Join(s.accountDir(account), fileName(name))
}

func objectPath(dir, name string) string { return filepath.Join(dir, "objects", fileName(name)) }

// lock holds a container's folder against changes until the returned function is called.
func (s *store) lock(dir string) func() {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir)) // never fails
	l := &s.locks[h.Sum32()%uint32(len(s.locks))]
	l.Lock()
	return l.Unlock
}

// volumeOf is the stable id of a container: the same account and name give the same one.
func volumeOf(account, name string) string {
	h := sha256.Sum256([]byte(account + "\x00" + name))
	return hex.EncodeToString(h[:16])
}

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// container returns what is known, or errNoContainer.
func (s *store) container(dir string) (container, error) {
	var c container
	err := readRecord(filepath.Join(dir, "container.json"), &c)
	if errors.Is(err, fs.ErrNotExist) {
		return c, errNoContainer
	}
	return c, err
}

// object returns what is known, or errNoObject.
func (s *store) object(dir, name string) (object, error) {
	var o object
	err := readRecord(objectPath(dir, name), &o)
	if errors.Is(err, fs.ErrNotExist) {
		return o, errNoObject
	}
	return o, err
}

// each calls f with every object of a container, in the order of their file names.
func (s *store) each(dir string, f func(object) error) error {
	entries, err := os.ReadDir(filepath.Join(dir, "objects"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newName) {
			continue
		}
		var o object
		if err := readRecord(filepath.Join(dir, "objects", e.Name()), &o); err != nil {
			return err
		}
		if err := f(o); err != nil {
			return err
		}
	}
	return nil
}

// putContainer makes a container, or changes the metadata of one that is there; change says how. It reports whether it was made. A container that
// is complete then is offered.
func (s *store) putContainer(account, name string, now int64, only bool, change func(*container) error) (made bool, err error) {
	dir := s.containerDir(account, name)
	defer s.lock(dir)()
	c, err := s.container(dir)
	switch {
	case errors.Is(err, errNoContainer) && !only:
		if err := s.makeContainer(account, dir); err != nil {
			return false, err
		}
		made, c = true, container{Account: account, Name: name, Meta: meta{}, Created: now}
	case err != nil:
		return false, err
	}
	before := maps.Clone(c.Meta)
	if err := change(&c); err != nil {
		return false, err
	}
	if c.complete() {
		s.offer(dir, c) // the answer to its completion may have been an error all the same
		return false, nil
	}
	if !made && maps.Equal(before, c.Meta) {
		return false, nil
	}
	if strings.EqualFold(c.Meta["status"], "Complete") && !special(name) {
		if err := s.seal(dir, &c); err != nil {
			return false, err
		}
	}
	if err := s.space.note(writeRecord(filepath.Join(dir, "container.json"), c)); err != nil {
		return false, err
	}
	if made {
		s.mu.Lock()
		s.count[account]++
		s.mu.Unlock()
	}
	if c.complete() {
		s.offer(dir, c)
		return made, os.RemoveAll(filepath.Join(dir, "parts")) // the bytes are in files
	}
	return made, nil
}

func (s *store) makeContainer(account, dir string) error {
	s.mu.Lock()
	n := s.count[account]
	s.mu.Unlock()
	if n >= maxContainers {
		return refusef(507, "The account holds %d containers, as many as it can; nothing was stored. Ask the operator to archive old ones away.", n)
	}
	if err := s.space.check(); err != nil {
		return err
	}
	for _, d := range []string{s.accountDir(account), dir, filepath.Join(dir, "objects"), filepath.Join(dir, "parts")} {
		if err := s.space.note(makeDir(d)); err != nil {
			return err
		}
	}
	return nil
}

// commit makes received bytes the object's, in place of what it had. The same bytes under the same name again, once the container is complete,
// are answered as before and kept nowhere twice; anything else is refused then, and changes nothing.
func (s *store) commit(dir string, o object) error {
	defer s.lock(dir)()
	c, err := s.container(dir)
	if err != nil {
		return err
	}
	old, err := s.object(dir, o.Name)
	if err != nil && !errors.Is(err, errNoObject) {
		return err
	}
	had := err == nil
	if c.complete() { // its parts are gone, and this one with them
		if had && old.Hash == o.Hash && old.Size == o.Size && maps.Equal(old.Meta, o.Meta) {
			return nil
		}
		return errComplete
	}
	if o.Part == "" {
		return errors.New("object was received for a complete container, and the container is not complete")
	}
	if !had {
		entries, err := os.ReadDir(filepath.Join(dir, "objects"))
		if err != nil {
			return err
		}
		if len(entries) >= maxObjects {
			return refusef(400, "The container holds %d objects, as many as it can; this one was not stored.", len(entries))
		}
	}
	if err := s.space.note(writeRecord(objectPath(dir, o.Name), o)); err != nil {
		return err
	}
	if had {
		return os.Remove(filepath.Join(dir, "parts", old.Part))
	}
	return nil
}

// postObject replaces an object's metadata.
func (s *store) postObject(dir, name string, m meta) error {
	defer s.lock(dir)()
	c, err := s.container(dir)
	if err != nil {
		return err
	}
	o, err := s.object(dir, name)
	switch {
	case err != nil:
		return err
	case maps.Equal(o.Meta, m):
		return nil
	case c.complete():
		return errComplete
	}
	o.Meta = m
	return s.space.note(writeRecord(objectPath(dir, name), o))
}
