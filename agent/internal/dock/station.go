package dock

import (
	"errors"
	"time"

	"camseal/agent/internal/header"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/transport"
)

// TileState is what a slot's tile says. The zero value is no state.
type TileState string

// The states of a tile, worst last: a slot shows the worst that is true of it.
const (
	TileEmpty    TileState = "empty"        // no recorder
	TileReleased TileState = "released"     // all that was stored was released from the recorder on permits
	TileStored   TileState = "stored"       // all of it is stored; it may be erased on its permit
	TileCopied   TileState = "copied"       // all of it is copied and sealed here: safe to take, do not erase
	TileHeader   TileState = "needs-header" // copied or stored, and a case header is to be confirmed
	TileReading  TileState = "reading"      //
	TileFault    TileState = "fault"        // Fault says what
)

// Snapshot is all that the tiles of a dock show.
type Snapshot struct {
	Station string    `json:"station"` // name of this dock
	At      time.Time `json:"at"`
	Online  bool      `json:"online"`  // the server answers
	TPM     string    `json:"tpm"`     // empty: it answers; else what is wrong
	Bridge  string    `json:"bridge"`  // empty: all bridges answer; else what is wrong
	Class   string    `json:"class"`   // "tpm", or "software": a trial
	Held    uint64    `json:"held"`    // bytes that wait for the server
	Free    uint64    `json:"free"`    // bytes that can still be taken in
	Alarms  []string  `json:"alarms"`  // in words
	Tiles   []Tile    `json:"tiles"`   // every configured slot, in order, then others in use
	Headers int       `json:"headers"` // groups that wait for a case header, of recorders that are gone too (of very many: at least)
	Late    int       `json:"late"`    // of these, past their deadline
	Version uint64    `json:"version"` // grows with every change
}

// Tile is one slot.
type Tile struct {
	Slot     string        `json:"slot"`
	State    TileState     `json:"state"`
	Recorder string        `json:"recorder"` // serial number; empty: it has none
	Model    string        `json:"model"`
	Officer  string        `json:"officer"`  // name, else number, of whom the recorder is given to
	Battery  *int          `json:"battery"`  // per cent; nil: not known
	Files    int           `json:"files"`    // found so far
	Done     int           `json:"done"`     // of them taken in, or known already
	Bytes    uint64        `json:"bytes"`    // of the files found
	Read     uint64        `json:"read"`     // of them in the spool
	Left     time.Duration `json:"left"`     // until all is read, at the speed of now; 0: not known
	Listed   bool          `json:"listed"`   // all files are found
	Stored   int           `json:"stored"`   // files under a stored receipt
	Released int           `json:"released"` // files released from the recorder
	Headers  int           `json:"headers"`  // groups that wait for a case header
	First    bool          `json:"first"`    // an officer wants this slot first
	Space    uint64        `json:"space"`    // bytes free on the recorder
	Size     uint64        `json:"size"`     // bytes of its storage
	Export   time.Time     `json:"export"`   // when the oldest footage found there must have been exported (R6); zero: nothing is due
	Overdue  bool          `json:"overdue"`  // that has passed
	Kept     int           `json:"kept"`     // files that stay on the recorder since their bytes changed or could not be read: a person must look
	Fault    string        `json:"fault"`    // in words: what happened, what was kept, what to do
}

// What was understood of a spoken header.
type (
	Heard      = header.Heard
	Field      = header.Field
	FieldState = header.FieldState
)

// The states of a field.
const (
	FieldMatched = header.FieldMatched
	FieldHeard   = header.FieldHeard
	FieldMissing = header.FieldMissing
)

// Item is one recording as the dock shows it.
type Item struct {
	Rec       evidence.RecordingID `json:"rec"`
	Name      string               `json:"name"`
	Kind      handoff.Kind         `json:"kind"`
	Size      uint64               `json:"size"`
	Read      uint64               `json:"read"`
	State     string               `json:"state"` // reading, sealed, stored, released, faulty
	Why       string               `json:"why"`   // of faulty, in words
	Important bool                 `json:"important"`
	Begun     int64                `json:"begun"` // the recorder's clock, ms; 0: not known
	Marks     int                  `json:"marks"`
}

// Group is what one case header is about: the recordings of a sequence, as an officer may have split or joined it, or one recording.
type Group struct {
	ID       evidence.RecordingID `json:"id"`
	Slot     string               `json:"slot"` // where it was taken in last
	Recorder string               `json:"recorder"`
	Items    []Item               `json:"items"`   // in order
	Due      time.Time            `json:"due"`     // when the header must be there
	Late     bool                 `json:"late"`    // it was not there by then, or still is not
	Heard    *Heard               `json:"heard"`   // nil: not listened to (yet)
	Header   *evidence.Header     `json:"header"`  // the newest one confirmed; nil: it waits for one
	Earlier  *evidence.Header     `json:"earlier"` // one that was confirmed before a recording joined that has none
	Flags    []string             `json:"flags"`   // what a custodian will want to know of it
	Note     *evidence.Note       `json:"note"`
}

// The flags of a group.
const (
	FlagLate    = "late"                // the header was not there by its deadline
	FlagNoVoice = "no-voice"            // typed only: 无语音说明
	FlagInvalid = "certificate-invalid" // a certificate is over
	FlagUnknown = "certificate-unknown" // a certificate is not in the register
)

// Officer is who signed in at the dock.
type Officer struct {
	Name        string `json:"name"`
	Certificate string `json:"certificate"`
	Department  string `json:"department"`
	Valid       bool   `json:"valid"` // the certificate, today
}

// Errors that the kiosk puts into words.
var (
	ErrNoGroup    = errors.New("no such recordings")
	ErrSignIn     = errors.New("card, or certificate number and PIN, not known")
	ErrTooMany    = errors.New("too many attempts: wait a minute")
	ErrNoRegister = errors.New("the register of officers has not been received from the server yet")
	ErrIncomplete = errors.New("a header needs department, officers, cause, time and place")
	ErrNoSlot     = errors.New("no such slot")
)

// Register is the department's register as it was received last.
type Register = transport.Register
