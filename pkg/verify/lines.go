package verify

import (
	"bufio"
	"errors"
	"io"

	"camseal/pkg/evidence"
)

// lines reads JSON lines: each at most evidence.MaxLine bytes and ended by a line feed, the last one too.
type lines struct {
	r  *bufio.Reader
	no int // of the line read last, from 1
}

var (
	errLongLine = errors.New("a line that is too long")
	errNoEnd    = errors.New("the last line does not end with a line feed")
)

// newLines reads a file of so many bytes.
func newLines(r io.Reader, size int64) *lines {
	return &lines{r: bufio.NewReaderSize(r, int(min(size, evidence.MaxLine))+2)}
}

// next returns the next line without its line feed; the slice is good until the next call. io.EOF ends.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if len(line) == 0 && errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	l.no++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errLongLine
	case errors.Is(err, io.EOF):
		return nil, errNoEnd
	case err != nil:
		return nil, err
	}
	return line[:len(line)-1], nil
}
