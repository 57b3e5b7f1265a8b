package verifytest

import (
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
	device, err := NewDevice(s.Sealer, s.Log.VKey)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Log: s.Log, Device: device, Rec: RecID("one")}
	steps := []func() error{
		func() error { return device.Boot() },
		device.Seal,
		b.Seen,
		func() error { return b.Custody("device-registered") },
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

// Trust trusts the bundle's own log.
func (b *Bundle) Trust() *verify.Trust {
	return &verify.Trust{V: 1, Logs: []verify.TrustedLog{{Key: b.Log.VKey}}}
}

// Clone copies the files, so that a test can change them.
func Clone(m verify.Memory) verify.Memory {
	out := verify.Memory{}
	for p, b := range m {
		out[p] = append([]byte(nil), b...)
	}
	return out
}
