package verifytest

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"

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
	Counts []PlacedCount

	owed    []uint64
	counted map[uint64]bool // those of owed that are to be counted up for
	at      int64
	numbers map[evidence.RecordingID]uint64
	salts   int
}

const firstAt = 1790000000000 // the device's clock at its first statement, milliseconds since 1970 UTC

// PlacedCount is a count record and how many seals stand before it.
type PlacedCount struct {
	evidence.Count
	Seals int
}

// NewDevice enrols a device with a home log.
func NewDevice(s Sealer, homeLog string) (*Device, error) {
	return NewDeviceWith(s, evidence.Enrol{HomeLog: homeLog})
}

// NewDeviceWith enrols a device that says more of itself than what follows from its sealer.
func NewDeviceWith(s Sealer, enrol evidence.Enrol) (*Device, error) {
	d := &Device{Sealer: s, at: firstAt, numbers: map[evidence.RecordingID]uint64{}, counted: map[uint64]bool{}}
	enrol.AK, enrol.Class, enrol.TLSKey = s.Key().Bytes(), s.Key().Class(), evidence.Bytes("tls")
	if c, ok := s.(Counting); ok {
		var err error
		if enrol.Counter, _, err = c.Counter(context.Background()); err != nil {
			return nil, err
		}
	}
	_, err := d.Say(evidence.RecordingID{}, &enrol)
	return d, err
}

// Value returns the counter's value as a statement names it, plus more; empty without a counter.
func (d *Device) Value(more uint64) (string, error) {
	c, ok := d.Sealer.(Counting)
	if !ok {
		return "", nil
	}
	ref, value, err := c.Counter(context.Background())
	if ref == nil || err != nil {
		return "", err
	}
	return strconv.FormatUint(value+more, 10), nil
}

// owes remembers what needs a count record.
func (d *Device) owes(seq uint64, body evidence.Body) {
	value, up := "", false
	switch b := body.(type) {
	case *evidence.Enrol:
		if b.Counter != nil {
			value = "any"
		}
	case *evidence.Boot:
		value = b.Counter
	case *evidence.Intake:
		value, up = b.Counter, true
	case *evidence.Open:
		value, up = b.Counter, true
	}
	if value != "" {
		d.owed, d.counted[seq] = append(d.owed, seq), up
	}
}

// Count pays all that is owed, in order.
func (d *Device) Count() error {
	ctx := context.Background()
	for _, seq := range d.owed {
		c := d.Sealer.(Counting)
		if d.counted[seq] {
			if err := c.Increment(ctx); err != nil {
				return err
			}
		}
		r, err := c.Count(ctx, seq, d.Heads[seq])
		if err != nil {
			return err
		}
		d.Counts = append(d.Counts, PlacedCount{r, len(d.Seals)})
	}
	d.owed = nil
	return nil
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
	d.owes(s.Seq, body)
	d.numbers[rec]++
	d.salts++
	d.at += 40
	return s.Seq, nil
}

// Advance moves the device's clock, milliseconds.
func (d *Device) Advance(ms int64) { d.at += ms }

// Forget gives up the count records that are owed.
func (d *Device) Forget() { d.owed = nil }

// Boot says what the sealer's state is.
func (d *Device) Boot(intents ...evidence.Digest) error { return d.boot(nil, intents) }

// BootBehind is Boot by a device that goes on behind its server's head, with its own last statement.
func (d *Device) BootBehind(last uint64) error { return d.boot(&last, nil) }

func (d *Device) boot(last *uint64, intents []evidence.Digest) error {
	ctx := context.Background()
	pcrs, err := d.Sealer.PCRs(ctx)
	if err != nil {
		return err
	}
	reset, restart, _, err := d.Sealer.Clock(ctx)
	if err != nil {
		return err
	}
	value, err := d.Value(0)
	if err != nil {
		return err
	}
	_, err = d.Say(evidence.RecordingID{}, &evidence.Boot{Counter: value, Last: last, ChainPCR: uint64(d.Sealer.ChainPCR()), Intents: append([]evidence.Digest{}, intents...),
		PCRs: append([]evidence.Digest{}, pcrs...), ResetCount: uint64(reset), RestartCount: uint64(restart), Software: "verifytest 1"})
	return err
}

// Seal seals all statements so far, and counts those that are owed.
func (d *Device) Seal() error {
	if err := d.SealOnly(); err != nil {
		return err
	}
	return d.Count()
}

// SealOnly seals all statements so far.
func (d *Device) SealOnly() error {
	ctx := context.Background()
	upto := len(d.Lines) - 1
	if err := d.Sealer.Extend(ctx, d.Heads[upto]); err != nil {
		return err
	}
	s, err := d.Sealer.Quote(ctx, d.Heads[upto], uint64(upto))
	d.Seals = append(d.Seals, s)
	return err
}

// Attested returns seals and count records in their order.
func (d *Device) Attested() []any {
	var out []any
	counts := d.Counts
	for i := range len(d.Seals) + 1 {
		for len(counts) > 0 && counts[0].Seals == i {
			out, counts = append(out, counts[0].Count), counts[1:]
		}
		if i < len(d.Seals) {
			out = append(out, d.Seals[i])
		}
	}
	return out
}

// RecID returns a recording id that follows from a name.
func RecID(name string) evidence.RecordingID {
	d := sha256.Sum256([]byte("recording " + name))
	return evidence.RecordingID(d[:16])
}

// Import takes in a file as one recording, sealing after every third chunk and at the end.
func (d *Device) Import(rec evidence.RecordingID, name, why string, content []byte, chunkSize int) error {
	value, err := d.Value(1)
	if err != nil {
		return err
	}
	intake, err := d.Say(evidence.RecordingID{}, &evidence.Intake{Counter: value, Recorder: "BZ02712", Slot: "import"})
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
