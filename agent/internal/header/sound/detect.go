package sound

import (
	"bufio"
	"errors"
	"io"
	"math"
	"slices"
	"time"
)

// Detector finds the first stretch of speech by its energy above the noise around it. Its zero value is ready.
type Detector struct {
	Search   time.Duration // how much sound is searched; 0: 3 min
	Shortest time.Duration // what is shorter, silences not counted, is no speech; 0: 800 ms
	Longest  time.Duration // a span is cut there; 0: 60 s
	Silence  time.Duration // a pause as long as this ends the span, a shorter one is bridged; 0: 2 s
	Margin   time.Duration // kept before and after, so that soft beginnings and ends are in; 0: 300 ms
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Span is a stretch of sound.
type Span struct {
	From, Until time.Duration // from the sound's begin
	Samples     []int16
}

// Errors of Find.
var (
	ErrNoSound  = errors.New("there is no sound")
	ErrNoSpeech = errors.New("nobody speaks at its beginning")
)

const (
	frame    = Rate / 50             // samples of 20 ms
	step     = 20 * time.Millisecond // of a frame
	quietest = -58.0                 // dB of full scale: what is below is silence whatever the noise
	rise     = 6.5                   // dB above the noise where speech begins
	fall     = 4.0                   // and where it goes on
	begins   = 0.45                  // or, in uneven noise: this far up from the noise to the loudest
	lasts    = 0.3                   //
	look     = 200                   // frames on either side in which the noise is looked for
	far      = 500                   // and the loudest
	often    = 50                    // frames from one look at what came to the next
)

// Find reads raw samples until a span is complete, or the search is over, or the reader ends. It holds at most
// Search of sound: 32 KB a second.
func (d Detector) Find(r io.Reader) (Span, error) {
	in := bufio.NewReaderSize(r, 2*frame*often)
	var pcm []int16
	var t track
	var ear ear
	limit := int(or(d.Search, 3*time.Minute) / step)
	for len(t.energy) < limit {
		var buf [2 * frame]byte
		if _, err := io.ReadFull(in, buf[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		} else if err != nil {
			return Span{}, err
		}
		s := samples(buf[:])
		t.energy = append(t.energy, ear.loudness(s))
		pcm = append(pcm, s...)
		if len(t.energy)%often == 0 {
			if from, until, complete := d.speech(&t, false); complete {
				return cut(pcm, from, until), nil
			}
		}
	}
	if len(t.energy) == 0 {
		return Span{}, ErrNoSound
	}
	from, until, ok := d.speech(&t, true)
	if !ok {
		return Span{}, ErrNoSpeech
	}
	return cut(pcm, from, until), nil
}

func cut(pcm []int16, from, until int) Span {
	return Span{From: time.Duration(from) * step, Until: time.Duration(until) * step, Samples: pcm[from*frame : until*frame]}
}

// ear lets through what speech is made of: low notes, where engines and wind are, and high ones, where hiss is, count less.
type ear struct{ low, lower, high, higher float64 }

// loudness is the energy of a frame in dB of full scale.
func (e *ear) loudness(s []int16) float64 {
	const bass, treble = 0.11, 0.65 // of one-pole filters at about 300 and 2600 Hz
	sum := 0.0
	for _, v := range s {
		e.low += bass * (float64(v) - e.low)
		x := float64(v) - e.low
		e.lower += bass * (x - e.lower)
		e.high += treble * (x - e.lower - e.high)
		e.higher += treble * (e.high - e.higher)
		sum += e.higher * e.higher
	}
	return 10 * math.Log10(sum/float64(len(s))/(32768*32768)+1e-12)
}

// speech finds the first span in the frames so far. It is complete if more sound would not change it, or if this is all.
func (d Detector) speech(t *track, all bool) (from, until int, complete bool) {
	silence, shortest := int(or(d.Silence, 2*time.Second)/step), int(or(d.Shortest, 800*time.Millisecond)/step)
	longest, margin := int(or(d.Longest, time.Minute)/step), int(or(d.Margin, 300*time.Millisecond)/step)
	t.follow()
	smooth, floors, peaks := t.smooth, t.floors, t.peaks
	begin, end, loud, over := -1, 0, 0, false // of a span so far; over: the frame before was speech
	known := len(smooth)
	if !all {
		known -= look // the noise of later frames may still be found to be lower
	}
	for i := range known {
		bound := max(floors[i]+max(rise, begins*(peaks[i]-floors[i])), quietest)
		if over {
			bound = max(floors[i]+max(fall, lasts*(peaks[i]-floors[i])), quietest)
		}
		if over = smooth[i] > bound; over {
			if begin < 0 {
				begin, loud = i, 0
			}
			end, loud = i+1, loud+1
		}
		if begin < 0 {
			continue
		}
		switch {
		case i+1-begin >= longest:
			return max(0, begin-margin), min(begin+longest, len(smooth)), true
		case i+1-end >= silence && loud < shortest: // a knock
			begin = -1
		case i+1-end >= silence:
			return max(0, begin-margin), min(end+margin, len(smooth)), true
		}
	}
	if !all || begin < 0 || loud < shortest {
		return 0, 0, false
	}
	return max(0, begin-margin), min(end+margin, len(smooth)), true
}

// track is the loudness of frames and what is around them. Floors are, for each frame, what a tenth of the frames around it stay below: people pause
// between words, noise does not, so that is the noise; and peaks what one in twenty is louder than, which is speech where there is any.
type track struct {
	energy                []float64
	smooth, floors, peaks []float64 // as far as follow has seen; the last `far` of them may change
}

// follow brings the rest up to energy. What later frames can't change is not looked at again.
func (t *track) follow() {
	from := max(0, len(t.smooth)-far-often) / often * often
	t.smooth, t.floors, t.peaks = t.smooth[:from], t.floors[:from], t.peaks[:from]
	for i := from; i < len(t.energy); i++ { // a mean of three
		near := t.energy[max(0, i-1):min(len(t.energy), i+2)]
		sum := 0.0
		for _, e := range near {
			sum += e
		}
		t.smooth = append(t.smooth, sum/float64(len(near)))
	}
	for at := from; at < len(t.smooth); at += often {
		near := slices.Sorted(slices.Values(t.smooth[max(0, at-look):min(len(t.smooth), at+look)]))
		wide := slices.Sorted(slices.Values(t.smooth[max(0, at-far):min(len(t.smooth), at+far)]))
		for range min(often, len(t.smooth)-at) {
			t.floors, t.peaks = append(t.floors, near[len(near)/10]), append(t.peaks, wide[len(wide)*19/20])
		}
	}
}
