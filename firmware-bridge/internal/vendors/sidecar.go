package vendors

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"camseal/pkg/handoff"
)

// Bounds of what side-car files add to a File, which must fit a line. The side-car itself is taken in whole, as a file of its own.
const (
	maxSidecar  = 1 << 20 // bytes that are read of one
	maxRemarks  = 10_000  // of the side-cars about many files in a folder
	maxMarks    = 512     // of a file
	maxMarkText = 256     // bytes of one mark's
	maxTexts    = 4 << 10 // bytes of all the texts of a file's marks
)

// remark is one line of a side-car.
type remark struct {
	file      string // as the line names it; empty in a side-car about one file
	offset    int64  // milliseconds from the begin; -1: it says none
	at        int64  // the recorder's clock; -1: it says none
	text      string
	important bool
	serial    string
}

// notes is what the side-cars of a folder say. A name in a side-car is only ever compared with names in its own folder; nothing is
// opened by it.
type notes struct {
	profile *Profile
	lists   map[string][]remark // by the name of the file that they are about
	byStem  map[string][]stemSidecar
}

type stemSidecar struct {
	sidecar *sidecar
	name    string
}

// errUnread says that a side-car could not be read whole the first time. The second time, what could be read of it is used: what is wrong with it
// shows when it is taken in itself.
var errUnread = errors.New("a side-car can't be read")

// readSidecars reads what is about many files, and finds what is about one. A nil result has nothing to add. Errors: errUnread.
func (w *walker) readSidecars(dir *os.File, names []string) (*notes, error) {
	p := w.profile
	if len(p.sidecars) == 0 {
		return nil, nil
	}
	n := &notes{profile: p, lists: map[string][]remark{}, byStem: map[string][]stemSidecar{}}
	room := maxRemarks
	for _, name := range names {
		decoded := p.decode([]byte(name))
		for i := range p.sidecars {
			s := &p.sidecars[i]
			m := s.name.FindStringSubmatch(decoded)
			if m == nil {
				continue
			}
			if s.byStem {
				stem := groups{s.name, m}.get("stem")
				n.byStem[stem] = append(n.byStem[stem], stemSidecar{s, name})
				if w.serial == nil || !has(s.line, "serial") {
					continue
				}
			}
			list, err := p.read(dir, name, s)
			if err != nil && w.first {
				return nil, errUnread
			}
			for _, r := range list {
				if w.serial != nil {
					if err := w.serial(r.serial); err != nil {
						return nil, err
					}
				}
				if r.file != "" && room > 0 {
					room--
					n.lists[r.file] = append(n.lists[r.file], r)
				}
			}
		}
	}
	return n, nil
}

// read returns the lines of one side-car that match, also when it ends in an error. What is no regular file has none.
func (p *Profile) read(dir *os.File, name string, s *sidecar) ([]remark, error) {
	f, err := openAt(dir, name, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSidecar))
	return p.remarks(raw, s), err
}

// remarks reads the lines that match.
func (p *Profile) remarks(raw []byte, s *sidecar) []remark {
	var list []remark
	for line := range bytes.Lines(bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF"))) {
		m := s.line.FindStringSubmatch(p.decode(bytes.TrimRight(line, "\r\n\x00 ")))
		if m == nil {
			continue
		}
		if len(list) == maxRemarks {
			break
		}
		g := groups{s.line, m}
		r := remark{file: g.get("file"), offset: offset(g.get("offset")), at: moment(s.layout, g.get("time")), text: text(strings.TrimSpace(g.get("text")), maxMarkText),
			important: slices.Contains(p.important.Words, strings.ToLower(g.get("important"))), serial: text(g.get("serial"), maxWord)}
		if g.get("offset") != "" && r.offset < 0 || g.get("time") != "" && r.at < 0 {
			continue // it only looks like a line
		}
		list = append(list, r)
	}
	return list
}

// add fills in what side-cars say of the file, also when it ends in an error.
func (n *notes) add(dir *os.File, f *handoff.File, raw string) error {
	if n == nil {
		return nil
	}
	var failed error
	name := n.profile.decode([]byte(raw))
	for _, s := range n.profile.sidecars {
		if s.kind != "" && s.name.MatchString(name) {
			f.Kind = s.kind
		}
	}
	list := n.lists[name]
	if f.Kind.Footage() {
		for _, s := range n.byStem[strings.TrimSuffix(name, path.Ext(name))] {
			more, err := n.profile.read(dir, s.name, s.sidecar)
			failed = errors.Join(failed, err)
			list = append(list[:len(list):len(list)], more...)
		}
	}
	texts := 0
	for _, r := range list {
		f.Important = f.Important || r.important
		at := r.offset
		if at < 0 && f.Begun > 0 && r.at >= f.Begun && r.at-f.Begun <= maxOffset {
			at = r.at - f.Begun
		}
		if texts += len(r.text) + 1; texts > maxTexts {
			continue
		}
		if at >= 0 && len(f.Marks) < maxMarks {
			f.Marks = append(f.Marks, handoff.Mark{Moment: uint64(at), Text: r.text})
		} else if at < 0 && r.text != "" {
			f.Note = strings.TrimPrefix(f.Note+"\n"+r.text, "\n")
		}
	}
	return failed
}

// maxOffset is a day in milliseconds: no recorder's file is longer.
const maxOffset = 24 * 60 * 60 * 1000

// offset reads 75, 75.5, 1:15, 0:01:15 or 00:01:15.500 as milliseconds; -1: it is none of these.
func offset(s string) int64 {
	whole, fraction, dot := strings.Cut(s, ".")
	if dot && (fraction == "" || len(fraction) > 3) {
		return -1
	}
	parts := strings.Split(whole, ":")
	if len(parts) > 3 {
		return -1
	}
	var seconds uint64
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 20)
		if err != nil || i > 0 && n > 59 {
			return -1
		}
		seconds = seconds*60 + n
	}
	var milli uint64
	if dot {
		var err error
		if milli, err = strconv.ParseUint((fraction + "00")[:3], 10, 10); err != nil {
			return -1
		}
	}
	if at := seconds*1000 + milli; at <= maxOffset {
		return int64(at)
	}
	return -1
}
