package evidence

import (
	"crypto/sha256"
	"encoding/binary"
)

// FirstHead returns H(-1), the head before a device's first statement. SPEC.md section 3.
func FirstHead(device DeviceID) Digest {
	h := sha256.New()
	h.Write([]byte("camseal chain v1\n"))
	h.Write(device[:])
	return Digest(h.Sum(nil))
}

// NextHead returns H(seq), from H(seq-1) and the digest of the statement with number seq.
func NextHead(seq uint64, rec RecordingID, prev, statement Digest) Digest {
	h := sha256.New()
	h.Write([]byte("camseal head v1\n"))
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], seq)
	h.Write(n[:])
	h.Write(rec[:])
	h.Write(prev[:])
	h.Write(statement[:])
	return Digest(h.Sum(nil))
}

// ListDigest returns what a stored leaf calls list: SHA-256 over the digests of the chunk statements, in order.
func ListDigest(chunks []Digest) Digest {
	h := sha256.New()
	for _, d := range chunks {
		h.Write(d[:])
	}
	return Digest(h.Sum(nil))
}
