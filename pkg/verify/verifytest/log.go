// Package verifytest builds whole small bundles, for tests: a device, a log in memory and everything between them. No
// server is needed. It must not be imported by programs.
package verifytest

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	xtlog "golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// Log is a transparency log in memory.
type Log struct {
	VKey   string
	signer note.Signer
	leaves [][]byte
	hashes []xtlog.Hash
}

// NewLog makes an empty log whose key follows from seed: the same name and seed give the same log.
func NewLog(name, seed string) (*Log, error) {
	d := sha256.Sum256([]byte("verifytest log " + seed))
	skey, vkey, err := note.GenerateKey(bytes.NewReader(d[:]), name)
	if err != nil {
		return nil, err
	}
	s, err := note.NewSigner(skey)
	return &Log{VKey: vkey, signer: s}, err
}

// Append adds a leaf and returns its index.
func (l *Log) Append(leaf evidence.Leaf) (int64, error) {
	raw, err := evidence.EncodeLeaf(leaf)
	if err != nil {
		return 0, err
	}
	index := int64(len(l.leaves))
	hashes, err := xtlog.StoredHashes(index, raw, l)
	if err != nil {
		return 0, err
	}
	l.leaves, l.hashes = append(l.leaves, raw), append(l.hashes, hashes...)
	return index, nil
}

// ReadHashes implements tlog.HashReader.
func (l *Log) ReadHashes(indexes []int64) ([]xtlog.Hash, error) {
	out := make([]xtlog.Hash, len(indexes))
	for i, n := range indexes {
		if n < 0 || n >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("no hash %d", n)
		}
		out[i] = l.hashes[n]
	}
	return out, nil
}

// Receipt proves the leaf with this index by the log's present size.
func (l *Log) Receipt(index int64) (tlog.Receipt, error) {
	size := int64(len(l.leaves))
	root, err := xtlog.TreeHash(size, l)
	if err != nil {
		return tlog.Receipt{}, err
	}
	proof, err := xtlog.ProveRecord(size, index, l)
	if err != nil {
		return tlog.Receipt{}, err
	}
	text := tlog.Checkpoint{Origin: l.signer.Name(), Size: size, Root: root}.Text()
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		return tlog.Receipt{}, err
	}
	return tlog.Receipt{Leaf: l.leaves[index], Proof: tlog.FormatProof(index, proof, signed)}, nil
}
