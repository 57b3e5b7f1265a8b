// Measure speaks the twenty headers in each voice, has the built-in engine understand them, and prints what came out as JSON, a voice a line.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"camseal/agent/internal/header"
	"camseal/agent/internal/header/headertest"
	"camseal/agent/internal/header/sound"
	"camseal/agent/internal/header/sphinx"
	"camseal/agent/internal/header/words"
	"camseal/pkg/transport"
)

// now is a clock of this program only.
var now = time.Now

// figures are those of a voice.
type figures struct {
	Voice       string    `json:"voice"`
	Words       int       `json:"words"`        // said
	Errors      int       `json:"errors"`       // heard wrong, left out or added
	Fields      int       `json:"fields"`       // five a header
	Right       int       `json:"right"`        // as said: found in the register, or missing where it was not said
	Wrong       int       `json:"wrong"`        // shown as found in the register, and not what was said
	TwentySpeed []float64 `json:"twenty_speed"` // seconds that 20 s of speech take, by each header
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	reg := headertest.Register()
	for _, voice := range headertest.Voices {
		f := figures{Voice: voice}
		for _, h := range headertest.Headers() {
			if err := f.header(ctx, h, reg); err != nil {
				return err
			}
		}
		if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
			return err
		}
	}
	return nil
}

func (f *figures) header(ctx context.Context, h headertest.Header, reg *transport.Register) error {
	samples, err := headertest.Say(ctx, f.Voice, h.Text)
	if err != nil {
		return err
	}
	begin := now()
	got, err := (&sphinx.Engine{}).Transcribe(ctx, bytes.NewReader(sound.WAV(samples)), header.Hints{Register: reg})
	if err != nil && !errors.Is(err, sphinx.ErrNothing) { // that is all words wrong
		return fmt.Errorf("%s, %q: %w", f.Voice, h.Text, err)
	}
	f.TwentySpeed = append(f.TwentySpeed, now().Sub(begin).Seconds()/sound.Length(len(samples)).Seconds()*20)
	wrong, all := headertest.WordErrors(strings.Fields(words.Plain(h.Text)), strings.Fields(got.Text))
	f.Errors, f.Words = f.Errors+wrong, f.Words+all
	fmt.Fprintf(os.Stderr, "%s %d/%d %d: %s\n", f.Voice, wrong, all, got.Confidence, got.Text)
	for i, said := range []string{h.Department, h.Officers, h.Cause, h.Time, h.Place} {
		field := header.Understand(got.Text, reg)[i]
		f.Fields++
		switch {
		case field.Value == said:
			f.Right++
		case field.State == header.FieldMatched:
			f.Wrong++
		}
	}
	return nil
}
