package verifytest

import (
	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
)

// Spec says what a small bundle is made of.
type Spec struct {
	Sealer  Sealer
	Log     *Log
	Name    string // of the file
	Content []byte
	Chunk   int    // chunk size
	Why     string // of close; empty: it is not closed

	Authority *Authority                              // of time stamps; nil: none
	Maker     *EKMaker                                // of the EK certificate; nil: none
	EK        func() (public, cert []byte, err error) // nil: by Maker, or none
	Anchor    bool                                    // whether the device anchors a checkpoint ahead of the recording
}

// The names of a full bundle's cosigners.
const (
	Clock        = "camseal.test/log/clock"
	WitnessOne   = "one.test/witness"
	WitnessTwo   = "two.test/witness"
	counterIndex = 0x01800051
)

// FullSpec is SmallSpec with all there can be: a TPM with a counter and an EK certificate, an anchor, checkpoints with two witnesses and
// the log's clock, and a time stamp.
func FullSpec() (Spec, error) {
	s, err := SmallSpec()
	if err != nil {
		return Spec{}, err
	}
	tpm, err := NewEmulated("small")
	if err != nil {
		return Spec{}, err
	}
	tpm.Index, tpm.Value = counterIndex, 41
	s.Sealer, s.Anchor = tpm, true
	if s.Authority, err = NewAuthority("stamps.test"); err != nil {
		return Spec{}, err
	}
	if s.Maker, err = NewEKMaker("TPM maker"); err != nil {
		return Spec{}, err
	}
	return s, s.Log.Cosign(Clock, WitnessOne, WitnessTwo)
}

// Content returns n bytes that look like nothing.
func Content(n int) []byte {
	out := make([]byte, 0, n+32)
	d := evidence.Sum([]byte("content"))
	for len(out) < n {
		out = append(out, d[:]...)
		d = evidence.Sum(d[:])
	}
	return out[:n]
}

// SmallSpec is a bundle of five chunks by a key of class software.
func SmallSpec() (Spec, error) {
	sealer, err := NewSoftware("small")
	if err != nil {
		return Spec{}, err
	}
	log, err := NewLog("camseal.test/log", "small")
	return Spec{Sealer: sealer, Log: log, Name: "NOR_0001.MP4", Content: Content(1100), Chunk: 256, Why: evidence.WhyComplete}, err
}

// Build makes a whole bundle: a boot, another recording, then the one that the bundle is about, with a header, notes and custody
// events, and something after it.
func Build(s Spec) (*Bundle, error) {
	b := &Bundle{Log: s.Log, Rec: RecID("one"), Authority: s.Authority, Maker: s.Maker, enrol: evidence.Enrol{HomeLog: s.Log.VKey}}
	if s.EK == nil && s.Maker != nil {
		s.EK = func() (public, cert []byte, err error) { return s.Maker.EK("small") }
	}
	if s.EK != nil {
		public, cert, err := s.EK()
		if err != nil {
			return nil, err
		}
		b.enrol.EK, b.enrol.EKCert = public, cert
	}
	device, err := NewDeviceWith(s.Sealer, b.enrol)
	if err != nil {
		return nil, err
	}
	b.Device = device
	anchor := func() error { return nil }
	if s.Anchor {
		anchor = b.Anchor
	}
	steps := []func() error{
		func() error { return device.Boot() },
		device.Seal,
		b.Seen,
		func() error { return b.Custody("device-enrolled") },
		anchor,
		func() error {
			return device.Import(RecID("other"), "other.jpg", evidence.WhyComplete, Content(100), 256)
		},
		func() error { return device.Import(b.Rec, s.Name, s.Why, s.Content, s.Chunk) },
		b.Seen,
		b.Stored,
		func() error { return b.say(&evidence.Note{By: "Li Wei", Text: "two boxes listed"}) },
		func() error {
			return device.Import(RecID("third"), "third.jpg", evidence.WhyComplete, Content(40), 256)
		},
		func() error {
			return b.say(&evidence.Note{By: "Li Wei", Corrects: b.lastNote(), Text: "three boxes listed"})
		},
		device.Seal,
		b.Seen,
		func() error { return b.Custody("viewed") },
		func() error { return b.Put(s.Content) },
		b.Finish,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *Bundle) say(body evidence.Body) error {
	_, err := b.Device.Say(b.Rec, body)
	return err
}

func (b *Bundle) lastNote() uint64 {
	for i := len(b.Device.Recs) - 1; i >= 0; i-- {
		if b.Device.Recs[i] == b.Rec {
			return uint64(i)
		}
	}
	return 0
}

// Trust trusts the bundle's own log, and whoever cosigned, stamped and certified.
func (b *Bundle) Trust() *verify.Trust {
	t := &verify.Trust{V: 1, Logs: []verify.TrustedLog{{Key: b.Log.VKey}}, Witnesses: []string{}}
	for i, c := range b.Log.Cosigners {
		if i == 0 {
			t.Logs[0].Clock = c.VKey()
		} else {
			t.Witnesses = append(t.Witnesses, c.VKey())
		}
	}
	t.Quorum = len(t.Witnesses)
	if b.Authority != nil {
		t.TSARoots, _ = verify.NewTSARoots(b.Authority.Root) // it is well-formed
	}
	if b.Maker != nil {
		t.EKRoots, _ = attestation.NewRoots(b.Maker.Root) // likewise
	}
	return t
}

// Clone copies the files, so that a test can change them.
func Clone(m verify.Memory) verify.Memory {
	out := verify.Memory{}
	for p, b := range m {
		out[p] = append([]byte(nil), b...)
	}
	return out
}
