package axis

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// Bounds of keys, bytes. The connection file of a body-worn system takes 64.
const (
	minKey = 16
	maxKey = 64
)

var userName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// hash is an argon2id hash (RFC 9106).
type hash struct {
	memory, time uint32 // KiB, passes
	threads      uint8
	salt, sum    []byte
}

// fresh parameters are those that OWASP's password storage cheat sheet recommends.
func fresh(key []byte) (hash, error) {
	h := hash{memory: 19 << 10, time: 2, threads: 1, salt: make([]byte, 16)}
	if len(key) < minKey || len(key) > maxKey {
		return h, fmt.Errorf("a key has %d to %d bytes", minKey, maxKey)
	}
	_, _ = rand.Read(h.salt) // never fails (crypto/rand)
	h.sum = h.of(key, 32)
	return h, nil
}

func (h hash) of(key []byte, n uint32) []byte {
	return argon2.IDKey(key, h.salt, h.time, h.memory, h.threads, n)
}

func (h hash) matches(key string) bool {
	return subtle.ConstantTimeCompare(h.of([]byte(key), uint32(len(h.sum))), h.sum) == 1
}

// String is the form that other programs write too ($argon2id$v=19$m=…,t=…,p=…$salt$hash).
func (h hash) String() string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, b.EncodeToString(h.salt), b.EncodeToString(h.sum))
}

func parseHash(s string) (hash, error) {
	var h hash
	part := strings.Split(s, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errors.New("not $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	}
	if _, err := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return h, fmt.Errorf("parameters: %w", err)
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(part[4])
	h.sum, err2 = base64.RawStdEncoding.Strict().DecodeString(part[5])
	if err := errors.Join(err1, err2); err != nil {
		return h, err
	}
	if h.memory < 8<<10 || h.memory > 64<<10 || h.time < 1 || h.time > 10 || h.threads < 1 || h.threads > 4 || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 {
		return h, errors.New("allowed are m=8192 to 65536, t=1 to 10, p=1 to 4, a salt of 8 bytes and a hash of 16 at least")
	}
	return h, nil
}

// HashKey reads a key from r (its first line) and returns the line for the file of users. The key has 16 to 64 bytes.
func HashKey(user string, r io.Reader) (string, error) {
	if !userName.MatchString(user) {
		return "", fmt.Errorf("user %q is not of 1 to 64 letters, digits, dots, dashes and underscores", user)
	}
	key, err := firstLine(r)
	if err != nil {
		return "", err
	}
	h, err := fresh(key)
	if err != nil {
		return "", err
	}
	return user + ":" + h.String(), nil
}

func firstLine(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// Users are the body-worn systems that may send, and the hashes of their keys; it holds no key. Safe for concurrent use.
type Users struct {
	hashes map[string]hash
	nobody hash // what a name that is not known is compared with, so that it takes as long
	gate   chan struct{}
}

// ReadUsers reads a file with one user a line: NAME:$argon2id$… or NAME:file:PATH, where PATH holds the key in its first line. Empty lines and those
// that begin with # say nothing. Neither file may be readable for everybody.
func ReadUsers(path string) (*Users, error) {
	b, err := readSecret(path, 1<<20)
	if err != nil {
		return nil, err
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	nobody, err := fresh(random)
	if err != nil {
		return nil, err
	}
	u := &Users{hashes: map[string]hash{}, nobody: nobody, gate: make(chan struct{}, 2)}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, how, _ := strings.Cut(line, ":")
		h, err := parseUser(how)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
		case !userName.MatchString(name):
			return nil, fmt.Errorf("%s, line %d: a user's name is of 1 to 64 letters, digits, dots, dashes and underscores", path, n)
		}
		if _, twice := u.hashes[name]; twice {
			return nil, fmt.Errorf("%s, line %d: user %s stands there twice", path, n, name)
		}
		u.hashes[name] = h
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(u.hashes) == 0 {
		return nil, fmt.Errorf("%s names no user: nobody could send anything. Make a line with camseal-bridge axis user NAME", path)
	}
	return u, nil
}

func parseUser(how string) (hash, error) {
	file, ok := strings.CutPrefix(how, "file:")
	if !ok {
		return parseHash(how)
	}
	b, err := readSecret(file, 4096)
	if err != nil {
		return hash{}, err
	}
	key, err := firstLine(bytes.NewReader(b))
	if err != nil {
		return hash{}, err
	}
	h, err := fresh(key)
	if err != nil {
		return h, fmt.Errorf("%s: %w", file, err)
	}
	return h, nil
}

func readSecret(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s can be read by everybody; say chmod o= %s", path, path)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// check takes as long for a name that is not known. At most two are computed at once.
func (u *Users) check(ctx context.Context, name, key string) (bool, error) {
	if len(key) > maxKey {
		return false, nil
	}
	select {
	case u.gate <- struct{}{}:
		defer func() { <-u.gate }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	h, known := u.hashes[name]
	if !known {
		h = u.nobody
	}
	return h.matches(key) && known, nil
}

// attempts counts wrong keys by address: ten a minute.
type attempts struct {
	wrong map[string]*attempt
}

type attempt struct {
	n     int
	since time.Time
}

const (
	maxWrong     = 10
	wrongWindow  = time.Minute
	maxAddresses = 4096
)

// allowed reports whether an address may try; it forgets what is old.
func (a *attempts) allowed(addr string, now time.Time) bool {
	if w := a.wrong[addr]; w != nil && now.Sub(w.since) < wrongWindow {
		return w.n < maxWrong
	}
	delete(a.wrong, addr)
	if len(a.wrong) >= maxAddresses {
		for k, w := range a.wrong {
			if now.Sub(w.since) >= wrongWindow {
				delete(a.wrong, k)
			}
		}
	}
	return len(a.wrong) < maxAddresses
}

// begin counts a try as wrong until right takes it back, so that many at once are counted too.
func (a *attempts) begin(addr string, now time.Time) {
	if a.wrong == nil {
		a.wrong = map[string]*attempt{}
	}
	if a.wrong[addr] == nil {
		a.wrong[addr] = &attempt{since: now}
	}
	a.wrong[addr].n++
}

func (a *attempts) right(addr string) { delete(a.wrong, addr) }
