package feed

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/scripts/camera/recorder"
)

// impatient finds trouble soon.
func impatient(url string) Config {
	return Config{URL: url, Stall: 2 * time.Second, NoKey: 900 * time.Millisecond, Wait: 300 * time.Millisecond}
}

// across looks at the gap between the units of a track around a trouble: the feed's time went on as the clock did.
func across(t *testing.T, units []Unit, from time.Duration) {
	t.Helper()
	i := slices.IndexFunc(units, func(u Unit) bool { return u.DTS > from })
	if i < 1 {
		t.Fatalf("no unit after %v", from)
	}
	began, end := units[i-1], units[len(units)-1]
	if d := (end.DTS - began.DTS) - end.At.Sub(began.At); d.Abs() > time.Second {
		t.Errorf("the feed's time is off by %v", d)
	}
}

func of(units []Unit, track int) []Unit {
	return slices.DeleteFunc(slices.Clone(units), func(u Unit) bool { return u.Track != track })
}

// TestBadCamera: whatever a recorder does, its feed goes on, says what happened, and keeps its time.
func TestBadCamera(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct {
		config recorder.Config
		do     func(t *testing.T, c *recorder.Camera, r *recorded)
	}{
		"stalls":                     {recorder.Config{}, stalls},
		"changes its size":           {recorder.Config{}, changesSize},
		"changes its codec":          {recorder.Config{Audio: "aac"}, changesCodec},
		"sets its clock back":        {recorder.Config{}, func(t *testing.T, c *recorder.Camera, r *recorded) { jumps(t, c, r, -time.Hour) }},
		"sets its clock forward":     {recorder.Config{}, func(t *testing.T, c *recorder.Camera, r *recorded) { jumps(t, c, r, 3*time.Hour) }},
		"jumps with B-frames":        {recorder.Config{BFrames: true, Audio: "none"}, func(t *testing.T, c *recorder.Camera, r *recorded) { jumps(t, c, r, -10*time.Second) }},
		"sends no sound for a while": {recorder.Config{}, dropsSound},
		"sends garbage for a while":  {recorder.Config{}, garbles},
		"is switched off and on":     {recorder.Config{}, restarts},
		"has no keyframes for long":  {recorder.Config{}, lacksKeys},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := camera(t, k.config)
			if name == "has no keyframes for long" {
				c.DropKeys(time.Hour)
			}
			r := take(t, impatient(c.URL()))
			if name != "has no keyframes for long" {
				r.until("pictures", func() bool { return r.count(0) >= 20 })
			}
			k.do(t, c, r)
		})
	}
}

func stalls(t *testing.T, c *recorder.Camera, r *recorded) {
	c.Stall(time.Hour)
	r.until("it is said", r.trouble(evidence.WhyGap, "nothing came from the camera"))
	c.Stall(0)
	r.more(0, 40)
	r.mu.Lock()
	defer r.mu.Unlock()
	for track := range 2 {
		across(t, of(r.units, track), r.troubles[0].From)
	}
	if len(r.tracks) != 1 {
		t.Errorf("tracks %v", r.tracks)
	}
}

func changesSize(t *testing.T, c *recorder.Camera, r *recorded) {
	if err := c.Change(t.Context(), "", "480x270"); err != nil {
		t.Fatal(err)
	}
	r.until("it is said", r.trouble(evidence.WhyMediaChanged, "h264 320x180 and pcma 8000 Hz before, h264 480x270 and pcma 8000 Hz now"))
	r.more(0, 20)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tracks) != 2 || r.tracks[1][0].Width != 480 || slices.ContainsFunc(r.troubles, func(t Trouble) bool { return t.Why != evidence.WhyMediaChanged }) {
		t.Errorf("tracks %v, troubles %v", r.tracks, r.troubles)
	}
}

// changesCodec: over the connection there is, other pictures come than it was said to carry. It is made anew.
func changesCodec(t *testing.T, c *recorder.Camera, r *recorded) {
	if err := c.Change(t.Context(), "h265", ""); err != nil {
		t.Fatal(err)
	}
	r.until("it is said", r.trouble(evidence.WhyReadError, "the codec may be another"))
	r.until("it is made anew", r.trouble(evidence.WhyGap, "no longer pictures as it said"))
	r.until("it is said", r.trouble(evidence.WhyMediaChanged, "h264 320x180 and aac 48000 Hz before, h265 320x180 and aac 48000 Hz now"))
	r.more(0, 20)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.tracks); r.tracks[n-1][0].Codec != H265 {
		t.Errorf("tracks %v", r.tracks)
	}
}

func jumps(t *testing.T, c *recorder.Camera, r *recorded, by time.Duration) {
	c.Jump(by)
	r.until("it is said", r.trouble(evidence.WhyClockJump, "time jumped"))
	r.more(0, 40)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tracks) != 1 {
		t.Errorf("tracks %v", r.tracks)
	}
	n := len(r.tracks[0])
	for track := range n {
		across(t, of(r.units, track), r.troubles[0].From)
	}
	last := func(track int) time.Duration { l := of(r.units, track); return l[len(l)-1].DTS }
	if d := last(0) - last(n-1); d.Abs() > time.Second {
		t.Errorf("tracks are %v apart", d)
	}
}

func dropsSound(t *testing.T, c *recorder.Camera, r *recorded) {
	c.DropSound(time.Hour)
	r.until("it is said", r.trouble(evidence.WhyGap, "no sound came"))
	c.DropSound(0)
	r.more(0, 10)
	r.more(1, 20)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tracks) != 1 || len(r.troubles) != 1 {
		t.Errorf("tracks %v, troubles %v", r.tracks, r.troubles)
	}
	across(t, of(r.units, 1), r.troubles[0].From)
}

func garbles(t *testing.T, c *recorder.Camera, r *recorded) {
	c.Garble(time.Hour)
	r.until("it is said", r.trouble(evidence.WhyReadError, "could not be read"))
	c.Garble(0)
	r.more(0, 40)
}

func restarts(t *testing.T, c *recorder.Camera, r *recorded) {
	address := c.Address()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	r.until("it is said", r.trouble(evidence.WhyGap, "the camera"))
	r.until("it is asked again", r.trouble(evidence.WhyGap, "can't be reached"))
	camera(t, recorder.Config{Listen: address})
	r.more(0, 20)
	r.mu.Lock()
	defer r.mu.Unlock()
	across(t, of(r.units, 0), r.troubles[0].From)
}

// lacksKeys: sound goes on alone until there is a picture to begin with.
func lacksKeys(t *testing.T, c *recorder.Camera, r *recorded) {
	r.until("it is said", r.trouble(evidence.WhyGap, "no keyframe for"))
	r.until("sound alone", func() bool { return r.count(0) > 10 })
	c.DropKeys(0)
	r.until("pictures", func() bool {
		return len(r.tracks) == 2 && slices.ContainsFunc(r.units, func(u Unit) bool { return u.Key })
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.tracks[0]) != 1 || r.tracks[0][0].Codec != PCMA || len(r.tracks[1]) != 2 || !r.trouble(evidence.WhyMediaChanged, "pcma 8000 Hz before")() {
		t.Errorf("tracks %v, troubles %v", r.tracks, r.troubles)
	}
}

// TestLyingCamera: pictures that never are what they are said to be are left out, and sound is not lost for them.
func TestLyingCamera(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"h264", "h265"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			r := take(t, impatient(camera(t, recorder.Config{Codec: codec, Lie: true}).URL()))
			r.until("it is made anew", func() bool {
				return r.trouble(evidence.WhyGap, "no pictures came")() && r.trouble(evidence.WhyReadError, "")()
			})
			r.more(0, 50)
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.tracks) != 1 || len(r.tracks[0]) != 1 || r.tracks[0][0].Codec != PCMA {
				t.Errorf("tracks %v", r.tracks)
			}
		})
	}
}

// TestOtherTracks: what is neither pictures nor sound is left out, and said so once.
func TestOtherTracks(t *testing.T) {
	t.Parallel()
	c := camera(t, recorder.Config{Metadata: true})
	r := take(t, impatient(c.URL()))
	r.until("pictures", func() bool { return r.count(0) > 0 })
	c.Stall(time.Hour)
	r.until("it is said", r.trouble(evidence.WhyGap, "nothing came"))
	c.Stall(0)
	r.more(0, 10)
	r.mu.Lock()
	defer r.mu.Unlock()
	said := slices.DeleteFunc(slices.Clone(r.troubles), func(t Trouble) bool { return !strings.Contains(t.Detail, "application (vnd.onvif.metadata/90000)") })
	if len(said) != 1 || len(r.tracks) != 1 || len(r.tracks[0]) != 2 {
		t.Errorf("tracks %v, troubles %v", r.tracks, r.troubles)
	}
}

// TestNoSecrets: a camera's password is in nothing that is said.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	c := camera(t, recorder.Config{User: "watch", Password: "right"})
	r := take(t, Config{URL: strings.Replace(c.URL(), "right", "hunter%2F2", 1)})
	r.until("it is said", func() bool { return len(r.troubles) > 0 })
	_, err := New(Config{URL: "rtsp://watch:hunter%2@camera", Now: time.Now})
	if err == nil {
		t.Fatal("a URL that can't be")
	}
	said := fmt.Sprint(r.troubles, err, Config{URL: "rtsp://watch:hunter2@camera/"})
	if strings.Contains(said, "hunter") {
		t.Error(said)
	}
	if !strings.Contains(said, "401") {
		t.Error("it is not said why: " + said)
	}
}

// TestBadPipe: what can't be footage is refused and said, takes no memory by what it says of its size, and what comes after it is taken.
func TestBadPipe(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 2<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	huge := binary.BigEndian.AppendUint32(nil, 0xffff_fff0)
	for name, written := range map[string][]byte{
		"noise":             noise,
		"a header for ever": append(append(binary.BigEndian.AppendUint32(nil, 16), "ftypisom\x00\x00\x00\x00"...), append(huge, "moov"...)...),
		"no header":         append(append(binary.BigEndian.AppendUint32(nil, 16), "ftypisom\x00\x00\x00\x00"...), append(binary.BigEndian.AppendUint32(nil, 8), "moof"...)...),
		"sync bytes only":   slices.Repeat([]byte{0x47}, 2<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fifo := mkfifo(t)
			r := take(t, Config{Path: fifo, Stall: 2 * time.Second, Wait: 100 * time.Millisecond})
			f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Write(written) // the reader may have gone
			t.Log(err)
			r.until("it is said", r.trouble(evidence.WhyGap, "the pipe"))
			f.Close()
			write(t, fifo, "-vf", "scale=320:180", "-g", "15", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-f", "mpegts")
			r.more(0, 10)
		})
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a camera that is nowhere")
	}
}

// TestBombs: a little that says that much comes takes no memory, and streams whose units never end are given up.
func TestBombs(t *testing.T) {
	t.Parallel()
	box := func(kind string, body ...byte) []byte {
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), kind...), body...)
	}
	trun := box("trun", 0, 0, 0, 1, 0, 0, 0x4a, 0xff, 0, 0, 0, 0) // 19199 samples that are nothing
	traf := box("traf", append(box("tfhd", make([]byte, 8)...), slices.Repeat(trun, 50_000)...)...)
	fragment := append(box("moof", append(box("mfhd", make([]byte, 8)...), traf...)...), box("mdat")...)
	in := &intake{config: Config{Now: time.Now}, sink: Sinks{}}
	k := &mp4{r: bufio.NewReader(bytes.NewReader(fragment)), rates: map[int]int{}}
	for k.next(in) == nil {
	}
	if !strings.Contains(in.bad.last, "samples") {
		t.Errorf("a thousand million samples: %q", in.bad.last)
	}
	p := &packets{r: bufio.NewReader(endless{})}
	n, err := io.Copy(io.Discard, p)
	if err == nil || n > maxHeld+packetSize {
		t.Errorf("%d bytes of a unit, %v", n, err)
	}
}

// endless is MPEG-TS in which nothing ever begins anew.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	n := 0
	for ; n+packetSize <= len(b); n += packetSize {
		copy(b[n:], []byte{0x47, 1, 0, 0x10})
	}
	if n == 0 {
		return copy(b, slices.Repeat([]byte{0x47, 1, 0, 0x10}, packetSize/4)), nil
	}
	return n, nil
}
