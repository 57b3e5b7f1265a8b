package sound_test

import (
	"bytes"
	"errors"

	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"camseal/agent/internal/header/headertest"
	"camseal/agent/internal/header/sound"
)

const spoken = "This is officer Alan Walker, certificate seven three zero one nine five, of the Market Supervision Bureau, at East Market. Cause unlicensed sale. Time nine thirty."

func pcm(s []int16) io.Reader { return bytes.NewReader(sound.WAV(s)[44:]) }

// edges is the span where the clean sound is louder than 1 % of full scale.
func edges(s []int16) (from, until int) {
	for from < len(s) && s[from] < 330 && s[from] > -330 {
		from++
	}
	until = len(s)
	for until > from && s[until-1] < 330 && s[until-1] > -330 {
		until--
	}
	return from, until
}

func power(s []int16) float64 {
	sum := 0.0
	for _, v := range s {
		sum += float64(v) * float64(v)
	}
	return sum / float64(len(s))
}

// mix adds noise, repeated as needed, so that the speech (of this power) is snr dB above it.
func mix(s, noise []int16, speech, snr float64) []int16 {
	gain := math.Sqrt(speech / power(noise) / math.Pow(10, snr/10))
	out := make([]int16, len(s))
	for i := range s {
		out[i] = int16(max(-32768, min(32767, 0.5*(float64(s[i])+gain*float64(noise[i%len(noise)])))))
	}
	return out
}

func synthNoise(t *testing.T, kind string) []int16 {
	t.Helper()
	name := filepath.Join(t.TempDir(), kind+".wav")
	if err := headertest.Sox(t.Context(), "-R", "-n", "-r", "16000", "-b", "16", "-c", "1", name, "synth", "20", kind+"noise", "gain", "-10"); err != nil {
		t.Fatal(err)
	}
	s, err := headertest.Samples(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// street is the sound of real footage that a telephone filmed, without the fade at its beginning: it is repeated.
func street(t *testing.T) []int16 {
	t.Helper()
	name := filepath.Join(t.TempDir(), "street.wav")
	if out, err := ffmpeg(t, "/usr/share/forensics-samples/original-files/movie1/VID_20191220_170832.mp4", name); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	s, err := headertest.Samples(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s[sound.Rate/2:]
}

// TestSpokenSpan: four seconds of noise, a spoken header, six of noise, then other speech. The span found begins and ends within half a second
// of the header at 40, 20 and 10 dB above the noise of each kind; at 5 dB it may be longer, and still holds the header.
func TestSpokenSpan(t *testing.T) {
	noises := map[string][]int16{"white": synthNoise(t, "white"), "pink": synthNoise(t, "pink"), "brown": synthNoise(t, "brown"), "street": street(t)}
	for _, voice := range []string{"flite:slt", "espeak-ng:en-us"} {
		said, err := headertest.Say(t.Context(), voice, spoken)
		if err != nil {
			t.Fatal(err)
		}
		from, until := edges(said)
		speech := power(said[from:until])
		all := append(append(append(headertest.Silence(4), said...), headertest.Silence(6)...), said...)
		begin, end := sound.Length(from)+4*time.Second, sound.Length(until)+4*time.Second
		for kind, noise := range noises {
			for _, snr := range []float64{40, 20, 10, 5} {
				span, err := sound.Detector{}.Find(pcm(mix(all, noise, speech, snr)))
				if err != nil {
					t.Errorf("%s in %s noise at %v dB: %v", voice, kind, snr, err)
					continue
				}
				early, late := (begin - span.From).Round(10*time.Millisecond), (span.Until - end).Round(10*time.Millisecond)
				t.Logf("%s, %s noise, %v dB: begins %v early, ends %v late", voice, kind, snr, early, late)
				if snr > 5 && max(early, late) > 500*time.Millisecond || min(early, late) < -200*time.Millisecond {
					t.Errorf("%s in %s noise at %v dB: begins %v early, ends %v late", voice, kind, snr, early, late)
				}
				if got := sound.Length(len(span.Samples)); got != span.Until-span.From {
					t.Errorf("%v of samples in a span of %v", got, span.Until-span.From)
				}
			}
		}
	}
}

func ffmpeg(t *testing.T, in, out string) ([]byte, error) {
	t.Helper()
	return exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-i", in, "-vn", "-ac", "1", "-ar", "16000", out).CombinedOutput()
}

// tone is a sound that is loud for these seconds.
func tone(seconds float64) []int16 {
	s := headertest.Silence(seconds)
	for i := range s {
		s[i] = int16(8000 * math.Sin(float64(i)*2*math.Pi*600/sound.Rate))
	}
	return s
}

func join(parts ...[]int16) (all []int16) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestSpanIsChosen(t *testing.T) {
	q := headertest.Silence
	for name, c := range map[string]struct {
		d           sound.Detector
		s           []int16
		from, until float64 // seconds
	}{
		"speech at once":           {sound.Detector{}, join(tone(3), q(8)), 0, 3.3},
		"speech to the end":        {sound.Detector{}, join(q(5), tone(3)), 4.7, 8},
		"speech all the time":      {sound.Detector{Longest: 5 * time.Second}, join(tone(1), q(0.5), tone(1), q(0.5), tone(1), q(0.5), tone(1), q(0.5), tone(1), q(8)), 0, 5},
		"short pauses are bridged": {sound.Detector{}, join(q(1), tone(2), q(1.5), tone(2), q(8)), 0.7, 6.8},
		"a long one ends it":       {sound.Detector{}, join(q(1), tone(2), q(3), tone(2), q(8)), 0.7, 3.3},
		"configured otherwise":     {sound.Detector{Silence: 4 * time.Second, Margin: 100 * time.Millisecond}, join(q(1), tone(2), q(3), tone(2), q(9)), 0.9, 8.1},
		"a knock is no speech":     {sound.Detector{}, join(q(1), tone(0.2), q(4), tone(2), q(8)), 4.9, 7.5},
	} {
		span, err := c.d.Find(pcm(c.s))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if math.Abs(span.From.Seconds()-c.from) > 0.05 || math.Abs(span.Until.Seconds()-c.until) > 0.05 {
			t.Errorf("%s: %v to %v, want %v to %v", name, span.From, span.Until, c.from, c.until)
		}
	}
}

func TestNobodySpeaks(t *testing.T) {
	if _, err := (sound.Detector{}).Find(pcm(nil)); !errors.Is(err, sound.ErrNoSound) {
		t.Error(err)
	}
	for name, s := range map[string][]int16{
		"silence": headertest.Silence(20), "white noise": synthNoise(t, "white"), "engine": synthNoise(t, "brown"),
		"knocks":          join(tone(0.1), headertest.Silence(5), tone(0.1), headertest.Silence(5)),
		"speech too late": join(headertest.Silence(20), tone(3)),
	} {
		_, err := sound.Detector{Search: 15 * time.Second}.Find(pcm(s))
		if !errors.Is(err, sound.ErrNoSpeech) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadsNoMoreThanNeeded: once the span is complete, the rest is not decoded.
func TestReadsNoMoreThanNeeded(t *testing.T) {
	r := pcm(join(headertest.Silence(1), tone(3), headertest.Silence(100)))
	if _, err := (sound.Detector{}).Find(r); err != nil {
		t.Fatal(err)
	}
	if left, err := io.Copy(io.Discard, r); err != nil || left < 80*2*sound.Rate {
		t.Errorf("%d s are left unread, %v", left/2/sound.Rate, err)
	}
	broken := errors.New("broken")
	if _, err := (sound.Detector{}).Find(io.MultiReader(pcm(tone(1)), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestWAV(t *testing.T) {
	s := tone(0.1)
	wav := sound.WAV(s)
	if got, err := sound.ReadWAV(bytes.NewReader(wav), len(s)); err != nil || !slices.Equal(got, s) {
		t.Errorf("%d samples, %v", len(got), err)
	}
	name := filepath.Join(t.TempDir(), "a.wav")
	if err := os.WriteFile(name, wav, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := headertest.Samples(t.Context(), name); err != nil || !slices.Equal(got, s) {
		t.Errorf("sox reads %d other samples, %v", len(got), err)
	}
	if _, err := sound.ReadWAV(bytes.NewReader(wav), len(s)-1); !errors.Is(err, sound.ErrTooLong) {
		t.Error(err)
	}
	for i := range 44 {
		bad := bytes.Clone(wav)
		bad[i] ^= 1
		if _, err := sound.ReadWAV(bytes.NewReader(bad), 1<<20); err == nil {
			t.Errorf("byte %d of the header is not looked at", i)
		}
	}
	for _, bad := range [][]byte{nil, wav[:20], wav[:50], append(bytes.Clone(wav), 0)} {
		if _, err := sound.ReadWAV(bytes.NewReader(bad), 1<<20); !errors.Is(err, sound.ErrNotOurs) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

func FuzzReadWAV(f *testing.F) {
	f.Add(sound.WAV(nil))
	f.Add(sound.WAV(tone(0.01)))
	f.Add(sound.WAV(tone(0.01))[:60])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := sound.ReadWAV(bytes.NewReader(b), 1<<16)
		if err == nil && !bytes.Equal(sound.WAV(s), b) {
			t.Error("another encoding was read")
		}
	})
}

func FuzzFind(f *testing.F) {
	f.Add(sound.WAV(join(headertest.Silence(0.2), tone(1), headertest.Silence(0.5)))[44:], uint8(10), uint8(5))
	f.Add([]byte{1}, uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, silence, longest uint8) {
		tenth := 100 * time.Millisecond
		span, err := sound.Detector{Shortest: tenth, Silence: time.Duration(silence) * tenth, Longest: time.Duration(longest) * tenth}.Find(bytes.NewReader(b))
		if err != nil {
			return
		}
		if span.From < 0 || span.Until <= span.From || span.Until > sound.Length(len(b)/2) || sound.Length(len(span.Samples)) != span.Until-span.From {
			t.Errorf("%v to %v with %d samples of %d bytes", span.From, span.Until, len(span.Samples), len(b))
		}
	})
}
