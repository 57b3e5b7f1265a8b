package ledger

import (
	"log/slog"
	"time"

	"camseal/server/internal/archive"
)

// Config says what a ledger is made of.
type Config struct {
	Dir       string           // the log's folder, made if need be; only for this log
	SignerKey string           // signer key (skey of C2SP signed-note): secret
	Vault     archive.Vault    // where everything is mirrored to
	Until     func() time.Time // how long what is mirrored is locked

	ClockKey  string           // signer key that NewClockKey made: secret; empty: checkpoints carry no time of the server
	Witnesses []Witness        // asked in the background to cosign the newest checkpoint
	Quorum    int              // of how many witnesses a checkpoint counts as witnessed; default: one, if there are witnesses
	TSA       TSA              // a time stamping authority; none if its URL is empty
	Now       func() time.Time // the server's clock; default: time.Now

	BatchAge           time.Duration // how long leaves are gathered; default 50 ms
	CheckpointInterval time.Duration // at most one checkpoint in this time; default 100 ms, which is Tessera's least
	WitnessInterval    time.Duration // at most one checkpoint in this time goes to the witnesses; default 1 s
	RetryAfter         time.Duration // how long what fails outside is left alone at first; doubles up to 5 min; default 1 s
	Log                *slog.Logger  // default: slog.Default
	Step               func(string)  // called between the durable steps, for crash tests; see Steps
}

const (
	batchSize    = 256
	defaultBatch = 50 * time.Millisecond
	defaultCheck = 100 * time.Millisecond
	maxUnsigned  = 4096 // leaves that may wait for a checkpoint before Append waits too
	retryAfter   = 200 * time.Millisecond

	defaultWitness = time.Second
	defaultRetry   = time.Second
	maxRetry       = 5 * time.Minute
	maxUnkept      = 64 // cosigned checkpoints that wait for the vault
)

func (cfg *Config) setDefaults() {
	if cfg.BatchAge == 0 {
		cfg.BatchAge = defaultBatch
	}
	if cfg.CheckpointInterval == 0 {
		cfg.CheckpointInterval = defaultCheck
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.RetryAfter == 0 {
		cfg.RetryAfter = defaultRetry
	}
	if cfg.Step == nil {
		cfg.Step = func(string) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
}

// retry says when something that fails outside is tried again: after a first time, then twice that, and so on.
type retry struct {
	first    time.Duration
	failures int
	at       time.Time // not before
}

func (r *retry) failed(now time.Time) {
	wait := r.first
	for range min(r.failures, 20) {
		wait = min(2*wait, maxRetry)
	}
	r.failures++
	r.at = now.Add(wait)
}

func (r *retry) succeeded() { r.failures, r.at = 0, time.Time{} }
