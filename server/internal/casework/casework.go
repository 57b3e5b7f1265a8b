// Package casework records who did what with recordings and devices. Each act is a custody event: a canonical JSON object
// in the vault, its digest a leaf in the log.
package casework

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
)

// Acts that this server records, beside those that the catalog is made from.
const (
	ActExport  = "export"
	ActStarted = "server-started"
	ActRevoked = "device-revoked"
	ActViewed  = "viewed" // somebody looked at a recording

	ActCommanded      = "commanded"       // a recorder on duty is to do something; recorded before it hears of it
	ActCommandDone    = "command-done"    // it says that it did
	ActCommandRefused = "command-refused" // it says that it did not, and why
	ActCommandExpired = "command-expired" // it has said nothing of it in time
)

// Members of events' details.
const (
	DetailPurpose = "purpose" // viewed: what for
	DetailCommand = "command" // the kind of a command
)

// Act is one custody event to be recorded.
type Act struct {
	Name   string
	Actor  string // who did it; "camseal-server" for what the server does by itself
	Device *evidence.DeviceID
	Rec    evidence.RecordingID // zeros if it is about no recording
	Detail evidence.Detail
}

// Recorded is a custody event in the log.
type Recorded struct {
	Event   []byte // canonical JSON
	Index   uint64
	Receipt tlog.Receipt
}

// Book writes custody events. It is safe for concurrent use.
type Book struct {
	Vault archive.Vault
	Log   *catalog.Projector
	Until func() time.Time // how long events are locked
	Now   func() time.Time
}

// Record writes the event to the vault, then its digest to the log, and returns once the catalog has it.
func (b *Book) Record(ctx context.Context, a Act) (Recorded, error) {
	ev := evidence.CustodyEvent{Act: a.Name, Actor: a.Actor, At: b.Now().UnixMilli(), Detail: a.Detail, Device: a.Device, Rec: a.Rec,
		Type: "custody-event", V: evidence.Version}
	if ev.Detail == nil {
		ev.Detail = evidence.Detail{}
	}
	if _, err := rand.Read(ev.Salt[:]); err != nil {
		return Recorded{}, fmt.Errorf("record %s: %w", a.Name, err)
	}
	raw, err := evidence.Encode(ev)
	if err != nil {
		return Recorded{}, fmt.Errorf("record %s: %w", a.Name, err)
	}
	if _, err := archive.PutBytes(ctx, b.Vault, archive.CustodyKey, raw, b.Until()); err != nil {
		return Recorded{}, fmt.Errorf("record %s: %w", a.Name, err)
	}
	i, receipt, err := b.Log.Append(ctx, &evidence.Custody{Event: evidence.Sum(raw)})
	if err != nil {
		return Recorded{}, fmt.Errorf("record %s: %w", a.Name, err)
	}
	return Recorded{Event: raw, Index: i, Receipt: receipt}, nil
}
