// Package sound holds what the spoken header needs of sound: 16 kHz mono samples, their WAV form, and where in them somebody speaks.
package sound

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Rate is the number of samples a second. All sound here is mono, 16 bits, little-endian.
const Rate = 16000

// Length is how long n samples take.
func Length(n int) time.Duration { return time.Duration(n) * time.Second / Rate }

const headerSize = 44

// WAV is the file of these samples: a header of 44 bytes and the samples.
func WAV(samples []int16) []byte {
	b := make([]byte, 0, headerSize+2*len(samples))
	size := uint32(2 * len(samples))
	b = append(b, "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, headerSize-8+size)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, 1) // PCM
	b = binary.LittleEndian.AppendUint16(b, 1) // channels
	b = binary.LittleEndian.AppendUint32(b, Rate)
	b = binary.LittleEndian.AppendUint32(b, 2*Rate)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 16)
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, size)
	for _, s := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	return b
}

// Errors of ReadWAV.
var (
	ErrNotOurs = errors.New("not a WAV file as this package writes it")
	ErrTooLong = errors.New("the sound is longer than allowed")
)

// ReadWAV reads exactly what WAV makes of at most limit samples, and nothing else.
func ReadWAV(r io.Reader, limit int) ([]int16, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOurs, err)
	}
	size := binary.LittleEndian.Uint32(head[40:])
	if size%2 != 0 {
		return nil, ErrNotOurs
	}
	if uint64(size) > 2*uint64(max(limit, 0)) {
		return nil, ErrTooLong
	}
	if want := WAV(make([]int16, size/2))[:headerSize]; string(want) != string(head[:]) {
		return nil, ErrNotOurs
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(size)+1))
	if err != nil {
		return nil, fmt.Errorf("read sound: %w", err)
	}
	if len(body) != int(size) {
		return nil, ErrNotOurs
	}
	return samples(body), nil
}

func samples(pcm []byte) []int16 {
	s := make([]int16, len(pcm)/2)
	for i := range s {
		s[i] = int16(binary.LittleEndian.Uint16(pcm[2*i:]))
	}
	return s
}
