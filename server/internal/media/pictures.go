package media

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"camseal/pkg/sandbox"
)

// Names of what is made for looking at.
const (
	PosterFile = "poster.jpg"
	StripFile  = "strip.jpg"
	TilesFile  = "strip.json"
	WaveFile   = "wave.json"
	factsFile  = "facts.json"
)

const (
	posterWidth = 320
	tileWidth   = 160
	maxTiles    = 100
	columns     = 10
	tileEvery   = 500 * time.Millisecond // at least
	maxPeaks    = 2000
	waveRate    = 8000
	keysOnly    = 10 * time.Second // longer footage: only whole pictures are decoded for the strip
	maxPicture  = 16 << 20         // bytes
)

// Strip says how the poster strip's picture is cut: tiles from left to right, row by row, the first one at the beginning of the footage.
type Strip struct {
	Tiles   int   `json:"tiles"`
	Columns int   `json:"columns"`
	Width   int   `json:"width"` // of a tile, pixels
	Height  int   `json:"height"`
	Every   int64 `json:"every_ms"` // from one tile's moment to the next one's
}

// Wave is how loud footage is: the greatest amplitude of each stretch, 0 to 255.
type Wave struct {
	Every float64 `json:"every_ms"` // length of a stretch
	Peaks []int   `json:"peaks"`    // at most 2000
}

// patience is how long a run over the whole footage may take.
func patience(d time.Duration) time.Duration { return min(2*time.Minute+d/10, time.Hour) }

// pictures makes what fits the footage: files by name. What can't be made is missing, and err says why; the rest is there.
func pictures(ctx context.Context, f *os.File, facts Facts) (map[string][]byte, error) {
	files := map[string][]byte{}
	var errs []error
	keep := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	if facts.Kind == Video || facts.Kind == Photo {
		keep(PosterFile, poster(ctx, f, facts, files))
	}
	if facts.Kind == Video && facts.Duration > 0 && facts.Width > 0 {
		keep(StripFile, strip(ctx, f, facts, files))
	}
	if facts.Audio != "" {
		keep(WaveFile, wave(ctx, f, facts, files))
	}
	return files, errors.Join(errs...)
}

// run lets ffmpeg read f and calls out with what it writes. before stands before the input's options.
func run(ctx context.Context, box sandbox.Box, f *os.File, before, after []string, out func(io.Reader) error) error {
	box.Memory, box.Nice = memory, nice
	args := slices.Concat([]string{"-nostdin", "-hide_banner", "-loglevel", "error", "-max_error_rate", "1", "-threads", "1"}, before, input, []string{"-sn", "-dn", "-map_metadata", "-1"}, after)
	return box.Run(ctx, sandbox.Command{Name: "ffmpeg", Args: args, In: f}, out)
}

// picture runs ffmpeg for one JPEG. Errors: errNoPicture, if nothing came.
func picture(ctx context.Context, f *os.File, limit time.Duration, before []string, filter string) ([]byte, error) {
	var raw []byte
	after := []string{"-map", "0:V:0", "-an", "-vf", filter, "-frames:v", "1", "-c:v", "mjpeg", "-q:v", "5", "-f", "image2pipe", "pipe:1"}
	err := run(ctx, sandbox.Box{Time: limit, Output: maxPicture}, f, before, after, func(r io.Reader) (err error) {
		raw, err = io.ReadAll(r)
		return err
	})
	if err == nil && len(raw) == 0 {
		err = errNoPicture
	}
	return raw, err
}

var errNoPicture = errors.New("nothing could be decoded")

// poster takes a picture a little behind the beginning, where cameras have found their light; failing that, the first one.
func poster(ctx context.Context, f *os.File, facts Facts, files map[string][]byte) (err error) {
	filter := fmt.Sprintf("scale=w='min(%d,iw*if(gt(sar,0),sar,1))':h=-2,setsar=1,format=yuvj420p", posterWidth)
	if facts.Width > 0 && facts.Height > 0 {
		w := min(posterWidth, even(facts.Width))
		filter = fmt.Sprintf("scale=%d:%d,setsar=1,format=yuvj420p", w, heightOf(w, facts))
	}
	var before []string
	if at := min(facts.Duration/10, 5*time.Second); at > 0 {
		before = []string{"-ss", fmt.Sprintf("%.3f", at.Seconds())}
	}
	raw, err := picture(ctx, f, time.Minute, before, filter)
	if err != nil && before != nil && ctx.Err() == nil {
		raw, err = picture(ctx, f, time.Minute, nil, filter)
	}
	if err == nil {
		files[PosterFile] = raw
	}
	return err
}

func even(n int) int { return max(n/2*2, 2) }

// heightOf is the height of a picture of the footage with a width; one of a shape that nobody films in is squeezed.
func heightOf(width int, facts Facts) int {
	return min(max(even(width*facts.Height/facts.Width), width/8/2*2, 2), width*4)
}

func strip(ctx context.Context, f *os.File, facts Facts, files map[string][]byte) error {
	n := min(max(int(facts.Duration/tileEvery), 1), maxTiles)
	s := Strip{Tiles: n, Columns: min(n, columns), Width: tileWidth, Height: heightOf(tileWidth, facts), Every: max(facts.Duration.Milliseconds()/int64(n), 1)}
	var before []string
	if facts.Duration > keysOnly {
		before = []string{"-skip_frame", "nokey"}
	}
	filter := fmt.Sprintf("fps=1000/%d:start_time=0,scale=%d:%d,setsar=1,format=yuvj420p,tile=%dx%d:nb_frames=%d", s.Every, s.Width, s.Height,
		s.Columns, (n+s.Columns-1)/s.Columns, n)
	raw, err := picture(ctx, f, patience(facts.Duration), before, filter)
	if err != nil {
		return err
	}
	tiles, err := json.Marshal(s)
	files[StripFile], files[TilesFile] = raw, tiles
	return err
}

// wave decodes the first sound track. What could be decoded before ffmpeg gave up counts.
func wave(ctx context.Context, f *os.File, facts Facts, files map[string][]byte) error {
	p := peaks{size: 1}
	after := []string{"-map", "0:a:0", "-vn", "-ac", "1", "-ar", fmt.Sprint(waveRate), "-f", "s16le", "pipe:1"}
	box := sandbox.Box{Time: patience(facts.Duration), Output: int64(maxDuration/time.Second) * 2 * waveRate}
	err := run(ctx, box, f, nil, after, p.read)
	if err == nil && p.n == 0 {
		err = errNoPicture
	}
	if err != nil && (p.n == 0 || ctx.Err() != nil) {
		return err
	}
	raw, errJSON := json.Marshal(p.wave())
	files[WaveFile] = raw
	return errors.Join(err, errJSON)
}

// peaks gathers amplitudes of any number of samples into at most maxPeaks: when there are too many, stretches become twice as long.
type peaks struct {
	list []int // of whole stretches, and of the last one
	size int   // samples of a stretch
	n    int   // samples seen
}

func (p *peaks) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var b [2]byte
	for {
		if _, err := io.ReadFull(in, b[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		} else if err != nil {
			return err
		}
		p.add(int(int16(binary.LittleEndian.Uint16(b[:]))))
	}
}

func (p *peaks) add(sample int) {
	if p.n == p.size*maxPeaks {
		for i := range maxPeaks / 2 {
			p.list[i] = max(p.list[2*i], p.list[2*i+1])
		}
		p.list, p.size = p.list[:maxPeaks/2], 2*p.size
	}
	at := p.n / p.size
	if at == len(p.list) {
		p.list = append(p.list, 0)
	}
	p.list[at] = max(p.list[at], sample, -sample)
	p.n++
}

func (p *peaks) wave() Wave {
	w := Wave{Every: float64(p.size) * 1000 / waveRate, Peaks: make([]int, len(p.list))}
	for i, v := range p.list {
		w.Peaks[i] = min(v>>7, 255)
	}
	return w
}
