package app

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/sys/unix"
)

// maxBars is how many files have a bar of their own at once.
const maxBars = 8

// view shows an import's progress: JSON lines, bars on a terminal, or plain lines.
type view struct {
	con  *console
	json *json.Encoder
	mpb  *mpb.Progress

	mu   sync.Mutex
	bar  map[string]*fileBar // by path
	told map[string]bool     // paths that wait, told once
	read map[string]uint64   // twentieths of a path that JSON told of
}

type fileBar struct {
	bar   *mpb.Bar
	mu    sync.Mutex
	state string
}

func newView(con *console, asJSON bool) *view {
	v := &view{con: con, bar: map[string]*fileBar{}, told: map[string]bool{}, read: map[string]uint64{}}
	if asJSON {
		v.json = json.NewEncoder(con.out)
	} else if terminal(con.out) {
		v.mpb = mpb.New(mpb.WithOutput(con.out), mpb.WithWidth(40))
	}
	return v
}

// terminal reports whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Write puts log lines above the bars.
func (v *view) Write(b []byte) (int, error) {
	if v.mpb != nil {
		return v.mpb.Write(b)
	}
	return v.con.err.Write(b)
}

func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, b := range v.bar {
		b.bar.Abort(true)
	}
	if v.mpb != nil {
		v.mpb.Wait()
	}
}

// show shows one line of progress.
func (v *view) show(p progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.json != nil {
		v.showJSON(p)
		return
	}
	if v.mpb != nil {
		v.showBar(p)
	}
	text := v.line(p)
	switch {
	case text == "":
	case v.mpb != nil && p.Summary == nil:
		fmt.Fprintln(v.mpb, text)
	case p.Summary == nil:
		fmt.Fprintln(v.con.out, text)
	default:
		for path, b := range v.bar {
			b.bar.Abort(true)
			delete(v.bar, path)
		}
		if v.mpb != nil {
			v.mpb.Wait()
			v.mpb = nil // the last line was shown
		}
		fmt.Fprintln(v.con.out, text)
	}
}

// showJSON writes every event, but of reading only each twentieth of the file.
func (v *view) showJSON(p progress) {
	if p.Event == "reading" {
		part := 20 * p.Bytes / max(p.Size, 1)
		if part == v.read[p.Path] {
			return
		}
		v.read[p.Path] = part
	}
	if err := v.json.Encode(p); err != nil {
		fmt.Fprintln(v.con.err, "camseal-agent: progress can't be written:", err)
	}
}

// line puts progress into words; "" when it is not worth a line.
func (v *view) line(p progress) string {
	name := printable(p.Path)
	switch p.Event {
	case "taken":
		if v.mpb != nil {
			return ""
		}
		return fmt.Sprintf("read    %s  %s  recording %s", name, bytesText(p.Bytes), p.Rec)
	case "sealed":
		if v.mpb != nil {
			return ""
		}
		return fmt.Sprintf("sealed  %s", name)
	case "stored":
		return strings.TrimRight(fmt.Sprintf("stored  %s  recording %s  %s", name, p.Rec, p.Text), " ")
	case "known":
		return fmt.Sprintf("known   %s  recording %s: %s", name, p.Rec, p.Text)
	case "faulty":
		return fmt.Sprintf("FAULTY  %s  recording %s: %s", name, p.Rec, p.Text)
	case "failed":
		return fmt.Sprintf("FAILED  %s: %s; nothing of it was taken in", name, p.Text)
	case "skipped":
		return fmt.Sprintf("skipped %s: %s", name, p.Text)
	case "waiting":
		if v.told[p.Path+p.Text] {
			return ""
		}
		v.told[p.Path+p.Text] = true
		return fmt.Sprintf("waits   %s: %s", name, p.Text)
	case "alarm":
		return "ALARM   " + p.Text
	case "over":
		return "over    " + p.Text
	case "summary":
		return p.Summary.text()
	}
	return ""
}

func (s summary) text() string {
	var parts []string
	for _, c := range []struct {
		n    int
		word string
	}{{s.Taken, "taken in"}, {s.Known, "known already"}, {s.Faulty, "FAULTY"}, {s.Failed, "FAILED"}, {s.Skipped, "skipped"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing to take in"}
	}
	text := fmt.Sprintf("%s (%s); %d sealed, %d stored", strings.Join(parts, ", "), bytesText(s.Bytes), s.Sealed, s.Stored)
	if s.Error != "" {
		text += "; " + s.Error
	}
	if n := len(s.Recordings); n > 0 {
		shown := s.Recordings[:min(n, 20)]
		text += "; recordings: " + strings.Join(shown, " ")
		if n > len(shown) {
			text += fmt.Sprintf(" and %d more (see --json)", n-len(shown))
		}
	}
	return text
}

// showBar moves the bars.
func (v *view) showBar(p progress) {
	b := v.bar[p.Path]
	switch p.Event {
	case "reading", "taken", "faulty":
		if b == nil {
			if len(v.bar) >= maxBars {
				return
			}
			b = v.newBar(p)
		}
		b.bar.SetCurrent(int64(p.Bytes))
		if p.Event != "reading" {
			b.set("read")
		}
	case "sealed":
		if b != nil {
			b.set("sealed")
		}
	case "stored":
		if b != nil {
			b.bar.Abort(true)
			delete(v.bar, p.Path)
		}
	}
}

func (v *view) newBar(p progress) *fileBar {
	b := &fileBar{state: "reading"}
	name := []rune(printable(filepath.Base(p.Path)))
	b.bar = v.mpb.AddBar(max(int64(p.Size), 1)+1, // one more, so that it stays until it is stored
		mpb.PrependDecorators(decor.Name(string(name[:min(len(name), 30)]), decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f", decor.WCSyncSpace), decor.Any(func(decor.Statistics) string { return "  " + b.get() })))
	v.bar[p.Path] = b
	return b
}

func (b *fileBar) set(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = s
}

func (b *fileBar) get() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// printable shows a name so that it can't break the line or steer the terminal.
func printable(s string) string {
	q := strconv.QuoteToGraphic(s)
	if inner := q[1 : len(q)-1]; inner == s && !strings.ContainsAny(s, " ") {
		return s
	}
	return q
}

func bytesText(n uint64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
