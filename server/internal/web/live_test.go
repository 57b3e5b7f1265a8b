package web

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/auth"
)

// usedLive are the texts of live pages that Go code and scripts name, or put together from what they are about.
func usedLive(t *testing.T) (keys []string) {
	t.Helper()
	literal := regexp.MustCompile(`["']([a-z0-9-]+)["']`)
	for pattern, prefix := range map[string]string{"live*.go": "", "static/js/live.js": "live-js-", "static/js/whep.js": "live-js-"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatal(pattern, err)
		}
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range literal.FindAllSubmatch(raw, -1) {
				for _, key := range []string{prefix + string(m[1]), "live-fact-" + string(m[1]), prefix + string(m[1]) + "-of"} {
					if _, ok := textsLive[key]; ok {
						keys = append(keys, key)
					}
				}
			}
		}
	}
	for _, k := range []transport.CommandKind{transport.CommandStart, transport.CommandStop, transport.CommandMark, transport.CommandLive, transport.CommandChunk} {
		keys = append(keys, "live-do-"+string(k), "live-do-"+string(k)+"-says", "live-order-"+string(k))
	}
	for _, k := range guestKinds {
		keys = append(keys, "live-token-"+k, "live-token-"+k+"-says")
	}
	for _, k := range []string{"wifi", "mobile", "dock"} {
		keys = append(keys, "live-link-"+k)
	}
	for _, p := range auth.LivePurposes {
		keys = append(keys, "purpose-"+string(p))
	}
	return keys
}

func at(lat, lon float64) *place {
	return positionOf(&transport.Position{Lat: signed(lat), Lon: signed(lon)})
}

func signed(d float64) evidence.Signed {
	s := evidence.Signed{Sign: "+", Value: uint64(math.Round(math.Abs(d) * 1e6))}
	if d < 0 {
		s.Sign = "-"
	}
	return s
}

// The map keeps distances and directions, across the antimeridian too, and everything stays on it.
func TestMapOfRecorders(t *testing.T) {
	if mapOf([]tile{{No: 1}}) != nil || at(90.1, 0) != nil || at(0, -180.1) != nil || positionOf(nil) != nil {
		t.Error("nowhere is drawn")
	}
	for name, c := range map[string]struct {
		places []*place
		length string
	}{
		"one":                       {[]*place{at(31.230416, 121.473701)}, "50 m"},
		"all at one place":          {[]*place{at(31.2, 121.4), at(31.2, 121.4)}, "50 m"},
		"a town":                    {[]*place{at(31.23, 121.47), nil, at(31.25, 121.50), at(31.20, 121.49)}, "2 km"},
		"across the antimeridian":   {[]*place{at(-17, 179.99), at(-17, -179.99)}, "500 m"},
		"from pole to pole":         {[]*place{at(90, 0), at(-90, 0), at(0, 180)}, "10000 km"},
		"south and west of nothing": {[]*place{at(-33.45, -70.66), at(-33.46, -70.67)}, "500 m"},
	} {
		var tiles []tile
		for i, p := range c.places {
			tiles = append(tiles, tile{No: i + 1, At: p})
		}
		m := mapOf(tiles)
		if m.Length != c.length || m.End() > mapWidth-mapMargin || m.Bar < mapWidth/16 {
			t.Errorf("%s: a bar of %g stands for %s, want %s", name, m.Bar, m.Length, c.length)
		}
		for _, p := range m.Points {
			if p.X < mapMargin-1 || p.X > mapWidth-mapMargin+1 || p.Y < mapMargin-1 || p.Y > mapHeight-mapMargin+1 || math.IsNaN(p.X+p.Y) {
				t.Errorf("%s: %d is drawn at %g %g", name, p.No, p.X, p.Y)
			}
		}
		switch a, b := m.Points[0], m.Points[len(m.Points)-1]; name {
		case "a town":
			if a.X >= b.X || a.Y >= b.Y {
				t.Errorf("what is to the south-east is drawn at %g %g from %g %g", b.X, b.Y, a.X, a.Y)
			}
		case "across the antimeridian":
			if metres := (b.X - a.X) / m.Bar * 500; math.Abs(metres-0.02*degree*math.Cos(17*math.Pi/180)) > 20 {
				t.Errorf("%g m apart", metres)
			}
		}
	}
	if got := at(-31.230416, 121.473701).String(); got != "31.230416° S, 121.473701° E" {
		t.Error(got)
	}
}
