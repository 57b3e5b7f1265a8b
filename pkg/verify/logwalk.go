package verify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"golang.org/x/mod/sumdb/note"
	xtlog "golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// LogReport is the whole result of walking a log.
type LogReport struct {
	Findings
	Origin     string         `json:"origin"`
	Size       int64          `json:"size"` // leaves
	Root       string         `json:"root"` // base64
	Leaves     map[string]int `json:"leaves"`
	Devices    int            `json:"devices"`
	Recordings int            `json:"recordings"`
	Witnesses  int            `json:"witnesses"` // of those given, that signed the checkpoint
}

// LogOptions say what a log is checked with.
type LogOptions struct {
	Trust    *Trust                  // nil: none given; the best verdict is SelfVouched
	Progress func(done, total int64) // called now and then with leaves; may be nil
}

// Log walks a log in the form of C2SP tlog-tiles: its checkpoint, that all tiles and entries give its root, and that its leaves do not
// contradict each other. It returns an error only when ctx ends. Memory grows with the number of devices and recordings
// that the log speaks of, not with its leaves.
func Log(ctx context.Context, fsys fs.FS, opts LogOptions) (*LogReport, error) {
	w := &logWalk{ctx: ctx, fsys: fsys, opts: opts, report: &LogReport{Findings: newFindings(), Leaves: map[string]int{}}, history: newHistory()}
	w.run()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.report.Devices, w.report.Recordings = len(w.history.devices), len(w.history.recordings)
	w.report.NotGiven = w.notGiven()
	w.report.finish()
	return w.report, nil
}

// UnopenedLog is the report about a folder that could not be opened.
func UnopenedLog(path string, err error) *LogReport {
	r := &LogReport{Findings: newFindings(), Leaves: map[string]int{}}
	r.unopened(path, err)
	return r
}

type logWalk struct {
	ctx     context.Context
	fsys    fs.FS
	opts    LogOptions
	report  *LogReport
	history *history

	checkpoint tlog.Checkpoint
	clocks     clocks
	index      int64 // of the next leaf
}

var errStop = errors.New("reported")

func (w *logWalk) run() {
	if !w.openCheckpoint() {
		return
	}
	tree := &treeRoot{full: w.compareTile}
	err := w.each(func(_ int64, leaf []byte, file string) error {
		w.leaf(leaf, file)
		return tree.add(0, xtlog.RecordHash(leaf))
	})
	for level := range tree.levels {
		if err == nil && len(tree.levels[level]) > 0 {
			err = w.compareTile(level, tree.done[level], tree.levels[level])
		}
	}
	switch {
	case errors.Is(err, errStop) || w.ctx.Err() != nil:
		return
	case err != nil:
		w.add(Unreadable, CodeIO, Place{File: dirEntries}, "", err.Error())
		return
	case tree.root() != w.checkpoint.Root:
		w.add(Broken, CodeRoot, Place{File: fileCheckpoint}, "", fmt.Sprintf("want %s, got %s", w.checkpoint.Root, tree.root()))
	}
	w.findForks()
}

func (w *logWalk) add(v Verdict, code Code, at Place, value, detail string) {
	w.report.add(Problem{Verdict: v, Code: code, Place: at, Value: value, Detail: detail})
}

// openCheckpoint checks the checkpoint by the key given for its origin. Without a trust folder it is only read.
func (w *logWalk) openCheckpoint() bool {
	signed, err := w.read(fileCheckpoint, tlog.MaxCheckpoint)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.add(Unreadable, CodeNoLog, Place{File: fileCheckpoint}, "", err.Error())
		return false
	case err != nil:
		w.add(Unreadable, CodeIO, Place{File: fileCheckpoint}, "", err.Error())
		return false
	}
	if w.checkpoint, err = tlog.ParseCheckpointUnverified(signed); err == nil && w.opts.Trust != nil {
		err = w.verifyCheckpoint(signed)
	}
	if err != nil {
		if !errors.Is(err, errStop) {
			w.add(Broken, CodeCheckpoint, Place{File: fileCheckpoint}, "", err.Error())
		}
		return false
	}
	w.report.Origin, w.report.Size, w.report.Root = shown(w.checkpoint.Origin), w.checkpoint.Size, w.checkpoint.Root.String()
	return true
}

func (w *logWalk) verifyCheckpoint(signed []byte) error {
	var log note.Verifier
	for _, l := range w.opts.Trust.Logs {
		v, err := tlog.NewVerifier(l.Key)
		if err != nil || v.Name() != w.checkpoint.Origin {
			continue
		}
		if _, err := tlog.OpenCosigned(signed, v); err == nil && (w.checkpoint.Size < l.From || l.To != nil && w.checkpoint.Size > *l.To) {
			w.add(Broken, CodeLogRange, Place{File: fileCheckpoint}, strconv.FormatInt(w.checkpoint.Size, 10), "")
			return errStop
		}
		if log == nil || tlogSigned(signed, v) {
			log, w.report.Log = v, l.Key
		}
	}
	if log == nil {
		w.add(Broken, CodeUnknownLog, Place{File: fileCheckpoint}, shown(w.checkpoint.Origin), "")
		return errStop
	}
	if _, err := tlog.OpenCosigned(signed, log); err != nil {
		return err
	}
	w.report.Proven = true
	w.clocks = clocksOf(w.opts.Trust, w.report.Log)
	all, err := w.clocks.signers(signed)
	w.report.Witnesses = len(all)
	return err
}

func tlogSigned(signed []byte, v note.Verifier) bool {
	_, err := tlog.OpenCosigned(signed, v)
	return err == nil
}

func (w *logWalk) read(path string, limit int64) ([]byte, error) {
	file, err := w.fsys.Open(path)
	if err != nil {
		return nil, err
	}
	var f io.ReadCloser = file
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("larger than %d bytes", limit)
	}
	return raw, err
}

// each calls f with every leaf of the checkpoint's tree in order. After errStop the cause is reported.
func (w *logWalk) each(f func(index int64, leaf []byte, file string) error) error {
	e := &entries{r: bufio.NewReaderSize(nil, 1<<16)}
	for n := int64(0); n*tileWidth < w.checkpoint.Size; n++ {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if w.opts.Progress != nil {
			w.opts.Progress(n*tileWidth, w.checkpoint.Size)
		}
		if err := w.bundle(e, n, f); err != nil {
			return err
		}
	}
	return nil
}

func (w *logWalk) bundle(e *entries, n int64, f func(int64, []byte, string) error) error {
	width := int(min(tileWidth, w.checkpoint.Size-n*tileWidth))
	file, name, err := openTile(w.fsys, tilePath(dirEntries, n), width)
	if errors.Is(err, fs.ErrNotExist) {
		w.add(Broken, CodeMissingFile, Place{File: name}, "", "")
		return errStop
	}
	if err != nil {
		return err
	}
	defer file.Close()
	e.r.Reset(file)
	for i := range width {
		leaf, err := e.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errEntries) {
			w.add(Broken, CodeEntries, Place{File: name}, "", fmt.Sprintf("%d entries, want %d", i, width))
			return errStop
		}
		if err != nil {
			return err
		}
		if err := f(n*tileWidth+int64(i), leaf, name); err != nil {
			return err
		}
	}
	if _, err := e.next(); name == tilePath(dirEntries, n) && width == tileWidth && !errors.Is(err, io.EOF) {
		w.add(Broken, CodeEntries, Place{File: name}, "", fmt.Sprintf("more than %d entries", width))
	}
	return nil
}

// compareTile compares a tile with the hashes that the entries give.
func (w *logWalk) compareTile(level int, n int64, hashes []xtlog.Hash) error {
	f, name, err := openTile(w.fsys, tilePath(levelDir(level), n), len(hashes))
	if errors.Is(err, fs.ErrNotExist) {
		w.add(Broken, CodeMissingFile, Place{File: name}, "", "")
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := io.ReadAll(io.LimitReader(f, tileWidth*xtlog.HashSize+1))
	if err != nil {
		return err
	}
	want := make([]byte, 0, len(hashes)*xtlog.HashSize)
	for _, h := range hashes {
		want = append(want, h[:]...)
	}
	if !bytes.HasPrefix(got, want) || len(got)%xtlog.HashSize != 0 || len(got) > tileWidth*xtlog.HashSize {
		w.add(Broken, CodeTile, Place{File: name}, "", "")
	}
	return nil
}

// leaf reads one leaf against those before it.
func (w *logWalk) leaf(raw []byte, file string) {
	index := w.index
	w.index++
	leaf, err := evidence.ParseLeafUnverified(raw)
	if err != nil {
		w.add(Broken, CodeLeafForm, Place{File: file, Index: &index}, strconv.FormatInt(index, 10), err.Error())
		return
	}
	w.report.Leaves[leafType(leaf)]++
	if p, bad := w.history.leaf(index, leaf); bad {
		p.Place.File, p.Place.Index = file, &index
		w.report.add(p)
	}
}

// findForks walks once more when a device's seen leaves went back, and names the two leaves that give one statement two heads.
func (w *logWalk) findForks() {
	if len(w.history.suspects) == 0 {
		return
	}
	err := w.each(func(index int64, raw []byte, file string) error {
		leaf, err := evidence.ParseLeafUnverified(raw)
		if s, ok := leaf.(*evidence.Seen); ok && err == nil {
			for _, x := range w.history.suspects {
				if x.device == s.Device && x.seq == s.Seq && x.head != s.Head && index < x.index {
					device := s.Device
					w.add(Broken, CodeTwoHeads, Place{File: file, Seq: &s.Seq, Device: &device, Index: &index}, fmt.Sprintf("%d, %d", index, x.index), "")
				}
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) && w.ctx.Err() == nil {
		w.add(Unreadable, CodeIO, Place{File: dirEntries}, "", err.Error())
	}
}

func (w *logWalk) notGiven() []Missing {
	switch t := w.opts.Trust; {
	case t == nil:
		return []Missing{NoLogTrust, NoWitnesses}
	case len(t.Witnesses) == 0:
		return []Missing{NoWitnesses}
	case w.report.Witnesses < w.clocks.quorum:
		return []Missing{NoLogQuorum}
	}
	return []Missing{}
}
