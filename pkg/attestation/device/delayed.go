package device

import (
	"context"
	"time"

	"camseal/pkg/evidence"
)

type delayed struct {
	TPM
	Identity
	delay time.Duration
}

// Delayed returns a TPM that takes at least that much longer for each Quote, as real chips do, for tests and benchmarks. t is
// what Open or OpenSoftware returned.
func Delayed(t TPM, delay time.Duration) TPM {
	return &delayed{TPM: t, Identity: t.(Identity), delay: delay}
}

// Quote implements TPM.
func (d *delayed) Quote(ctx context.Context, head evidence.Digest, upto uint64) (evidence.Seal, error) {
	timer := time.NewTimer(d.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return d.TPM.Quote(ctx, head, upto)
	case <-ctx.Done():
		return evidence.Seal{}, ctx.Err()
	}
}
