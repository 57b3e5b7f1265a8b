package web

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"camseal/server/internal/export"
)

// mp4Index is where an MP4 file's index lies, if that is behind its pictures, as recorders write it; 0 if not (ISO/IEC 14496-12 section 4.2).
func mp4Index(r io.Reader, size int64) int64 {
	at := int64(0)
	for range 16 {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 0
		}
		n, used := int64(binary.BigEndian.Uint32(head[:4])), int64(8)
		if n == 1 {
			var wide [8]byte
			if _, err := io.ReadFull(r, wide[:]); err != nil {
				return 0
			}
			n, used = int64(min(binary.BigEndian.Uint64(wide[:]), 1<<62)), 16
		}
		kind := string(head[4:])
		if n < used || kind == "moov" || n > size-at {
			return 0
		}
		at += n
		if kind == "mdat" {
			return at
		}
		if _, err := io.CopyN(io.Discard, r, n-used); err != nil {
			return 0
		}
	}
	return 0
}

// indexPart is the part that a player of an MP4 file asks for next, after the first one; 0 if that is not known. It comes of bytes that
// nobody checked, and decides about nothing but what is fetched early.
func indexPart(ctx context.Context, o *export.Original) (part int, err error) {
	parts := o.Parts()
	if len(parts) < 2 || parts[0].Absent {
		return 0, nil
	}
	in, err := o.OpenPart(ctx, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	at := mp4Index(in, o.Size())
	for i, p := range parts {
		if int64(p.Offset) <= at {
			part = i
		}
	}
	return part, nil
}
