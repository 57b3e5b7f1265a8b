package transport

import (
	"time"

	"camseal/pkg/evidence"
)

// Register is what a dock needs to know of the department: who its officers are, and the words that headers are made of. It is kept
// for offline use.
type Register struct {
	Version     evidence.Digest `json:"version"` // SHA-256 of the register's object in the vault
	At          int64           `json:"at"`      // when it came into force, milliseconds since 1970 UTC
	Departments []string        `json:"departments"`
	Officers    []Officer       `json:"officers"`
	Causes      []string        `json:"causes"`
	Places      []string        `json:"places"`
	Activities  []string        `json:"activities"`
	CardSalt    evidence.Bytes  `json:"card_salt"` // key of the officers' card hashes
}

// Officer is one entry of the register (R13).
type Officer struct {
	Name        string         `json:"name"`
	Spoken      string         `json:"spoken,omitempty"` // how the name sounds, in words of the speech engine; empty: as it is written
	Certificate string         `json:"certificate"`
	ValidUntil  string         `json:"valid_until"` // last day, YYYY-MM-DD; empty: not known
	Department  string         `json:"department"`
	Number      string         `json:"number,omitempty"` // as recorders are set to, such as 011314
	Card        evidence.Bytes `json:"card,omitempty"`   // HMAC-SHA-256 under CardSalt of the card's number; empty: no card
	PIN         string         `json:"pin,omitempty"`    // argon2id, in PHC string form; empty: no PIN
}

// Valid reports whether the certificate is valid on the day of t, as far as the register knows.
func (o Officer) Valid(t time.Time) bool {
	return o.ValidUntil != "" && t.Format(time.DateOnly) <= o.ValidUntil
}

// KnownRequest asks which files the server has stored already, whichever dock took them in: at most MaxKnown files in MaxKnownBytes.
type KnownRequest struct {
	Files []KnownFile `json:"files"`
}

// Limits of one KnownRequest.
const (
	MaxKnown      = 256     // files
	MaxKnownBytes = 2 << 20 // of JSON
)

// KnownFile is a file as a recorder shows it before its bytes are read. One without serial number or without its own time can't be told
// from others, and is never known.
type KnownFile struct {
	Serial   string         `json:"serial"` // of the recorder
	Volume   string         `json:"volume"`
	Path     evidence.Bytes `json:"path"` // on its volume, raw bytes
	Size     uint64         `json:"size"`
	Modified uint64         `json:"modified"` // milliseconds since 1970 UTC, never 0
}

// KnownAnswer names those that are stored whole, in the order of the request; as many as fit into MaxAnswer.
type KnownAnswer struct {
	Known []Known `json:"known"`
}

// Known is the proof that a file of the request is stored: another device's word under the log's receipt. The asker checks
// that Open names the file, that the receipt's leaf names Open and Close, and the receipt itself.
type Known struct {
	Index   int            `json:"index"` // in Files
	Open    evidence.Bytes `json:"open"`  // the statement's line
	Close   evidence.Bytes `json:"close"`
	Receipt Receipt        `json:"receipt"`
}
