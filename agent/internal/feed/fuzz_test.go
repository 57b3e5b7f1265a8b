package feed

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"camseal/scripts/camera/recorder"
)

// FuzzPipe: whatever a program writes to the pipe, nothing breaks, and what is given out keeps what a feed promises.
func FuzzPipe(f *testing.F) {
	for _, args := range [][]string{{"-f", "mpegts"}, {"-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof"},
		{"-bf", "2", "-f", "mpegts"}, {"-c:v", "libx265", "-x265-params", "log-level=none", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov"}} {
		name := filepath.Join(f.TempDir(), "seed")
		all := append([]string{"-nostdin", "-v", "error", "-y", "-i", recorder.Footage, "-t", "0.5", "-vf", "scale=64:36", "-g", "5", "-preset", "ultrafast", "-c:a", "aac"}, args...)
		if out, err := exec.Command("ffmpeg", append(all, name)...).CombinedOutput(); err != nil {
			f.Fatalf("%v: %s", err, out)
		}
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &recorded{t: t, changed: make(chan struct{})}
		now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
		s, err := New(Config{Path: "-", Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
		if err != nil {
			t.Fatal(err)
		}
		in := &intake{config: s.config, sink: r}
		file, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		ctx, stop := context.WithCancelCause(t.Context())
		defer stop(nil)
		if s.stream(ctx, in, file, bufio.NewReader(bytes.NewReader(data)), stop) == nil {
			t.Error("a stream that ends with no reason")
		}
	})
}

// FuzzPictures: any NAL units are borne.
func FuzzPictures(f *testing.F) {
	f.Add([]byte{0x67, 66, 192, 13, 218, 5, 6, 126, 124, 4, 64, 0, 0, 3, 0, 64, 0, 0, 15, 3, 197, 10, 168}, []byte{0x68, 206, 60, 128}, []byte{0x65, 0x88, 0x84, 0x00}, []byte{0x41, 0x9a, 0x21})
	f.Add([]byte{0x42, 1, 1, 1, 96, 0, 0, 3}, []byte{0x44, 1, 0xc1}, []byte{0x26, 1, 0xaf}, []byte{2, 1, 0xd0})
	f.Fuzz(func(t *testing.T, sps, pps, first, then []byte) {
		for _, codec := range []Codec{H264, H265} {
			k := &film{codec: codec}
			for i, nals := range [][][]byte{{sps, pps, first}, {then}, {first}, {then, sps}} {
				au, key, err := k.sort(nals)
				if au == nil {
					continue
				}
				if key {
					k.track()
				}
				lead, orderErr := k.lead(au, key, int64(i)*3000)
				if lead < 0 || orderErr != nil && lead != 0 {
					t.Error(lead, err, orderErr)
				}
			}
		}
	})
}
