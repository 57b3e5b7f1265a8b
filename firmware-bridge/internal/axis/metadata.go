package axis

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of metadata: Swift's own for counts and names; values are larger since they come URL-encoded.
const (
	maxMetaItems = 90
	maxMetaName  = 128
	maxMetaValue = 1024
	maxMetaAll   = 16 << 10
)

// metaOf reads the headers with a prefix. An empty value, or the name under removed, says that the item is to go; it stands in the result
// with an empty value.
func metaOf(h http.Header, prefix, removed string) (meta, error) {
	m := meta{}
	all := 0
	for k, v := range h {
		name, ok := strings.CutPrefix(k, prefix)
		value := v[0]
		if !ok {
			if name, ok = strings.CutPrefix(k, removed); !ok || removed == "" {
				continue
			}
			value = ""
		}
		all += len(name) + len(value)
		switch {
		case len(v) > 1:
			return nil, refusef(400, "Metadata %q is given twice; nothing was stored.", name)
		case name == "" || len(name) > maxMetaName:
			return nil, refusef(400, "The name of a metadata item has %d bytes; 1 to %d are possible. Nothing was stored.", len(name), maxMetaName)
		case len(value) > maxMetaValue:
			return nil, refusef(400, "Metadata %q has %d bytes; at most %d are possible. Nothing was stored.", name, len(value), maxMetaValue)
		case !utf8.ValidString(value):
			return nil, refusef(400, "Metadata %q is not UTF-8; nothing was stored.", name)
		}
		m[strings.ToLower(name)] = value
	}
	if len(m) > maxMetaItems || all > maxMetaAll {
		return nil, refusef(400, "There are %d metadata items of %d bytes; at most %d of %d bytes are possible. Nothing was stored.", len(m), all, maxMetaItems, maxMetaAll)
	}
	return m, nil
}

// merge changes m as a container's metadata changes: what is empty goes.
func (m meta) merge(change meta) error {
	for k, v := range change {
		if v == "" {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	all := 0
	for k, v := range m {
		all += len(k) + len(v)
	}
	if len(m) > maxMetaItems || all > maxMetaAll {
		return refusef(400, "The container would have %d metadata items of %d bytes; at most %d of %d bytes are possible. Nothing was changed.", len(m), all, maxMetaItems, maxMetaAll)
	}
	return nil
}

// given drops what is empty: an object's metadata is replaced as a whole.
func (m meta) given() meta {
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	return m
}

func (m meta) write(h http.Header, prefix string) {
	for k, v := range m {
		h.Set(prefix+k, v)
	}
}

// text returns an item as it is meant: URL-decoded UTF-8, without control characters and signs that turn the direction of what follows, of at most 256
// bytes; empty if there is none.
func (m meta) text(key string) string {
	v := m[key]
	if plain, err := url.PathUnescape(v); err == nil {
		v = plain
	}
	return clean(v, 256)
}

func clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s))
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// Times before and after these are no recording's.
var (
	earliest = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

func sane(t time.Time) int64 {
	if t.Before(earliest) || t.After(latest) {
		return 0
	}
	return t.UnixMilli()
}

// moment reads a time as milliseconds since 1970: RFC 3339 in the first key, or seconds since 1970 in the second. 0: there is none that makes
// sense.
func (m meta) moment(iso, epoch string) int64 {
	if t, err := time.Parse(time.RFC3339, m.text(iso)); err == nil {
		return sane(t)
	}
	if s, err := strconv.ParseFloat(m.text(epoch), 64); err == nil && s > 0 && s < 1e11 { // NaN is neither
		return sane(time.UnixMilli(int64(s * 1000)))
	}
	if t, err := time.Parse(time.RFC3339, m.text(epoch)); err == nil {
		return sane(t)
	}
	return 0
}

var stamp = regexp.MustCompile(`(?:^|_)(\d{8})[T_]?(\d{6})(?:\.\d+)?Z?(?:_|\.|$)`)

// stampOf reads the time in a name such as 20240503T113411Z or 20240503_113411; 0: there is none.
func stampOf(name string) int64 {
	m := stamp.FindStringSubmatch(name)
	if m == nil {
		return 0
	}
	t, err := time.Parse("20060102150405", m[1]+m[2])
	if err != nil {
		return 0
	}
	return sane(t)
}
