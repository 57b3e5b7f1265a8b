package web

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
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
	if mapOf([]tile{{No: 1}, {No: 2, At: at(1, 1)}}) != nil || at(90.1, 0) != nil || at(0, -180.1) != nil || positionOf(nil) != nil {
		t.Error("nowhere is drawn")
	}
	for name, c := range map[string]struct {
		places []*place
		length string
	}{
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

// A watch that connects again within half a minute goes on; then it is over, and its length is from the first connection to the end of the last.
func TestWatchesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var said []string
		var fails error
		l := newWatches(Config{Now: time.Now, Slog: slog.New(slog.DiscardHandler)})
		l.record = func(_ context.Context, a casework.Act) error {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, a.Name+a.Detail[detailLength])
			return fails
		}
		wants := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(said, want) {
				t.Errorf("recorded: %q, want %q", said, want)
			}
			said = nil
		}
		pass := func(d time.Duration) { <-time.After(d) }
		key, may := watchKey{"me", "cam"}, true
		begin := func(session string) (end func()) {
			w := l.join(key, casework.Act{Name: actWatched, Detail: evidence.Detail{}})
			<-w.recorded
			over := make(chan struct{})
			end = sync.OnceFunc(func() { close(over) })
			l.answered(w, session, over, func(context.Context) bool { return may }, end)
			return end
		}
		end := begin("a")
		pass(time.Minute)
		end()
		pass(lingering - time.Second)
		wants("watched-live")
		end = begin("b") // it goes on
		both := begin("c")
		pass(time.Minute)
		end()
		pass(time.Minute)
		both()
		pass(lingering - time.Second)
		wants()
		pass(2 * time.Second)
		wants("watched-live-end209000") // 60 + 29 + 60 + 60

		end = begin("d") // somebody who may not any more is cut off
		may = false
		pass(time.Second)
		l.recheck()
		pass(lingering + time.Second)
		wants("watched-live", "watched-live-end1000")
		end()

		w := l.join(key, casework.Act{Name: actWatched, Detail: evidence.Detail{}}) // no picture came
		l.answered(w, "", nil, nil, nil)
		pass(lingering + time.Second)
		wants("watched-live", "watched-live-end0")

		fails = errors.New("the vault is full") // nothing was watched, and the next attempt is a new one
		for range 2 {
			w = l.join(key, casework.Act{Name: actWatched, Detail: evidence.Detail{}})
			if <-w.recorded; w.err == nil {
				t.Error("a watch that is not on record")
			}
			l.answered(w, "", nil, nil, nil)
			wants("watched-live")
		}
		pass(lingering + time.Second)
		wants()

		fails, may = nil, true
		begin("e")
		pass(time.Second)
		l.close()
		wants("watched-live", "watched-live-end1000")
		if l.join(key, casework.Act{}) != nil {
			t.Error("a watch of a server that ends")
		}
		l.close()
	})
}

// There are 64 tokens at a time; those whose time is over make room.
func TestLiveTokensAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, over := newGuests(), 0
		for i := range maxGuests {
			if _, err := l.add(&guest{ID: string(rune('A' + i)), Until: time.Now().Add(time.Duration(1+i) * time.Hour)}, time.Now(), func() { over++ }); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.add(&guest{ID: "x"}, time.Now(), nil); !errors.Is(err, errManyGuests) {
			t.Error(err)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		token, err := l.add(&guest{ID: "x", Until: time.Now().Add(time.Hour)}, time.Now(), func() {})
		if err != nil || over != 1 || l.valid("A", time.Now()) || l.find(token, time.Now()).ID != "x" || l.find(token+"x", time.Now()) != nil {
			t.Error(err, over)
		}
		l.close()
		if _, err := l.add(&guest{ID: "y", Until: time.Now().Add(time.Hour)}, time.Now(), nil); err == nil {
			t.Error("a token of a server that ends")
		}
	})
}

// Many seen leaves in a row are one line, which names them all; what is between them stands where it was.
func TestSeenInRuns(t *testing.T) {
	var lines []lifeLine
	var list []catalog.Line
	for i, seen := range []bool{true, true, false, true, true, true, false, true} {
		l := catalog.Line{Index: int64(i), Said: &db.SaidPageRow{}}
		if seen {
			l = catalog.Line{Index: int64(i), Seen: &db.Batch{Upto: int64(10 * i)}}
		}
		list = append(list, l)
		lines = append(lines, lifeLine{Index: int64(i)})
	}
	got := inRuns(Frame{Lang: "en"}, lines, list)
	want := []lifeLine{{Index: 0}, {Index: 1}, {Index: 2}, {Index: 5, Run: []int64{3, 4, 5}, What: "Seen 3 times: the log holds what the device sealed up to statement 50"}, {Index: 6}, {Index: 7}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
