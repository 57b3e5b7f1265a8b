//go:build js && wasm

// Camseal-wasm is pkg/verify for a reader's browser: it checks what vouches for a recording, and says what the bytes of its parts must
// be. It defines one function, camsealProofs(zip, lang, now), which takes a Uint8Array and returns an answer as JSON; it throws nothing.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"syscall/js"
	"time"

	"camseal/pkg/verify"
)

// answer is what the page needs of a report. OK of a line is null where nothing is claimed.
type answer struct {
	Verdict verify.Verdict `json:"verdict"`
	First   string         `json:"first"` // the first thing wrong, besides that the footage was not read here; empty: nothing
	Lines   []line         `json:"lines"`
	Parts   []verify.Part  `json:"parts"`
}

type line struct {
	Key  string `json:"key"`
	OK   *bool  `json:"ok"`
	Text string `json:"text"`
}

func main() {
	js.Global().Set("camsealProofs", js.FuncOf(func(_ js.Value, args []js.Value) any {
		raw := make([]byte, args[0].Get("byteLength").Int())
		js.CopyBytesToGo(raw, args[0])
		out, err := json.Marshal(proofs(raw, verify.Lang(args[1].String()), time.UnixMilli(int64(args[2].Float()))))
		if err != nil {
			return `{"verdict":"unreadable"}`
		}
		return string(out)
	}))
	select {}
}

func proofs(raw []byte, lang verify.Lang, now time.Time) answer {
	src, err := verify.OpenZip(bytes.NewReader(raw), int64(len(raw)))
	var r *verify.Report
	var parts []verify.Part
	if err == nil {
		r, parts, err = verify.Proofs(context.Background(), src, verify.Options{Now: func() time.Time { return now }})
	}
	if err != nil {
		r = verify.Unopened("proof", err)
	}
	a := answer{Verdict: r.Verdict, Parts: parts}
	for _, p := range r.Problems {
		if p.Code == verify.CodeFootage {
			continue
		}
		text, no := p.Text(lang), false
		if a.First == "" {
			a.First = text
		}
		a.Lines = append(a.Lines, line{string(p.Code), &no, text})
	}
	for _, s := range r.Held(lang) {
		yes := true
		a.Lines = append(a.Lines, line{"held", &yes, s})
	}
	for _, m := range append(r.NotGiven, r.NotProven...) {
		a.Lines = append(a.Lines, line{string(m), nil, m.Text(lang)})
	}
	return a
}
