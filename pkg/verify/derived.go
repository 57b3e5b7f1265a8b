package verify

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// checkDerived writes again what follows from the chain and compares it byte by byte.
func (c *check) checkDerived() {
	c.same(FileAK, c.key.PEM())
	c.same(FileLogKey, LogKeyFile(c.enrol.HomeLog))
	if len(c.enrol.EKCert) > 0 {
		if c.has(FileEKCert) {
			c.same(FileEKCert, EKCertFile(c.enrol.EKCert))
		} else {
			c.broken(CodeMissingFile, Place{File: FileEKCert}, "", "")
		}
	} else if c.has(FileEKCert) {
		c.broken(CodeUnexpected, Place{File: FileEKCert}, "", "the device named no such certificate")
	}
	if b, err := Summary(c.rec, c.key.Class()); err == nil {
		c.same(FileSummary, b)
	}
	c.same(FileReadme, readmesOf(c.rec, c.key.Class())...)
	c.checkClose()
}

// same demands that a file, if it is there, has one of these contents.
func (c *check) same(path string, want ...[]byte) {
	if c.has(path) && !slices.ContainsFunc(want, func(b []byte) bool { return bytes.Equal(c.small[path], b) }) {
		c.broken(CodeFixedContent, Place{File: path}, "", "")
	}
}

// checkClose says whether the device itself took in all there was.
func (c *check) checkClose() {
	r := c.rec
	at := Place{File: FileChain, Rec: &r.Rec}
	if r.Close == nil {
		c.incomplete(CodeNotClosed, at, "", "")
		return
	}
	at.Seq = &r.CloseAt.Seq
	for _, u := range r.Unread {
		c.incomplete(CodeUnread, Place{File: OriginalPath(r.Open), Rec: &r.Rec, From: u.From, Until: u.Until, Seconds: c.seconds(u.From, u.Until)},
			fmt.Sprintf("%d–%d", u.From, u.Until-1), "")
	}
	if r.Close.Why != evidence.WhyComplete {
		c.incomplete(CodeClosedEarly, at, shown(r.Close.Why), "")
	} else if r.Open.Mode == evidence.ModeImport && r.Size != r.Open.Source.Size {
		c.incomplete(CodeSizeDiffers, at, strconv.FormatUint(r.Open.Source.Size, 10), "")
	}
}

// checkExport checks the log's receipt over the bundle as a whole, and bag-info.txt.
func (c *check) checkExport() {
	if c.rec != nil {
		size, files := uint64(0), uint64(0)
		for p, n := range c.files {
			if strings.HasPrefix(p, "data/") {
				size, files = size+uint64(n), files+1
			}
		}
		c.same(FileBagInfo, BagInfo(c.rec.Rec, size, files))
	}
	leafThere, proofThere := c.has(FileExportLeaf), c.has(FileExportProof)
	switch {
	case !leafThere && !proofThere:
		c.incomplete(CodeNoExport, Place{File: FileExportLeaf}, "", "")
		return
	case !leafThere:
		c.broken(CodeMissingFile, Place{File: FileExportLeaf}, "", "a receipt is two files")
		return
	case !proofThere:
		c.broken(CodeMissingFile, Place{File: FileExportProof}, "", "a receipt is two files")
		return
	}
	if c.enrol == nil {
		return // no key to check it with; what is wrong is reported
	}
	if file, reason := c.export(); reason != "" {
		c.broken(CodeExport, Place{File: file}, "", reason)
	}
}

func (c *check) export() (file, reason string) {
	log, err := tlog.NewVerifier(c.enrol.HomeLog)
	if err != nil {
		return FileChain, err.Error()
	}
	leaf, err := evidence.ParseLeafUnverified(c.small[FileExportLeaf])
	if err != nil {
		return FileExportLeaf, err.Error()
	}
	e, ok := leaf.(*evidence.Export)
	if !ok {
		return FileExportLeaf, "it is no receipt of an export"
	}
	found := ReceiptFound{Type: e.Type, File: FileExportLeaf}
	v, err := tlog.Receipt{Leaf: c.small[FileExportLeaf], Proof: c.small[FileExportProof]}.VerifyStrict(log, c.clocks.all()...)
	file = FileExportLeaf
	switch {
	case err != nil:
		file, reason = FileExportProof, err.Error()
	case !c.inRange(v.Size):
		file, reason = FileExportProof, fmt.Sprintf("the trust given does not reach a log of %d leaves", v.Size)
	case e.Manifest != c.hashes[FileManifest]:
		file, reason = FileManifest, "it is not the list of files that was exported"
	case e.Device != c.key.Name():
		reason = "it speaks of another device"
	case c.rec == nil:
	case e.Rec != c.rec.Rec:
		reason = "it speaks of another recording"
	case e.Last != c.rec.N-1:
		file, reason = FileChain, fmt.Sprintf("the recording had %d statements, here are %d", e.Last+1, c.rec.N)
	}
	found.Index, found.OK, found.Detail = v.Index, reason == "", shown(reason)
	c.report.Receipts = append(c.report.Receipts, found)
	return file, reason
}

// notGiven says which claims are not made because of what the verifier was given, or because what it was given does not reach.
func (c *check) notGiven() []Missing {
	t := c.opts.Trust
	if t == nil {
		return []Missing{NoTrust, NoWitnesses, NoEKRoots, NoTSARoots}
	}
	var out []Missing
	add := func(when bool, m Missing) {
		if when {
			out = append(out, m)
		}
	}
	time := c.report.Time
	add(len(t.Witnesses) == 0, NoWitnesses)
	if len(t.Witnesses) > 0 && time != nil {
		add(!c.witnessed(), NoQuorum)
		add(c.anchor != nil && time.After == nil && !time.Contradict, NoAnchorQuorum)
		add(c.anchor == nil, NoAnchor)
	}
	tpm := c.key == nil || c.key.Class() == evidence.ClassTPM
	add(tpm && t.EKRoots.Len() == 0 && !c.device.Trial, NoEKRoots)
	add(t.TSARoots.Len() == 0, NoTSARoots)
	add(t.TSARoots.Len() > 0 && time != nil && time.Stamp == nil && !time.Contradict, NoStamp)
	add(tpm && len(t.PCRs) > 0 && slices.ContainsFunc(c.device.Boots, func(b BootFound) bool { return b.Set == "" }), PCRsUnknown)
	return out
}

// describe says what the bundle is about, as far as it could be read.
func (c *check) describe() {
	r := c.report
	r.NotProven = []Missing{PictureTrue}
	if r.Time == nil || r.Time.After == nil && r.Time.Before == nil {
		r.NotProven = append(r.NotProven, TimeUnproven)
	}
	if !c.witnessed() {
		r.NotProven = append(r.NotProven, LoneOperator)
	}
	r.NotProven = append(r.NotProven, LastFromServer)
	if c.key != nil {
		r.Seals.TPM = c.key.Class() == evidence.ClassTPM
	}
	if c.rec == nil || c.rec.Open == nil {
		return
	}
	if c.walk != nil && !c.walk.failed {
		r.Device = &c.device
	}
	if c.enrol.Counter == nil {
		r.NotProven = append(r.NotProven, NoCounter)
	}
	if r.Seals.TPM && !c.device.Attested {
		r.NotProven = append(r.NotProven, Unattested)
	}
	if c.rec.Open.Mode == evidence.ModeImport {
		r.NotProven = append(r.NotProven, FilmingTime, BeforeDocking)
	} else {
		r.NotProven = append(r.NotProven, RecorderInput)
	}
	a := &About{Rec: c.rec.Rec, Device: c.rec.Device, Class: c.key.Class(), Mode: c.rec.Open.Mode,
		Grade: GradeOf(c.key.Class(), c.rec.Open.Mode), Name: shown(c.rec.Open.Source.Name),
		Original: OriginalPath(c.rec.Open), Size: c.rec.Size, Chunks: uint64(len(c.rec.Chunks)), OpenedAt: c.rec.OpenAt.At, Released: c.rec.Release != nil}
	a.GradeNote = c.gradeNote(a.Grade)
	a.Header, a.Note, a.Marks = c.rec.Header, c.rec.Note, c.rec.Marks
	a.Faults, a.Told = c.rec.Faults, c.rec.FaultsSaid
	if c.rec.Close != nil {
		a.Hash, a.ClosedAt, a.Why = &c.rec.Close.Hash, &c.rec.CloseAt.At, shown(c.rec.Close.Why)
	}
	if s := c.stored; s != nil {
		a.Stored = &StoredFound{Index: c.storedAt, Chunks: s.Chunks, Until: s.Until, Lock: s.Lock, Vault: shown(s.Vault)}
		if c.opts.Now != nil {
			a.Stored.Ended = c.opts.Now().UnixMilli() > s.Until
		}
	}
	r.About = a
}
