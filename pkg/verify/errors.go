package verify

import (
	"fmt"

	"camseal/pkg/evidence"
)

// ChainReason says in which way a chain breaks. It is stable and meant for programs.
type ChainReason string

// The reasons of a ChainBreak.
const (
	ChainSyntax   ChainReason = "syntax"   // the line is no canonical statement; Err says why
	ChainSeq      ChainReason = "seq"      // the line has another number than the next one; GotSeq is that number
	ChainDevice   ChainReason = "device"   // the line is said by another device
	ChainNumber   ChainReason = "n"        // the running number among the device's own statements is not the next one
	ChainEnrol    ChainReason = "enrol"    // the enrol statement does not name the key that seals
	ChainWithheld ChainReason = "withheld" // a withheld line stands where a whole one must
	ChainLong     ChainReason = "long"     // more statements or bytes without a seal than the format allows
	ChainBoot     ChainReason = "boot"     // a boot statement does not fit the device's class
	ChainUnsealed ChainReason = "unsealed" // the last statements have no seal
	ChainCount    ChainReason = "count"    // a counter value that does not follow from those before
	ChainPast     ChainReason = "past"     // no number follows: the chain is at its very end
)

// ChainBreak says that a line does not go on from the chain's head.
type ChainBreak struct {
	Device evidence.DeviceID
	Seq    uint64 // the number expected
	GotSeq uint64 // the number found, if the line could be read
	Reason ChainReason
	Want   string
	Got    string
	Err    error // of parsing, if that was it
}

func (e *ChainBreak) Error() string {
	return fmt.Sprintf("chain of device %s breaks at seq %d (%s): want %s, got %s", e.Device.Short(), e.Seq, e.Reason, e.Want, e.Got)
}

func (e *ChainBreak) Unwrap() error { return e.Err }

// SealReason says in which way a seal does not hold. It is stable and meant for programs.
type SealReason string

// The reasons of a SealBreak.
const (
	SealSyntax    SealReason = "syntax"    // the line is no canonical seal
	SealUpto      SealReason = "upto"      // the seal covers another statement than the last one
	SealHead      SealReason = "head"      // the seal is over another head than the chain's
	SealSignature SealReason = "signature" // the key's word does not hold; Err says why
	SealEpoch     SealReason = "epoch"     // the TPM's counts changed and no boot says so, or they went back
	SealClock     SealReason = "clock"     // the TPM's clock went back within an epoch
	SealPCR       SealReason = "pcr"       // the chain's PCR has another index than the boot says
	SealCount     SealReason = "count"     // a count record that does not hold, or that nothing asks for
	SealEmpty     SealReason = "empty"     // the seal covers no new statement
)

// SealBreak says that a seal does not hold.
type SealBreak struct {
	Device evidence.DeviceID
	Upto   uint64
	Reason SealReason
	Want   string
	Got    string
	Err    error
}

func (e *SealBreak) Error() string {
	s := fmt.Sprintf("seal of device %s up to seq %d does not hold (%s): want %s, got %s", e.Device.Short(), e.Upto, e.Reason, e.Want, e.Got)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *SealBreak) Unwrap() error { return e.Err }

// RecordingBreak says that a statement does not fit what was said about its recording before.
type RecordingBreak struct {
	Rec    evidence.RecordingID
	Seq    uint64
	N      uint64
	Kind   evidence.Kind
	Reason string
}

func (e *RecordingBreak) Error() string {
	return fmt.Sprintf("recording %s, %s at seq %d (n %d): %s", e.Rec, e.Kind, e.Seq, e.N, e.Reason)
}

// ReceiptBreak says that a receipt speaks of something else.
type ReceiptBreak struct {
	Index  int64 // in the log
	Reason string
}

func (e *ReceiptBreak) Error() string {
	return fmt.Sprintf("receipt %d: %s", e.Index, e.Reason)
}
