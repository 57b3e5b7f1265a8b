package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// EKCertFile is the content of FileEKCert: the endorsement key's certificate as PEM.
func EKCertFile(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// actEnrolled is the custody event by which a server says that it challenged a device's TPM (TPM2_MakeCredential), and its members.
const (
	actEnrolled = "device-enrolled"
	detailAK    = "ak"
	detailEK    = "ek"
)

// DeviceFound says what is known about the device's keys.
type DeviceFound struct {
	Maker    string  `json:"maker"`     // by the EK certificate's issuer, if a root that was given vouches for it
	Trial    bool    `json:"trial"`     // that root is an emulator's
	EKCert   bool    `json:"ek_cert"`   // whether the device has an EK certificate at all
	Attested bool    `json:"attested"`  // the operator's logged word that AK and EK are in one TPM is in the bundle
	ClearOff bool    `json:"clear_off"` // the device says that TPM2_Clear was disabled
	Previous *string `json:"previous"`  // the device that this one was before it had a new key, by its own word

	Revoked      *int64 `json:"revoked"`       // log index of the revocation; null: none in the bundle
	SuspectSince *int64 `json:"suspect_since"` // what it says, milliseconds since 1970 UTC

	Boots []BootFound `json:"boots"` // those with other start-up values than the one before, the first included
}

// BootFound is a start of the device's agent.
type BootFound struct {
	Seq      uint64            `json:"seq"`
	Software string            `json:"software"`
	PCRs     []evidence.Digest `json:"pcrs"` // 0-7
	Set      string            `json:"set"`  // the reference set that they are; empty: of none that was given
	Last     *uint64           `json:"last"` // not null: the device went on behind its server's head, and this was its own last seq
}

const maxBoots = 100

// booted takes in a boot statement.
func (w *walk) booted(seq uint64, b *evidence.Boot) {
	d := &w.c.device
	f := BootFound{Seq: seq, Software: shown(b.Software), PCRs: []evidence.Digest{}, Last: b.Last}
	if len(b.PCRs) >= attestation.FirmwarePCRs {
		f.PCRs = slices.Clone([]evidence.Digest(b.PCRs[:attestation.FirmwarePCRs]))
	}
	if n := len(d.Boots); n > 0 && (slices.Equal(d.Boots[n-1].PCRs, f.PCRs) && d.Boots[n-1].Software == f.Software && b.Last == nil || n == maxBoots) {
		return
	}
	if t := w.c.opts.Trust; t != nil {
		for _, s := range t.PCRs {
			if slices.Equal(s.PCRs, f.PCRs) {
				f.Set = shown(s.Name)
			}
		}
	}
	d.Boots = append(d.Boots, f)
}

// checkEK checks that the EK certificate is about the EK that enrol names, and looks for the maker's root.
func (c *check) checkEK() {
	d := &c.device
	d.EKCert, d.ClearOff = len(c.enrol.EKCert) > 0, c.enrol.ClearDisabled
	if p := c.enrol.Previous; p != nil {
		name := p.Device.String()
		d.Previous = &name
	}
	if !d.EKCert {
		return
	}
	cert, err := matchEK(c.enrol)
	if err != nil {
		c.broken(CodeEK, Place{File: FileChain, Line: 1}, "", err.Error())
		return
	}
	t := c.opts.Trust
	if t == nil {
		return
	}
	if maker, err := t.EKRoots.VerifyEK(cert); err == nil {
		d.Maker = shown(maker)
	} else if maker, err := t.EKRootsTrial.VerifyEK(cert); err == nil {
		d.Maker, d.Trial = shown(maker), true
	}
}

func matchEK(e *evidence.Enrol) (*x509.Certificate, error) {
	cert, err := attestation.ParseEKCert(e.EKCert)
	if err != nil {
		return nil, err
	}
	ek, err := attestation.ParseEK(e.EK)
	if err != nil {
		return nil, err
	}
	return cert, ek.Matches(cert)
}

// attested notes the operator's word that AK and EK are in one TPM, which is in the log.
func (c *check) attested(e *evidence.CustodyEvent) {
	if e.Act != actEnrolled || e.Device == nil || len(c.enrol.EK) == 0 {
		return
	}
	var ak, ek evidence.Bytes
	if ak.UnmarshalText([]byte(e.Detail[detailAK])) == nil && ek.UnmarshalText([]byte(e.Detail[detailEK])) == nil {
		c.device.Attested = c.device.Attested || bytes.Equal(ak, c.enrol.AK) && bytes.Equal(ek, c.enrol.EK)
	}
}

// gradeNote says what stands beside the grade; nothing if a known maker's certificate stands behind it.
func (c *check) gradeNote(g Grade) Missing {
	switch d := c.device; {
	case g == SoftwareSealed:
		return SoftwareKey
	case d.Trial:
		return TrialTPM
	case d.Maker == "":
		return MakerUnknown
	}
	return ""
}
