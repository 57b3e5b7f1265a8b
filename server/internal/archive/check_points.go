package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing/iotest"
	"time"

	"camseal/pkg/evidence"
)

func (c *checker) wrongBytes(ctx context.Context) error {
	b := bytes.Repeat([]byte("right "), 1<<14)
	for name, wrong := range map[string][]byte{
		"changed": append(bytes.Clone(b[:len(b)-1]), 'x'), "short": b[:len(b)-1], "long": append(bytes.Clone(b), 'x'), "none": nil,
	} {
		o := c.object("wrong", b)
		_, err := c.v.Put(ctx, o, bytes.NewReader(wrong))
		var w *WrongBytes
		if !errors.As(err, &w) || w.Key != o.Key || w.Want != o.Hash {
			return fmt.Errorf("%s bytes: got %w, want *WrongBytes", name, orNil(err))
		}
		if err := c.absent(ctx, o); err != nil {
			return fmt.Errorf("after %s bytes: %w", name, err)
		}
	}
	_, err := c.put(ctx, "wrong", b) // and the right ones are taken after that
	return err
}

func (c *checker) cancelled(ctx context.Context) error {
	b := bytes.Repeat([]byte("cancelled "), 1<<14)
	o := c.object("cancelled", b)
	inner, cancel := context.WithCancel(ctx)
	r := io.MultiReader(bytes.NewReader(b[:len(b)/2]), &hook{do: cancel}, bytes.NewReader(b[len(b)/2:]))
	if _, err := c.v.Put(inner, o, r); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("got %w, want context canceled", orNil(err))
	}
	return c.absent(ctx, o)
}

// hook is a reader of nothing that does something when it is reached.
type hook struct{ do func() }

func (h *hook) Read([]byte) (int, error) { h.do(); return 0, io.EOF }

var errBroken = errors.New("the source broke off")

func (c *checker) broken(ctx context.Context) error {
	b := bytes.Repeat([]byte("broken "), 1<<14)
	o := c.object("broken", b)
	r := io.MultiReader(bytes.NewReader(b[:len(b)-1]), iotest.ErrReader(errBroken))
	if _, err := c.v.Put(ctx, o, r); !errors.Is(err, errBroken) {
		return fmt.Errorf("got %w, want the source's own error", orNil(err))
	}
	return c.absent(ctx, o)
}

func (c *checker) oddKeys(ctx context.Context) error {
	b := []byte("odd")
	h := evidence.Sum(b)
	other := evidence.Sum(nil)
	for _, key := range []string{
		"", "/" + h.String(), "../" + h.String(), c.prefix + "../up-" + h.String(), c.prefix + "/double-" + h.String(), h.String(),
		c.prefix + "Upper-" + h.String(), c.prefix + "sp ace-" + h.String(), c.prefix + "nul\x00-" + h.String(), c.prefix + "\u00e4-" + h.String(),
		c.prefix + "back\\slash-" + h.String(), c.prefix + "dot.dot-" + h.String(), c.prefix + "other-" + other.String(), c.prefix + "none",
		c.prefix + strings.Repeat("a", 300) + "-" + h.String(), c.prefix + strings.Repeat("a/", 400) + h.String(), c.prefix + h.String() + "/",
	} {
		if _, err := c.v.Put(ctx, Object{Key: key, Size: 3, Hash: h, Until: c.until}, bytes.NewReader(b)); !errors.Is(err, ErrKey) {
			return fmt.Errorf("put %q: got %w, want not a key", key, orNil(err))
		}
		if _, err := c.v.Stat(ctx, Ref{Key: key, Hash: h}); !errors.Is(err, ErrKey) {
			return fmt.Errorf("stat %q: got %w, want not a key", key, orNil(err))
		}
	}
	for _, err := range c.v.List(ctx, "../") {
		if !errors.Is(err, ErrKey) {
			return fmt.Errorf("list: got %w, want not a key", orNil(err))
		}
	}
	return nil
}

func (c *checker) notFound(ctx context.Context) error {
	o := c.object("nowhere", []byte("nowhere"))
	if err := c.absent(ctx, o); err != nil {
		return err
	}
	if _, err := c.v.Extend(ctx, Ref{Key: o.Key, Hash: o.Hash}, c.until); !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("extend: got %w, want not found", orNil(err))
	}
	if _, err := First(ctx, c.v, c.prefix+"nowhere/", 12, 0); !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("first of nothing: got %w, want ErrNotFound", orNil(err))
	}
	if _, err := Last(ctx, c.v, c.prefix+"nowhere/", 12); !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("last: got %w, want not found", orNil(err))
	}
	return nil
}

func (c *checker) list(ctx context.Context) error {
	var want []string
	for _, name := range []string{"list/a/000000000002", "list/a/000000000010", "list/a-b/000000000001", "list/a/b/000000000003", "list/ab"} {
		h, err := c.put(ctx, name, []byte(name))
		if err != nil {
			return err
		}
		want = append(want, h.Key)
	}
	slices.Sort(want)
	for _, prefix := range []string{"list/", "list/a", "list/a/", "list/a/0000", "list/ab", "list/b"} {
		var got, expected []string
		for _, k := range want {
			if strings.HasPrefix(k, c.prefix+prefix) {
				expected = append(expected, k)
			}
		}
		for h, err := range c.v.List(ctx, c.prefix+prefix) {
			if err != nil {
				return err
			}
			got = append(got, h.Key)
			if hash, err := HashOf(h.Key); err != nil || hash != h.Hash || h.Size == 0 {
				return fmt.Errorf("listed %+v", h)
			}
		}
		if !slices.Equal(got, expected) {
			return fmt.Errorf("below %s: listed %q, want %q", prefix, got, expected)
		}
	}
	for range c.v.List(ctx, c.prefix) {
		break // leaving early is allowed
	}
	last, err := Last(ctx, c.v, c.prefix+"list/a/", 12)
	if err == nil && !strings.HasPrefix(last.Key, c.prefix+"list/a/000000000010-") {
		err = fmt.Errorf("last is %q", last.Key)
	}
	if err != nil {
		return err
	}
	first, err := First(ctx, c.v, c.prefix+"list/a/", 12, 3)
	if err == nil && !strings.HasPrefix(first.Key, c.prefix+"list/a/000000000010-") {
		err = fmt.Errorf("first from 3 on is %q", first.Key)
	}
	return err
}

func (c *checker) extend(ctx context.Context) error {
	h, err := c.put(ctx, "extend", []byte("extend"))
	if err != nil {
		return err
	}
	if _, err := c.v.Extend(ctx, h.Ref(), h.Until.Add(-time.Second)); !errors.Is(err, ErrShorten) {
		return fmt.Errorf("shortened: got %w, want it refused", orNil(err))
	}
	for _, until := range []time.Time{h.Until, h.Until.Add(time.Minute)} {
		got, err := c.v.Extend(ctx, h.Ref(), until)
		if err != nil {
			return err
		}
		stat, err := c.v.Stat(ctx, h.Ref())
		if err != nil {
			return err
		}
		if !got.Until.Equal(until) || stat != got || got.Version != h.Version {
			return fmt.Errorf("extended to %s: %+v, stat %+v", until, got, stat)
		}
	}
	return nil
}

// LockChecker is a vault that can try to destroy one of its own objects, with the server's own rights, and must not succeed.
type LockChecker interface {
	LockCheck(ctx context.Context, ref Ref) error
}

func (c *checker) lock(ctx context.Context) error {
	b := []byte("locked")
	h, err := c.put(ctx, "locked", b)
	if err != nil {
		return err
	}
	if l, ok := c.v.(LockChecker); ok {
		if err := l.LockCheck(ctx, h.Ref()); err != nil {
			return err
		}
	}
	got, err := Read(ctx, c.v, h.Ref(), 1<<10)
	if err == nil && !bytes.Equal(got, b) {
		err = fmt.Errorf("read %q", got)
	}
	return err
}
