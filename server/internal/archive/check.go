package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"sync"
	"testing/iotest"
	"time"

	"camseal/pkg/evidence"
)

// checkRetention is how long the objects that Check writes stay locked.
const checkRetention = 10 * time.Minute

// Check tries out on a vault what camseal relies on, and calls report for each point, with nil or what is wrong. It may
// be run on a live vault: it writes a few small objects below check/, locked for ten minutes, and touches no other.
// Vaults that can say more (see S3's) are asked with their own LockCheck.
func Check(ctx context.Context, v Vault, now func() time.Time, report func(point string, err error)) {
	var id [8]byte
	rand.Read(id[:])
	c := &checker{v: v, prefix: "check/" + hex.EncodeToString(id[:]) + "/", until: wholeSecond(now().Add(checkRetention))}
	for _, p := range c.points() {
		if err := ctx.Err(); err != nil {
			report(p.name, err)
			return
		}
		report(p.name, p.do(ctx))
	}
}

type checker struct {
	v      Vault
	prefix string
	until  time.Time
}

type point struct {
	name string
	do   func(context.Context) error
}

func (c *checker) points() []point {
	return []point{
		{"the vault has an id and a lock", c.identity},
		{"an object is held as it was put", c.putAndRead},
		{"an empty object is held", c.empty},
		{"a large object is streamed and read from any offset", c.large},
		{"the same object again is the same object", c.again},
		{"many puts of one object at once are one object", c.concurrent},
		{"wrong bytes are refused and leave nothing", c.wrongBytes},
		{"a cancelled put leaves nothing", c.cancelled},
		{"a source that breaks off leaves nothing", c.broken},
		{"odd keys are refused", c.oddKeys},
		{"what is not there is not found", c.notFound},
		{"objects are listed in the order of their keys", c.list},
		{"retention is lengthened and never shortened", c.extend},
		{"an object can't be destroyed", c.lock},
	}
}

func (c *checker) object(name string, b []byte) Object {
	h := evidence.Sum(b)
	return Object{Key: c.prefix + name + "-" + h.String(), Size: int64(len(b)), Hash: h, Until: c.until}
}

func (c *checker) put(ctx context.Context, name string, b []byte) (Held, error) {
	o := c.object(name, b)
	h, err := c.v.Put(ctx, o, bytes.NewReader(b))
	if err == nil && (h.Key != o.Key || h.Size != o.Size || h.Hash != o.Hash || !h.Until.Equal(o.Until)) {
		err = fmt.Errorf("put %+v, held is %+v", o, h)
	}
	return h, err
}

func (c *checker) identity(context.Context) error {
	if len(c.v.ID()) < 8 || strings.ContainsAny(c.v.ID(), " \n\t") {
		return fmt.Errorf("id %q", c.v.ID())
	}
	if l := c.v.Lock(); l != evidence.LockFolder && l != evidence.LockCompliance {
		return fmt.Errorf("lock %q", l)
	}
	return nil
}

func (c *checker) putAndRead(ctx context.Context) error {
	b := []byte("what was put")
	h, err := c.put(ctx, "plain", b)
	if err != nil {
		return err
	}
	for _, ref := range []Ref{h.Ref(), {Key: h.Key, Hash: h.Hash}} {
		got, err := Read(ctx, c.v, ref, 1<<10)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, b) {
			return fmt.Errorf("read %q, put %q", got, b)
		}
		stat, err := c.v.Stat(ctx, ref)
		if err != nil {
			return err
		}
		if stat != h {
			return fmt.Errorf("stat %+v, put returned %+v", stat, h)
		}
	}
	return nil
}

func (c *checker) empty(ctx context.Context) error {
	h, err := c.put(ctx, "empty", nil)
	if err != nil {
		return err
	}
	got, err := Read(ctx, c.v, h.Ref(), 1)
	if err == nil && len(got) > 0 {
		err = fmt.Errorf("read %d bytes", len(got))
	}
	return err
}

func (c *checker) large(ctx context.Context) error {
	b := make([]byte, 3<<20+17)
	rand.Read(b)
	o := c.object("large", b)
	// Pieces of odd size, as a network gives them.
	if _, err := c.v.Put(ctx, o, iotest.HalfReader(bytes.NewReader(b))); err != nil {
		return err
	}
	n, err := rand.Int(rand.Reader, big.NewInt(o.Size))
	if err != nil {
		return err
	}
	for _, offset := range []int64{0, 1, n.Int64(), o.Size - 1, o.Size} {
		r, err := c.v.Open(ctx, Ref{Key: o.Key, Hash: o.Hash}, offset)
		if err != nil {
			return fmt.Errorf("open at %d: %w", offset, err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("read at %d: %w", offset, err)
		}
		if !bytes.Equal(got, b[offset:]) {
			return fmt.Errorf("read %d bytes at %d, want %d", len(got), offset, o.Size-offset)
		}
	}
	return nil
}

func (c *checker) again(ctx context.Context) error {
	b := []byte("put twice")
	first, err := c.put(ctx, "twice", b)
	if err != nil {
		return err
	}
	second, err := c.put(ctx, "twice", b)
	if err != nil {
		return err
	}
	if first != second {
		return fmt.Errorf("first %+v, then %+v", first, second)
	}
	o := c.object("twice", b)
	o.Until = c.until.Add(time.Minute)
	longer, err := c.v.Put(ctx, o, bytes.NewReader(b))
	if err != nil {
		return err
	}
	if !longer.Until.Equal(o.Until) || longer.Version != first.Version {
		return fmt.Errorf("put again until %s: %+v", o.Until, longer)
	}
	o.Until = c.until
	kept, err := c.v.Put(ctx, o, bytes.NewReader(b))
	if err == nil && kept != longer {
		err = fmt.Errorf("put again for a shorter time: %+v, was %+v", kept, longer)
	}
	return err
}

func (c *checker) concurrent(ctx context.Context) error {
	b := bytes.Repeat([]byte("at once"), 1<<15)
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() { _, errs[i] = c.put(ctx, "once", b) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return c.count(ctx, c.object("once", b).Key, 1)
}

func (c *checker) count(ctx context.Context, prefix string, want int) error {
	n := 0
	for _, err := range c.v.List(ctx, prefix) {
		if err != nil {
			return err
		}
		n++
	}
	if n != want {
		return fmt.Errorf("%d objects below %s, want %d", n, prefix, want)
	}
	return nil
}

// absent demands that nothing of o is to be seen.
func (c *checker) absent(ctx context.Context, o Object) error {
	if err := c.count(ctx, o.Key, 0); err != nil {
		return err
	}
	if _, err := c.v.Stat(ctx, Ref{Key: o.Key, Hash: o.Hash}); !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("stat: got %w, want not found", orNil(err))
	}
	if r, err := c.v.Open(ctx, Ref{Key: o.Key, Hash: o.Hash}, 0); !errors.Is(err, ErrNotFound) {
		if err == nil {
			r.Close()
		}
		return fmt.Errorf("open: got %w, want not found", orNil(err))
	}
	return nil
}

func orNil(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}
