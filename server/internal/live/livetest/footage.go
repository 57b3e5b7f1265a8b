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

	"github.com/pion/webrtc/v4/pkg/media/h264reader"
)

// Picture is one access unit of H.264: NAL units without start codes.
type Picture struct {
	NALs [][]byte
	Key  bool
}

// Bytes are the NAL units, one after another.
func (p Picture) Bytes() []byte { return bytes.Join(p.NALs, nil) }

// Footage is some H.264 at an even rate, beginning with a keyframe.
type Footage struct {
	Pictures []Picture
	Every    time.Duration
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
			p.Key = p.Key || nal.UnitType == h264reader.NalUnitTypeCodedSliceIdr
		}
		p.NALs = append(p.NALs, nal.Data)
	}
	if whole {
		f.Pictures = append(f.Pictures, p)
	}
	if len(f.Pictures) == 0 || !f.Pictures[0].Key {
		return f, errors.New("the footage does not begin with a keyframe")
	}
	return f, nil
}
