package archive

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// First returns the object with the least key among prefix followed by a decimal number of the given width that is at least from.
// It needs few listings even among very many objects. The error wraps ErrNotFound if there is none.
func First(ctx context.Context, v Vault, prefix string, width int, from uint64) (Held, error) {
	digits := fmt.Sprintf("%0*d", width, from)
	if f, ok := v.(interface {
		first(ctx context.Context, prefix, from string) (Held, error)
	}); ok {
		return f.first(ctx, prefix, digits)
	}
	if h, err := leastBelow(ctx, v, prefix+digits); err != nil || h.Key != "" {
		return h, err
	}
	for pos := width - 1; pos >= 0; pos-- {
		for d := digits[pos] + 1; d <= '9'; d++ {
			if h, err := leastBelow(ctx, v, prefix+digits[:pos]+string(d)); err != nil || h.Key != "" {
				return h, err
			}
		}
	}
	return Held{}, fmt.Errorf("first below %s from %d on: %w", filepath.Clean(prefix), from, ErrNotFound)
}

// leastBelow returns the first object of a listing; with an empty Key if there is none.
func leastBelow(ctx context.Context, v Vault, prefix string) (Held, error) {
	for h, err := range v.List(ctx, prefix) {
		return h, err
	}
	return Held{}, nil
}

// first finds the least key that is prefix and more without a slash, and not below from, in one pass.
func (f *Folder) first(ctx context.Context, prefix, from string) (Held, error) {
	if err := CheckPrefix(prefix); err != nil {
		return Held{}, err
	}
	cut := strings.LastIndexByte(prefix, '/') + 1
	dir, start, least := prefix[:cut], prefix[cut:], ""
	err := f.eachName(ctx, dir, start, func(name string) {
		if name >= start+from && (least == "" || name < least) && !strings.HasSuffix(name, "/") {
			least = name
		}
	})
	if err != nil {
		return Held{}, fmt.Errorf("first below %s: %w", prefix, full(err))
	}
	var found Held
	if least != "" {
		f.listOne(dir+least, func(h Held, e error) bool { found, err = h, e; return true })
	}
	if err == nil && found.Key == "" {
		err = fmt.Errorf("first below %s: %w", filepath.Clean(prefix), ErrNotFound)
	}
	return found, err
}
