// Package manifest is the vault object that a stored receipt names: for each chunk of a recording, what the vault said when
// it was read back. JSON lines in canonical form: a Head, then a Line for each chunk that is there, in order.
package manifest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"camseal/pkg/evidence"
	"camseal/server/internal/archive"
)

// Type is the Head's type.
const Type = "manifest"

// Head is the first line.
type Head struct {
	Absent []uint64             `json:"absent,omitempty"` // chunks declared lost, ascending; they have no line
	Chunks uint64               `json:"chunks"`           // chunks 0 to Chunks-1
	Device evidence.DeviceID    `json:"device"`
	Rec    evidence.RecordingID `json:"rec"`
	Salt   evidence.Salt        `json:"salt"`
	Type   string               `json:"type"`
	V      int                  `json:"v"`
}

// Line says where one chunk is. Until is milliseconds since 1970 UTC.
type Line struct {
	Hash    evidence.Digest `json:"hash"`
	Index   uint64          `json:"index"`
	Key     string          `json:"key"`
	Lock    evidence.Lock   `json:"lock"`
	Size    uint64          `json:"size"`
	Until   int64           `json:"until"`
	Version string          `json:"version"`
}

// Write writes one line, a Head or a Line.
func Write(w io.Writer, v any) error {
	line, err := evidence.Encode(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// Read calls f with each Line of the manifest that a stored leaf names. What f was given is good only once Read returns
// nil: then the object's hash was the right one.
func Read(ctx context.Context, v archive.Vault, leaf *evidence.Stored, f func(Line) error) error {
	key := archive.ManifestKey(leaf.Device, leaf.Rec, leaf.Chunks, leaf.Manifest)
	in, err := v.Open(ctx, archive.Ref{Key: key, Hash: leaf.Manifest}, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", key, err)
	}
	defer in.Close()
	h := sha256.New()
	lines := bufio.NewScanner(io.TeeReader(in, h))
	lines.Buffer(make([]byte, 4096), evidence.MaxLine+1)
	for n := 0; lines.Scan(); n++ {
		if err := readLine(lines.Bytes(), n, leaf, f); err != nil {
			return fmt.Errorf("%s, line %d: %w", key, n+1, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if got := evidence.Digest(h.Sum(nil)); got != leaf.Manifest {
		return &archive.WrongBytes{Key: key, Want: leaf.Manifest, Got: got}
	}
	return nil
}

func readLine(raw []byte, n int, leaf *evidence.Stored, f func(Line) error) error {
	if n > 0 {
		var l Line
		if err := evidence.Decode(raw, &l); err != nil {
			return err
		}
		return f(l)
	}
	var h Head
	if err := evidence.Decode(raw, &h); err != nil {
		return err
	}
	if h.Type != Type || h.V != evidence.Version || h.Device != leaf.Device || h.Rec != leaf.Rec || h.Chunks != leaf.Chunks {
		return fmt.Errorf("not the manifest of %d chunks of recording %s", leaf.Chunks, leaf.Rec)
	}
	return nil
}
