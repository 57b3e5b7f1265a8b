package vendors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The protocol. Makers keep theirs to themselves, so this is our own: it carries the trade's functions over any stream of bytes, a serial line or a Unix
// socket. The host asks, the recorder answers, one at a time. A frame is
//
//	2 bytes   length of what follows it: command, payload and checksum; big endian, 5 to MaxFrame
//	1 byte    command; in an answer, the same with the highest bit set
//	n bytes   payload
//	4 bytes   CRC-32 (IEEE) of length, command and payload; big endian
//
// An answer's payload begins with a Status; only after StatusOK does anything follow it. Text is GBK, without control characters.
//
//	command              asks with             answers with
//	CommandInit          password, may be ""   nothing                               Init_Device; comes first
//	CommandIdentify      nothing               serial NUL model NUL firmware         GetIDCode
//	CommandOfficer       nothing               89 bytes, see OfficerRecord           GetZFYInfo
//	CommandSetOfficer    89 bytes              nothing                               WriteZFYInfo
//	CommandBattery       nothing               1 byte, per cent                      ReadDeviceBatteryDumpEnergy
//	CommandResolution    nothing               width, height, 2 bytes each           ReadDeviceResolution
//	CommandClock         nothing               17 digits, YYYYMMDDhhmmssmmm
//	CommandSetClock      the same 17 digits    nothing                               SyncDevTime
//	CommandStorage       nothing               nothing, then it may hang up          SetMSDC
//
// There is no command that formats or erases.

// MaxFrame is the greatest length that a frame may state.
const MaxFrame = 1024

const (
	frameHead = 2
	frameCRC  = 4
	answerBit = 0x80
)

// Command says what is asked.
type Command byte

// The commands.
const (
	CommandInit Command = 1 + iota
	CommandIdentify
	CommandOfficer
	CommandSetOfficer
	CommandBattery
	CommandResolution
	CommandClock
	CommandSetClock
	CommandStorage
)

// String returns the trade's name of it.
func (c Command) String() string {
	names := []string{"", "Init_Device", "GetIDCode", "GetZFYInfo", "WriteZFYInfo", "ReadDeviceBatteryDumpEnergy", "ReadDeviceResolution", "ReadDevTime",
		"SyncDevTime", "SetMSDC"}
	if c == 0 || int(c) >= len(names) {
		return fmt.Sprintf("command %d", byte(c))
	}
	return names[c]
}

// Status is a recorder's answer in one byte.
type Status byte

// The statuses.
const (
	StatusOK Status = iota
	StatusPassword
	StatusUnknown
	StatusInvalid
	StatusBusy
)

// String says it in words.
func (s Status) String() string {
	switch s {
	case StatusOK:
		return "done"
	case StatusPassword:
		return "the password is wrong; set the recorder's own in the bridge's configuration"
	case StatusUnknown:
		return "it does not have this function"
	case StatusInvalid:
		return "it does not take this value"
	case StatusBusy:
		return "it is busy, perhaps recording; stop that and dock it again"
	}
	return fmt.Sprintf("status %d", byte(s))
}

// AppendFrame appends a frame to b. The payload must fit into MaxFrame.
func AppendFrame(b []byte, command Command, payload []byte) ([]byte, error) {
	length := 1 + len(payload) + frameCRC
	if length > MaxFrame {
		return nil, fmt.Errorf("a frame of %d bytes is longer than %d", length, MaxFrame)
	}
	from := len(b)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(append(b, byte(command)), payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:])), nil
}

// ReadFrame reads one frame, and not a byte more. Errors: *Rubbish; those of r, io.EOF only before the first byte.
func ReadFrame(r io.Reader) (Command, []byte, error) {
	head := make([]byte, frameHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	length := int(binary.BigEndian.Uint16(head))
	if length < 1+frameCRC || length > MaxFrame {
		return 0, nil, &Rubbish{fmt.Sprintf("a frame of %d bytes", length)}
	}
	frame := append(head, make([]byte, length)...)
	if _, err := io.ReadFull(r, frame[frameHead:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	end := len(frame) - frameCRC
	if crc32.ChecksumIEEE(frame[:end]) != binary.BigEndian.Uint32(frame[end:]) {
		return 0, nil, &Rubbish{"a checksum is wrong"}
	}
	return Command(frame[frameHead]), frame[frameHead+1 : end], nil
}
