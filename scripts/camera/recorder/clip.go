package recorder

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
)

const pictureClock = 90_000

// picture is one access unit; times count from the clip's start, by pictureClock.
type picture struct {
	pts, dts int64
	key      bool
	nals     [][]byte
}

// clip is footage as it leaves an encoder, in memory.
type clip struct {
	codec    string
	pictures []picture
	// H.264: SPS, PPS; H.265: VPS, SPS, PPS
	parameters [][]byte
	period     int64 // after which it begins anew, by pictureClock
	aac        *mpeg4audio.AudioSpecificConfig
	frames     [][]byte // of AAC
	alaw       []byte
}

// encode runs ffmpeg once for each combination of file and settings and keeps what comes of it in c.Cache. It returns the MPEG-TS file
// and, for G.711, the file of samples.
func (c Config) encode(ctx context.Context) (ts, alaw string, err error) {
	info, err := os.Stat(c.File)
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(c.Cache, 0o700); err != nil {
		return "", "", err
	}
	video, audio := c.arguments()
	key := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, c.File, info.Size(), info.ModTime(), video, audio)))[:24]
	ts, alaw = filepath.Join(c.Cache, key+".ts"), filepath.Join(c.Cache, key+".al")
	if c.Audio != "pcma" {
		alaw = ""
	}
	if _, err := os.Stat(ts); err == nil {
		return ts, alaw, nil
	}
	sound, err := hasSound(ctx, c.File)
	if err != nil {
		return "", "", err
	}
	args := []string{"-nostdin", "-v", "error", "-y", "-stream_loop", "-1", "-i", c.File}
	from := "0:a"
	if !sound {
		args, from = append(args, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"), "1:a"
	}
	temp, err := os.MkdirTemp(c.Cache, "encode-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(temp)
	length := []string{"-t", fmt.Sprint(c.Length.Seconds())}
	args = append(append(append(args, "-map", "0:v:0"), video...), length...)
	if c.Audio == "aac" {
		args = append(append(args, "-map", from), audio...)
	}
	args = append(args, "-f", "mpegts", filepath.Join(temp, "ts"))
	if c.Audio == "pcma" {
		args = append(append(append(append(args, "-map", from), audio...), length...), "-f", "alaw", filepath.Join(temp, "al"))
	}
	if out, err := exec.CommandContext(ctx, "ffmpeg", args...).CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	if alaw != "" {
		if err := os.Rename(filepath.Join(temp, "al"), alaw); err != nil {
			return "", "", err
		}
	}
	return ts, alaw, os.Rename(filepath.Join(temp, "ts"), ts)
}

// arguments are ffmpeg's, for pictures and for sound.
func (c Config) arguments() (video, audio []string) {
	width, height, _ := strings.Cut(c.Size, "x")
	fit := fmt.Sprintf("fps=%d,scale=%s:%s:force_original_aspect_ratio=decrease,pad=%s:%s:-1:-1,setsar=1,format=yuv420p", c.FPS, width, height, width, height)
	gop := fmt.Sprint(max(int(c.GOP.Seconds()*float64(c.FPS)), 1))
	reorder := "0"
	if c.BFrames {
		reorder = "2"
	}
	video = []string{"-vf", fit, "-b:v", c.Bitrate, "-maxrate", c.Bitrate, "-bufsize", c.Bitrate, "-g", gop, "-bf", reorder, "-preset", "ultrafast"}
	if c.Codec == "h265" {
		video = append(video, "-c:v", "libx265", "-x265-params", fmt.Sprintf("log-level=error:keyint=%s:min-keyint=%s:scenecut=0:open-gop=0:bframes=%s", gop, gop, reorder))
	} else {
		video = append(video, "-c:v", "libx264", "-profile:v", "main", "-keyint_min", gop, "-sc_threshold", "0")
	}
	switch c.Audio {
	case "aac":
		audio = []string{"-c:a", "aac", "-ar", "48000", "-ac", "1", "-b:a", "64k"}
	case "pcma":
		audio = []string{"-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"}
	}
	return video, append(audio, "-t", fmt.Sprint(c.Length.Seconds()))
}

func hasSound(ctx context.Context, file string) (bool, error) {
	out, err := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-select_streams", "a", "-show_entries", "stream=index", "-of", "csv=p=0", file).CombinedOutput()
	if err != nil {
		return false, fmt.Errorf("ffprobe: %w: %s", err, out)
	}
	return len(strings.TrimSpace(string(out))) > 0, nil
}

// load encodes and reads what was encoded into memory.
func (c Config) load(ctx context.Context) (*clip, error) {
	ts, alaw, err := c.encode(ctx)
	if err != nil {
		return nil, err
	}
	k := &clip{codec: c.Codec}
	if alaw != "" {
		if k.alaw, err = os.ReadFile(alaw); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(ts)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := k.read(f); err != nil {
		return nil, fmt.Errorf("read %s: %w", ts, err)
	}
	if len(k.pictures) < 2 || c.Audio == "aac" && len(k.frames) == 0 || c.Audio == "pcma" && len(k.alaw) < soundSamples {
		return nil, fmt.Errorf("%s has too little footage", ts)
	}
	return k, k.settle(pictureClock/int64(c.FPS), c.Outside)
}

func (k *clip) read(f io.Reader) error {
	r := &mpegts.Reader{R: f}
	if err := r.Initialize(); err != nil {
		return err
	}
	picture := func(key func([][]byte) bool) func(pts, dts int64, nals [][]byte) error {
		return func(pts, dts int64, nals [][]byte) error {
			k.pictures = append(k.pictures, picture{pts: pts, dts: dts, key: key(nals), nals: nals})
			return nil
		}
	}
	for _, t := range r.Tracks() {
		switch codec := t.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(t, picture(h264.IsRandomAccess))
		case *codecs.H265:
			r.OnDataH265(t, picture(h265.IsRandomAccess))
		case *codecs.MPEG4Audio:
			k.aac = &codec.Config
			r.OnDataMPEG4Audio(t, func(_ int64, aus [][]byte) error {
				k.frames = append(k.frames, aus...)
				return nil
			})
		}
	}
	for {
		if err := r.Read(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// settle lets the times begin at 0, and finds the parameter sets. If they are to be said only in the description, they leave the pictures.
func (k *clip) settle(step int64, outside bool) error {
	kinds, kind := []byte{7, 8}, func(nal []byte) byte { return nal[0] & 0x1f }
	if k.codec == "h265" {
		kinds, kind = []byte{32, 33, 34}, func(nal []byte) byte { return nal[0] >> 1 & 0x3f }
	}
	for _, want := range kinds {
		at := slices.IndexFunc(k.pictures[0].nals, func(nal []byte) bool { return kind(nal) == want })
		if at < 0 {
			return errors.New("the first picture has no parameter sets")
		}
		k.parameters = append(k.parameters, k.pictures[0].nals[at])
	}
	if outside {
		for i, u := range k.pictures {
			k.pictures[i].nals = slices.DeleteFunc(u.nals, func(nal []byte) bool { return slices.Contains(kinds, kind(nal)) })
		}
	}
	first := k.pictures[0].dts
	for i := range k.pictures {
		k.pictures[i].dts -= first
		k.pictures[i].pts -= first
	}
	k.period = k.pictures[len(k.pictures)-1].dts + step
	return nil
}
