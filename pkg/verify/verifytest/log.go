// Package verifytest builds whole small bundles, for tests: a device, a log in memory and everything between them. No
// server is needed. It must not be imported by programs.
package verifytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/note"
	xtlog "golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// Log is a transparency log in memory.
type Log struct {
	VKey      string
	Cosigners []*tlog.CosignerKey // that sign every checkpoint besides; each a second later than the one before
	Time      time.Time           // when that is; a second goes by with each leaf

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
	return &Log{VKey: vkey, signer: s, Time: time.UnixMilli(firstAt - 5000).UTC()}, err
}

// Cosign adds keys that follow from their names: witnesses, or the clock of the log's keeper.
func (l *Log) Cosign(names ...string) error {
	for _, name := range names {
		d := sha256.Sum256([]byte("verifytest cosigner " + name))
		skey, _, err := tlog.GenerateCosigner(bytes.NewReader(d[:]), name)
		if err != nil {
			return err
		}
		late := time.Duration(len(l.Cosigners)) * time.Second
		key, err := tlog.NewCosignerKey(skey, func() time.Time { return l.Time.Add(late) })
		if err != nil {
			return err
		}
		l.Cosigners = append(l.Cosigners, key)
	}
	return nil
}

// Append adds a leaf and returns its index.
func (l *Log) Append(leaf evidence.Leaf) (int64, error) {
	raw, err := evidence.EncodeLeaf(leaf)
	if err != nil {
		return 0, err
	}
	return l.AppendRaw(raw)
}

// AppendRaw adds bytes that may be no leaf at all.
func (l *Log) AppendRaw(raw []byte) (int64, error) {
	index := int64(len(l.leaves))
	hashes, err := xtlog.StoredHashes(index, raw, l)
	if err != nil {
		return 0, err
	}
	l.leaves, l.hashes = append(l.leaves, raw), append(l.hashes, hashes...)
	l.Time = l.Time.Add(time.Second)
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

// Checkpoint signs the log's present size.
func (l *Log) Checkpoint() ([]byte, error) {
	size := int64(len(l.leaves))
	root, err := xtlog.TreeHash(size, l)
	if err != nil {
		return nil, err
	}
	text := tlog.Checkpoint{Origin: l.signer.Name(), Size: size, Root: root}.Text()
	signers := []note.Signer{l.signer}
	for _, c := range l.Cosigners {
		signers = append(signers, c)
	}
	return note.Sign(&note.Note{Text: text}, signers...)
}

// Receipt proves the leaf with this index by the log's present size.
func (l *Log) Receipt(index int64) (tlog.Receipt, error) {
	signed, err := l.Checkpoint()
	if err != nil {
		return tlog.Receipt{}, err
	}
	proof, err := xtlog.ProveRecord(int64(len(l.leaves)), index, l)
	if err != nil {
		return tlog.Receipt{}, err
	}
	return tlog.Receipt{Leaf: l.leaves[index], Proof: tlog.FormatProof(index, proof, signed)}, nil
}

// Size is how many leaves there are.
func (l *Log) Size() int64 { return int64(len(l.leaves)) }

// Tiles writes the log as files (C2SP tlog-tiles).
func (l *Log) Tiles() (fstest.MapFS, error) {
	signed, err := l.Checkpoint()
	if err != nil {
		return nil, err
	}
	m := fstest.MapFS{"checkpoint": {Data: signed}}
	put := func(dir string, n, width int64, content []byte) {
		path := fmt.Sprintf("%03d", n%1000)
		for n /= 1000; n > 0; n /= 1000 {
			path = fmt.Sprintf("x%03d/%s", n%1000, path)
		}
		if width < 256 {
			path += fmt.Sprintf(".p/%d", width)
		}
		m[dir+path] = &fstest.MapFile{Data: content}
	}
	for level, size := 0, l.Size(); size > 0; level, size = level+1, size>>8 {
		for n := int64(0); n*256 < size; n++ {
			width := min(256, size-n*256)
			var hashes, entries []byte
			for i := n * 256; i < n*256+width; i++ {
				h, err := l.ReadHashes([]int64{xtlog.StoredHashIndex(level*8, i)})
				if err != nil {
					return nil, err
				}
				hashes = append(hashes, h[0][:]...)
				if level == 0 {
					entries = append(binary.BigEndian.AppendUint16(entries, uint16(len(l.leaves[i]))), l.leaves[i]...)
				}
			}
			put(fmt.Sprintf("tile/%d/", level), n, width, hashes)
			if level == 0 {
				put("tile/entries/", n, width, entries)
			}
		}
	}
	return m, nil
}
