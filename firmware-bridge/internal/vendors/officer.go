package vendors

import (
	"bytes"
	"fmt"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// OfficerRecordSize is how many bytes an OfficerRecord has.
const OfficerRecordSize = 89

// OfficerRecord is the record of whom a recorder is given to, as the trade calls it ZFY_INFO: fields of fixed length in GBK, filled up with NUL or
// spaces. It keeps the bytes as they came, whatever they are; setting a field touches that field alone.
//
//	serial 7 @0 · officer's number 6 @7 · officer's name 32 @13 · unit's number 12 @45 · unit's name 32 @57
type OfficerRecord [OfficerRecordSize]byte

// ParseOfficerRecord takes exactly OfficerRecordSize bytes of any content.
func ParseOfficerRecord(raw []byte) (OfficerRecord, error) {
	var r OfficerRecord
	if len(raw) != len(r) {
		return r, &Rubbish{fmt.Sprintf("an officer's record of %d bytes, not %d", len(raw), len(r))}
	}
	copy(r[:], raw)
	return r, nil
}

// Serial returns the recorder's serial. Like all these, it ends before the first NUL and the spaces at the end, and what is no GBK reads U+FFFD.
func (r *OfficerRecord) Serial() string { return field(r[0:7]) }

// Number returns the officer's number.
func (r *OfficerRecord) Number() string { return field(r[7:13]) }

// Name returns the officer's name.
func (r *OfficerRecord) Name() string { return field(r[13:45]) }

// UnitNumber returns the unit's number.
func (r *OfficerRecord) UnitNumber() string { return field(r[45:57]) }

// UnitName returns the unit's name.
func (r *OfficerRecord) UnitName() string { return field(r[57:89]) }

// SetSerial sets the recorder's serial. Like all these, it refuses what does not fit into the field or would read otherwise afterwards, and then
// leaves the record as it was; nothing is ever cut.
func (r *OfficerRecord) SetSerial(s string) error { return setField(r[0:7], "serial", s) }

// SetNumber sets the officer's number.
func (r *OfficerRecord) SetNumber(s string) error { return setField(r[7:13], "officer's number", s) }

// SetName sets the officer's name.
func (r *OfficerRecord) SetName(s string) error { return setField(r[13:45], "officer's name", s) }

// SetUnitNumber sets the unit's number.
func (r *OfficerRecord) SetUnitNumber(s string) error { return setField(r[45:57], "unit's number", s) }

// SetUnitName sets the unit's name.
func (r *OfficerRecord) SetUnitName(s string) error { return setField(r[57:89], "unit's name", s) }

func field(raw []byte) string {
	raw, _, _ = bytes.Cut(raw, []byte{0})
	s, err := simplifiedchinese.GBK.NewDecoder().Bytes(bytes.TrimRight(raw, " "))
	if err != nil {
		return "\uFFFD" // the decoder replaces and does not fail
	}
	return string(s)
}

func setField(raw []byte, what, s string) error {
	if field(raw) == s {
		return nil // however it is filled up
	}
	b, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(s))
	if err != nil {
		return fmt.Errorf("%s %q has a character without a form in GBK; the record was not changed", what, s)
	}
	if len(b) > len(raw) {
		return fmt.Errorf("%s %q has %d bytes in GBK and the recorder keeps %d; the record was not changed, shorten it", what, s, len(b), len(raw))
	}
	if field(b) != s {
		return fmt.Errorf("%s %q would not read the same on the recorder; the record was not changed", what, s)
	}
	fill := byte(0)
	if raw[len(raw)-1] == ' ' { // as this recorder does
		fill = ' '
	}
	copy(raw[copy(raw, b):], bytes.Repeat([]byte{fill}, len(raw)-len(b)))
	return nil
}
