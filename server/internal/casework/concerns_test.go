package casework

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog/db"
)

// Gaps are where no camera recorded, of more than a minute, in the order of time; what has no known span is counted, not guessed.
func TestGapsBetweenRecordings(t *testing.T) {
	zone := time.FixedZone("", 8*3600)
	at := func(s string) int64 {
		d, err := time.ParseInLocation(time.DateTime, "2026-05-01 "+s, zone)
		if err != nil {
			t.Fatal(err)
		}
		return d.UnixMilli()
	}
	filmed := func(id byte, from, till string) take {
		return take{Recording: db.Recording{}, id: evidence.RecordingID{id}, spans: []span{{at(from), at(till)}}}
	}
	broken := filmed(1, "09:00:00", "09:10:00") // the camera was away
	broken.spans = append(broken.spans, span{at("09:20:00"), at("09:30:00")})
	c := &Cases{Zone: zone}
	for name, x := range map[string]struct {
		takes []take
		want  []string
	}{
		"a gap within one":         {[]take{broken}, []string{"concern-gap [2026-05-01 09:10:00 2026-05-01 09:20:00 600] 1"}},
		"filled by another":        {[]take{broken, filmed(2, "09:09:00", "09:21:00")}, nil},
		"none":                     {nil, nil},
		"one":                      {[]take{filmed(1, "09:00:00", "09:10:00")}, nil},
		"a minute is no gap":       {[]take{filmed(1, "09:00:00", "09:10:00"), filmed(2, "09:11:00", "09:20:00")}, nil},
		"more is":                  {[]take{filmed(2, "09:11:01", "09:20:00"), filmed(1, "09:00:00", "09:10:00")}, []string{"concern-gap [2026-05-01 09:10:00 2026-05-01 09:11:01 61] 2"}},
		"another camera fills it":  {[]take{filmed(1, "09:00:00", "09:10:00"), filmed(2, "09:30:00", "09:40:00"), filmed(3, "09:05:00", "09:30:30")}, nil},
		"a short one within":       {[]take{filmed(1, "09:00:00", "09:30:00"), filmed(2, "09:10:00", "09:11:00"), filmed(3, "09:30:30", "09:40:00")}, nil},
		"some are not known":       {[]take{{}, filmed(1, "09:00:00", "09:10:00"), {}}, []string{"concern-no-span [2] 0"}},
		"two gaps, in their order": {[]take{filmed(3, "11:00:00", "11:10:00"), filmed(1, "09:00:00", "09:10:00"), filmed(2, "10:00:00", "10:10:00")}, []string{"concern-gap [2026-05-01 09:10:00 2026-05-01 10:00:00 3000] 2", "concern-gap [2026-05-01 10:10:00 2026-05-01 11:00:00 3000] 3"}},
	} {
		var got []string
		for _, k := range c.gaps(x.takes) {
			got = append(got, fmt.Sprint(k.Key, " ", k.Args, " ", k.Rec[0]))
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}
