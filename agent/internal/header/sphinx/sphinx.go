// Package sphinx is the built-in speech engine: pocketsphinx in a sandbox, with a grammar of the department's own officers, causes and places. It
// understands English headers only.
package sphinx

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"camseal/agent/internal/header"
	"camseal/agent/internal/header/sound"
	"camseal/pkg/sandbox"
	"camseal/pkg/transport"
)

// Name is what transcripts of this engine name as their engine.
const Name = "pocketsphinx"

// Model is where Debian's package pocketsphinx-en-us puts the model.
const Model = "/usr/share/pocketsphinx/model/en-us"

// Engine is safe for concurrent use. Its zero value is ready.
type Engine struct {
	Sandbox sandbox.Box
}

var _ header.Engine = (*Engine)(nil)

const longest = 120 * sound.Rate // samples that are taken in

// ErrNothing says that no word of the grammar was heard.
var ErrNothing = errors.New("pocketsphinx understood nothing")

// Transcribe makes a grammar of the register and finds the way through it that is most like what was said. What is like none of its
// words is "…" in the text.
func (e *Engine) Transcribe(ctx context.Context, wav io.Reader, hints header.Hints) (header.Transcript, error) {
	samples, err := sound.ReadWAV(wav, longest)
	if err != nil {
		return header.Transcript{}, err
	}
	reg := hints.Register
	if reg == nil {
		reg = &transport.Register{}
	}
	g := makeGrammar(reg)
	dict, err := dictionary(filepath.Join(Model, "cmudict-en-us.dict"), g.words)
	if err != nil {
		return header.Transcript{}, err
	}
	var hyp result
	for _, beams := range searches {
		err = e.Sandbox.Run(ctx, command(sound.WAV(samples), []byte(g.text), dict, beams), func(r io.Reader) (err error) {
			hyp, err = read(r)
			return err
		})
		if !errors.Is(err, ErrNothing) {
			break
		}
	}
	if err != nil {
		return header.Transcript{}, err
	}
	return header.Transcript{Text: hyp.text, Confidence: hyp.confidence, Engine: Name}, nil
}

// searches are how wide the engine searches, and again if it found no way to the grammar's end: in voices that the model does not expect, a narrow search loses it.
var searches = [][]string{
	{"-beam", "1e-80", "-wbeam", "1e-60", "-pbeam", "1e-80", "-maxhmmpf", "1000"},
	{"-beam", "1e-120", "-wbeam", "1e-100", "-pbeam", "1e-120", "-maxhmmpf", "5000"},
}

// command is pocketsphinx_batch for one sound, as a list of one with an empty path around it. The penalty on each word (wip) keeps it from filling doubt
// with short words; weights in a grammar have no effect in this version.
func command(wav, grammar, dict []byte, beams []string) sandbox.Command {
	return sandbox.Command{
		Name: "pocketsphinx_batch",
		Args: append([]string{
			"-hmm", filepath.Join(Model, "en-us"), "-dict", sandbox.Path(2), "-jsgf", sandbox.Path(1),
			"-ctl", sandbox.Path(3), "-cepdir", "/", "-cepext", "", "-adcin", "yes", "-adchdr", "44",
			"-hypseg", "/proc/self/fd/1", "-logfn", "/dev/null", "-bestpath", "no",
			"-wip", "1e-3",
		}, beams...),
		Data:   [][]byte{wav, grammar, dict, []byte(strings.TrimPrefix(sandbox.Path(0), "/") + "\n")},
		ToPath: true,
	}
}

type result struct {
	text       string
	confidence uint64
}

// read reads one line of -hypseg: ID S scale T total A acoustic L language, then for each segment its first frame, acoustic score, language score and word,
// and last the number of frames.
func read(r io.Reader) (result, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	if !in.Scan() {
		if err := in.Err(); err != nil {
			return result{}, fmt.Errorf("answer of pocketsphinx: %w", err)
		}
		return result{}, nil // it ended without a word: the sandbox says why
	}
	fields := strings.Fields(in.Text())
	const first = 9
	if len(fields) < first+1 || fields[1] != "S" || (len(fields)-first-1)%4 != 0 {
		return result{}, fmt.Errorf("answer of pocketsphinx is in no known form: %.100q", in.Text())
	}
	var out []string
	total, frames := 0.0, 0.0
	for at := first; at+4 < len(fields); at += 4 {
		begin, err1 := strconv.Atoi(fields[at])
		score, err2 := strconv.Atoi(fields[at+1])
		end, err3 := strconv.Atoi(fields[at+4])
		if err := errors.Join(err1, err2, err3); err != nil {
			return result{}, fmt.Errorf("answer of pocketsphinx: %w", err)
		}
		word, _, _ := strings.Cut(fields[at+3], "(")
		if word == "" || word[0] == '<' || word[0] == '[' || word[0] == '+' { // silence, noise, a step without a word
			continue
		}
		total, frames = total+float64(score), frames+float64(end-begin)
		if strings.HasPrefix(word, "xx") {
			word = "…"
		}
		if word != "…" || len(out) == 0 || out[len(out)-1] != "…" {
			out = append(out, word)
		}
	}
	if frames == 0 {
		return result{}, ErrNothing
	}
	return result{strings.Join(out, " "), confidence(total / frames)}, nil
}

// confidence of a mean acoustic score of a frame, which is how far the words are from the best of all sounds at each moment: where nine of ten words are right
// it is about -35, where one of three is wrong about -60. It is an order, not a probability.
func confidence(score float64) uint64 {
	return uint64(math.Round(1000 / (1 + math.Exp(-(score+50)/5))))
}
