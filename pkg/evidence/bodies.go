package evidence

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Class says what holds a device's attestation key.
type Class string

// The classes of device.
const (
	ClassTPM      Class = "tpm"      // a TPM 2.0
	ClassSoftware Class = "software" // a file; for trials
)

// Mode says when a recording was sealed.
type Mode string

// The modes of a recording.
const (
	ModeCapture Mode = "capture" // while it was made
	ModeImport  Mode = "import"  // when it was taken in from a recorder
)

// Enrol is a device's first statement: its keys and where it belongs.
type Enrol struct {
	AK            Bytes       `json:"ak"`             // TPMT_PUBLIC of the attestation key
	Class         Class       `json:"class"`          // what holds the key
	ClearDisabled bool        `json:"clear_disabled"` // whether TPM2_Clear was disabled by provisioning
	Counter       *CounterRef `json:"counter"`        // null: this TPM offers no usable counter, or none was set up
	EK            Bytes       `json:"ek,omitempty"`   // TPMT_PUBLIC of the endorsement key
	EKCert        Bytes       `json:"ek_cert,omitempty"`
	HomeLog       string      `json:"home_log"` // verifier key (C2SP signed-note) of the log that issues this device's receipts
	Previous      *ChainRef   `json:"previous,omitempty"`
	TLSKey        Bytes       `json:"tls_key"` // SubjectPublicKeyInfo of the device's TLS key
}

// CounterRef names an NV counter index.
type CounterRef struct {
	Index uint64 `json:"index"` // NV handle
	Name  Bytes  `json:"name"`  // the index's TPM name after its first write
}

// ChainRef names the end of another chain.
type ChainRef struct {
	Device DeviceID `json:"device"`
	Head   Digest   `json:"head"`
	Seq    uint64   `json:"seq"`
}

// Boot is said at every start of the agent, and when the TPM is found in a state that the agent did not leave.
type Boot struct {
	ChainPCR     uint64       `json:"chain_pcr"`         // index of the PCR that takes the heads; 0 in class software
	Counter      string       `json:"counter,omitempty"` // decimal: the value found
	Intents      List[Digest] `json:"intents"`           // heads whose sealing was begun and not finished
	Last         *uint64      `json:"last,omitempty"`    // the device's own last seq, when it goes on behind the server's head
	PCRs         List[Digest] `json:"pcrs"`              // PCRs 0-7 and the chain PCR as found; empty in class software
	ResetCount   uint64       `json:"reset_count"`
	RestartCount uint64       `json:"restart_count"`
	Software     string       `json:"software"` // name and version of the agent
}

// Anchor holds a whole cosigned checkpoint of the log, as seen now.
type Anchor struct {
	Checkpoint string `json:"checkpoint"`
}

// Intake begins a docking session or an import run.
type Intake struct {
	ClockOffset *Signed `json:"clock_offset,omitempty"` // recorder's clock minus ours, milliseconds
	Counter     string  `json:"counter,omitempty"`      // decimal; the counter's new value
	Recorder    string  `json:"recorder"`               // serial number, empty if it has none
	Slot        string  `json:"slot"`                   // port of the dock, or "import"
}

// Signed is an integer that may be negative.
type Signed struct {
	Sign  string `json:"sign"`  // "+" or "-"
	Value uint64 `json:"value"` // magnitude
}

// Source says where an imported file was found.
type Source struct {
	Firmware string `json:"firmware,omitempty"`
	Modified uint64 `json:"modified,omitempty"` // the file's own time, milliseconds since 1970 UTC: a claim
	Name     string `json:"name"`               // for display
	NameRaw  Bytes  `json:"name_raw,omitempty"` // the name when it is not UTF-8
	Officer  string `json:"officer,omitempty"`
	Path     string `json:"path"` // on its volume, for display
	PathRaw  Bytes  `json:"path_raw,omitempty"`
	Serial   string `json:"serial"` // of the recorder, empty if it has none
	Size     uint64 `json:"size"`   // when it was opened, bytes
	Volume   string `json:"volume"` // file-system UUID or id
}

// SetPath fills Name and Path, or their raw forms when the bytes are not UTF-8.
func (s *Source) SetPath(path, name []byte) {
	s.Path, s.PathRaw = display(path)
	s.Name, s.NameRaw = display(name)
}

// RawPath returns the path's bytes as found.
func (s Source) RawPath() []byte { return raw(s.Path, s.PathRaw) }

// RawName returns the name's bytes as found.
func (s Source) RawName() []byte { return raw(s.Name, s.NameRaw) }

func display(b []byte) (string, Bytes) {
	if utf8.Valid(b) {
		return string(b), nil
	}
	return string(bytes.ToValidUTF8(b, []byte("\uFFFD"))), Bytes(b)
}

func raw(text string, b Bytes) []byte {
	if len(b) > 0 {
		return b
	}
	return []byte(text)
}

// Open begins a recording.
type Open struct {
	ChunkSize uint64       `json:"chunk_size"` // bytes; 0 in capture mode, where a segment is a chunk
	Continues *RecordingID `json:"continues,omitempty"`
	Counter   string       `json:"counter,omitempty"` // decimal; capture mode: the counter's new value
	Intake    uint64       `json:"intake,omitempty"`  // import mode: seq of the intake
	MediaType string       `json:"media_type"`
	Mode      Mode         `json:"mode"`
	Sequence  *Sequence    `json:"sequence,omitempty"`
	Source    Source       `json:"source"`
}

// Sequence says which consecutive recordings belong together.
type Sequence struct {
	ID    RecordingID `json:"id"`
	Index uint64      `json:"index"`
}

// Chunk is one piece of the exhibit. Offset and size are bytes.
type Chunk struct {
	Duration uint64 `json:"duration,omitempty"`
	Early    bool   `json:"early,omitempty"` // capture mode: its buffering began before open
	Hash     Digest `json:"hash"`            // SHA-256 of its bytes
	Index    uint64 `json:"index"`
	Keyframe bool   `json:"keyframe,omitempty"`
	Offset   uint64 `json:"offset"`
	Size     uint64 `json:"size"`            // at least 1
	Start    uint64 `json:"start,omitempty"` // capture mode, milliseconds from the recording's begin
}

// Beat says that a recording is open and that all is well.
type Beat struct{}

// Header is the case header or a correction of it.
type Header struct {
	Activity   string             `json:"activity"`
	Case       string             `json:"case"`
	Cause      string             `json:"cause"`
	Companions List[string]       `json:"companions"`
	Confirmed  string             `json:"confirmed"` // by whom
	Corrects   uint64             `json:"corrects,omitempty"`
	Department string             `json:"department"`
	Officers   List[Officer]      `json:"officers"`
	Place      string             `json:"place"`
	Spoken     *SpokenHeader      `json:"spoken"` // null: typed only
	Time       string             `json:"time"`
	Further    List[FurtherField] `json:"further"`
}

// Officer is a person named in a header.
type Officer struct {
	Certificate string `json:"certificate"`
	Name        string `json:"name"`
}

// FurtherField is an element of the header beyond the five that R1 names.
type FurtherField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SpokenHeader says where and how a header was heard. Times are milliseconds, confidence is in thousandths.
type SpokenHeader struct {
	Confidence uint64 `json:"confidence"`
	Engine     string `json:"engine"`
	From       uint64 `json:"from"`
	Transcript string `json:"transcript"`
	Until      uint64 `json:"until"`
}

// Mark points at an important moment, milliseconds from the recording's begin.
type Mark struct {
	Moment uint64 `json:"moment"`
	Text   string `json:"text"`
}

// Note is the brief text note (R2) or a correction of one.
type Note struct {
	By       string `json:"by"`
	Corrects uint64 `json:"corrects,omitempty"`
	Text     string `json:"text"`
}

// Reasons for a fault, and for a close that is not complete.
const (
	WhyComplete     = "complete"        // close: the whole source was taken in
	WhyChanged      = "source-changed"  // the file changed while it was read
	WhyVanished     = "source-vanished" // the file or its medium went away
	WhyReadError    = "read-error"      // the medium gave an error
	WhyInterrupted  = "interrupted"     // the agent could not go on
	WhyMediaChanged = "media-changed"   // capture: codec or resolution changed
	WhyLost         = "chunks-lost"     // fault: chunks that the agent had are gone
	WhyGap          = "gap"
	WhyClockJump    = "clock-jump"
	WhyDiskFull     = "disk-full"
	WhyTPM          = "tpm" // the TPM was found in a state that no own head explains; of a recording: it did not answer when that began
)

// Fault says that something went wrong. Chunks are indexes declared lost; offset and size are bytes of the source.
type Fault struct {
	Chunks []uint64 `json:"chunks,omitempty"`
	Detail string   `json:"detail"`
	Offset uint64   `json:"offset,omitempty"`
	Size   uint64   `json:"size,omitempty"`
	Why    string   `json:"why"`
}

// Close ends a recording.
type Close struct {
	Chunks   uint64 `json:"chunks"`
	Duration uint64 `json:"duration,omitempty"` // milliseconds
	Hash     Digest `json:"hash"`               // SHA-256 of the whole file as taken in
	Size     uint64 `json:"size"`               // bytes taken in
	Why      string `json:"why"`
}

// Unrecorded says that an act was not recorded, and why.
type Unrecorded struct {
	Activity string `json:"activity"`
	By       string `json:"by"`
	Reason   string `json:"reason"`
}

// Release says what was erased from the recorder, on which permit.
type Release struct {
	Erased Digest `json:"erased"` // SHA-256 as read again right before
	Permit Digest `json:"permit"` // leaf hash (RFC 6962) of the stored receipt
}

// Kind implements Body.
func (*Enrol) Kind() Kind { return KindEnrol }

// Kind implements Body.
func (*Boot) Kind() Kind { return KindBoot }

// Kind implements Body.
func (*Anchor) Kind() Kind { return KindAnchor }

// Kind implements Body.
func (*Intake) Kind() Kind { return KindIntake }

// Kind implements Body.
func (*Open) Kind() Kind { return KindOpen }

// Kind implements Body.
func (*Chunk) Kind() Kind { return KindChunk }

// Kind implements Body.
func (*Beat) Kind() Kind { return KindBeat }

// Kind implements Body.
func (*Header) Kind() Kind { return KindHeader }

// Kind implements Body.
func (*Mark) Kind() Kind { return KindMark }

// Kind implements Body.
func (*Note) Kind() Kind { return KindNote }

// Kind implements Body.
func (*Fault) Kind() Kind { return KindFault }

// Kind implements Body.
func (*Close) Kind() Kind { return KindClose }

// Kind implements Body.
func (*Unrecorded) Kind() Kind { return KindUnrecorded }

// Kind implements Body.
func (*Release) Kind() Kind { return KindRelease }

var bodies = map[Kind]func() Body{
	KindEnrol: func() Body { return new(Enrol) }, KindBoot: func() Body { return new(Boot) },
	KindAnchor: func() Body { return new(Anchor) }, KindIntake: func() Body { return new(Intake) },
	KindOpen: func() Body { return new(Open) }, KindChunk: func() Body { return new(Chunk) },
	KindBeat: func() Body { return new(Beat) }, KindHeader: func() Body { return new(Header) },
	KindMark: func() Body { return new(Mark) }, KindNote: func() Body { return new(Note) },
	KindFault: func() Body { return new(Fault) }, KindClose: func() Body { return new(Close) },
	KindUnrecorded: func() Body { return new(Unrecorded) }, KindRelease: func() Body { return new(Release) },
}

func newBody(k Kind) (Body, error) {
	if f, ok := bodies[k]; ok {
		return f(), nil
	}
	return nil, syntaxf("unknown kind %q", k)
}

func strictJSON(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func (e *Enrol) check() error {
	switch {
	case e.Class != ClassTPM && e.Class != ClassSoftware:
		return syntaxf("enrol: unknown class %q", e.Class)
	case len(e.AK) == 0:
		return syntaxf("enrol: no attestation key")
	case e.HomeLog == "":
		return syntaxf("enrol: no home log")
	}
	return nil
}

func (b *Boot) check() error { return checkDecimal(b.Counter) }

func (o *Open) check() error {
	if err := checkDecimal(o.Counter); err != nil {
		return err
	}
	switch {
	case o.Mode == ModeImport && o.Counter != "":
		return syntaxf("open: an import is counted by its intake")
	case o.Mode != ModeCapture && o.Mode != ModeImport:
		return syntaxf("open: unknown mode %q", o.Mode)
	case o.Mode == ModeImport && o.ChunkSize == 0:
		return syntaxf("open: an import needs a chunk_size")
	}
	return o.Source.check()
}

// check holds that a name has one form: raw bytes stand beside it only when they are not UTF-8.
func (s Source) check() error {
	again := s
	again.SetPath(s.RawPath(), s.RawName())
	if again.Name != s.Name || again.Path != s.Path || !bytes.Equal(again.NameRaw, s.NameRaw) || !bytes.Equal(again.PathRaw, s.PathRaw) {
		return syntaxf("source: name or path is not in its one form")
	}
	return nil
}

func (c *Chunk) check() error {
	if c.Size == 0 {
		return syntaxf("chunk: size 0")
	}
	return nil
}

func (s *Signed) check() error {
	if s.Sign != "+" && (s.Sign != "-" || s.Value == 0) {
		return syntaxf("sign %q of %d is not + or, for what is below zero, -", s.Sign, s.Value)
	}
	return nil
}

func (i *Intake) check() error {
	if i.ClockOffset != nil {
		if err := i.ClockOffset.check(); err != nil {
			return err
		}
	}
	return checkDecimal(i.Counter)
}

// ParseDecimal reads a TPM's 64-bit value: decimal, without sign and leading zeros.
func ParseDecimal(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, syntaxf("%q is no decimal number below 2^64", s)
	}
	return n, nil
}

func checkDecimal(s string) error {
	if s == "" {
		return nil
	}
	_, err := ParseDecimal(s)
	return err
}
