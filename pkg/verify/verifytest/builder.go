package verifytest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
)

var (
	curve      = elliptic.P256()
	hashSHA256 = crypto.SHA256
)

// Device writes a chain: statements, and seals over them.
type Device struct {
	Sealer Sealer
	Lines  [][]byte          // of statement 0, 1, 2 …
	Digest []evidence.Digest // D of each
	Recs   []evidence.RecordingID
	Heads  []evidence.Digest
	Seals  []evidence.Seal

	at      int64
	numbers map[evidence.RecordingID]uint64
	salts   int
}

// NewDevice enrols a device with a home log.
func NewDevice(s Sealer, homeLog string) (*Device, error) {
	d := &Device{Sealer: s, at: 1790000000000, numbers: map[evidence.RecordingID]uint64{}}
	_, err := d.Say(evidence.RecordingID{}, &evidence.Enrol{AK: s.Key().Bytes(), Class: s.Key().Class(), HomeLog: homeLog, TLSKey: evidence.Bytes("tls")})
	return d, err
}

// Say writes the next statement and returns its number.
func (d *Device) Say(rec evidence.RecordingID, body evidence.Body) (uint64, error) {
	s := evidence.NewStatement(d.Sealer.Key().Name(), rec, body)
	s.Seq, s.N, s.At = uint64(len(d.Lines)), d.numbers[rec], d.at
	salt := sha256.Sum256(fmt.Appendf(nil, "salt %d", d.salts))
	copy(s.Salt[:], salt[:])
	line, digest, err := s.Encode()
	if err != nil {
		return 0, err
	}
	prev := evidence.FirstHead(s.Device)
	if s.Seq > 0 {
		prev = d.Heads[s.Seq-1]
	}
	d.Heads = append(d.Heads, evidence.NextHead(s.Seq, rec, prev, digest))
	d.Lines, d.Digest, d.Recs = append(d.Lines, line), append(d.Digest, digest), append(d.Recs, rec)
	d.numbers[rec]++
	d.salts++
	d.at += 40
	return s.Seq, nil
}

// Boot says what the sealer's state is.
func (d *Device) Boot(intents ...evidence.Digest) error {
	ctx := context.Background()
	pcrs, err := d.Sealer.PCRs(ctx)
	if err != nil {
		return err
	}
	reset, restart, _, err := d.Sealer.Clock(ctx)
	if err != nil {
		return err
	}
	_, err = d.Say(evidence.RecordingID{}, &evidence.Boot{ChainPCR: uint64(d.Sealer.ChainPCR()), Intents: append([]evidence.Digest{}, intents...),
		PCRs: append([]evidence.Digest{}, pcrs...), ResetCount: uint64(reset), RestartCount: uint64(restart), Software: "verifytest 1"})
	return err
}

// Seal seals all statements so far.
func (d *Device) Seal() error {
	ctx := context.Background()
	upto := len(d.Lines) - 1
	if err := d.Sealer.Extend(ctx, d.Heads[upto]); err != nil {
		return err
	}
	s, err := d.Sealer.Quote(ctx, d.Heads[upto], uint64(upto))
	d.Seals = append(d.Seals, s)
	return err
}

// RecID returns a recording id that follows from a name.
func RecID(name string) evidence.RecordingID {
	d := sha256.Sum256([]byte("recording " + name))
	return evidence.RecordingID(d[:16])
}

// Import takes in a file as one recording, sealing after every third chunk and at the end.
func (d *Device) Import(rec evidence.RecordingID, name, why string, content []byte, chunkSize int) error {
	intake, err := d.Say(evidence.RecordingID{}, &evidence.Intake{Recorder: "BZ02712", Slot: "import"})
	if err != nil {
		return err
	}
	src := evidence.Source{Serial: "BZ02712", Size: uint64(len(content)), Volume: "0A1B-2C3D"}
	src.SetPath([]byte("DCIM/"+name), []byte(name))
	if _, err = d.Say(rec, &evidence.Open{ChunkSize: uint64(chunkSize), Intake: intake, MediaType: "video/mp4", Mode: evidence.ModeImport, Source: src}); err != nil {
		return err
	}
	n := 0
	for part := range slices.Chunk(content, chunkSize) {
		if _, err = d.Say(rec, &evidence.Chunk{Hash: evidence.Sum(part), Index: uint64(n), Offset: uint64(n * chunkSize), Size: uint64(len(part))}); err != nil {
			return err
		}
		if n++; n%3 == 0 {
			if err := d.Seal(); err != nil {
				return err
			}
		}
	}
	if why != "" {
		if _, err = d.Say(rec, &evidence.Close{Chunks: uint64(n), Hash: evidence.Sum(content), Size: uint64(len(content)), Why: why}); err != nil {
			return err
		}
	}
	return d.Seal()
}

// Recording reads the statements about rec back.
func (d *Device) Recording(rec evidence.RecordingID) (*verify.Recording, error) {
	r := verify.NewRecording(d.Sealer.Key().Name(), rec)
	for i, line := range d.Lines {
		if d.Recs[i] != rec {
			continue
		}
		s, digest, err := evidence.ParseUnverified(line)
		if err != nil {
			return nil, err
		}
		if err := r.Add(&s, digest); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Bundle writes parts of a bundle and puts them together. Its steps are those that a server takes.
type Bundle struct {
	Files   verify.Memory
	Log     *Log
	Device  *Device
	Rec     evidence.RecordingID
	indexes []int64 // of the receipts to put in
	custody []byte
	seen    *uint64
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
	line, err := evidence.Encode(&evidence.CustodyEvent{Act: act, Actor: "server", At: 1790000009000, Detail: evidence.Detail{"reason": "test"}, Device: &device, Rec: b.Rec,
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
	for _, s := range b.Device.Seals {
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
	receipt, err := b.Log.Receipt(index)
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
