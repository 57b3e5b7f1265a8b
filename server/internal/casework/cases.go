package casework

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// Cases acts on case files. Each act is checked against the rules (package casefile) and then recorded as a custody event; it is durable and in
// the catalog when it returns. Errors: *casefile.Refused says in a text's key why something may not be done; catalog.ErrUnknown. The members with
// names in upper case must be set. It is safe for concurrent use.
type Cases struct {
	Book     *Book
	Catalog  *catalog.Catalog
	Zone     *time.Location                                         // in which days begin and end
	Register func(ctx context.Context) (*transport.Register, error) // of officers, in force; nil: there is none
	TempDir  string                                                 // for documents on their way

	acts [64]sync.Mutex // one for each act on a case at a time
}

// patience is how long an act that was begun goes on when whoever asked for it is gone.
const patience = 2 * time.Minute

// turn waits for the acts on a case that were begun before, and returns what lets the next one begin.
func (c *Cases) turn(id casefile.ID) func() {
	h := fnv.New32a()
	h.Write([]byte(id))
	m := &c.acts[h.Sum32()%uint32(len(c.acts))]
	m.Lock()
	return m.Unlock
}

// Open begins a case of by's body with the given values, and returns its id.
func (c *Cases) Open(ctx context.Context, by auth.Account, values map[casefile.Field]string) (casefile.ID, error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("open case: %w", err)
	}
	id := casefile.ID(hex.EncodeToString(random[:]))
	clean := map[casefile.Field]string{}
	for k, v := range values {
		clean[k] = tidy(v)
	}
	e, err := casefile.Opening(by, id, clean)
	if err != nil {
		return "", err
	}
	defer c.turn(id)()
	return id, c.record(ctx, id, e)
}

// tidy is a text as it is kept: without white space around, its lines ended by a line feed.
func tidy(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

// record writes an event down whatever becomes of ctx, so that the next act on the case sees it, and makes sure that it took effect.
func (c *Cases) record(ctx context.Context, id casefile.ID, e casefile.Event) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer done()
	r, err := c.Book.Record(ctx, Act{Name: e.Act, Actor: e.Actor, Device: e.Device, Rec: e.Rec, Detail: e.Detail})
	if err != nil {
		return err
	}
	f, err := c.Catalog.Case(ctx, id)
	if err != nil {
		return err
	}
	for _, had := range f.Events {
		if had.Index == r.Index && had.Void != "" {
			return &casefile.Refused{Key: had.Void}
		}
	}
	return nil
}

// act checks and records one act on a case. device and rec are zero if it is about no recording.
func (c *Cases) act(ctx context.Context, by auth.Account, id casefile.ID, name string, more evidence.Detail, device *evidence.DeviceID, rec evidence.RecordingID) error {
	defer c.turn(id)()
	f, err := c.File(ctx, by, id)
	if err != nil {
		return err
	}
	e, err := f.Act(by, name, more, device, rec)
	if err != nil {
		return err
	}
	return c.record(ctx, id, e)
}

func (c *Cases) say(ctx context.Context, by auth.Account, id casefile.ID, name, text string, more evidence.Detail) error {
	d := evidence.Detail{casefile.DetailText: tidy(text)}
	for k, v := range more {
		d[k] = v
	}
	return c.act(ctx, by, id, name, d, nil, evidence.RecordingID{})
}

// File returns a case as far as by may see it.
func (c *Cases) File(ctx context.Context, by auth.Account, id casefile.ID) (*casefile.File, error) {
	if _, ok := casefile.ParseID(string(id)); !ok {
		return nil, fmt.Errorf("case: %w", catalog.ErrUnknown)
	}
	f, err := c.Catalog.Case(ctx, id)
	if err != nil {
		return nil, err
	}
	if !f.MaySee(by) {
		return nil, fmt.Errorf("case %s: %w", id, catalog.ErrUnknown)
	}
	return f, nil
}

// Query is what cases are looked for by.
type Query struct {
	Text       string         // in number, title, party
	State      casefile.State // empty: all
	Body       string
	ReviewBody string
	Due        int64  // due before, milliseconds since 1970 UTC; 0: any
	After      string // where the page begins: what List returned
	N          int    // at most MaxList
}

// MaxList is the longest page of a list.
const MaxList = 200

const (
	maxQuery = 200 // characters that are looked for
	maxOf    = 100 // cases of one recording that are told
)

// List returns summaries, the newest first, of the cases that by may see, and where the next page begins.
func (c *Cases) List(ctx context.Context, by auth.Account, q Query) (list []casefile.Summary, next string, err error) {
	list = []casefile.Summary{}
	if !by.May(auth.SeeCases) || by.OwnBodyOnly() && casefile.BodyKey(by.Body) == "" {
		return list, "", nil
	}
	if by.OwnBodyOnly() {
		if q.Body != "" && !casefile.SameBody(q.Body, by.Body) {
			return list, "", nil
		}
		q.Body = by.Body
	}
	text := []rune(strings.ToValidUTF8(tidy(q.Text), ""))
	cq := catalog.CaseQuery{Text: string(text[:min(len(text), maxQuery)]), State: q.State, Body: q.Body, ReviewBody: q.ReviewBody, Due: q.Due, N: max(1, min(q.N, MaxList))}
	if q.After != "" {
		if cq.Before, err = strconv.ParseUint(q.After, 10, 63); err != nil {
			return list, "", nil
		}
	}
	list, before, err := c.Catalog.Cases(ctx, cq)
	if before > 0 {
		next = strconv.FormatUint(before, 10)
	}
	return list, next, err
}

// OfRecording returns the cases that a recording is linked to now and that by may see.
func (c *Cases) OfRecording(ctx context.Context, by auth.Account, device evidence.DeviceID, rec evidence.RecordingID) ([]casefile.Summary, error) {
	all, err := c.Catalog.CasesOf(ctx, device, rec, maxOf)
	if err != nil {
		return nil, err
	}
	seen := []casefile.Summary{}
	for _, s := range all {
		if by.May(auth.SeeCases) && (!by.OwnBodyOnly() || casefile.SameBody(by.Body, s.Body)) {
			seen = append(seen, s)
		}
	}
	return seen, nil
}

// Implied returns for what by looks at a recording if that need not be asked: because by's body handles a case that it belongs to and that is not
// ended, or has one under review. It is empty otherwise.
func (c *Cases) Implied(ctx context.Context, by auth.Account, device evidence.DeviceID, rec evidence.RecordingID) (auth.Purpose, error) {
	all, err := c.Catalog.CasesOf(ctx, device, rec, maxOf)
	if err != nil {
		return "", err
	}
	for _, s := range all {
		ended := s.State == casefile.Decided || s.State == casefile.Refusal
		switch {
		case casefile.SameBody(by.Body, s.Body) && !ended && (by.May(auth.Submit) || by.May(auth.Determine)):
			return auth.PurposeCase, nil
		case casefile.SameBody(by.Body, s.ReviewBody) && !ended && s.Rounds > 0 && by.May(auth.Opine):
			return auth.PurposeReview, nil
		}
	}
	return "", nil
}

// Set gives a field a new value. The former ones stay visible.
func (c *Cases) Set(ctx context.Context, by auth.Account, id casefile.ID, f casefile.Field, text string) error {
	return c.say(ctx, by, id, casefile.ActSet, text, evidence.Detail{casefile.DetailField: string(f)})
}

// Link ties a recording that by may see to the case.
func (c *Cases) Link(ctx context.Context, by auth.Account, id casefile.ID, rec evidence.RecordingID) error {
	_, device, err := c.recording(ctx, by, rec)
	if err != nil {
		return err
	}
	return c.act(ctx, by, id, casefile.ActLinked, nil, &device, rec)
}

// Unlink takes a recording out of the case; the link stays visible, with the reason.
func (c *Cases) Unlink(ctx context.Context, by auth.Account, id casefile.ID, rec evidence.RecordingID, reason string) error {
	f, err := c.File(ctx, by, id)
	if err != nil {
		return err
	}
	for _, l := range f.Linked() {
		if l.Rec == rec {
			return c.act(ctx, by, id, casefile.ActUnlinked, evidence.Detail{casefile.DetailText: tidy(reason)}, &l.Device, rec)
		}
	}
	return &casefile.Refused{Key: "rule-not-linked"}
}

// recording returns a recording that by may see; to an officer that is one whose header names the officer's certificate. Errors: catalog.ErrUnknown.
func (c *Cases) recording(ctx context.Context, by auth.Account, rec evidence.RecordingID) (db.Recording, evidence.DeviceID, error) {
	row, err := c.Catalog.FindRecording(ctx, rec)
	if err != nil {
		return row, evidence.DeviceID{}, err
	}
	device, err := evidence.ParseDeviceID(row.Device)
	if err != nil {
		return row, device, fmt.Errorf("recording %s: %w", rec, err)
	}
	if !by.OwnRecordingsOnly() {
		return row, device, nil
	}
	var officers []evidence.Officer
	if err := json.Unmarshal([]byte(row.Officers), &officers); err != nil {
		return row, device, fmt.Errorf("officers of recording %s: %w", rec, err)
	}
	for _, o := range officers {
		if o.Certificate == by.Certificate && o.Certificate != "" {
			return row, device, nil
		}
	}
	return row, device, fmt.Errorf("recording %s: %w", rec, catalog.ErrUnknown)
}

// Mark writes down an important moment of a recording: a custody event, for the footage itself can't be written into. at is in milliseconds from
// the begin.
func (c *Cases) Mark(ctx context.Context, by auth.Account, rec evidence.RecordingID, at uint64, text string) error {
	if !by.May(auth.Mark) {
		return &casefile.Refused{Key: "rule-role"}
	}
	_, device, err := c.recording(ctx, by, rec)
	if err != nil {
		return err
	}
	text = tidy(text)
	if err := casefile.CheckText(text, casefile.MaxField); err != nil {
		return err
	}
	if at > maxMoment {
		return &casefile.Refused{Key: "rule-moment"}
	}
	_, err = c.Book.Record(ctx, Act{Name: catalog.ActMarked, Actor: by.Actor(), Device: &device, Rec: rec, Detail: evidence.Detail{
		catalog.DetailMoment: strconv.FormatUint(at, 10), catalog.DetailText: text,
		casefile.DetailAccount: by.ID, casefile.DetailBody: by.Body, casefile.DetailRole: string(by.Role)}})
	return err
}

// maxMoment is later than any recording is long: a year.
const maxMoment = 366 * 24 * 3600 * 1000
