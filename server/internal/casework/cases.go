package casework

import (
	"context"
	"errors"
	"io"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/catalog"
)

// Cases acts on case files. Each act is checked against the rules (package casefile) and then recorded as a custody event; it is durable and in
// the catalog when it returns. Errors: *casefile.Refused says in a text's key why something may not be done; catalog.ErrUnknown.
type Cases struct {
	Book    *Book
	Catalog *catalog.Catalog
}

var errNotBuilt = errors.New("not built")

func (c *Cases) Open(ctx context.Context, by auth.Account, values map[casefile.Field]string) (casefile.ID, error) {
	return "", errNotBuilt
}

// File returns a case as far as by may see it.
func (c *Cases) File(ctx context.Context, by auth.Account, id casefile.ID) (*casefile.File, error) {
	return nil, errNotBuilt
}

// Query is what cases are looked for by.
type Query struct {
	Text  string         // in number, title, party
	State casefile.State // empty: all
	Body  string
	Due   int64 // due before; 0: any
	After string
	N     int
}

// List returns summaries, the newest first, of the cases that by may see, and where the next page begins.
func (c *Cases) List(ctx context.Context, by auth.Account, q Query) (list []casefile.Summary, next string, err error) {
	return nil, "", errNotBuilt
}

// OfRecording returns the cases that a recording is linked to now.
func (c *Cases) OfRecording(ctx context.Context, by auth.Account, device evidence.DeviceID, rec evidence.RecordingID) ([]casefile.Summary, error) {
	return nil, errNotBuilt
}

func (c *Cases) Set(ctx context.Context, by auth.Account, id casefile.ID, f casefile.Field, text string) error {
	return errNotBuilt
}

func (c *Cases) Link(ctx context.Context, by auth.Account, id casefile.ID, rec evidence.RecordingID) error {
	return errNotBuilt
}

func (c *Cases) Unlink(ctx context.Context, by auth.Account, id casefile.ID, rec evidence.RecordingID, reason string) error {
	return errNotBuilt
}

// AddDocument streams a document into the vault. doc gives Name, Kind, Signature and Refusal; the rest is found out.
func (c *Cases) AddDocument(ctx context.Context, by auth.Account, id casefile.ID, doc casefile.Document, r io.Reader) (casefile.Document, error) {
	return casefile.Document{}, errNotBuilt
}

func (c *Cases) WithdrawDocument(ctx context.Context, by auth.Account, id casefile.ID, doc evidence.Digest, reason string) error {
	return errNotBuilt
}

// OpenDocument returns a document's checked bytes.
func (c *Cases) OpenDocument(ctx context.Context, by auth.Account, id casefile.ID, doc evidence.Digest) (casefile.Document, io.ReadCloser, error) {
	return casefile.Document{}, nil, errNotBuilt
}

// Concern is something about a case that a person should look at: Key is a text's key, Args fill it in.
type Concern struct {
	Key  string
	Args []any
	Rec  evidence.RecordingID // zeros: about none
	Must bool                 // a submission is refused because of it
}

// Concerns says what a submission lacks and what speaks against the material: fields, self-check, documents without signature, certificates not valid on
// the day, and for activities that need full recording (R3) gaps, faults, missing counter values, recordings not stored whole, acts declared unrecorded.
func (c *Cases) Concerns(ctx context.Context, f *casefile.File) ([]Concern, error) {
	return nil, errNotBuilt
}

// Submit puts the case to the review body, or again after mending: mended says what was mended. The clock runs from here.
func (c *Cases) Submit(ctx context.Context, by auth.Account, id casefile.ID, mended string) error {
	return errNotBuilt
}

func (c *Cases) Opine(ctx context.Context, by auth.Account, id casefile.ID, agree bool, text string, checks []casefile.Check) error {
	return errNotBuilt
}

func (c *Cases) Escalate(ctx context.Context, by auth.Account, id casefile.ID, text string) error {
	return errNotBuilt
}

func (c *Cases) Determine(ctx context.Context, by auth.Account, id casefile.ID, decide bool, text string) error {
	return errNotBuilt
}

func (c *Cases) Decide(ctx context.Context, by auth.Account, id casefile.ID, text string) error {
	return errNotBuilt
}

func (c *Cases) Hold(ctx context.Context, by auth.Account, id casefile.ID, reason string) error {
	return errNotBuilt
}

// LiftHold lifts the newest hold.
func (c *Cases) LiftHold(ctx context.Context, by auth.Account, id casefile.ID, reason string) error {
	return errNotBuilt
}

// Mark writes down an important moment of a recording: a custody event, for the footage itself can't be written into.
func (c *Cases) Mark(ctx context.Context, by auth.Account, rec evidence.RecordingID, at uint64, text string) error {
	return errNotBuilt
}
