package capture

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"camseal/agent/internal/feed"
)

// withG711 puts G.711 in the place of a clip's sound, 20 ms a unit, and returns its bytes.
func withG711(t *testing.T, c *clip, codec feed.Codec, rate int) (*clip, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sound")
	format := map[feed.Codec]string{feed.PCMA: "alaw", feed.PCMU: "mulaw"}[codec]
	run(t, "ffmpeg", "-v", "error", "-stream_loop", "100", "-i", movie, "-t", "9", "-vn", "-ac", "1", "-ar", "8000", "-f", format, path)
	raw, err := os.ReadFile(path)
	must(t, err)
	out := &clip{tracks: []feed.Track{c.tracks[0], {Codec: codec, Rate: rate, Channels: 1}}, frames: c.frames}
	n := 0
	for _, u := range c.units {
		if u.Track != 0 {
			continue
		}
		for at := time.Duration(n/160) * 20 * time.Millisecond; at <= u.DTS && n < len(raw); at = time.Duration(n/160) * 20 * time.Millisecond {
			end := min(n+160, len(raw))
			out.units = append(out.units, feed.Unit{Track: 1, PTS: at, DTS: at, Data: [][]byte{raw[n:end]}})
			n = end
		}
		out.units = append(out.units, u)
	}
	return out, raw[:n]
}

// G.711 is kept bit for bit, beside pictures that play.
func TestG711IsKeptBitForBit(t *testing.T) {
	t.Parallel()
	for _, codec := range []feed.Codec{feed.PCMA, feed.PCMU} {
		c, raw := withG711(t, footage(t, "9", plain...), codec, 8000)
		var all []byte
		b, err := initOf(c.tracks)
		must(t, err)
		all = append(all, b...)
		cut := newCutter(c.tracks, 2*time.Second, 8*time.Second)
		var segs []*segment
		for _, u := range c.units {
			before := cut.seg
			cut.add(u)
			if cut.seg != nil && cut.seg != before {
				segs = append(segs, cut.seg)
			}
		}
		cut.flush()
		n := uint32(1)
		for _, s := range segs {
			for _, p := range s.parts {
				b, err := p.bytes(c.tracks, segs[0].parts[0].begins(c.tracks), n)
				must(t, err)
				all = append(all, b...)
				n++
			}
		}
		frames(t, all)
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "a.mp4"), all, 0o600))
		format := map[feed.Codec]string{feed.PCMA: "alaw", feed.PCMU: "mulaw"}[codec]
		run(t, "ffmpeg", "-v", "error", "-i", filepath.Join(dir, "a.mp4"), "-vn", "-c", "copy", "-f", format, filepath.Join(dir, "out"))
		got, err := os.ReadFile(filepath.Join(dir, "out"))
		must(t, err)
		if !bytes.Equal(got, raw[len(raw)-len(got):]) || len(raw)-len(got) > 160 {
			t.Errorf("%s: %d bytes came out, %d went in", codec, len(got), len(raw))
		}
		if to := os.Getenv("CAMSEAL_KEEP"); to != "" {
			must(t, os.WriteFile(filepath.Join(to, string(codec)+".mp4"), all, 0o600))
		}
	}
}
