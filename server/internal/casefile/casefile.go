// Package casefile is what a case is and what may be done with it: rules only, no storage. A case is made of custody events alone, in the
// order of the log: File.Apply folds them, for the server that wrote them and for one that reads them from the vault alike.
package casefile

import (
	"strings"

	"camseal/pkg/evidence"
)

// ID names a case: 32 hexadecimal digits, random.
type ID string

// Field is a part of a case's description. It is corrected by appending: the first value stays visible.
type Field string

// The fields. Officers are lines of "name, certificate".
const (
	Number     Field = "number"     // 案号
	Title      Field = "title"      // 案由
	Body       Field = "body"       // the handling body (承办机构)
	Officers   Field = "officers"   // 执法人员
	Party      Field = "party"      // 行政相对人
	Activity   Field = "activity"   // activity class; one that requires full recording (R3) flags gaps
	Day        Field = "day"        // of the act, YYYY-MM-DD: certificates must be valid on it
	SelfCheck  Field = "self-check" // 合法性自查意见
	Ground     Field = "ground"     // why it is a major decision (R11): one of Grounds
	ReviewBody Field = "review-body"
	ThirdParty Field = "third-party" // a third party's legal opinion, in a word or two; its document is among the documents
)

// Fields are all of them, in the order in which pages show them.
var Fields = []Field{Number, Title, Body, Officers, Party, Activity, Day, Ground, ReviewBody, SelfCheck, ThirdParty}

// Grounds are why a decision is major (R11).
var Grounds = []string{"public-interest", "social-risk", "rights", "complex", "hearing"}

// Activity classes (R3, R4).
const (
	Liberty   = "liberty"   // touches liberty, life, health: full recording required
	Property  = "property"  // sealing, seizure, forced demolition: full recording required
	OnSite    = "on-site"   // on-site enforcement, evidence-taking
	Hearing   = "hearing"   //
	Service   = "service"   // service by leaving the document or by announcement
	Otherwise = "otherwise" // recording optional
)

// Activities are all classes.
var Activities = []string{Liberty, Property, OnSite, Hearing, Service, Otherwise}

// FullRecording reports whether a class must be recorded from end to end (R3).
func FullRecording(activity string) bool { return activity == Liberty || activity == Property }

// By is who did something, and when, by the server's clock; Index is the log leaf that proves it.
type By struct {
	Account string // id
	Actor   string // as the custody event names the person
	Body    string // the person's body then
	At      int64  // milliseconds since 1970 UTC
	Index   uint64
}

// Value is one value of a field.
type Value struct {
	By
	Text string
}

// Link is a recording of the case.
type Link struct {
	By
	Device   evidence.DeviceID
	Rec      evidence.RecordingID
	Unlinked *By
	Reason   string // of the unlinking
}

// Document is a paper of the case (R9). Its bytes lie in the vault.
type Document struct {
	By
	Hash      evidence.Digest // SHA-256 of its bytes; it names the document within the case
	Size      int64           // bytes
	Name      string
	MediaType string // application/pdf, image/jpeg or image/png, as its bytes say; else application/octet-stream
	Kind      string // one of DocumentKinds
	Signature string // Signed, RefusedToSign or NotNeeded
	Refusal   string // the reason, where the party did not sign
	Withdrawn *By    // it stays in the vault and in the list
	Reason    string // of the withdrawal
}

// Signatures of a document (R9).
const (
	Signed        = "signed"
	RefusedToSign = "refused"
	NotNeeded     = "not-needed"
)

// Kinds of papers of which a submission needs one at least.
const (
	OnSiteRecord  = "on-site-record"
	InquiryRecord = "inquiry-record"
)

// DocumentKinds are the kinds of papers. Those of NeedsSignature touch the party's rights.
var DocumentKinds = []string{OnSiteRecord, InquiryRecord, "hearing-record", "property-list", "notice", "decision", "third-party-opinion", "other"}

// NeedsSignature are the kinds of papers that touch the party's rights (R9): the party signs them, or the officer notes why not.
var NeedsSignature = []string{OnSiteRecord, InquiryRecord, "hearing-record", "property-list"}

// CheckItems are what review looks at (R12).
var CheckItems = []string{"body", "officers", "procedure", "facts", "law", "limits", "documents", "crime"}

// Results of a check.
const (
	OK            = "ok"
	Problem       = "problem"
	NotApplicable = "not-applicable"
)

// Check is a reviewer's finding on one item.
type Check struct {
	Item    string   `json:"item"`
	Result  string   `json:"result"` // OK, Problem or NotApplicable
	Text    string   `json:"text"`
	Moments []Moment `json:"moments,omitempty"`
	Pages   []Page   `json:"pages,omitempty"`
}

// Moment is a point in footage.
type Moment struct {
	Rec evidence.RecordingID `json:"rec"`
	At  uint64               `json:"at"` // milliseconds from the begin
}

// Page is a page of a document.
type Page struct {
	Document evidence.Digest `json:"document"`
	Page     int             `json:"page"` // from 1 on
}

// Opinion is what the review body says.
type Opinion struct {
	By
	Agree  bool
	Text   string
	Checks []Check
}

// Round is a submission and its answer.
type Round struct {
	Submitted By
	Mended    string // what was mended, from the second round on
	Due       int64  // the end of the last working day, milliseconds since 1970 UTC
	Opinion   *Opinion
}

// Escalation is why the handling body stays with its own opinion and lets its leader in charge determine (报请审定).
type Escalation struct {
	By
	Text string
}

// Determination is the word of the handling body's leader in charge (审定).
type Determination struct {
	By
	Text string
	Go   bool // the decision may be taken
}

// Decision ends the review.
type Decision struct {
	By
	Text string
}

// HoldOn keeps everything of the case from disposal.
type HoldOn struct {
	By
	Reason     string
	Lifted     *By
	LiftReason string
}

// State is where a case stands.
type State string

// The states.
const (
	Open       State = "open"       // being put together
	InReview   State = "in-review"  // submitted; the clock runs
	Returned   State = "returned"   // problems found: to be mended and submitted again
	Agreed     State = "agreed"     // the review body agrees: it may be decided
	Escalated  State = "escalated"  // no agreement after resubmission: the leader in charge determines
	Determined State = "determined" // and the decision may be taken
	Refusal    State = "refused"    // the leader in charge determined that it may not
	Decided    State = "decided"
)

// States are all states.
var States = []State{Open, InReview, Returned, Agreed, Escalated, Determined, Refusal, Decided}

// File is a case, as its events made it.
type File struct {
	ID            ID
	Opened        By
	State         State
	Values        map[Field][]Value // each in order; the last counts, the first stays visible
	Links         []Link
	Documents     []Document
	Rounds        []Round
	Escalation    *Escalation
	Determination *Determination
	Decision      *Decision
	Holds         []HoldOn
	Events        []Event

	bytes int // of the events' details
}

// Event is a custody event about the case.
type Event struct {
	By
	Act    string
	Detail evidence.Detail
	Device *evidence.DeviceID
	Rec    evidence.RecordingID
	Void   string // the key of a Refused: the file did not allow the event, which changed nothing; empty otherwise
}

// Value returns the newest value of a field, empty if there is none.
func (f *File) Value(k Field) string {
	if v := f.Values[k]; len(v) > 0 {
		return v[len(v)-1].Text
	}
	return ""
}

// Linked returns the recordings that belong to the case now.
func (f *File) Linked() (out []Link) {
	for _, l := range f.Links {
		if l.Unlinked == nil {
			out = append(out, l)
		}
	}
	return out
}

// Held reports whether a hold is on.
func (f *File) Held() bool {
	for _, h := range f.Holds {
		if h.Lifted == nil {
			return true
		}
	}
	return false
}

// Summary is a case as lists show it.
type Summary struct {
	ID                                               ID
	Number, Title, Party, Body, ReviewBody, Activity string
	State                                            State
	Due                                              int64 // of the round under review, milliseconds since 1970 UTC; 0: none
	OpenedAt, ChangedAt                              int64
	Rounds                                           int
	Held                                             bool
}

// Summary returns what lists show. A case that was never opened has no id.
func (f *File) Summary() Summary {
	s := Summary{ID: f.ID, Number: f.Value(Number), Title: f.Value(Title), Party: f.Value(Party), Body: f.Value(Body), ReviewBody: f.Value(ReviewBody),
		Activity: f.Value(Activity), State: f.State, OpenedAt: f.Opened.At, Rounds: len(f.Rounds), Held: f.Held()}
	if n := len(f.Rounds); n > 0 && f.State == InReview {
		s.Due = f.Rounds[n-1].Due
	}
	if n := len(f.Events); n > 0 {
		s.ChangedAt = f.Events[n-1].At
	}
	return s
}

// OfficersOf reads the lines of the field Officers: a name, a comma of either width, a certificate number, which may be missing.
func OfficersOf(text string) (out []evidence.Officer) {
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(line, "，", ",")
		name, certificate, _ := strings.Cut(line, ",")
		o := evidence.Officer{Name: strings.TrimSpace(name), Certificate: strings.TrimSpace(certificate)}
		if o != (evidence.Officer{}) {
			out = append(out, o)
		}
	}
	return out
}

// Bytes is how much the events say, in bytes.
func (f *File) Bytes() int { return f.bytes }
