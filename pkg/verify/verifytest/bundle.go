package verifytest

import (
	"bytes"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
)

// Bundle writes parts of a bundle and puts them together. Its steps are those that a server takes.
type Bundle struct {
	Files   verify.Memory
	Log     *Log
	Device  *Device
	Rec     evidence.RecordingID
	indexes []int64 // of the receipts to put in
	custody []byte
	seen    *uint64
	enrol   evidence.Enrol // what it says of the EK

	Authority *Authority // of time stamps; nil: none
	Maker     *EKMaker   // of the EK certificate; nil: none
}

// Seen logs all that the device said so far.
func (b *Bundle) Seen() error {
	last := len(b.Device.Lines) - 1
	index, err := b.Log.Append(&evidence.Seen{Device: b.Device.Sealer.Key().Name(), Head: b.Device.Heads[last], Prev: b.seen, Seq: uint64(last)})
	prev := uint64(index)
	b.seen, b.indexes = &prev, append(b.indexes, index)
	return err
}

// Stored logs that the chunks so far are in the vault.
func (b *Bundle) Stored() error {
	r, err := b.Device.Recording(b.Rec)
	if err != nil {
		return err
	}
	x := r.Exhibit()
	index, err := b.Log.Append(&evidence.Stored{Chunks: uint64(len(x.Chunks)), Close: x.Close, Device: x.Device, List: evidence.ListDigest(x.Chunks),
		Lock: evidence.LockFolder, Manifest: evidence.Sum([]byte("manifest")), Open: x.Open, Rec: x.Rec, Until: 1900000000000, Vault: "0123456789abcdef"})
	b.indexes = append(b.indexes, index)
	return err
}

// Custody logs an event.
func (b *Bundle) Custody(act string) error {
	device := b.Device.Sealer.Key().Name()
	rec, detail := b.Rec, evidence.Detail{"reason": "test"}
	if act == "device-enrolled" {
		ak, _ := evidence.Bytes(b.Device.Sealer.Key().Bytes()).MarshalText() // never fails
		ek, _ := b.enrol.EK.MarshalText()
		rec, detail = evidence.RecordingID{}, evidence.Detail{"ak": string(ak), "ek": string(ek)}
	}
	line, err := evidence.Encode(&evidence.CustodyEvent{Act: act, Actor: "server", At: 1790000009000, Detail: detail, Device: &device, Rec: rec,
		Type: "custody-event", V: evidence.Version})
	if err != nil {
		return err
	}
	index, err := b.Log.Append(&evidence.Custody{Event: evidence.Sum(line)})
	b.indexes = append(b.indexes, index)
	b.custody = append(append(b.custody, line...), '\n')
	return err
}

// Put writes the files below data/, with the chain from its first statement to its last.
func (b *Bundle) Put(content []byte) error {
	r, err := b.Device.Recording(b.Rec)
	if err != nil {
		return err
	}
	key := b.Device.Sealer.Key()
	b.Files = verify.Memory{verify.OriginalPath(r.Open): content, verify.FileCustody: b.custody, verify.FileAK: key.PEM(), verify.FileLogKey: verify.LogKeyFile(b.Log.VKey)}
	if len(b.enrol.EKCert) > 0 {
		b.Files[verify.FileEKCert] = verify.EKCertFile(b.enrol.EKCert)
	}
	if err := b.stamp(); err != nil {
		return err
	}
	if b.Files[verify.FileSummary], err = verify.Summary(r, key.Class()); err != nil {
		return err
	}
	if b.Files[verify.FileReadme], err = verify.Readme(r, key.Class()); err != nil {
		return err
	}
	if err := b.putChain(); err != nil {
		return err
	}
	for _, i := range b.indexes {
		receipt, err := b.Log.Receipt(i)
		if err != nil {
			return err
		}
		leaf, proof := verify.ReceiptPaths(i)
		b.Files[leaf], b.Files[proof] = receipt.Leaf, receipt.Proof
	}
	return nil
}

// Anchor lets the device say what the log shows now.
func (b *Bundle) Anchor() error {
	signed, err := b.Log.Checkpoint()
	if err != nil {
		return err
	}
	_, err = b.Device.Say(evidence.RecordingID{}, &evidence.Anchor{Checkpoint: string(signed)})
	return err
}

// stamp puts a time stamp over the log's present checkpoint into the bundle.
func (b *Bundle) stamp() error {
	if b.Authority == nil {
		return nil
	}
	signed, err := b.Log.Checkpoint()
	if err != nil {
		return err
	}
	checkpoint, token, _ := verify.TimePaths(b.Log.Size())
	b.Files[checkpoint] = signed
	b.Files[token], err = b.Authority.Stamp(signed, b.Log.Time.Add(time.Minute))
	return err
}

// StampLater puts a time stamp over a checkpoint into the bundle that none of its receipts is by, and a proof of the newest seen leaf if
// asked.
func (b *Bundle) StampLater(proof bool) error {
	if _, err := b.Log.Append(&evidence.Custody{Event: evidence.Sum([]byte("another"))}); err != nil {
		return err
	}
	if err := b.stamp(); err != nil || !proof {
		return err
	}
	r, err := b.Log.Receipt(int64(*b.seen))
	_, _, path := verify.TimePaths(b.Log.Size())
	b.Files[path] = r.Proof
	return err
}

func (b *Bundle) putChain() error {
	var chain, seals bytes.Buffer
	for i, line := range b.Device.Lines {
		if rec := b.Device.Recs[i]; !rec.IsZero() && rec != b.Rec {
			var err error
			if line, err = evidence.Encode(evidence.Withheld{Digest: b.Device.Digest[i], Rec: rec, Seq: uint64(i)}); err != nil {
				return err
			}
		}
		chain.Write(line)
		chain.WriteByte('\n')
	}
	for _, s := range b.Device.Attested() {
		line, err := evidence.Encode(s)
		if err != nil {
			return err
		}
		seals.Write(line)
		seals.WriteByte('\n')
	}
	b.Files[verify.FileChain], b.Files[verify.FileSeals] = chain.Bytes(), seals.Bytes()
	return nil
}

// Finish writes the bag's own files and logs the export.
func (b *Bundle) Finish() error {
	Rebag(b.Files, b.Rec)
	r, err := b.Device.Recording(b.Rec)
	if err != nil {
		return err
	}
	index, err := b.Log.Append(&evidence.Export{Device: r.Device, Last: r.N - 1, Manifest: evidence.Sum(b.Files[verify.FileManifest]), Rec: b.Rec})
	if err != nil {
		return err
	}
	log := *b.Log
	log.Cosigners = nil
	receipt, err := log.Receipt(index)
	if err != nil {
		return err
	}
	b.Files[verify.FileExportLeaf], b.Files[verify.FileExportProof] = receipt.Leaf, receipt.Proof
	Rebag(b.Files, b.Rec)
	return nil
}

// Rebag writes bag-info.txt and both manifests so that they fit the files as they are.
func Rebag(files verify.Memory, rec evidence.RecordingID) {
	var payload []verify.FileHash
	size := uint64(0)
	for p, b := range files {
		if strings.HasPrefix(p, "data/") {
			payload = append(payload, verify.FileHash{Path: p, Hash: evidence.Sum(b)})
			size += uint64(len(b))
		}
	}
	files[verify.FileBagit] = verify.Bagit()
	files[verify.FileBagInfo] = verify.BagInfo(rec, size, uint64(len(payload)))
	files[verify.FileManifest] = verify.Manifest(payload)
	RebagTags(files)
}

// RebagTags writes the tag manifest alone.
func RebagTags(files verify.Memory) {
	var tags []verify.FileHash
	for p, b := range files {
		if !strings.HasPrefix(p, "data/") && p != verify.FileTagManifest {
			tags = append(tags, verify.FileHash{Path: p, Hash: evidence.Sum(b)})
		}
	}
	files[verify.FileTagManifest] = verify.Manifest(tags)
}

// Leaf logs a leaf and puts its receipt into the bundle.
func (b *Bundle) Leaf(l evidence.Leaf) error {
	index, err := b.Log.Append(l)
	b.indexes = append(b.indexes, index)
	return err
}
