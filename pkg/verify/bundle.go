package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// Options say what a bundle is checked with. The zero value checks it against itself only.
type Options struct {
	Trust    *Trust                  // nil: none given; the best verdict is SelfVouched
	Now      func() time.Time        // to say whether retention has ended; may be nil
	Progress func(done, total int64) // called while the original is read; may be nil
}

// Bundle checks everything in a bundle and reports. It returns an error only when ctx ends; all that is wrong with the bundle
// stands in the report. Memory does not grow with the original's size beyond 120 bytes a chunk.
func Bundle(ctx context.Context, src Source, opts Options) (*Report, error) {
	c := newCheck(ctx, src, opts)
	c.run()
	return c.end()
}

func newCheck(ctx context.Context, src Source, opts Options) *check {
	return &check{ctx: ctx, src: src, opts: opts, files: map[string]int64{}, hashes: map[string]evidence.Digest{},
		small: map[string][]byte{}, leaves: map[string]parsed{}, heads: map[uint64]evidence.Digest{}, device: DeviceFound{Boots: []BootFound{}},
		report: &Report{Findings: newFindings(), Receipts: []ReceiptFound{}, NotProven: []Missing{}}}
}

// end draws the verdict.
func (c *check) end() (*Report, error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	c.report.NotGiven = c.notGiven()
	c.describe()
	c.report.finish()
	return c.report, nil
}

// Unopened is the report about a bundle that OpenBundle could not open.
func Unopened(path string, err error) *Report {
	r := &Report{Findings: newFindings(), Receipts: []ReceiptFound{}, NotProven: []Missing{}}
	r.unopened(path, err)
	return r
}

func (r *Findings) unopened(path string, err error) {
	p := Problem{Verdict: Unreadable, Code: CodeIO, Place: Place{File: path}, Detail: err.Error()}
	var refused *RefusedError
	if errors.As(err, &refused) {
		p.Code, p.Place.File, p.Detail = CodeRefused, refused.Path, refused.Reason
	}
	r.add(p)
	r.finish()
}

// check is one run over a bundle. Its steps add what they find to the report and go on as far as they can.
type check struct {
	ctx    context.Context
	src    Source
	opts   Options
	report *Report

	files  map[string]int64           // sizes by path
	hashes map[string]evidence.Digest // of all files read so far
	small  map[string][]byte          // content of small files, kept by the first reading
	listed map[string]evidence.Digest // by the payload manifest; nil when it can't be read

	key      *attestation.Key
	enrol    *evidence.Enrol
	claimed  evidence.RecordingID // by recording.json, which is compared later
	rec      *Recording
	walk     *walk
	heads    map[uint64]evidence.Digest // at the statements that seen receipts speak of
	leaves   map[string]parsed          // of receipts, by file
	proofs   []proven                   // receipts that hold, by index
	stored   *evidence.Stored           // the newest
	storedAt int64                      // its index

	clocks clocks
	anchor *anchored // the newest ahead of open; nil: none
	trees  []tree    // that checkpoints speak of
	seen   []proven  // seen receipts that hold
	stamps []stamp   // that hold, by authorities given
	device DeviceFound

	stampsFound int // that hold, by whomever

	unread   bool    // the footage is not here: Proofs
	timed    bool    // whether duration was looked for
	duration float64 // of the footage, seconds; 0: not known
}

func (c *check) run() {
	if !c.list() || !c.readSmall() {
		return
	}
	c.checkManifests()
	c.openReceipts()
	if c.walkChain() {
		c.checkReceipts()
		c.checkEK()
		c.checkTime()
		c.checkDerived()
		c.checkOriginal()
	} else {
		c.hashOriginal()
	}
	c.compareManifest()
	c.checkExport()
}

// list takes in the names of all files and refuses what is no bundle.
func (c *check) list() bool {
	files, err := c.src.Files()
	if err != nil {
		var refused *RefusedError
		if errors.As(err, &refused) {
			c.unreadable(CodeRefused, refused.Path, refused.Reason)
		} else {
			c.unreadable(CodeIO, "", err.Error())
		}
		return false
	}
	for _, f := range files {
		c.files[f.Path] = f.Size
	}
	if _, ok := c.files[FileBagit]; !ok && !c.unread {
		c.unreadable(CodeNotABundle, FileBagit, "there is no "+FileBagit)
		return false
	}
	for _, f := range files {
		if limit, known := limitOf(f.Path); !known || c.unread && !isProof(f.Path) {
			c.broken(CodeUnexpected, Place{File: f.Path}, "", "")
		} else if f.Size > limit {
			c.broken(CodeTooLarge, Place{File: f.Path}, fmt.Sprint(limit), "")
			delete(c.files, f.Path)
		}
	}
	for _, p := range []string{FileBagInfo, FileManifest, FileTagManifest, FileChain, FileSeals, FileCustody, FileAK, FileLogKey, FileSummary, FileReadme} {
		if _, ok := c.files[p]; !ok && (!c.unread || isProof(p)) {
			c.broken(CodeMissingFile, Place{File: p}, "", "")
		}
	}
	return true
}

const (
	limitLines = 1 << 30  // bytes of the chain and of the seals
	limitLists = 64 << 20 // of manifests and custody events
	limitSmall = 256 << 10
	limitNone  = 1<<62 - 1
)

// limitOf returns how large a file of a bundle may be, and whether it may be there at all.
func limitOf(path string) (int64, bool) {
	switch path {
	case FileChain, FileSeals:
		return limitLines, true
	case FileManifest, FileTagManifest, FileCustody:
		return limitLists, true
	case FileBagit, FileBagInfo, FileAK, FileEKCert, FileLogKey, FileSummary, FileReadme:
		return limitSmall, true
	case FileExportLeaf:
		return tlog.MaxLeaf, true
	case FileExportProof:
		return tlog.MaxProof, true
	}
	if name, ok := strings.CutPrefix(path, DirReceipts); ok {
		if _, leaf, ok := receiptName(name); ok {
			if leaf {
				return tlog.MaxLeaf, true
			}
			return tlog.MaxProof, true
		}
		return 0, false
	}
	if name, ok := strings.CutPrefix(path, DirTime); ok {
		_, ext, ok := timeName(name)
		return map[string]int64{"checkpoint": tlog.MaxCheckpoint, "tsr": limitSmall, "proof": tlog.MaxProof}[ext], ok
	}
	name, ok := strings.CutPrefix(path, DirOriginal)
	return limitNone, ok && SafeName([]byte(name)) == name
}

// readSmall reads all files but the original once, for their hashes, and keeps those that are small.
func (c *check) readSmall() bool {
	for _, p := range c.paths() {
		if c.ctx.Err() != nil {
			return false
		}
		if _, known := limitOf(p); !known || strings.HasPrefix(p, DirOriginal) {
			continue
		}
		if err := c.readOne(p); err != nil {
			c.unreadable(CodeIO, p, err.Error())
			return false
		}
	}
	return true
}

func (c *check) readOne(path string) error {
	f, err := c.src.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := newHash()
	limit, _ := limitOf(path)
	if limit <= limitSmall {
		raw, err := io.ReadAll(io.LimitReader(f, limit+1))
		if err != nil {
			return err
		}
		h.Write(raw)
		c.small[path] = raw
	} else if _, err := io.Copy(h, io.LimitReader(f, limit)); err != nil {
		return err
	}
	c.hashes[path] = evidence.Digest(h.Sum(nil))
	return nil
}

func (c *check) paths() []string {
	out := make([]string, 0, len(c.files))
	for p := range c.files {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

func (c *check) has(path string) bool { _, ok := c.files[path]; return ok }

func (c *check) unreadable(code Code, file, detail string) {
	c.report.add(Problem{Verdict: Unreadable, Code: code, Place: Place{File: file}, Detail: detail})
}

func (c *check) broken(code Code, at Place, value, detail string) {
	c.report.add(Problem{Verdict: Broken, Code: code, Place: at, Value: value, Detail: detail, rank: rankOf(code)})
}

func (c *check) incomplete(code Code, at Place, value, detail string) {
	c.report.add(Problem{Verdict: Incomplete, Code: code, Place: at, Value: value, Detail: detail, rank: rankOf(code)})
}

// rankOf puts what names the place best first, and what only follows from it last.
func rankOf(code Code) int {
	switch code {
	case CodeUnknownLog, CodeOtherKey, CodeLogRange, CodeRevoked:
		return 0
	case CodeChunk, CodeShort, CodeLong:
		return 1
	case CodeWrongHash, CodeNotListed, CodeListedMissing, CodeManifestForm:
		return 3
	case CodeExport, CodeNoExport, CodeWholeHash:
		return 4
	case CodeFootage:
		return 5
	}
	return 2
}
