// Package export makes bundles: one recording with everything that a stranger needs to check it (SPEC.md section 10).
package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/ledger"
)

// ErrNotStored says that a recording has no stored receipt yet, so that there is nothing to export.
var ErrNotStored = errors.New("this recording is not stored yet; nothing was exported; try again once the device has sent all of it")

// Exporter makes bundles. It is safe for concurrent use.
type Exporter struct {
	Catalog *catalog.Catalog
	Log     *catalog.Projector
	Ledger  *ledger.Ledger
	VKey    string        // of the log
	Trust   *verify.Trust // whose word on time counts on this server's pages
	Vault   archive.Vault
	Book    *casework.Book
	TempDir string
	Slog    *slog.Logger
}

// Bundle is an export about to be written.
type Bundle struct {
	Name string // a safe file name for the bundle, without extension

	x      *Exporter
	row    db.Recording
	dev    db.Device
	key    *attestation.Key
	rec    verify.Recording
	stored *evidence.Stored
	k      catalog.RecordingKey
}

// Open looks at a recording and says whether it can be exported. Errors: catalog.ErrUnknown, ErrNotStored.
func (x *Exporter) Open(ctx context.Context, rec evidence.RecordingID) (*Bundle, error) {
	row, err := x.Catalog.FindRecording(ctx, rec)
	if err != nil {
		return nil, err
	}
	b := &Bundle{x: x, row: row}
	if b.stored, err = StoredLeaf(row); err != nil {
		return nil, err
	}
	b.k = catalog.RecordingKey{Device: b.stored.Device, Rec: rec}
	if b.dev, err = x.Catalog.Device(ctx, b.k.Device); err != nil {
		return nil, err
	}
	if b.key, err = catalog.DeviceKey(b.dev); err != nil {
		return nil, err
	}
	if b.rec, err = x.Log.Recordings.View(ctx, b.k); err != nil {
		return nil, err
	}
	b.Name = "camseal-" + rec.String()
	return b, nil
}

// StoredLeaf reads the newest stored leaf from a recording's row. Errors: ErrNotStored.
func StoredLeaf(row db.Recording) (*evidence.Stored, error) {
	if !row.StoredIndex.Valid {
		return nil, ErrNotStored
	}
	l, err := evidence.ParseLeafUnverified([]byte(row.StoredLeaf))
	if err != nil {
		return nil, fmt.Errorf("stored leaf of %s: %w", row.Rec, err)
	}
	s, ok := l.(*evidence.Stored)
	if !ok {
		return nil, fmt.Errorf("stored leaf of %s is a %T", row.Rec, l)
	}
	return s, nil
}

// Write writes the whole bundle: the original first, each chunk checked against what was sealed, then the proofs, last the
// log's receipt over it. Before the first byte leaves, the export is a custody event. A chunk that is not what was sealed ends it with
// *archive.WrongBytes, and the bundle stays unfinished.
func (b *Bundle) Write(ctx context.Context, actor string, sink Sink) error {
	act := casework.Act{Name: casework.ActExport, Actor: actor, Device: &b.k.Device, Rec: b.k.Rec, Detail: evidence.Detail{"form": sink.Form()}}
	recorded, err := b.x.Book.Record(ctx, act)
	if err != nil {
		return err
	}
	w := &writer{ctx: ctx, b: b, sink: sink, newest: recorded.Index}
	for _, step := range []func() error{w.original, w.chain, w.receipts, w.custody, w.stamps, w.derived, w.tags} {
		if err := step(); err != nil {
			return fmt.Errorf("export %s: %w", b.k.Rec, err)
		}
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("export %s: %w", b.k.Rec, err)
	}
	b.x.Slog.InfoContext(ctx, "bundle exported", slog.String("rec", b.k.Rec.String()), slog.String("actor", actor))
	return nil
}

// Proof writes what of the bundle vouches for the recording: neither the original nor anything about the bundle as a whole. It is for a
// reader's browser that then checks the footage part by part (verify.Proofs), and no export: nothing is recorded.
func (b *Bundle) Proof(ctx context.Context, sink Sink) error {
	w := &writer{ctx: ctx, b: b, sink: sink}
	for _, step := range []func() error{w.chain, w.receipts, w.custody, w.stamps, w.derived} {
		if err := step(); err != nil {
			return fmt.Errorf("proofs of %s: %w", b.k.Rec, err)
		}
	}
	return sink.Close()
}

// To writes the bundle to path, as a folder or a zip file. Nothing is there under that name before it is finished.
func (b *Bundle) To(ctx context.Context, actor, path string, folder bool) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already; nothing was written; choose another name", path)
	}
	partial := path + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	var sink Sink
	if folder {
		sink, err = NewFolder(partial)
	} else {
		sink, err = newZipFile(partial)
	}
	if err != nil {
		return err
	}
	if err := b.Write(ctx, actor, sink); err != nil {
		return errors.Join(err, sink.Close(), os.RemoveAll(partial))
	}
	return os.Rename(partial, path)
}
