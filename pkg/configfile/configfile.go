// Package configfile reads a program's YAML file as answers for its command-line flags, and the words for sizes.
package configfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// Size is a number of bytes.
type Size int64

// UnmarshalText reads 8388608, 8MiB, 8MB or 8M.
func (s *Size) UnmarshalText(text []byte) error {
	word := strings.TrimSpace(string(text))
	digits := strings.TrimRight(word, "KMGTiB ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a number of bytes such as 256KiB, 8MiB or 2GiB", word)
	}
	units := map[string]int64{"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
	unit, ok := units[strings.TrimSpace(word[len(digits):])]
	if !ok || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is not a number of bytes such as 256KiB, 8MiB or 2GiB", word)
	}
	*s = Size(n * unit)
	return nil
}

// file answers for flags that are not on the command line.
type file map[string]any

var _ kong.Resolver = file(nil)

// YAML is a kong.ConfigurationLoader. A key that is no flag of the program itself (before its commands) is refused.
func YAML(r io.Reader) (kong.Resolver, error) {
	values := file{}
	if err := yaml.NewDecoder(r).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return values, nil
}

// Validate implements kong.Resolver.
func (f file) Validate(app *kong.Application) error {
	var known []string
	for _, flag := range app.Flags {
		known = append(known, flag.Name)
	}
	for k := range f {
		if k == "help" || k == "config" || !slices.Contains(known, k) {
			return fmt.Errorf("configuration: there is no key %q", k)
		}
	}
	return nil
}

// Resolve implements kong.Resolver.
func (f file) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	v, ok := f[flag.Name]
	if !ok || parent.App == nil {
		return nil, nil
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case []any:
		return v, nil
	case file: // a mapping within has the type of the whole
		return words(v), nil
	case map[any]any: // a key is a number
		return words(v), nil
	default:
		return fmt.Sprint(v), nil
	}
}

// words makes names and values of a mapping text, as kong takes them.
func words[K comparable](m map[K]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[fmt.Sprint(k)] = fmt.Sprint(v)
	}
	return out
}
