package media

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"camseal/pkg/sandbox"
)

// Kinds of what was found in a file.
const (
	Video = "video"
	Sound = "sound"
	Photo = "photo"
)

// Facts are what a file holds, as far as ffprobe can tell: the claims of an unknown file, for display only.
type Facts struct {
	Kind          string        // Video, Sound or Photo; empty: nothing to look at or listen to
	Container     string        // as ffmpeg calls it
	Video, Audio  string        // codecs; empty: no such track
	Duration      time.Duration // 0: not known
	Width, Height int           // pixels, as shown: turned, and with square pixels
	Rate          int           // pictures in 1000 seconds
	Playable      bool          // browsers can show it
}

// containers are those that ffmpeg may take a file for: none that leads to other files, as playlists do, or that is a program, as SVG is.
const containers = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,mjpeg,asf,flv,wav,w64,mp3,aac,ogg,amr,flac,caf,dav,dhav," +
	"jpeg_pipe,png_pipe,gif,webp_pipe,bmp_pipe,tiff_pipe,ppm_pipe"

// input is where the footage is found, and the only thing of its kind that ffmpeg may open. A picture of more pixels is not decoded.
var input = []string{"-protocol_whitelist", "file", "-format_whitelist", containers, "-max_pixels", "120000000", "-i", "file:/proc/self/fd/0"}

const (
	maxDuration = 366 * 24 * time.Hour
	maxSide     = 1 << 16
	memory      = 2 << 30 // bytes of address space
	nice        = 10
)

type probed struct {
	Format struct {
		Name     string `json:"format_name"`
		Duration string `json:"duration"`
	} `json:"format"`
	Streams []stream `json:"streams"`
}

type stream struct {
	Type        string         `json:"codec_type"`
	Codec       string         `json:"codec_name"`
	Width       int            `json:"width"`
	Height      int            `json:"height"`
	Pixels      string         `json:"pix_fmt"`
	Aspect      string         `json:"sample_aspect_ratio"` // of a pixel
	Rate        string         `json:"avg_frame_rate"`
	Disposition map[string]int `json:"disposition"`
	Side        []struct {
		Rotation float64 `json:"rotation"`
	} `json:"side_data_list"`
}

// Probe finds out what f holds. It neither changes nor closes f. Errors: those of sandbox.Box.Run; *sandbox.Failed where the file is nothing that is known.
func Probe(ctx context.Context, f *os.File) (Facts, error) {
	args := slices.Concat([]string{"-hide_banner", "-loglevel", "error", "-print_format", "json", "-show_format", "-show_streams"}, input)
	var p probed
	box := sandbox.Box{Time: time.Minute, Memory: memory, Output: 4 << 20, Nice: nice}
	err := box.Run(ctx, sandbox.Command{Name: "ffprobe", Args: args, In: f}, func(r io.Reader) error {
		raw, err := io.ReadAll(r)
		if err == nil && json.Unmarshal(raw, &p) != nil {
			p = probed{} // ffprobe itself says why
		}
		return err
	})
	if err != nil {
		return Facts{}, err
	}
	return p.facts(), nil
}

func (p *probed) facts() Facts {
	f := Facts{Container: p.Format.Name}
	if s, err := strconv.ParseFloat(p.Format.Duration, 64); err == nil && s > 0 && s < maxDuration.Seconds() {
		f.Duration = time.Duration(s * float64(time.Second))
	}
	video, audio := p.first("video"), p.first("audio")
	if audio != nil {
		f.Kind, f.Audio = Sound, audio.Codec
	}
	if video != nil {
		f.Kind, f.Video, f.Rate = Video, video.Codec, int(math.Round(1000*ratio(video.Rate)))
		f.Width, f.Height = video.size()
		if strings.HasSuffix(f.Container, "_pipe") || f.Container == "gif" {
			f.Kind, f.Rate, f.Duration = Photo, 0, 0
		}
	}
	f.Playable = playable(&f, video)
	return f
}

// first is the first track of a type that is not a picture on a record's sleeve.
func (p *probed) first(kind string) *stream {
	for i, s := range p.Streams {
		if s.Type == kind && s.Disposition["attached_pic"] == 0 {
			return &p.Streams[i]
		}
	}
	return nil
}

// size is how large a picture is shown.
func (s *stream) size() (w, h int) {
	w, h = min(max(s.Width, 0), maxSide), min(max(s.Height, 0), maxSide)
	if r := ratio(strings.ReplaceAll(s.Aspect, ":", "/")); r > 0.1 && r < 10 {
		w = min(int(math.Round(float64(w)*r)), maxSide)
	}
	for _, d := range s.Side {
		if turn := int(math.Abs(d.Rotation)) % 180; turn > 45 && turn < 135 {
			w, h = h, w
		}
	}
	return w, h
}

// ratio reads "30000/1001"; 0 if it is nothing sensible.
func ratio(s string) float64 {
	a, b, ok := strings.Cut(s, "/")
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if v := x / y; ok && errors.Join(errX, errY) == nil && v > 0 && v < 1e6 {
		return v
	}
	return 0
}

// codecs that browsers play, by container. A track that is not there is no obstacle.
var codecs = map[string]struct{ video, audio []string }{
	"mov,mp4,m4a,3gp,3g2,mj2": {[]string{"h264", "vp9", "av1"}, []string{"aac", "mp3", "flac", "opus", "pcm_alaw", "pcm_mulaw"}}, // G.711: Chromium and its kin
	"matroska,webm":           {[]string{"vp8", "vp9", "av1"}, []string{"vorbis", "opus"}},
	"ogg":                     {nil, []string{"vorbis", "opus", "flac"}},
	"mp3":                     {nil, []string{"mp3"}},
	"aac":                     {nil, []string{"aac"}},
	"flac":                    {nil, []string{"flac"}},
	"wav":                     {nil, []string{"pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le", "pcm_alaw", "pcm_mulaw"}},
	"jpeg_pipe":               {[]string{"mjpeg"}, nil},
	"png_pipe":                {[]string{"png"}, nil},
	"gif":                     {[]string{"gif"}, nil},
	"webp_pipe":               {[]string{"webp"}, nil},
	"bmp_pipe":                {[]string{"bmp"}, nil},
}

func playable(f *Facts, video *stream) bool {
	can := codecs[f.Container]
	pixels := f.Video != "h264" || video.Pixels == "yuv420p" || video.Pixels == "yuvj420p" // others only here and there
	return f.Kind != "" && pixels && (f.Video == "" || slices.Contains(can.video, f.Video)) && (f.Audio == "" || slices.Contains(can.audio, f.Audio))
}
