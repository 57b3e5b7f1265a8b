// Package header understands the case header that an officer speaks when a recording has begun (R1, R13): it finds the span in the footage's
// sound, has it transcribed, and looks the words up in the department's register. What comes out is a claim until an officer confirms it.
package header

import (
	"context"
	"io"

	"camseal/pkg/transport"
)

// Heard is what was understood of a spoken header. Nothing of it is confirmed.
type Heard struct {
	From       uint64  `json:"from"` // milliseconds from the recording's begin
	Until      uint64  `json:"until"`
	Transcript string  `json:"transcript"`
	Engine     string  `json:"engine"`
	Confidence uint64  `json:"confidence"` // thousandths
	Fields     []Field `json:"fields"`     // department, officers, cause, time, place, in this order
	Failed     string  `json:"failed"`     // why nothing was understood, in words; empty: it was tried and worked
}

// Field is one element of a header and how sure it is.
type Field struct {
	Name  string     `json:"name"` // department, officers, cause, time, place
	State FieldState `json:"state"`
	Value string     `json:"value"` // of officers: as FormatOfficers writes them
}

// FieldState says how far an element was understood.
type FieldState string

// The states of a field.
const (
	FieldMatched FieldState = "matched" // heard, and found in the register (a time: a time of day): ✓
	FieldHeard   FieldState = "heard"   // heard, and not in the register: ~
	FieldMissing FieldState = "missing" // ○
)

// Transcript is what an engine made of a sound.
type Transcript struct {
	Text       string
	Confidence uint64 // thousandths, by the engine's own measure; 0: it gives none
	Engine     string // its name, and its model's if it has one
}

// Hints are what an engine may know beforehand.
type Hints struct {
	Register *transport.Register // of the department; nil: none was received yet
}

// Engine turns speech into text. wav is a whole WAV file, 16 kHz mono, of at most a minute or two. It is safe for concurrent use, returns soon after the
// context's end, and its errors say in words what is wrong.
type Engine interface {
	Transcribe(ctx context.Context, wav io.Reader, hints Hints) (Transcript, error)
}
