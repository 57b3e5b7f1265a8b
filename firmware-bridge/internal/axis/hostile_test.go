package axis

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"camseal/pkg/handoff"
)

// TestHostileTrailsAndBookmarksKeepNoClip: whatever trail, bookmarks and metadata hold, every file is handed over, as it was sent.
func TestHostileTrailsAndBookmarksKeepNoClip(t *testing.T) {
	deep := strings.Repeat("[", 200_000)
	trails := map[string]string{
		"empty": "", "no JSON": "\x00\xff\xfe", "deep": `{"CoordinateEntries":` + deep, "deep before": `{"X":` + deep, "NaN": `{"CoordinateEntries":[{"LocationWKT":NaN}]}`,
		"NaN point": `{"CoordinateEntries":[{"LocationWKT":"POINT(NaN NaN)"}]}`, "beyond": `{"CoordinateEntries":[{"LocationWKT":"POINT(999 99)"}]}`,
		"wrong types": `{"CoordinateEntries":[{"LocationWKT":{"a":[1]}},7,null]}`, "an array": `[]`, "cut off": `{"CoordinateEntries":[{"LocationWKT":"POI`,
		"large": `{"CoordinateEntries":[` + strings.Repeat(`{"LocationWKT":"POINT(500 500)"},`, 200_000), "null": "null", "twice": `{"CoordinateEntries":[]}{"CoordinateEntries":[]}`,
		"absurd digits": `{"CoordinateEntries":[{"LocationWKT":"POINT(1e308 1e308)","SecondsFromStart":-1e999}]}`,
	}
	for name, text := range trails {
		t.Run("trail "+name, func(t *testing.T) {
			s := newSite(t)
			c := s.connect()
			must(t, c.ContainerCreate(context.Background(), recording, nil))
			put(t, c, recording, clip1, fill(1000, 1), nil)
			put(t, c, recording, trailName, []byte(text), nil)
			complete(t, c, recording)
			a := s.agent(nil)
			list, byName := a.files(a.watch()().ID)
			if len(list) != 3 || byName[trailName].Size != uint64(len(text)) || byName[clip1].Header == nil || byName[clip1].Header.Place != "" {
				t.Errorf("%+v", list)
			}
		})
	}
	t.Run("bookmarks", func(t *testing.T) {
		s := newSite(t)
		c := s.connect()
		must(t, c.ContainerCreate(context.Background(), recording, metaHeaders("Container", "TriggerOnTimeISO", "9999-99-99T00:00:00Z", "TriggerOnTime", "-1e99", "UserID", "%ff%fe%00%zz", "StartTime", "NaN")))
		for i, start := range []string{"", "NaN", "0", "1e300", "-5", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-05-03T11:34:21Z", "2024-05-09T00:00:00Z", "%00%ff"} {
			put(t, c, recording, fmt.Sprintf("bookmark_%d_x", i), bytes.Repeat([]byte("<\u202e\x00\xff&"), 100_000), metaHeaders("Object", "StartTime", start, "CategoryName", strings.Repeat("%3C", 300)))
		}
		for i := range 400 {
			put(t, c, recording, fmt.Sprintf("bookmark_20240503T113500Z_%d", i), bytes.Repeat([]byte("<>&"), 1000), nil)
		}
		put(t, c, recording, clip1, fill(1000, 1), metaHeaders("Object", "StartTimeISO", "2024-05-03T11:33:41Z", "StopTimeISO", "1970-01-01T00:00:00Z"))
		put(t, c, recording, clip2, fill(1000, 2), metaHeaders("Object", "StartTime", "99999999999999999999"))
		complete(t, c, recording)
		a := s.agent(nil)
		list, byName := a.files(a.watch()().ID)
		if len(list) != 413 {
			t.Errorf("%d files", len(list))
		}
		day := uint64(maxWait.Milliseconds())
		for _, f := range list {
			line, err := json.Marshal(f)
			must(t, err)
			if len(line) > handoff.MaxLine || len(f.Note) > handoff.MaxText {
				t.Errorf("%s: a line of %d bytes", f.Path, len(line))
			}
			for _, m := range f.Marks {
				if m.Moment > day || strings.ContainsAny(m.Text, "\x00\u202e") || len(m.Text) > handoff.MaxText {
					t.Errorf("mark %+v", m)
				}
			}
		}
		if h := byName[clip1].Header; h == nil || h.Time != "2024-05-03T11:34:11Z" || len(byName[clip1].Marks) == 0 {
			t.Errorf("header %+v, %d marks", h, len(byName[clip1].Marks))
		}
	})
}

// TestMomentsOfMarks: a mark falls into the clip that was running, and never before its begin or after its end.
func TestMomentsOfMarks(t *testing.T) {
	clip := func(begun, stop int64) file { return file{File: handoff.File{Begun: begun}, stop: stop} }
	for name, c := range map[string]struct {
		clips      []file
		at         int64
		in, moment int
	}{
		"inside":                  {[]file{clip(1000, 5000), clip(5000, 9000)}, 2500, 0, 1500},
		"the second's begin":      {[]file{clip(1000, 5000), clip(5000, 9000)}, 5000, 1, 0},
		"between":                 {[]file{clip(1000, 4000), clip(5000, 9000)}, 4500, 0, 3000},
		"before":                  {[]file{clip(1000, 4000)}, 10, 0, 0},
		"after":                   {[]file{clip(1000, 4000), clip(5000, 9000)}, 99_000, 1, 4000},
		"no time of its own":      {[]file{clip(1000, 4000), clip(5000, 9000)}, 0, 0, 0},
		"clip without time":       {[]file{clip(0, 0)}, 77, 0, 0},
		"end not known":           {[]file{clip(1000, 0)}, 61_000, 0, 60_000},
		"end before begin":        {[]file{clip(1000, 10)}, 61_000, 0, 60_000},
		"days later, end unknown": {[]file{clip(1000, 0)}, 1000 + 5*86_400_000, 0, 86_400_000},
	} {
		a := &act{clips: c.clips}
		a.mark(bookmark{at: c.at})
		if m := a.clips[c.in].Marks; len(m) != 1 || m[0].Moment != uint64(c.moment) {
			t.Errorf("%s: %+v", name, a.clips)
		}
	}
	(&act{}).mark(bookmark{at: 1}) // no clip: nothing to mark
}

// TestNamesOfRecordings: user, camera and time out of a container's name in every form, with metadata missing.
func TestNamesOfRecordings(t *testing.T) {
	const at = 1714736051000
	for name, want := range map[string]struct {
		user, camera string
		at           int64
	}{
		userID + "_" + serial + "_20240503T113411Z":       {userID, serial, at},
		userID + "_" + serial + "_20240503_113411":        {userID, serial, at},
		"user_with_dashes_" + serial + "_20240503_113411": {"user_with_dashes", serial, at},
		serial + "_20240503T113411Z":                      {"", serial, at},
		"_" + serial + "_20240503T113411Z":                {"", serial, at},
		userID + "_" + serial + "_99999999T999999Z":       {userID, serial, 0},
		userID + "_" + serial + "_00010101T000000Z":       {userID, serial, 0},
		"something else":                                  {"", "", 0},
		"":                                                {"", "", 0},
		"_20240503T113411Z":                               {"", "", 0},
	} {
		c := container{Name: name, Meta: meta{}}
		if c.user() != want.user || c.camera() != want.camera || c.begun() != want.at {
			t.Errorf("%q: user %q, camera %q, begun %d", name, c.user(), c.camera(), c.begun())
		}
	}
}

func FuzzParseTrail(f *testing.F) {
	f.Add(trail)
	f.Add([]byte(`{"A":[[1]],"CoordinateEntries":[{"LocationWKT":"POINT (-1.5 -2)"}]}`))
	f.Add([]byte(`{"CoordinateEntries":[{"LocationWKT":"POINT(-1.5 -92)"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		at, err := parseTrail(bytes.NewReader(b))
		if err != nil && at != "" {
			t.Errorf("a position %q and an error", at)
		}
		var lat, lon float64
		if at != "" {
			if n, err := fmt.Sscanf(at, "%f, %f", &lat, &lon); n != 2 || err != nil || lat < -90 || lat > 90 || lon < -180 || lon > 180 {
				t.Errorf("position %q", at)
			}
		}
	})
}

func FuzzFileName(f *testing.F) {
	for _, s := range []string{"a.mp4", "../x", "a/b", "%2F", "~", ".x", "王伟", strings.Repeat("é", 300), "a\x00b", "\u202e"} {
		f.Add(s, "a%2Fb")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if checkName("object", a, maxObjectName) != nil || checkName("object", b, maxObjectName) != nil {
			return
		}
		x, y := fileName(a), fileName(b)
		if x == "" || len(x) > 255 || x[0] == '.' || strings.ContainsAny(x, "/\x00") || x == metadataFile {
			t.Errorf("%q became %q", a, x)
		}
		if (a == b) != (x == y) {
			t.Errorf("%q and %q became %q and %q", a, b, x, y)
		}
		if back, ok := nameOf(x); ok && back != a {
			t.Errorf("%q became %q, and back %q", a, x, back)
		}
	})
}
