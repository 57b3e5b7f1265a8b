// Package livetest has a publisher and viewers for trying out the relay: clients of WHIP and WHEP that know which bytes they sent and got.
package livetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/pion/webrtc/v4/pkg/media/h264reader"
)

// Picture is one access unit of H.264: NAL units without start codes.
type Picture struct {
	NALs  [][]byte
	Key   bool
	Later int // how many places after its own it is shown: B-frames are coded after the picture that follows them

	b bool
}

// Bytes are the NAL units, each behind a start code.
func (p Picture) Bytes() []byte {
	var b []byte
	for _, n := range p.NALs {
		b = append(append(b, 0, 0, 0, 1), n...)
	}
	return b
}

// Footage is some H.264 at an even rate, beginning with a keyframe.
type Footage struct {
	Pictures []Picture
	Every    time.Duration
	HEVC     bool     // it is H.265
	AAC      [][]byte // access units of 1024 samples, 48000 a second, 2 channels
}

// Film takes the pictures of a film as they are.
func Film(ctx context.Context, file string, every time.Duration) (Footage, error) {
	return read(ctx, every, "-i", file, "-c:v", "copy", "-bsf:v", "h264_mp4toannexb")
}

// Coded codes a film anew: 30 pictures a second, seconds long, at so many bits a second, with keyframes so many pictures apart.
func Coded(ctx context.Context, file string, seconds, bits, gop int, more ...string) (Footage, error) {
	n := fmt.Sprint
	args := []string{"-stream_loop", "-1", "-i", file, "-t", n(seconds), "-r", "30", "-c:v", "libx264", "-preset", "ultrafast", "-b:v", n(bits), "-minrate", n(bits), "-maxrate", n(bits),
		"-bufsize", n(bits / 2), "-x264-params", "nal-hrd=cbr", "-g", n(gop), "-keyint_min", n(gop), "-sc_threshold", "0", "-bf", "0"}
	return read(ctx, time.Second/30, append(args, more...)...)
}

func read(ctx context.Context, every time.Duration, args ...string) (Footage, error) {
	f := Footage{Every: every}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "ffmpeg", append(append([]string{"-v", "error"}, args...), "-an", "-f", "h264", "-")...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("ffmpeg: %w: %s", err, &said)
	}
	r, err := h264reader.NewReader(bytes.NewReader(out))
	if err != nil {
		return f, err
	}
	var p Picture
	whole := false // p has a slice
	for {
		nal, err := r.NextNAL()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f, err
		}
		slice := nal.UnitType == h264reader.NalUnitTypeCodedSliceNonIdr || nal.UnitType == h264reader.NalUnitTypeCodedSliceIdr
		if whole && (!slice || nal.Data[1]&0x80 != 0) { // first_mb_in_slice is 0
			f.Pictures, p, whole = append(f.Pictures, p), Picture{}, false
		}
		switch {
		case nal.UnitType == h264reader.NalUnitTypeAUD || nal.UnitType == h264reader.NalUnitTypeFiller:
			continue // the packetiser leaves them out
		case slice:
			whole = true
			p.b = nal.Data[0]&0x60 == 0 // nothing refers to it
			p.Key = p.Key || nal.UnitType == h264reader.NalUnitTypeCodedSliceIdr
		}
		p.NALs = append(p.NALs, nal.Data)
	}
	if whole {
		f.Pictures = append(f.Pictures, p)
	}
	for i := range f.Pictures {
		if f.Pictures[i].b && i > 0 {
			f.Pictures[i].Later--
			for k := i - 1; k >= 0; k-- {
				if !f.Pictures[k].b {
					f.Pictures[k].Later++
					break
				}
			}
		}
	}
	if len(f.Pictures) == 0 || !f.Pictures[0].Key {
		return f, errors.New("the footage does not begin with a keyframe")
	}
	return f, nil
}

// WithAAC adds the sound of a film.
func (f Footage) WithAAC(ctx context.Context, file string) (Footage, error) {
	out, err := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-i", file, "-vn", "-c:a", "aac", "-ar", "48000", "-ac", "2", "-f", "adts", "-").Output()
	if err != nil {
		return f, fmt.Errorf("ffmpeg: %w", err)
	}
	var packets mpeg4audio.ADTSPackets
	if err := packets.Unmarshal(out); err != nil {
		return f, err
	}
	for _, p := range packets {
		f.AAC = append(f.AAC, p.AU)
	}
	return f, nil
}

// HEVC codes a film anew as H.265, with B-frames left out.
func HEVC(ctx context.Context, file string, seconds, gop int) (Footage, error) {
	f := Footage{Every: time.Second / 30, HEVC: true}
	n := fmt.Sprint
	out, err := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-i", file, "-t", n(seconds), "-r", "30", "-s", "320x180", "-an", "-c:v", "libx265", "-preset", "ultrafast",
		"-x265-params", "log-level=none:bframes=0:keyint="+n(gop), "-f", "hevc", "-").Output()
	if err != nil {
		return f, fmt.Errorf("ffmpeg: %w", err)
	}
	var p Picture
	whole := false
	for nal := range bytes.SplitSeq(out, []byte{0, 0, 1}) {
		nal = bytes.TrimRight(nal, "\x00")
		if len(nal) < 3 {
			continue
		}
		slice := nal[0]>>1 < 32
		if whole && (!slice || nal[2]&0x80 != 0) { // first_slice_segment_in_pic_flag
			f.Pictures, p, whole = append(f.Pictures, p), Picture{}, false
		}
		whole = whole || slice
		p.NALs = append(p.NALs, nal)
	}
	f.Pictures = append(f.Pictures, p)
	return f, nil
}
