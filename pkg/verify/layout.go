package verify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"camseal/pkg/evidence"
)

// The files of a bundle, besides the original and the receipts. SPEC.md section 10.
const (
	FileBagit       = "bagit.txt"
	FileBagInfo     = "bag-info.txt"
	FileManifest    = "manifest-sha256.txt"
	FileTagManifest = "tagmanifest-sha256.txt"
	FileExportLeaf  = "export/leaf.json"
	FileExportProof = "export/proof"
	FileChain       = "data/chain.jsonl"
	FileSeals       = "data/seals.jsonl"
	FileCustody     = "data/custody.jsonl"
	FileAK          = "data/device/ak.pem"
	FileEKCert      = "data/device/ek.pem"
	FileLogKey      = "data/trust/log.vkey"
	FileSummary     = "data/recording.json"
	FileReadme      = "data/README.txt"
	DirOriginal     = "data/original/"
	DirReceipts     = "data/receipts/"
	DirTime         = "data/time/"
)

// OriginalPath is where a bundle holds the exhibit itself.
func OriginalPath(o *evidence.Open) string { return DirOriginal + SafeName(o.Source.RawName()) }

// ReceiptPaths says where a bundle holds the receipt with this log index.
func ReceiptPaths(index int64) (leaf, proof string) {
	base := fmt.Sprintf("%s%012d", DirReceipts, index)
	return base + ".leaf", base + ".proof"
}

// TimePaths says where a bundle holds a time stamp (RFC 3161) over the log's checkpoint of a size, and a proof that the newest seen leaf
// is in that tree; the last may be left out where a receipt's own proof is by that very checkpoint.
func TimePaths(size int64) (checkpoint, token, proof string) {
	base := fmt.Sprintf("%s%012d", DirTime, size)
	return base + ".checkpoint", base + ".tsr", base + ".proof"
}

// LogKeyFile is the content of FileLogKey: the verifier key and a line feed.
func LogKeyFile(vkey string) []byte { return []byte(vkey + "\n") }

// Bagit is the content of FileBagit (RFC 8493 section 2.1.1).
func Bagit() []byte {
	return []byte("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
}

// BagInfo is the content of FileBagInfo (RFC 8493 section 2.2.2) for a payload of so many bytes in so many files.
func BagInfo(rec evidence.RecordingID, size, files uint64) []byte {
	return fmt.Appendf(nil, "External-Description: Camseal evidence bundle, format %d\nExternal-Identifier: %s\nPayload-Oxum: %d.%d\n",
		evidence.Version, rec, size, files)
}

// FileHash is a line of a manifest.
type FileHash struct {
	Path string
	Hash evidence.Digest
}

// Manifest writes a manifest (RFC 8493 section 2.1.3) in its one form: ordered by path, bytewise. FileManifest lists all
// files below data/, FileTagManifest all others but itself.
func Manifest(files []FileHash) []byte {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b FileHash) int { return strings.Compare(a.Path, b.Path) })
	var b bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&b, "%s  %s\n", f.Hash, f.Path)
	}
	return b.Bytes()
}
