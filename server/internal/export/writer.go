package export

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/pkg/verify"
)

// writer writes one bundle, and keeps the hashes for its manifests.
type writer struct {
	ctx   context.Context
	b     *Bundle
	sink  Sink
	files []verify.FileHash
	size  uint64 // of the payload
	spans []span
	enrol *evidence.Enrol

	newest   uint64 // index of this export's custody event, the newest leaf that the bundle holds a receipt of
	lastSeen int64  // index of the newest seen receipt
	closed   int64  // index of the first that covers the recording's end
}

const (
	maxReceipts = 1024 // seen receipts in one bundle
)

// file is one file being written.
type file struct {
	w    io.Writer
	hash hash.Hash
	size uint64
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.hash.Write(p[:n])
	f.size += uint64(n)
	return n, err
}

func (w *writer) put(path string, stored bool, write func(io.Writer) error) error {
	out, err := w.sink.Create(path, stored)
	if err != nil {
		return err
	}
	f := &file{w: out, hash: sha256.New()}
	if err := write(f); err != nil {
		return err
	}
	w.files = append(w.files, verify.FileHash{Path: path, Hash: evidence.Digest(f.hash.Sum(nil))})
	if strings.HasPrefix(path, "data/") {
		w.size += f.size
	}
	return nil
}

func (w *writer) bytes(path string, b []byte) error {
	return w.put(path, false, func(out io.Writer) error {
		_, err := out.Write(b)
		return err
	})
}

func (w *writer) original() error {
	o, err := OpenOriginal(w.ctx, w.b.x.Vault, &w.b.rec, w.b.stored)
	if err != nil {
		return err
	}
	return w.put(verify.OriginalPath(w.b.rec.Open), true, func(out io.Writer) error { return o.WriteRange(w.ctx, out, 0, o.Size()) })
}

// chain writes chain.jsonl, and seals.jsonl beside it by way of a temporary file: a sink takes one file at a time.
func (w *writer) chain() error {
	spans, err := w.b.stretches(w.ctx)
	if err != nil {
		return err
	}
	w.spans = spans
	temp, err := os.CreateTemp(w.b.x.TempDir, "seals-*")
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(temp.Close(), os.Remove(temp.Name())) }()
	seals := bufio.NewWriter(temp)
	err = w.put(verify.FileChain, false, func(out io.Writer) error {
		chain := bufio.NewWriter(out)
		for _, s := range spans {
			if err := w.b.lines(w.ctx, s, w.chainLine(chain), lineTo(seals)); err != nil {
				return err
			}
		}
		return chain.Flush()
	})
	if err != nil {
		return err
	}
	if err := seals.Flush(); err != nil {
		return err
	}
	if _, err := temp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return w.put(verify.FileSeals, false, func(out io.Writer) error {
		_, err := io.Copy(out, temp)
		return err
	})
}

// chainLine takes the enrol statement in on the way.
func (w *writer) chainLine(out io.Writer) func([]byte) error {
	to := lineTo(out)
	return func(line []byte) error {
		if w.enrol == nil {
			s, _, err := evidence.ParseUnverified(line)
			if err != nil {
				return err
			}
			enrol, ok := s.Body.(*evidence.Enrol)
			if !ok {
				return errors.New("the chain does not begin with enrol")
			}
			w.enrol = enrol
		}
		return to(line)
	}
}

func lineTo(out io.Writer) func([]byte) error {
	return func(line []byte) error {
		if _, err := out.Write(line); err != nil {
			return err
		}
		_, err := out.Write([]byte{'\n'})
		return err
	}
}

// receipts writes the seen receipts of the batches that hold enrol and this recording's statements, and of each stretch's end, and the
// newest stored receipt; and the device's revocation, if there is one.
func (w *writer) receipts() error {
	b := w.b
	parts, err := b.x.Catalog.Parts(w.ctx, b.k.Device, b.k.Rec, 0, b.rec.LastSeq)
	if err != nil {
		return err
	}
	ends := []uint64{w.spans[0].until}
	if n := len(parts); n > maxReceipts {
		parts = append(parts[:1:1], parts[n-maxReceipts+1:]...)
	}
	for _, p := range parts {
		ends = append(ends, uint64(p.Upto))
	}
	for _, s := range w.spans {
		ends = append(ends, s.until)
	}
	done := map[int64]bool{}
	w.await()
	for _, seq := range ends {
		row, err := b.x.Catalog.BatchAt(w.ctx, b.k.Device, seq)
		if err != nil {
			return err
		}
		if done[row.LogIndex] {
			continue
		}
		done[row.LogIndex] = true
		if w.closed == 0 && b.rec.Close != nil && uint64(row.Upto) >= b.rec.CloseAt.Seq {
			w.closed = row.LogIndex
		}
		w.lastSeen = max(w.lastSeen, row.LogIndex)
		if err := w.receipt(row.LogIndex, []byte(row.Leaf)); err != nil {
			return err
		}
	}
	if w.closed == 0 {
		w.closed = w.lastSeen
	}
	if b.dev.RevokedIndex.Valid { // the reader must know, even if all of this was seen before
		e, err := b.x.Ledger.BestReceipt(w.ctx, uint64(b.dev.RevokedIndex.Int64))
		if err != nil {
			return err
		}
		if err := w.receiptFiles(b.dev.RevokedIndex.Int64, e.Receipt); err != nil {
			return err
		}
	}
	return w.receipt(b.row.StoredIndex.Int64, []byte(b.row.StoredLeaf))
}

// receipt writes a leaf with its proof at the earliest checkpoint that has the quorum of witnesses, or the earliest at all.
func (w *writer) receipt(index int64, leaf []byte) error {
	e, err := w.b.x.Ledger.BestReceipt(w.ctx, uint64(index))
	if err != nil {
		return err
	}
	if !bytes.Equal(e.Leaf, leaf) {
		return fmt.Errorf("receipt %d: the log holds another leaf there than the catalog; run `camseal-server reindex`", index)
	}
	return w.receiptFiles(index, e.Receipt)
}

func (w *writer) receiptFiles(index int64, r tlog.Receipt) error {
	leaf, proof := verify.ReceiptPaths(index)
	if err := w.bytes(leaf, r.Leaf); err != nil {
		return err
	}
	return w.bytes(proof, r.Proof)
}

// derived writes what a verifier derives again.
func (w *writer) derived() error {
	b := w.b
	summary, err := verify.Summary(&b.rec, b.key.Class())
	if err != nil {
		return err
	}
	readme, err := verify.Readme(&b.rec, b.key.Class())
	if err != nil {
		return err
	}
	files := map[string][]byte{verify.FileAK: b.key.PEM(), verify.FileLogKey: verify.LogKeyFile(b.x.VKey), verify.FileSummary: summary, verify.FileReadme: readme}
	if len(w.enrol.EKCert) > 0 {
		files[verify.FileEKCert] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.enrol.EKCert})
	}
	for _, path := range []string{verify.FileAK, verify.FileEKCert, verify.FileLogKey, verify.FileSummary, verify.FileReadme} {
		if content, ok := files[path]; ok {
			if err := w.bytes(path, content); err != nil {
				return err
			}
		}
	}
	return nil
}

// tags writes the bag's own files, and the log's receipt over the payload's manifest.
func (w *writer) tags() error {
	payload := w.files
	w.files = nil
	manifest := verify.Manifest(payload)
	leaf := &evidence.Export{Device: w.b.k.Device, Last: w.b.rec.N - 1, Manifest: evidence.Sum(manifest), Rec: w.b.k.Rec}
	_, r, err := w.b.x.Log.Append(w.ctx, leaf)
	if err != nil {
		return err
	}
	if r.Proof, err = w.b.x.plain(r.Proof); err != nil {
		return err
	}
	for _, f := range []struct {
		path    string
		content []byte
	}{{verify.FileBagit, verify.Bagit()}, {verify.FileBagInfo, verify.BagInfo(w.b.k.Rec, w.size, uint64(len(payload)))}, {verify.FileManifest, manifest},
		{verify.FileExportLeaf, r.Leaf}, {verify.FileExportProof, r.Proof}} {
		if err := w.bytes(f.path, f.content); err != nil {
			return err
		}
	}
	return w.bytes(verify.FileTagManifest, verify.Manifest(w.files))
}
