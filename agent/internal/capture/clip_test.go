package capture

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"camseal/agent/internal/feed"
)

const movie = "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4"

// clip is real footage as a feed gives it.
type clip struct {
	tracks []feed.Track
	units  []feed.Unit
	frames int
}

var (
	clips  sync.Map
	making sync.Mutex
)

// footage makes a clip of some seconds, once for each way of coding it.
func footage(t testing.TB, seconds string, coding ...string) *clip {
	t.Helper()
	making.Lock()
	defer making.Unlock()
	name := seconds + strings.Join(coding, " ")
	if c, ok := clips.Load(name); ok {
		return c.(*clip)
	}
	path := filepath.Join(t.TempDir(), "clip.mp4")
	args := append([]string{"-v", "error", "-stream_loop", "100", "-i", small(t), "-t", seconds, "-r", "30"}, coding...)
	run(t, "ffmpeg", append(args, "-movflags", "frag_keyframe+empty_moov+default_base_moof", path)...)
	b, err := os.ReadFile(path)
	must(t, err)
	c := demux(t, b)
	clips.Store(name, c)
	return c
}

// small is the real footage in a size that is soon coded again.
func small(t testing.TB) string {
	t.Helper()
	b, ok := clips.Load("")
	if !ok {
		path := filepath.Join(t.TempDir(), "small.mp4")
		run(t, "ffmpeg", "-v", "error", "-i", movie, "-vf", "scale=320:180", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "copy", path)
		raw, err := os.ReadFile(path)
		must(t, err)
		clips.Store("", raw)
		b = raw
	}
	path := filepath.Join(t.TempDir(), "small.mp4")
	must(t, os.WriteFile(path, b.([]byte), 0o600))
	return path
}

// constant is coded at 4 Mbit/s, whatever is to be seen.
var constant = []string{"-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-bf", "0", "-b:v", "4M", "-minrate", "4M", "-maxrate", "4M", "-bufsize", "1M",
	"-x264-params", "nal-hrd=cbr", "-c:a", "aac"}

var plain = []string{"-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-bf", "0", "-b:v", "400k", "-c:a", "aac", "-ac", "1"}

func demux(t testing.TB, b []byte) *clip {
	t.Helper()
	b = bytes.Replace(b, []byte("udta"), []byte("free"), 1)
	var init fmp4.Init
	must(t, init.Unmarshal(bytes.NewReader(b)))
	c := &clip{}
	scale := map[int]time.Duration{}
	for _, tr := range init.Tracks {
		scale[tr.ID] = time.Duration(tr.TimeScale)
		switch k := tr.Codec.(type) {
		case *codecs.H264:
			c.tracks = append(c.tracks, feed.Track{Codec: feed.H264, Params: [][]byte{k.SPS, k.PPS}, Width: 320, Height: 180})
		case *codecs.H265:
			c.tracks = append(c.tracks, feed.Track{Codec: feed.H265, Params: [][]byte{k.VPS, k.SPS, k.PPS}, Width: 320, Height: 180})
		case *codecs.MPEG4Audio:
			raw, err := k.Config.Marshal()
			must(t, err)
			c.tracks = append(c.tracks, feed.Track{Codec: feed.AAC, Params: [][]byte{raw}, Rate: k.Config.SampleRate, Channels: int(k.Config.ChannelConfig)})
		}
	}
	var parts fmp4.Parts
	must(t, parts.Unmarshal(b[bytes.Index(b, []byte("moof"))-4:bytes.LastIndex(b, []byte("mfra"))-4]))
	for _, p := range parts {
		for _, tr := range p.Tracks {
			at := tr.BaseTime
			for _, s := range tr.Samples {
				u := feed.Unit{Track: tr.ID - 1, DTS: time.Duration(at) * time.Second / scale[tr.ID]}
				u.PTS = time.Duration(int64(at)+int64(s.PTSOffset)) * time.Second / scale[tr.ID]
				u.Data = [][]byte{s.Payload}
				if c.tracks[u.Track].Codec.Video() {
					nals, err := s.GetH264()
					must(t, err)
					u.Data = nals
					u.Key = c.tracks[u.Track].Codec == feed.H264 && h264.IsRandomAccess(nals) || c.tracks[u.Track].Codec == feed.H265 && h265.IsRandomAccess(nals)
					c.frames++
				}
				c.units = append(c.units, u)
				at += uint64(s.Duration)
			}
		}
	}
	slices.SortStableFunc(c.units, func(a, b feed.Unit) int { return int(a.DTS - b.DTS) })
	return c
}

// play gives a sink the units between two times of a clip.
func (c *clip) play(s feed.Sink, from, until time.Duration) {
	for _, u := range c.units {
		if u.DTS >= from && u.DTS < until {
			s.Unit(u)
		}
	}
}

// later is the clip shifted in time.
func (c *clip) later(d time.Duration) *clip {
	out := &clip{tracks: c.tracks, frames: c.frames, units: slices.Clone(c.units)}
	for i := range out.units {
		out.units[i].PTS += d
		out.units[i].DTS += d
	}
	return out
}

// twice is the clip and then the clip again.
func (c *clip) twice() *clip {
	out := c.later(9 * time.Second)
	out.units = append(slices.Clone(c.units), out.units...)
	out.frames *= 2
	return out
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// frames decodes a file, which must have no error, and returns how many pictures it has.
func frames(t testing.TB, file []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.mp4")
	must(t, os.WriteFile(path, file, 0o600))
	run(t, "ffmpeg", "-v", "error", "-xerror", "-i", path, "-f", "null", "-")
	return strings.TrimSpace(run(t, "ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", path))
}
