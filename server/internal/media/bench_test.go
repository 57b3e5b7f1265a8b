package media

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkPictures makes all pictures of half a minute of real 1080p footage, and a derived copy of it; the metric is seconds for a minute of footage.
func BenchmarkPictures(b *testing.B) {
	const minutes = 0.5
	name := filepath.Join(b.TempDir(), "long.mp4")
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-stream_loop", "99", "-i", samples+"movie1/VID_20191220_170832.mp4", "-c", "copy", "-t", "30", name).CombinedOutput()
	if err != nil {
		b.Fatalf("%v %s", err, out)
	}
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	facts, err := Probe(b.Context(), f)
	if err != nil {
		b.Fatal(err)
	}
	each := map[string]func() error{
		"probe":  func() error { _, err := Probe(b.Context(), f); return err },
		"poster": func() error { return poster(b.Context(), f, facts, map[string][]byte{}) },
		"strip":  func() error { return strip(b.Context(), f, facts, map[string][]byte{}) },
		"wave":   func() error { return wave(b.Context(), f, facts, map[string][]byte{}) },
		"copy": func() error {
			w, err := os.CreateTemp(b.TempDir(), "copy")
			if err != nil {
				return err
			}
			defer w.Close()
			return transcode(b.Context(), f, w, facts, settings(facts), maxCopy)
		},
	}
	for _, what := range []string{"probe", "poster", "strip", "wave", "copy"} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				if err := each[what](); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/minutes, "s/min")
		})
	}
}
