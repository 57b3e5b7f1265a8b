// Package handoff is what a bridge and the agent say to each other: HTTP over a Unix socket that only the agent's user and root can
// open. A bridge finds recorders, makes their storage readable, and erases on a permit that it checks itself; it holds no key. The agent
// reads the files at the paths that it is told, and seals them; it never touches a device.
//
//	GET  /v1/dockings              JSON lines without end: a Docking as it stands, first each one that there is, then each that changes;
//	                               an empty line every 10 s shows that the bridge lives
//	GET  /v1/dockings/{id}/files   JSON lines: every File of the docking, important ones first, and last File{End: true}. An answer
//	                               that ends without it was cut off
//	POST /v1/erase                 JSON lines: a Permit, then the recording's statements as they stand in the chain, one a line: open,
//	                               every chunk in order, close. Answer Erased. The same again gets the same answer
//
// Every refusal is an Error in JSON with a 4xx or 5xx status. There are two bridges: the one for storage that is plugged in, which needs root,
// and the content destination, which does not; both speak this.
package handoff

import (
	"fmt"

	"camseal/pkg/evidence"
)

// Limits of what either side takes in.
const (
	MaxLine = 128 << 10 // bytes of one JSON line; a statement has at most 64 KiB
	MaxText = 4 << 10   // bytes of each text
)

// State says how a docking stands.
type State string

// The states of a docking.
const (
	StateOpening State = "opening" // seen, and not ready to be read yet
	StateReady   State = "ready"   // its files can be read at Root
	StateFault   State = "fault"   // it can't be read: Fault says why, and what to do
	StateGone    State = "gone"    // it was pulled out; nothing more comes of this docking
)

// Docking is one volume of a recorder in a slot, from when it is plugged in until it is pulled out.
type Docking struct {
	ID      string `json:"id"`      // 32 hexadecimal digits, another one at each docking
	Slot    string `json:"slot"`    // as the configuration calls it, such as "3"
	State   State  `json:"state"`   //
	Fault   string `json:"fault"`   // in words: what happened, what was kept, what to do; empty without one
	Root    []byte `json:"root"`    // absolute path under which the files lie; nil until ready
	Serial  string `json:"serial"`  // of the recorder; empty if it has none
	Volume  string `json:"volume"`  // file-system UUID
	System  string `json:"system"`  // file system: vfat, exfat, ext4, ntfs
	Size    uint64 `json:"size"`    // bytes of the volume
	Free    uint64 `json:"free"`    // bytes of it that are free
	Profile string `json:"profile"` // of the vendor's table; "none" takes in everything
	Model   string `json:"model"`   //
	Erases  bool   `json:"erases"`  // the bridge is configured to erase on a permit

	// What a recorder with a control interface said of itself.
	Firmware    string           `json:"firmware"`
	Officer     string           `json:"officer"`      // officer's number
	OfficerName string           `json:"officer_name"` //
	Unit        string           `json:"unit"`         // unit's name
	Battery     *int             `json:"battery"`      // per cent; null: not known
	ClockOffset *evidence.Signed `json:"clock_offset"` // recorder's clock minus ours, milliseconds, before it was set; null: not known
}

// Kind says what a file is, by its profile.
type Kind string

// The kinds of file. Only the first three are recordings that need a case header.
const (
	KindVideo Kind = "video"
	KindSound Kind = "sound"
	KindPhoto Kind = "photo"
	KindLog   Kind = "log"   // the recorder's own log
	KindTrack Kind = "track" // positions
	KindOther Kind = "other"
)

// Footage reports whether such a file is a recording that needs a case header.
func (k Kind) Footage() bool { return k == KindVideo || k == KindSound || k == KindPhoto }

// File is one file of a docking.
type File struct {
	End       bool   `json:"end,omitempty"`   // no file: the list is complete
	Path      []byte `json:"path,omitempty"`  // on its volume, raw bytes, beginning with "/"
	Error     string `json:"error,omitempty"` // it, or the folder at Path, can't be listed; in words
	Size      uint64 `json:"size,omitempty"`  // bytes
	Modified  int64  `json:"modified,omitempty"`
	Kind      Kind   `json:"kind,omitempty"`
	Important bool   `json:"important,omitempty"` // marked so on the recorder

	// What its name, folder and side-car files say. Zero values: nothing.
	Serial  string  `json:"serial,omitempty"`
	Officer string  `json:"officer,omitempty"`
	Group   string  `json:"group,omitempty"`  // files with the same group and consecutive numbers are one act
	Number  uint64  `json:"number,omitempty"` // running number in its group
	Begun   int64   `json:"begun,omitempty"`  // the recorder's clock, milliseconds since 1970 as if it showed UTC
	Header  *Header `json:"header,omitempty"` // a case header that the system of origin supplied
	Marks   []Mark  `json:"marks,omitempty"`
	Note    string  `json:"note,omitempty"` // a text note that the system of origin supplied
}

// Header is what a system of origin says a recording is about. Its members are those of evidence.Header.
type Header struct {
	Department string                  `json:"department"`
	Officers   []evidence.Officer      `json:"officers"`
	Cause      string                  `json:"cause"`
	Time       string                  `json:"time"`
	Place      string                  `json:"place"`
	Activity   string                  `json:"activity"`
	Case       string                  `json:"case"`
	Further    []evidence.FurtherField `json:"further"`
	By         string                  `json:"by"` // which system said so
}

// Mark is a moment that was marked on the recorder.
type Mark struct {
	Moment uint64 `json:"moment"` // milliseconds from the recording's begin
	Text   string `json:"text"`
}

// Permit begins a request to erase: the stored receipt. Which file it is about stands in the open statement's source.
type Permit struct {
	Leaf  []byte `json:"leaf"`
	Proof []byte `json:"proof"` // C2SP tlog-proof
}

// Erased says that a file is gone from the recorder.
type Erased struct {
	Hash   evidence.Digest `json:"hash"`   // SHA-256 as read again from the medium right before
	Permit evidence.Digest `json:"permit"` // leaf hash (RFC 6962) of the stored receipt
	Before bool            `json:"before"` // it was erased on an earlier request with this permit
}

// Code is a machine-readable reason for a refusal.
type Code string

// The codes.
const (
	CodeBadRequest Code = "bad-request" // 400: not in the form of this package
	CodeNotAllowed Code = "not-allowed" // 403: this bridge is not configured to erase
	CodeBadPermit  Code = "bad-permit"  // 422: the permit does not hold, or not for these bytes: Message says what
	CodeNoDocking  Code = "no-docking"  // 404: no such docking, or the recorder is not plugged in
	CodeNoFile     Code = "no-file"     // 404: the file is not there, and was not erased on this permit
	CodeChanged    Code = "changed"     // 409: the medium holds other bytes than those that were sealed; nothing was erased
	CodeMedium     Code = "medium"      // 502: the medium gave an error; nothing was erased
	CodeInternal   Code = "internal"    // 500
)

// Error is a refusal.
type Error struct {
	Status  int    `json:"status"`
	Code    Code   `json:"code"`
	Message string `json:"message"` // what happened
	Kept    string `json:"kept"`    // what was kept safe
	Do      string `json:"do"`      // what to do
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d): %s", e.Code, e.Status, e.Message) }
