package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"camseal/pkg/durable"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

// Quarantine keeps what registered devices sent and what was refused: the reason in JSON, and the bytes of statements.
// It is durable, bounded for each device, and each entry is logged by its digest. It is safe for concurrent use.
type Quarantine struct {
	Dir        string
	MaxBytes   int64 // for each device
	MaxEntries int   // for each device
	Book       *casework.Book
	Now        func() time.Time
	Slog       *slog.Logger

	mu sync.Mutex
}

// Finding is the reason for an entry.
type Finding struct {
	V       int                   `json:"v"`
	Device  evidence.DeviceID     `json:"device"`
	At      int64                 `json:"at"` // the server's clock, milliseconds since 1970 UTC
	Code    transport.Code        `json:"code"`
	Message string                `json:"message"`
	Seq     *uint64               `json:"seq,omitempty"`
	Rec     *evidence.RecordingID `json:"rec,omitempty"`
	Chunk   *uint64               `json:"chunk,omitempty"`
	Known   *evidence.Digest      `json:"known,omitempty"` // of a fork: the statement accepted under Seq
	Sent    *evidence.Digest      `json:"sent,omitempty"`  // and the one refused
	Size    int                   `json:"size"`            // of the bytes kept beside this file
	Digest  evidence.Digest       `json:"digest"`          // of those bytes; without any, of what names the place
}

const (
	reasonSuffix = ".json"   // a Finding
	bytesSuffix  = ".jsonl"  // statements as they were sent
	loggedSuffix = ".logged" // the custody event's log index
)

// Keep puts an entry into quarantine. The same bytes are kept once. It never fails a request: what goes wrong is logged.
func (q *Quarantine) Keep(ctx context.Context, id evidence.DeviceID, f Finding, body []byte) {
	f.V, f.Device, f.At, f.Size = evidence.Version, id, q.Now().UnixMilli(), len(body)
	if body != nil {
		f.Digest = evidence.Sum(body)
	} else {
		f.Digest = evidence.Sum(fmt.Appendf(nil, "%s %v %v %v %s", f.Code, f.Rec, deref64(f.Chunk), deref64(f.Seq), f.Message))
	}
	log := q.Slog.With(slog.String("device", id.Short()), slog.String("code", string(f.Code)), slog.String("digest", f.Digest.String()))
	base, err := q.write(f, body)
	if err != nil {
		log.ErrorContext(ctx, "refused, and not kept in quarantine", slog.String("why", f.Message), slog.Any("error", err))
		return
	}
	log.WarnContext(ctx, "refused and kept in quarantine", slog.String("why", f.Message))
	if base == "" {
		return
	}
	if err := q.log(ctx, base, f); err != nil {
		log.ErrorContext(ctx, "a quarantine entry is not logged yet; the next start tries again", slog.Any("error", err))
	}
}

func deref64(n *uint64) any {
	if n == nil {
		return nil
	}
	return *n
}

var errQuarantineFull = errors.New("this device's quarantine is full; look through it and empty it")

// write returns the entry's path without suffix, or "" if it is there already.
func (q *Quarantine) write(f Finding, body []byte) (string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	dir := filepath.Join(q.Dir, f.Device.String())
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	base := filepath.Join(dir, f.Digest.String())
	if _, err := os.Stat(base + reasonSuffix); err == nil {
		return "", nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var size int64
	var n int
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
		if strings.HasSuffix(e.Name(), reasonSuffix) {
			n++
		}
	}
	if n >= q.MaxEntries || size+int64(len(body)) > q.MaxBytes {
		return "", errQuarantineFull
	}
	if body != nil {
		if err := durable.Write(base+bytesSuffix, body, 0o600); err != nil {
			return "", err
		}
	}
	reason, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return "", err
	}
	return base, durable.Write(base+reasonSuffix, append(reason, '\n'), 0o600)
}

func (q *Quarantine) log(ctx context.Context, base string, f Finding) error {
	detail := evidence.Detail{catalog.DetailCode: string(f.Code), "digest": f.Digest.String()}
	if f.Seq != nil {
		detail[catalog.DetailSeq] = strconv.FormatUint(*f.Seq, 10)
	}
	if f.Known != nil && f.Sent != nil {
		detail[catalog.DetailKnown], detail[catalog.DetailSent] = f.Known.String(), f.Sent.String()
	}
	a := casework.Act{Name: catalog.ActQuarantined, Actor: "camseal-server", Device: &f.Device, Detail: detail}
	if f.Rec != nil {
		a.Rec = *f.Rec
	}
	r, err := q.Book.Record(context.WithoutCancel(ctx), a)
	if err != nil {
		return err
	}
	return durable.Write(base+loggedSuffix, fmt.Appendf(nil, "%d\n", r.Index), 0o600)
}

// Resume logs the entries that a crash left unlogged.
func (q *Quarantine) Resume(ctx context.Context) error {
	return filepath.WalkDir(q.Dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == q.Dir {
			return nil
		}
		base, isReason := strings.CutSuffix(path, reasonSuffix)
		if err != nil || !isReason {
			return err
		}
		if _, err := os.Stat(base + loggedSuffix); err == nil {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var f Finding
		if err := json.Unmarshal(raw, &f); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return q.log(ctx, base, f)
	})
}
