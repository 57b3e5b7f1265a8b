package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
	"runtime"
	"syscall"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

const (
	segments     = 20_000      // of 4 s each, every one under a seal of its own
	perRecording = 150         // of them: ten minutes
	segmentSize  = 4e6 / 8 * 4 // bytes of 4 s at 4 Mbit/s
)

// sealing measures how fast the seals and counts of a capturing device are checked on one core, and what sealing adds to its footage. The TPM's
// words are made by a key in this process; their bytes are laid out as a TPM's.
func sealing(*place) ([]row, error) {
	d, err := captured()
	if err != nil {
		return nil, err
	}
	chain, seals := d.Lines, [][]byte{}
	added := 0
	for _, a := range d.Attested() {
		line, err := evidence.Encode(a)
		if err != nil {
			return nil, err
		}
		seals = append(seals, line)
	}
	for _, lines := range [][][]byte{chain, seals} {
		for _, line := range lines {
			added += len(line) + 1
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var rates, bare []float64
	for range 3 {
		for _, side := range []struct {
			rates *[]float64
			do    func() error
		}{{&rates, func() error { return walk(d, chain, seals) }}, {&bare, func() error { return signatures(d) }}} {
			begun, err := used()
			if err != nil {
				return nil, err
			}
			if err := side.do(); err != nil {
				return nil, err
			}
			ended, err := used()
			if err != nil {
				return nil, err
			}
			*side.rates = append(*side.rates, float64(len(d.Seals))/(ended-begun).Seconds())
		}
	}
	rate, share := median(rates), 100*float64(added)/(segments*segmentSize)
	return []row{
		target("seals verified a second of one core's time, everything checked", fmt.Sprintf("%.0f (runs: %.0f)", rate, rates), "at least 8000", rate >= 8000),
		figure("the same seals' signatures alone, in turn: what bounds it", "%.0f (runs: %.0f)", median(bare), bare),
		figure("checked in each run", "%d statements, %d seals, %d count records", len(chain), len(d.Seals), len(d.Counts)),
		target("what sealing adds to footage of 4 Mbit/s in segments of 4 s", fmt.Sprintf("%.3f %% (%d bytes a segment)", share, added/segments), "under 0.2 %", share < 0.2),
	}, nil
}

// signatures checks the ECDSA signatures alone, as nobody can do without.
func signatures(d *verifytest.Device) error {
	public := d.Sealer.Key().Public()
	for _, s := range d.Seals {
		// TPMT_SIGNATURE: algorithm, hash, and two numbers, each with its length in 2 bytes (TPM 2.0 Part 2, 11.3.4).
		n := binary.BigEndian.Uint16(s.Sig[4:])
		r, t := new(big.Int).SetBytes(s.Sig[6:6+n]), new(big.Int).SetBytes(s.Sig[8+n:])
		digest := sha256.Sum256(s.Attest)
		if !ecdsa.Verify(public, digest[:], r, t) {
			return fmt.Errorf("the signature of the seal up to %d does not hold", s.Upto)
		}
	}
	return nil
}

// used is the processor time that this process has taken. With one core to run on, it is that core's time less what others had of it.
func used() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// captured is the chain of a device that captured for 22 hours.
func captured() (*verifytest.Device, error) {
	tpm, err := verifytest.NewEmulated("bench")
	if err != nil {
		return nil, err
	}
	tpm.Index = 0x01800C51
	d, err := verifytest.NewDevice(tpm, "bench.example+0+AAAA")
	if err != nil {
		return nil, err
	}
	if err := d.Boot(); err != nil {
		return nil, err
	}
	if err := d.Seal(); err != nil {
		return nil, err
	}
	var rec evidence.RecordingID
	for i := range uint64(segments) {
		index := i % perRecording
		if index == 0 {
			rec = verifytest.RecID(fmt.Sprint(i))
			value, err := d.Value(1)
			if err != nil {
				return nil, err
			}
			if _, err := d.Say(rec, &evidence.Open{Counter: value, MediaType: "video/mp4", Mode: evidence.ModeCapture, Source: evidence.Source{Serial: "BZ02712", Name: "capture"}}); err != nil {
				return nil, err
			}
		}
		if _, err := d.Say(rec, &evidence.Chunk{Duration: 4000, Hash: evidence.Sum(fmt.Append(nil, i)), Index: index, Keyframe: true, Offset: index * segmentSize, Size: segmentSize, Start: index * 4000}); err != nil {
			return nil, err
		}
		if err := d.Seal(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// walk checks all lines as a reader of chain.jsonl and seals.jsonl does.
func walk(d *verifytest.Device, chain, seals [][]byte) error {
	c := verify.NewChain(d.Sealer.Key())
	next := 0
	for _, line := range seals {
		a, err := evidence.ParseSealUnverified(line)
		if err != nil {
			return err
		}
		if a.Count != nil {
			if err := c.Count(*a.Count); err != nil {
				return err
			}
			continue
		}
		for ; uint64(next) <= a.Seal.Upto; next++ {
			if _, err := c.Statement(chain[next]); err != nil {
				return err
			}
		}
		sealed, err := c.Seal(*a.Seal)
		if err != nil {
			return err
		}
		if sealed.Unproven != nil || len(sealed.Gaps) > 0 {
			return fmt.Errorf("seal up to %d: %+v", sealed.Upto, sealed)
		}
	}
	if next != len(chain) {
		return fmt.Errorf("%d of %d statements under a seal", next, len(chain))
	}
	return nil
}
