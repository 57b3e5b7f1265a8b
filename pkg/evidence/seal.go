package evidence

// Limits on how much one seal may cover, so that a batch of statements stays small.
const (
	MaxSealedStatements = 4096    // statements between neighbouring seals
	MaxSealedBytes      = 2 << 20 // bytes of their lines
)

// Seal is a line of seals.jsonl: the TPM's word for the head after statement Upto. SPEC.md section 4.
type Seal struct {
	Attest Bytes        `json:"attest"` // TPMS_ATTEST of TPM2_Quote; class software: see SPEC.md
	Head   Digest       `json:"head"`   // H(Upto)
	PCRs   List[Digest] `json:"pcrs"`   // the values quoted, in ascending order of index; empty in class software
	Sig    Bytes        `json:"sig"`    // TPMT_SIGNATURE
	Type   string       `json:"type"`   // "seal"
	Upto   uint64       `json:"upto"`
}

// Count is a line of seals.jsonl: the TPM's word for the counter, bound to the head after statement Seq. SPEC.md section 5.
type Count struct {
	Attest Bytes  `json:"attest"` // TPMS_ATTEST of TPM2_NV_Certify
	Seq    uint64 `json:"seq"`
	Sig    Bytes  `json:"sig"`
	Type   string `json:"type"` // "count"
}

// Attested is one line of seals.jsonl; exactly one member is set.
type Attested struct {
	Seal  *Seal
	Count *Count
}

// ParseSealUnverified reads one line of seals.jsonl. It checks no signature. Errors are *SyntaxError.
func ParseSealUnverified(line []byte) (Attested, error) {
	var s Seal
	err := Decode(line, &s)
	if err == nil && s.Type == "seal" {
		return Attested{Seal: &s}, nil
	}
	var c Count
	if errCount := Decode(line, &c); errCount == nil && c.Type == "count" {
		return Attested{Count: &c}, nil
	}
	if err == nil {
		err = syntaxf("type %q is neither seal nor count", s.Type)
	}
	return Attested{}, err
}
