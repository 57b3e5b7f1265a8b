package seal

import (
	"context"

	"camseal/pkg/evidence"
)

// Intent is what the sealer is about to do to the TPM. It is durable before the TPM is touched.
type Intent struct {
	Upto    uint64          `json:"upto"`
	Head    evidence.Digest `json:"head"`    // H(Upto)
	Before  evidence.Digest `json:"before"`  // chain PCR before the extend
	Reset   uint32          `json:"reset"`   // the TPM's reset count then
	Restart uint32          `json:"restart"` // the TPM's restart count then
}

// Store is the device's durable chain, as the sealer needs it. The sealer is its only writer of seals and intents; others
// append statements at the same time. Every method that writes returns once the change survives a power cut.
type Store interface {
	// Tip returns the seq that the next statement will get; 0 for an empty chain.
	Tip(ctx context.Context) (uint64, error)
	// NextHead returns the next stretch to seal: the last statement's seq and the head after it, such that no more than
	// evidence.MaxSealedStatements statements and evidence.MaxSealedBytes bytes of lines follow the last seal (a single
	// statement always fits). ok is false when all is sealed. Only durable statements count.
	NextHead(ctx context.Context) (upto uint64, head evidence.Digest, ok bool, err error)
	// LastSeal returns the newest seal, nil if there is none.
	LastSeal(ctx context.Context) (*evidence.Seal, error)
	// Intent returns what SetIntent stored, nil if there is nothing.
	Intent(ctx context.Context) (*Intent, error)
	// SetIntent stores it durably; nil removes it.
	SetIntent(ctx context.Context, i *Intent) error
	// PutSeal stores the seal durably and removes the intent in the same transaction.
	PutSeal(ctx context.Context, s evidence.Seal) error
	// Counts returns what the chain says of the counter (Counts.Said, Counts.Counted), nil if the device has none. The caller must not
	// change it.
	Counts(ctx context.Context) (*Counts, error)
	// PutCount stores the count record of the oldest statement that lacks one, durably, to stand behind the newest seal. value is what
	// it certifies.
	PutCount(ctx context.Context, c evidence.Count, value uint64) error
	// AppendBoot appends a boot statement to the chain, durably. The store fills in seq, n, time and salt.
	AppendBoot(ctx context.Context, b evidence.Boot) error
	// Notify returns a channel that gets a value after statements were appended. It has room for one, and senders do not
	// wait, so that one value may stand for many statements.
	Notify() <-chan struct{}
}
