package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"camseal/pkg/evidence"
)

// maxKey is the longest key, in bytes; an S3 key may have 1024, a file name 255.
const (
	maxKey     = 512
	maxElement = 200
	hashDigits = 64
)

// ChunkKey is the key of a recording's chunk: its bytes as they are.
func ChunkKey(device evidence.DeviceID, rec evidence.RecordingID, index uint64, hash evidence.Digest) string {
	return fmt.Sprintf("%schunks/%08d-%s", RecordingPrefix(device, rec), index, hash)
}

// StatementsKey is the key of a recording's statements of one batch, JSONL; first is the least seq among them.
func StatementsKey(device evidence.DeviceID, rec evidence.RecordingID, first uint64, hash evidence.Digest) string {
	return fmt.Sprintf("%sstatements/%012d-%s", RecordingPrefix(device, rec), first, hash)
}

// ManifestKey is the key of a recording's manifest: JSONL, what was read back for chunks 0 to chunks-1.
func ManifestKey(device evidence.DeviceID, rec evidence.RecordingID, chunks uint64, hash evidence.Digest) string {
	return fmt.Sprintf("%smanifests/%08d-%s", RecordingPrefix(device, rec), chunks, hash)
}

// DerivedKey is the key of a copy that was made from a recording's original, for browsers to play.
func DerivedKey(device evidence.DeviceID, rec evidence.RecordingID, hash evidence.Digest) string {
	return RecordingPrefix(device, rec) + "derived/" + hash.String()
}

// RecordingPrefix is what the keys of one recording begin with.
func RecordingPrefix(device evidence.DeviceID, rec evidence.RecordingID) string {
	return "recordings/" + device.String() + "/" + rec.String() + "/"
}

// DeviceStatementsKey is the key of the device's own statements of one batch, JSONL.
func DeviceStatementsKey(device evidence.DeviceID, first uint64, hash evidence.Digest) string {
	return fmt.Sprintf("devices/%s/statements/%012d-%s", device, first, hash)
}

// BatchKey is the key of a batch's skeleton.
func BatchKey(device evidence.DeviceID, upto uint64, head, hash evidence.Digest) string {
	return BatchPrefix(device, upto, head) + hash.String()
}

// BatchPrefix finds the skeleton of the batch that ends at upto with that head.
func BatchPrefix(device evidence.DeviceID, upto uint64, head evidence.Digest) string {
	return fmt.Sprintf("%s%012d-%s-", BatchesPrefix(device), upto, head)
}

// BatchesPrefix is what the keys of a device's skeletons begin with.
func BatchesPrefix(device evidence.DeviceID) string {
	return "devices/" + device.String() + "/batches/"
}

// CustodyKey is the key of a custody event.
func CustodyKey(hash evidence.Digest) string { return "custody/" + hash.String() }

// RegisterKey is the key of a register of officers.
func RegisterKey(hash evidence.Digest) string { return "registers/" + hash.String() }

// DocumentKey is the key of a case's document: its bytes as they are.
func DocumentKey(caseID string, hash evidence.Digest) string {
	return "cases/" + caseID + "/documents/" + hash.String()
}

// LogID names a log in keys: the first 16 digits of the SHA-256 of its verifier key.
func LogID(vkey string) string {
	h := sha256.Sum256([]byte(vkey))
	return hex.EncodeToString(h[:8])
}

// LeavesKey is the key of mirrored leaves, JSONL, from index first on.
func LeavesKey(logID string, first uint64, hash evidence.Digest) string {
	return fmt.Sprintf("%s%012d-%s", LeavesPrefix(logID), first, hash)
}

// LeavesPrefix is what the keys of a log's mirrored leaves begin with.
func LeavesPrefix(logID string) string { return "log/" + logID + "/leaves/" }

// CheckpointKey is the key of a mirrored checkpoint.
func CheckpointKey(logID string, size uint64, hash evidence.Digest) string {
	return fmt.Sprintf("%s%012d-%s", CheckpointsPrefix(logID), size, hash)
}

// CheckpointsPrefix is what the keys of a log's mirrored checkpoints begin with.
func CheckpointsPrefix(logID string) string { return "log/" + logID + "/checkpoints/" }

// WitnessedKey is the key of a checkpoint with cosignatures of a quorum of witnesses.
func WitnessedKey(logID string, size uint64, hash evidence.Digest) string {
	return fmt.Sprintf("%s%012d-%s", WitnessedPrefix(logID), size, hash)
}

// WitnessedPrefix is what the keys of a log's witnessed checkpoints begin with.
func WitnessedPrefix(logID string) string { return "log/" + logID + "/witnessed/" }

// TimeKey is the key of a time stamp token with the checkpoint that it is over.
func TimeKey(logID string, size uint64, hash evidence.Digest) string {
	return fmt.Sprintf("%s%012d-%s", TimesPrefix(logID), size, hash)
}

// TimesPrefix is what the keys of a log's time stamp tokens begin with.
func TimesPrefix(logID string) string { return "log/" + logID + "/times/" }

// ReceiptKey is the key of the tlog-proof of one leaf.
func ReceiptKey(logID string, index uint64, hash evidence.Digest) string {
	return ReceiptPrefix(logID, index) + hash.String()
}

// ReceiptPrefix finds the proofs of one leaf.
func ReceiptPrefix(logID string, index uint64) string {
	return fmt.Sprintf("%s%012d-", ReceiptsPrefix(logID), index)
}

// ReceiptsPrefix is what the keys of a log's proofs begin with.
func ReceiptsPrefix(logID string) string { return "receipts/" + logID + "/" }

// HashOf returns the hash that a key ends in. The error wraps ErrKey.
func HashOf(key string) (evidence.Digest, error) {
	if len(key) <= hashDigits || !strings.ContainsRune("-/", rune(key[len(key)-hashDigits-1])) {
		return evidence.Digest{}, fmt.Errorf("%q: %w: it does not end in a SHA-256", key, ErrKey)
	}
	d, err := evidence.ParseDigest(key[len(key)-hashDigits:])
	if err != nil {
		return evidence.Digest{}, fmt.Errorf("%q: %w: it does not end in a SHA-256", key, ErrKey)
	}
	return d, nil
}

// NumberOf returns the number that a key's last element begins with: index, seq or size. The error wraps ErrKey.
func NumberOf(key string) (uint64, error) {
	last := key[strings.LastIndexByte(key, '/')+1:]
	digits, _, ok := strings.Cut(last, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q: %w: no number in it", key, ErrKey)
	}
	return n, nil
}

// CheckObject checks an object's key, hash and size before it is put. The error wraps ErrKey.
func CheckObject(o Object) error {
	if err := CheckKey(o.Key, o.Hash); err != nil {
		return err
	}
	if o.Size < 0 || o.Until.IsZero() {
		return fmt.Errorf("%q: %w: size %d, until %s", o.Key, ErrKey, o.Size, o.Until)
	}
	return nil
}

// CheckKey checks that a key has only the characters and the form that every vault takes, and ends in hash.
// The error wraps ErrKey.
func CheckKey(key string, hash evidence.Digest) error {
	if err := CheckPrefix(key); err != nil {
		return err
	}
	got, err := HashOf(key)
	if err != nil {
		return err
	}
	if got != hash {
		return fmt.Errorf("%q: %w: it does not end in %s", key, ErrKey, hash)
	}
	return nil
}

// CheckPrefix checks the characters and form of a key's beginning. The error wraps ErrKey.
func CheckPrefix(prefix string) error {
	if len(prefix) > maxKey {
		return fmt.Errorf("%w: %d bytes long", ErrKey, len(prefix))
	}
	elements := strings.Split(prefix, "/")
	for i, e := range elements {
		if (e == "" && i < len(elements)-1) || len(e) > maxElement {
			return fmt.Errorf("%q: %w: element %d", prefix, ErrKey, i)
		}
		for j := range len(e) {
			if c := e[j]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return fmt.Errorf("%q: %w: only a-z, 0-9, - and / are allowed", prefix, ErrKey)
			}
		}
	}
	return nil
}
