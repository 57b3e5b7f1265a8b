package verify

import (
	"cmp"
	"slices"

	"camseal/pkg/evidence"
)

// Verdict is what a bundle's check ends with.
type Verdict string

// The verdicts.
const (
	Verified    Verdict = "verified"     // by keys given from outside
	SelfVouched Verdict = "self-vouched" // consistent, but vouched for only by itself
	Incomplete  Verdict = "incomplete"   // sound but incomplete
	Broken      Verdict = "broken"
	Unreadable  Verdict = "unreadable"
)

// Exit is the verdict's exit code. SPEC.md section 10.
func (v Verdict) Exit() int {
	switch v {
	case Verified:
		return 0
	case Broken:
		return 3
	case Incomplete:
		return 4
	case SelfVouched:
		return 5
	}
	return 2
}

// Problem is one thing that keeps a bundle from being verified. Text says it in words.
type Problem struct {
	Verdict Verdict `json:"verdict"` // what it leads to
	Code    Code    `json:"code"`
	Place   Place   `json:"place"`
	Value   string  `json:"value,omitempty"`  // what the text of this code speaks of
	Detail  string  `json:"detail,omitempty"` // technical, in English
	rank    int     // among problems of one verdict, lower ones are named first
}

// Place says where a problem lies. From and Until are set together, and always with Chunk.
type Place struct {
	File    string                `json:"file"`
	Line    int                   `json:"line,omitempty"` // from 1
	Seq     *uint64               `json:"seq,omitempty"`
	Rec     *evidence.RecordingID `json:"recording,omitempty"`
	Device  *evidence.DeviceID    `json:"device,omitempty"`
	Index   *int64                `json:"index,omitempty"` // of a log leaf
	Chunk   *uint64               `json:"chunk,omitempty"` // from 0
	From    uint64                `json:"from_byte,omitempty"`
	Until   uint64                `json:"until_byte,omitempty"` // exclusive
	Seconds *Seconds              `json:"about_seconds,omitempty"`
}

// Seconds is a stretch of footage, proportional to its bytes and so only about right.
type Seconds struct {
	From  float64 `json:"from"`
	Until float64 `json:"until"`
}

// Findings are what every check ends with.
type Findings struct {
	V        int       `json:"v"`
	Verdict  Verdict   `json:"verdict"`
	Exit     int       `json:"exit"`
	First    *Problem  `json:"first"` // the first thing wrong; null when verified or self-vouched
	Problems []Problem `json:"problems"`
	Further  int       `json:"further_problems"` // not listed, there were too many
	NotGiven []Missing `json:"not_given"`        // by whoever checks; the claims that need it are not made
	Log      string    `json:"log"`              // verifier key of the log
	Proven   bool      `json:"log_trusted"`      // whether that key was given from outside
}

func newFindings() Findings {
	return Findings{V: evidence.Version, Problems: []Problem{}, NotGiven: []Missing{}}
}

// Report is the whole result of checking a bundle.
type Report struct {
	Findings
	About     *About         `json:"recording"` // null if the chain could not be read
	Seals     SealsFound     `json:"seals"`
	Counter   *CounterFound  `json:"counter"` // null: the device has no counter that its TPM certifies
	Time      *TimeFound     `json:"time"`    // null if the chain could not be read
	Device    *DeviceFound   `json:"device"`  // likewise
	Receipts  []ReceiptFound `json:"receipts"`
	Withheld  Withheld       `json:"withheld"`
	Custody   int            `json:"custody_events"` // that are logged
	NotProven []Missing      `json:"not_proven"`
}

// About says which recording a bundle is about. Times are milliseconds since 1970 UTC by the device's clock: claims.
type About struct {
	Rec       evidence.RecordingID `json:"rec"`
	Device    evidence.DeviceID    `json:"device"`
	Class     evidence.Class       `json:"class"`
	Mode      evidence.Mode        `json:"mode"`
	Grade     Grade                `json:"grade"`
	GradeNote Missing              `json:"grade_note,omitempty"`
	Name      string               `json:"name"`
	Original  string               `json:"original"`
	Size      uint64               `json:"size"`
	Chunks    uint64               `json:"chunks"`
	Hash      *evidence.Digest     `json:"hash"`
	OpenedAt  int64                `json:"claimed_opened_at"`
	ClosedAt  *int64               `json:"claimed_closed_at"`
	Why       string               `json:"close_why"`
	Released  bool                 `json:"released"`
	Header    *evidence.Header     `json:"header"` // the newest case header: an officer's word; null without
	Note      *evidence.Note       `json:"note"`   // the newest text note; null without
	Marks     uint64               `json:"marks"`
	Faults    uint64               `json:"faults"`                // that the device says happened meanwhile
	Told      []FaultFound         `json:"faults_said,omitempty"` // the first of them
	Stored    *StoredFound         `json:"stored"`                // the newest stored receipt; null without
}

// StoredFound is what the newest stored receipt says.
type StoredFound struct {
	Index  int64         `json:"index"`
	Chunks uint64        `json:"chunks"`
	Until  int64         `json:"until"` // milliseconds since 1970 UTC
	Ended  bool          `json:"ended"` // whether that time is past
	Lock   evidence.Lock `json:"lock"`
	Vault  string        `json:"vault"`
}

// SealsFound counts the device's seals.
type SealsFound struct {
	Count    int  `json:"count"`
	Epochs   int  `json:"tpm_epochs"`
	Unproven int  `json:"order_unproven"`
	TPM      bool `json:"tpm"`
}

// CounterFound says what the TPM's counter says.
type CounterFound struct {
	Index   uint64       `json:"index"`   // NV handle
	Value   *uint64      `json:"value"`   // the last one; null: none is known
	Records int          `json:"records"` // count records that hold
	Missing int          `json:"missing"` // counted statements without one
	Gaps    []CounterGap `json:"gaps"`    // values that never arrived
}

// ReceiptFound is the result for one receipt.
type ReceiptFound struct {
	Index int64  `json:"index"`
	Type  string `json:"type"`
	File  string `json:"file"`
	OK    bool   `json:"ok"`

	Witnesses int    `json:"witnesses"` // of those given, that signed the checkpoint
	Detail    string `json:"detail,omitempty"`
}

// Withheld counts statements about other recordings, of which only digests are in the bundle.
type Withheld struct {
	Before  uint64 `json:"before"`  // this recording's first statement
	Between uint64 `json:"between"` // its statements
	After   uint64 `json:"after"`   // its last
	Skipped uint64 `json:"skipped"` // left out whole, between the stretches of the chain
}

// Grade says how much is proven about when a recording was sealed, and by what.
type Grade string

// The grades.
const (
	CaptureSealed  Grade = "capture-sealed"
	DockSealed     Grade = "dock-sealed"
	SoftwareSealed Grade = "software-sealed"
)

// GradeOf returns the grade that a device's class and a recording's mode allow.
func GradeOf(class evidence.Class, mode evidence.Mode) Grade {
	switch {
	case class != evidence.ClassTPM:
		return SoftwareSealed
	case mode == evidence.ModeCapture:
		return CaptureSealed
	}
	return DockSealed
}

// Missing names something that was not given or is not proven; Text says it in words.
type Missing string

// What can be missing.
const (
	NoTrust        Missing = "no-trust"         // no trust folder
	NoLogTrust     Missing = "no-log-trust"     // likewise, for a log
	NoWitnesses    Missing = "no-witnesses"     // no witnesses' keys
	NoQuorum       Missing = "no-quorum"        // given, but too few of them signed the receipts
	NoLogQuorum    Missing = "no-log-quorum"    // likewise, the log's checkpoint
	NoAnchorQuorum Missing = "no-anchor-quorum" // likewise, the anchor ahead of the recording
	NoAnchor       Missing = "no-anchor"        // ahead of the recording
	NoEKRoots      Missing = "no-ek-roots"      // no TPM makers' certificates
	NoTSARoots     Missing = "no-tsa-roots"     // no time stamping authorities, and there is a time stamp
	NoStamp        Missing = "no-time-stamp"    // authorities were given, and there is none by them over the recording
	PCRsUnknown    Missing = "pcrs-unknown"     // the reference values given are not the device's
	MakerUnknown   Missing = "tpm-maker-unknown"
	TrialTPM       Missing = "emulated-tpm"
	SoftwareKey    Missing = "software-key"
	Unattested     Missing = "ak-ek-unattested" // nothing says that AK and EK are in one TPM
	NoCounter      Missing = "no-counter"       // nothing shows that no recording is missing
	TimeUnproven   Missing = "time-unproven"
	FilmingTime    Missing = "filming-time"
	BeforeDocking  Missing = "before-docking"
	RecorderInput  Missing = "recorder-input"
	PictureTrue    Missing = "picture-true"
	LoneOperator   Missing = "lone-operator"
	LastFromServer Missing = "last-from-server" // that nothing follows is the server's word
)

const (
	maxProblems = 50 // of one code
	maxReceipts = 1 << 16
)

func (r *Findings) add(p Problem) {
	p.Detail = shown(p.Detail)
	n := 0
	for i := range r.Problems {
		if r.Problems[i].Code == p.Code {
			n++
		}
	}
	if n >= maxProblems {
		r.Further++
		return
	}
	r.Problems = append(r.Problems, p)
}

// finish puts the problems in order and draws the verdict.
func (r *Findings) finish() {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		if c := cmp.Compare(a.Verdict.Exit(), b.Verdict.Exit()); c != 0 {
			return c
		}
		return cmp.Compare(a.rank, b.rank)
	})
	switch {
	case len(r.Problems) > 0:
		r.First = &r.Problems[0]
		r.Verdict = r.First.Verdict
	case r.Proven:
		r.Verdict = Verified
	default:
		r.Verdict = SelfVouched
	}
	r.Exit = r.Verdict.Exit()
}
