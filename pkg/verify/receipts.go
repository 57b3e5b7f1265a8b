package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// proven is a receipt whose leaf is in the log.
type proven struct {
	v    tlog.Verified
	leaf evidence.Leaf
	file string
}

// parsed is a leaf whose place in the log is not checked yet.
type parsed struct {
	leaf evidence.Leaf
	err  error
}

// receiptName reads a file name below receipts/.
func receiptName(name string) (index int64, leaf, ok bool) {
	digits, ext, _ := strings.Cut(name, ".")
	index, err := strconv.ParseInt(digits, 10, 64)
	ok = err == nil && index >= 0 && digits == fmt.Sprintf("%012d", index) && (ext == "leaf" || ext == "proof")
	return index, ext == "leaf", ok
}

// openReceipts reads what can be known before the chain is walked: which heads seen receipts speak of.
func (c *check) openReceipts() {
	var claim struct {
		Rec evidence.RecordingID `json:"rec"`
	}
	if json.Unmarshal(c.small[FileSummary], &claim) == nil {
		c.claimed = claim.Rec
	}
	n := 0
	for _, p := range c.paths() {
		if !strings.HasPrefix(p, DirReceipts) || !strings.HasSuffix(p, ".leaf") {
			continue
		}
		if n++; n > maxReceipts {
			c.broken(CodeTooLarge, Place{File: DirReceipts}, fmt.Sprint(maxReceipts), "")
			return
		}
		leaf, err := evidence.ParseLeafUnverified(c.small[p])
		c.leaves[p] = parsed{leaf, err}
		if s, ok := leaf.(*evidence.Seen); ok && err == nil {
			c.heads[s.Seq] = evidence.Digest{}
		}
	}
}

// checkReceipts checks all receipts by the key of the device's home log, and what they say against the chain.
func (c *check) checkReceipts() {
	log, err := tlog.NewVerifier(c.enrol.HomeLog)
	if err != nil {
		c.broken(CodeDevice, Place{File: FileChain, Line: 1}, "", err.Error())
		return
	}
	c.report.Log = c.enrol.HomeLog
	c.matchTrust(log)
	for _, p := range c.paths() {
		name, ok := strings.CutPrefix(p, DirReceipts)
		if !ok {
			continue
		}
		index, isLeaf, _ := receiptName(name)
		leaf, proof := ReceiptPaths(index)
		switch {
		case isLeaf && !c.has(proof):
			c.broken(CodeMissingFile, Place{File: proof}, "", "a receipt is two files")
		case !isLeaf && !c.has(leaf):
			c.broken(CodeMissingFile, Place{File: leaf}, "", "a receipt is two files")
		case isLeaf:
			c.checkReceipt(log, index, leaf, proof)
		}
	}
	c.checkStamps(log)
	c.oneLog()
	c.checkSeen()
	c.checkStored()
	c.checkCustody()
}

// matchTrust compares the device's home log with the keys that were given.
func (c *check) matchTrust(log note.Verifier) {
	if c.opts.Trust == nil {
		return
	}
	at := Place{File: FileChain, Line: 1}
	for _, l := range c.opts.Trust.Logs {
		if l.Key == c.enrol.HomeLog {
			c.report.Proven = true
			return
		}
	}
	for _, l := range c.opts.Trust.Logs {
		if v, err := tlog.NewVerifier(l.Key); err == nil && v.Name() == log.Name() {
			c.broken(CodeOtherKey, at, log.Name(), fmt.Sprintf("in the bundle %s, trusted %s", c.enrol.HomeLog, l.Key))
			return
		}
	}
	c.broken(CodeUnknownLog, at, log.Name(), c.enrol.HomeLog)
}

// inRange reports whether the trust given reaches a tree of this size.
func (c *check) inRange(size int64) bool {
	if !c.report.Proven {
		return true
	}
	return slices.ContainsFunc(c.opts.Trust.Logs, func(l TrustedLog) bool {
		return l.Key == c.enrol.HomeLog && size >= l.From && (l.To == nil || size <= *l.To)
	})
}

func (c *check) checkReceipt(log note.Verifier, index int64, leafFile, proofFile string) {
	found := ReceiptFound{Index: index, File: leafFile}
	fail := func(code Code, file, detail string) {
		found.Detail = shown(detail)
		c.report.Receipts = append(c.report.Receipts, found)
		c.broken(code, Place{File: file}, strconv.FormatInt(index, 10), detail)
	}
	leaf, err := c.leaves[leafFile].leaf, c.leaves[leafFile].err
	if err != nil {
		fail(CodeReceipt, leafFile, err.Error())
		return
	}
	found.Type = leafType(leaf)
	v, err := tlog.Receipt{Leaf: c.small[leafFile], Proof: c.small[proofFile]}.Verify(log)
	switch {
	case errors.Is(err, tlog.ErrInclusion):
		fail(CodeReceipt, leafFile, err.Error())
		return
	case err != nil:
		fail(CodeReceipt, proofFile, err.Error())
		return
	case v.Index != index:
		fail(CodeReceipt, proofFile, fmt.Sprintf("its place in the log is %d, its name says %d", v.Index, index))
		return
	case !c.inRange(v.Size):
		fail(CodeLogRange, proofFile, fmt.Sprintf("a log of %d leaves", v.Size))
		return
	}
	if err := c.checkCosigners(v.Signed); err != nil {
		fail(CodeReceipt, proofFile, err.Error())
		return
	}
	found.OK = true
	found.Witnesses = c.cosigned(v.Signed)
	c.report.Receipts = append(c.report.Receipts, found)
	c.trees = append(c.trees, tree{size: v.Size, root: v.Root, file: leafFile, value: strconv.FormatInt(index, 10)})
	c.proofs = append(c.proofs, proven{v: v, leaf: leaf, file: leafFile})
}

func (c *check) receiptBroken(p proven, err error) {
	c.broken(CodeReceipt, Place{File: p.file}, strconv.FormatInt(p.v.Index, 10), err.Error())
	for i := range c.report.Receipts {
		if r := &c.report.Receipts[i]; r.Index == p.v.Index {
			r.OK, r.Detail = false, shown(err.Error())
		}
	}
}

// checkSeen compares the seen receipts with the chain, and demands that they cover all that this bundle is about.
func (c *check) checkSeen() {
	covered := make([]bool, len(c.walk.stretches))
	var last *evidence.Seen
	lastIndex, revoked := int64(-1), int64(-1)
	for _, p := range c.proofs {
		switch leaf := p.leaf.(type) {
		case *evidence.Revoke:
			if leaf.Device != c.key.Name() {
				c.receiptBroken(p, errors.New("it speaks of another device"))
			} else if revoked < 0 {
				revoked = p.v.Index
				c.device.Revoked, c.device.SuspectSince = &p.v.Index, leaf.SuspectSince
			}
			continue
		case *evidence.Export:
			c.receiptBroken(p, errors.New("a receipt of an export does not belong here"))
			continue
		case *evidence.Seen:
		default:
			continue
		}
		s, err := Seen(p.v, c.key.Name(), c.headAt)
		if err == nil && last != nil && (s.Seq <= last.Seq || s.Prev == nil || *s.Prev < uint64(lastIndex)) {
			err = &ReceiptBreak{Index: p.v.Index, Reason: fmt.Sprintf("it does not follow the seen receipt %d", lastIndex)}
		}
		if err != nil {
			c.receiptBroken(p, err)
			continue
		}
		last, lastIndex = s, p.v.Index
		c.seen = append(c.seen, p)
		if revoked >= 0 {
			continue
		}
		for i, st := range c.walk.stretches {
			if st.needed != nil && s.Seq >= *st.needed && s.Seq <= st.until {
				covered[i] = true
			}
		}
	}
	c.reportSeen(covered, revoked)
}

func (c *check) reportSeen(covered []bool, revoked int64) {
	for i, st := range c.walk.stretches {
		if covered[i] || st.needed == nil {
			continue
		}
		if revoked >= 0 {
			leaf, _ := ReceiptPaths(revoked)
			c.broken(CodeRevoked, Place{File: leaf, Seq: st.needed}, strconv.FormatInt(revoked, 10), "")
			continue
		}
		c.incomplete(CodeNoSeen, Place{File: DirReceipts, Seq: st.needed}, strconv.FormatUint(*st.needed, 10), "")
	}
}

func (c *check) headAt(seq uint64) (evidence.Digest, bool) {
	h, ok := c.heads[seq]
	return h, ok && !h.IsZero()
}

// checkStored compares the stored receipts with the recording and with each other.
func (c *check) checkStored() {
	x := c.rec.Exhibit()
	for _, p := range c.proofs {
		if _, ok := p.leaf.(*evidence.Stored); !ok {
			continue
		}
		s, err := Stored(p.v, x)
		if err == nil && c.stored != nil && (s.Chunks < c.stored.Chunks || s.Until < c.stored.Until || s.Close == nil && c.stored.Close != nil) {
			err = &ReceiptBreak{Index: p.v.Index, Reason: fmt.Sprintf("it takes back what receipt %d promised", c.storedAt)}
		}
		if err != nil {
			c.receiptBroken(p, err)
			continue
		}
		c.stored, c.storedAt = s, p.v.Index
	}
	at := Place{File: DirReceipts, Rec: &c.rec.Rec}
	switch {
	case c.stored == nil:
		c.incomplete(CodeNoStored, at, "", "")
	case c.stored.Close == nil:
		c.incomplete(CodePartlyStored, at, fmt.Sprint(c.stored.Chunks), "")
	}
}

// checkCustody compares the custody events with their leaves, which stand in the same order.
func (c *check) checkCustody() {
	leaves := map[evidence.Digest]proven{}
	for _, p := range c.proofs {
		if l, ok := p.leaf.(*evidence.Custody); ok {
			leaves[l.Event] = p
		}
	}
	if !c.has(FileCustody) {
		return
	}
	f, err := c.src.Open(FileCustody)
	if err != nil {
		c.unreadable(CodeIO, FileCustody, err.Error())
		return
	}
	defer f.Close()
	in, last, seen := newLines(f, c.files[FileCustody]), int64(-1), map[evidence.Digest]bool{}
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		var event evidence.CustodyEvent
		if err == nil {
			err = c.custodyEvent(line, &event)
		}
		at := Place{File: FileCustody, Line: in.no}
		if err != nil {
			c.broken(CodeCustodyLine, at, strconv.Itoa(in.no), err.Error())
			return
		}
		d := evidence.Sum(line)
		p, ok := leaves[d]
		switch {
		case seen[d]:
			c.broken(CodeCustodyLine, at, strconv.Itoa(in.no), "the event stands twice")
		case !ok:
			c.incomplete(CodeCustodyNoProof, at, strconv.Itoa(in.no), "")
		case p.v.Index < last:
			c.broken(CodeCustodyLine, at, strconv.Itoa(in.no), "the events do not stand in the log's order")
		default:
			last = p.v.Index
			c.report.Custody++
			c.attested(&event)
		}
		seen[d] = true
	}
	for d, p := range leaves {
		if !seen[d] {
			c.incomplete(CodeCustodyGone, Place{File: FileCustody}, strconv.FormatInt(p.v.Index, 10), "")
		}
	}
}

func (c *check) custodyEvent(line []byte, e *evidence.CustodyEvent) error {
	if err := evidence.Decode(line, e); err != nil {
		return err
	}
	switch {
	case e.Type != "custody-event" || e.V != evidence.Version:
		return fmt.Errorf("type %q, version %d", e.Type, e.V)
	case !e.Rec.IsZero() && e.Rec != c.rec.Rec:
		return errors.New("an event of another recording")
	case e.Device != nil && *e.Device != c.key.Name():
		return errors.New("an event of another device")
	}
	return nil
}

func leafType(l evidence.Leaf) string {
	switch l := l.(type) {
	case *evidence.Seen:
		return l.Type
	case *evidence.Stored:
		return l.Type
	case *evidence.Custody:
		return l.Type
	case *evidence.Revoke:
		return l.Type
	case *evidence.Export:
		return l.Type
	}
	return ""
}
