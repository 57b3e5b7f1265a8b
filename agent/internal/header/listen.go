package header

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"camseal/agent/internal/header/sound"
	"camseal/pkg/sandbox"
	"camseal/pkg/transport"
)

// Listener listens to the beginning of footage. It is safe for concurrent use; each call holds a few megabytes and one process.
type Listener struct {
	Engine   Engine           // never nil
	Detector sound.Detector   // what is taken for the spoken span; its Search is how much of the footage is decoded
	Sandbox  sandbox.Box      // bounds of decoding; the zero value is good for footage of any size
	Patience time.Duration    // how long the engine may take; 0: 60 s
	Now      func() time.Time // never nil
	Log      *slog.Logger     // never nil
}

// containers are those that ffmpeg may take footage for: none that leads to other files, as playlists do.
const containers = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,flv,wav,w64,mp3,aac,ogg,amr,flac,caf,dav,dhav"

// Listen finds the spoken header at the beginning of footage, f, which it reads by itself from the file's start and neither changes nor closes. wav
// is the sound of the span, 16 kHz mono, nil if there is none. What goes wrong with the footage, the sandbox or the engine is Heard.Failed, in words, and its
// fields are missing or heard as far as it came; err is only ever the context's.
func (l *Listener) Listen(ctx context.Context, f *os.File, reg *transport.Register) (heard Heard, wav []byte, err error) {
	begin := l.Now()
	span, err := l.find(ctx, f)
	if ctx.Err() != nil {
		return Heard{}, nil, context.Cause(ctx)
	}
	if err != nil {
		return l.failed(ctx, Heard{}, "find the spoken header", decoding(err), err), nil, nil
	}
	found := l.Now()
	heard.From, heard.Until = uint64(span.From.Milliseconds()), uint64(span.Until.Milliseconds())
	wav = sound.WAV(span.Samples)
	patience := l.Patience
	if patience == 0 {
		patience = time.Minute
	}
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said, err := l.Engine.Transcribe(timed, bytes.NewReader(wav), Hints{Register: reg})
	switch {
	case ctx.Err() != nil:
		return Heard{}, nil, context.Cause(ctx)
	case timed.Err() != nil && err != nil:
		return l.failed(ctx, heard, "transcribe", fmt.Sprintf("The speech engine did not answer within %v. The footage is not touched by this. Type the header, or try again.", patience), err), wav, nil
	case err != nil:
		return l.failed(ctx, heard, "transcribe", fmt.Sprintf("The speech engine could not understand the header: %v. The footage is not touched by this. Type the header.", err), err), wav, nil
	}
	text := bounded(said.Text)
	heard.Transcript, heard.Engine, heard.Confidence = text, said.Engine, min(said.Confidence, 1000)
	heard.Fields = Understand(text, reg)
	l.Log.InfoContext(ctx, "header heard", slog.Uint64("from", heard.From), slog.Uint64("until", heard.Until), slog.String("engine", said.Engine),
		slog.Uint64("confidence", heard.Confidence), slog.Duration("found", found.Sub(begin)), slog.Duration("transcribed", l.Now().Sub(found)))
	return heard, wav, nil
}

// failed is heard with the reason, which is logged too.
func (l *Listener) failed(ctx context.Context, heard Heard, what, words string, err error) Heard {
	l.Log.WarnContext(ctx, "header not heard", slog.String("at", what), slog.Any("error", err))
	heard.Failed, heard.Fields = words, Understand("", nil)
	return heard
}

// bounded is a transcript that a statement can hold: valid, without control signs, at most 8 KiB.
func bounded(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "�"), func(r rune) bool { return r <= ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' }), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

var errNoFile = errors.New("not a regular file")

// find decodes the first sound track of footage until the span is found. ffmpeg opens the file by its descriptor, so that it can
// seek: many recorders write the index of an MP4 at its end.
func (l *Listener) find(ctx context.Context, f *os.File) (sound.Span, error) {
	info, err := f.Stat()
	if err != nil {
		return sound.Span{}, err
	}
	if !info.Mode().IsRegular() { // a pipe could make ffmpeg wait
		return sound.Span{}, errNoFile
	}
	search := l.Detector.Search
	if search == 0 {
		search = 3 * time.Minute
	}
	box := l.Sandbox
	if box.Output == 0 {
		box.Output = int64(search/time.Second+2) * 2 * sound.Rate
	}
	var span sound.Span
	err = box.Run(ctx, sandbox.Command{
		Name: "ffmpeg",
		Args: []string{
			"-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1", "-protocol_whitelist", "file", "-format_whitelist", containers,
			"-i", "file:/proc/self/fd/0", "-map", "0:a:0", "-vn", "-sn", "-dn", "-t", strconv.FormatFloat(search.Seconds(), 'f', 3, 64),
			"-ac", "1", "-ar", strconv.Itoa(sound.Rate), "-f", "s16le", "pipe:1",
		},
		In: f,
	}, func(r io.Reader) (err error) {
		if span, err = l.Detector.Find(r); errors.Is(err, sound.ErrNoSound) {
			return nil // why, ffmpeg says
		}
		return err
	})
	if err == nil && len(span.Samples) == 0 {
		err = sound.ErrNoSound
	}
	if len(span.Samples) > 0 && !errors.Is(err, sandbox.ErrTime) && ctx.Err() == nil {
		err = nil // what ffmpeg did not like came after the span
	}
	return span, err
}

// decoding puts into words why no span was found.
func decoding(err error) string {
	const kept = " The footage is not touched by this. Type the header."
	var failed *sandbox.Failed
	switch {
	case errors.Is(err, sound.ErrNoSound):
		return "The footage has no sound." + kept
	case errors.Is(err, sound.ErrNoSpeech):
		return "Nobody is heard to speak at the beginning of the footage." + kept
	case errors.Is(err, errNoFile):
		return "This is not a file that can be listened to." + kept
	case errors.Is(err, sandbox.ErrTime):
		return "Decoding the footage's sound took too long and was ended." + kept
	case errors.Is(err, sandbox.ErrFlood):
		return "Decoding the footage's sound gave more than it may and was ended." + kept
	case errors.As(err, &failed) && strings.Contains(failed.Said, "matches no streams"):
		return "The footage has no sound track." + kept
	case errors.As(err, &failed) && (strings.HasPrefix(failed.Said, "bwrap:") || strings.HasPrefix(failed.Said, "prlimit:")):
		return "The sandbox for decoding could not be set up (" + failed.Said + "). The footage is not touched by this. Type the header, and see the handbook on speech."
	case errors.As(err, &failed):
		return "The footage's sound could not be decoded (" + failed.Said[:min(len(failed.Said), 200)] + ")." + kept
	}
	return "The footage could not be listened to (" + err.Error() + ")." + kept
}
