package sphinx

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// extra are words of the grammar that the model's dictionary lacks.
var extra = map[string]string{"oclock": "AH K L AA K"}

// dictionary is a dictionary of exactly these words: as the model's own has them, else as their spelling suggests; names in pinyin both ways.
func dictionary(model string, list []string) ([]byte, error) {
	f, err := os.Open(model)
	if err != nil {
		return nil, fmt.Errorf("dictionary of the speech model: %w", err)
	}
	defer f.Close()
	sounds := map[string][]string{}
	for _, w := range list {
		sounds[w] = nil
	}
	in := bufio.NewScanner(f)
	for in.Scan() {
		word, said, ok := bytes.Cut(in.Bytes(), []byte(" "))
		if !ok {
			continue
		}
		word, _, _ = bytes.Cut(word, []byte("(")) // further pronunciations are word(2), word(3)
		if known, ok := sounds[string(word)]; ok {
			sounds[string(word)] = append(known, string(said))
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("dictionary of the speech model: %w", err)
	}
	var out bytes.Buffer
	for _, w := range list {
		ways := pronunciations(w, sounds[w])
		if len(ways) == 0 {
			return nil, fmt.Errorf("dictionary: %w: %s", errNoSound, w)
		}
		for i, way := range ways {
			fmt.Fprint(&out, w)
			if i > 0 {
				fmt.Fprintf(&out, "(%d)", i+1)
			}
			fmt.Fprintln(&out, "", way)
		}
	}
	return out.Bytes(), nil
}

var errNoSound = errors.New("no sound is known for a word")

func pronunciations(word string, known []string) []string {
	if s, ok := strings.CutPrefix(word, "xx"); ok {
		return []string{strings.ToUpper(s)}
	}
	ways := slices.Clone(known)
	if s, ok := extra[word]; ok {
		ways = append(ways, s)
	}
	if s, ok := pinyin(word); ok && s != "" && (len(known) == 0 || len(word) < 8) {
		ways = append(ways, s)
	}
	if s := english(word); len(known) == 0 && s != "" {
		ways = append(ways, s)
	}
	slices.Sort(ways[min(1, len(ways)):])
	return slices.Compact(ways)
}
