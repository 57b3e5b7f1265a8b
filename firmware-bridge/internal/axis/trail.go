package axis

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
)

// errTrail says that a trail can't be understood.
var errTrail = errors.New("trail can't be understood")

// maxTrail is how far into a trail its first position is looked for, bytes.
const maxTrail = 1 << 20

// point is WKT of a point: longitude, latitude.
var point = regexp.MustCompile(`^POINT ?\(\s*(-?\d{1,3}(?:\.\d{1,12})?)\s+(-?\d{1,2}(?:\.\d{1,12})?)(?:\s|\))`)

// firstFix returns the first position of a trail as "latitude, longitude" with the digits that it has there. Empty: it has none, or was released.
func firstFix(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	return parseTrail(io.LimitReader(f, maxTrail))
}

// parseTrail goes through the positions one by one, and keeps none: the rest of the text may be as long as it likes.
func parseTrail(r io.Reader) (string, error) {
	dec := json.NewDecoder(r)
	if err := expect(dec, json.Delim('{')); err != nil {
		return "", err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return "", fmt.Errorf("%w: %w", errTrail, err)
		}
		if key == "CoordinateEntries" {
			return entries(dec)
		}
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return "", fmt.Errorf("%w: %w", errTrail, err)
		}
	}
	return "", expect(dec, json.Delim('}'))
}

func entries(dec *json.Decoder) (string, error) {
	if err := expect(dec, json.Delim('[')); err != nil {
		return "", err
	}
	for dec.More() {
		var e struct{ LocationWKT any }
		if err := dec.Decode(&e); err != nil {
			return "", fmt.Errorf("%w: %w", errTrail, err)
		}
		if wkt, ok := e.LocationWKT.(string); ok {
			if at, ok := position(wkt); ok {
				return at, nil
			}
		}
	}
	return "", expect(dec, json.Delim(']'))
}

func expect(dec *json.Decoder, want json.Delim) error {
	t, err := dec.Token()
	if err != nil {
		return fmt.Errorf("%w: %w", errTrail, err)
	}
	if t != want {
		return fmt.Errorf("%w: %v stands where %v should", errTrail, t, want)
	}
	return nil
}

func position(wkt string) (string, bool) {
	m := point.FindStringSubmatch(wkt)
	if m == nil {
		return "", false
	}
	lon, err1 := strconv.ParseFloat(m[1], 64)
	lat, err2 := strconv.ParseFloat(m[2], 64)
	if err1 != nil || err2 != nil || lon < -180 || lon > 180 || lat < -90 || lat > 90 {
		return "", false
	}
	return m[2] + ", " + m[1], true
}
