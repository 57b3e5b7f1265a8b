package verify

import (
	"errors"
	"fmt"
	"io"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// walk goes through chain.jsonl and seals.jsonl side by side. The chain may have several stretches, each but the first
// beginning right after a seal.
type walk struct {
	c     *check
	lines *lines
	seals *lines
	seal  *evidence.Seal // the next one, read ahead; nil at the end
	chain *Chain

	stretches []stretch
	after     uint64 // withheld since this recording's newest statement
	intakes   map[uint64]bool
	epoch     epoch
	counts    int             // count records taken in
	uncounted map[uint64]bool // counted statements whose count record is still to come
	gaps      []CounterGap
	drift     drift
	failed    bool
}

// stretch is a part of the chain without holes, from statement From to Until.
type stretch struct {
	from, until uint64
	needed      *uint64 // the last statement in it that a seen receipt must cover
}

// walkChain checks the chain, the seals and the recording's rules. It reports whether all that could be read through.
func (c *check) walkChain() bool {
	if !c.has(FileChain) || !c.has(FileSeals) {
		return false
	}
	chain, err := c.src.Open(FileChain)
	if err != nil {
		c.unreadable(CodeIO, FileChain, err.Error())
		return false
	}
	defer chain.Close()
	seals, err := c.src.Open(FileSeals)
	if err != nil {
		c.unreadable(CodeIO, FileSeals, err.Error())
		return false
	}
	defer seals.Close()
	c.walk = &walk{c: c, lines: newLines(chain, c.files[FileChain]), seals: newLines(seals, c.files[FileSeals]), intakes: map[uint64]bool{}, uncounted: map[uint64]bool{}}
	return c.walk.run()
}

func (w *walk) run() bool {
	w.nextSeal()
	for !w.failed && w.c.ctx.Err() == nil {
		raw, err := w.lines.next()
		if errors.Is(err, io.EOF) {
			w.end()
			break
		}
		if err != nil {
			w.chainBroken(nil, err.Error())
			break
		}
		w.line(raw)
	}
	w.describeCounter()
	return !w.failed && w.c.ctx.Err() == nil
}

// line takes in one line, and the seal over it if there is one.
func (w *walk) line(raw []byte) {
	if w.chain == nil && !w.begin(raw) {
		return
	}
	l, err := w.chain.Line(raw)
	var brk *ChainBreak
	if errors.As(err, &brk) && brk.Reason == ChainSeq && brk.GotSeq > brk.Seq && w.jump(brk.GotSeq) {
		l, err = w.chain.Line(raw)
	}
	if err != nil {
		w.lineFailed(err)
		return
	}
	last := &w.stretches[len(w.stretches)-1]
	last.until = l.Seq
	if w.isCounted(l) {
		w.uncounted[l.Seq] = true
	}
	if l.Statement == nil {
		w.withheld(l)
	} else {
		w.statement(l, last)
	}
	if h, wanted := w.c.heads[l.Seq]; wanted && h.IsZero() {
		w.c.heads[l.Seq] = w.chain.Head()
	}
	if !w.failed && w.seal != nil && (w.seal.Upto <= l.Seq || w.seal.Head == w.chain.Head()) {
		w.takeSeal()
	}
}

// isCounted reports whether a count record must follow this statement.
func (w *walk) isCounted(l evidence.Line) bool {
	if l.Statement == nil || w.c.enrol.Counter == nil {
		return false
	}
	_, must := statesCounter(l.Statement)
	return must || l.Statement.Kind == evidence.KindEnrol
}

func (w *walk) lineFailed(err error) {
	var brk *ChainBreak
	if errors.As(err, &brk) {
		w.chainBroken(&brk.Seq, err.Error())
	} else {
		w.chainBroken(nil, err.Error())
	}
}

// begin reads the key from the first statement, which must be enrol.
func (w *walk) begin(raw []byte) bool {
	s, _, err := evidence.ParseUnverified(raw)
	if err != nil {
		w.chainBroken(nil, err.Error())
		return false
	}
	enrol, ok := s.Body.(*evidence.Enrol)
	if !ok {
		w.chainBroken(nil, "the chain does not begin with enrol")
		return false
	}
	key, err := attestation.ParseKey(enrol.Class, enrol.AK)
	if err == nil && key.Name() != s.Device {
		err = errors.New("the device's name is not its key's")
	}
	if err != nil {
		w.failed = true
		w.c.broken(CodeDevice, Place{File: FileChain, Line: w.lines.no}, "", err.Error())
		return false
	}
	w.c.key, w.c.enrol, w.chain = key, enrol, NewChain(key)
	w.chain.bundle = true
	if enrol.Counter != nil {
		if w.chain.records, err = w.countRecords(); err != nil {
			w.failed = true
			w.c.unreadable(CodeIO, FileSeals, err.Error())
			return false
		}
	}
	w.c.clocks = clocksOf(w.c.opts.Trust, enrol.HomeLog)
	w.stretches = []stretch{{}}
	return true
}

// jump begins a new stretch with statement seq, if the one so far and the new one are both fastened by seals.
func (w *walk) jump(seq uint64) bool {
	if w.chain.Unsealed() != 0 || w.seal == nil || w.seal.Upto != seq-1 {
		return false
	}
	chain, sealed, err := ResumeAfter(w.c.key, *w.seal)
	if err != nil {
		w.sealBroken(err)
		return false
	}
	w.c.report.Withheld.Skipped += seq - w.chain.Next()
	w.addGaps()
	chain.afterHole(w.chain)
	w.drift.hole()
	w.chain = chain
	w.stretches = append(w.stretches, stretch{from: seq})
	w.countSeal(sealed)
	w.nextSeal()
	return true
}

func (w *walk) withheld(l evidence.Line) {
	switch {
	case w.c.rec == nil && l.Rec != w.c.claimed:
		w.c.report.Withheld.Before++
	case w.c.rec == nil || l.Rec == w.c.rec.Rec:
		w.chainBroken(&l.Seq, "a statement of this recording is withheld")
	default:
		w.after++
	}
}

// statement takes in a whole statement: of the device itself, or of the one recording.
func (w *walk) statement(l evidence.Line, in *stretch) {
	s := l.Statement
	w.drift.statement(s)
	if s.Rec.IsZero() {
		switch b := s.Body.(type) {
		case *evidence.Intake:
			w.intakes[s.Seq] = true
		case *evidence.Boot:
			w.booted(s.Seq, b)
		case *evidence.Anchor:
			w.checkAnchor(s.Seq, b)
		case *evidence.Enrol:
			seq := l.Seq
			in.needed = &seq
		}
		return
	}
	c := w.c
	if c.rec == nil {
		c.rec = NewRecording(s.Device, s.Rec)
	}
	if s.Rec != c.rec.Rec {
		c.broken(CodeForeign, Place{File: FileChain, Line: w.lines.no, Seq: &l.Seq}, s.Rec.String(), "")
		w.failed = true
		return
	}
	if err := c.rec.Add(s, l.Digest); err != nil {
		c.broken(CodeRule, Place{File: FileChain, Line: w.lines.no, Seq: &l.Seq, Rec: &c.rec.Rec}, string(s.Kind), err.Error())
		w.failed = true
		return
	}
	if o, ok := s.Body.(*evidence.Open); ok && o.Intake >= in.from && o.Intake != 0 && !w.intakes[o.Intake] {
		c.broken(CodeRule, Place{File: FileChain, Line: w.lines.no, Seq: &l.Seq, Rec: &c.rec.Rec}, string(s.Kind), "its intake is another statement")
	}
	c.report.Withheld.Between += w.after
	w.after = 0
	seq := l.Seq
	in.needed = &seq
}

func (w *walk) end() {
	switch {
	case w.chain == nil:
		w.chainBroken(nil, "it is empty")
	case w.sealedFurther():
		seq := w.chain.Next()
		w.chainBroken(&seq, fmt.Sprintf("it ends before statement %d, but the device sealed up to %d", seq, w.seal.Upto))
	case w.chain.Unsealed() > 0:
		seq := w.chain.Next() - 1
		w.failed = true
		w.c.broken(CodeUnsealed, Place{File: FileSeals, Seq: &seq}, fmt.Sprint(w.chain.Unsealed()), "")
	case w.chain.Next() == w.stretches[len(w.stretches)-1].from:
		w.chainBroken(nil, "a stretch without statements")
	case w.seal != nil:
		w.sealBroken(fmt.Errorf("a seal up to %d, which is not in the chain", w.seal.Upto))
	case w.c.rec == nil || w.c.rec.Open == nil:
		w.failed = true
		w.c.broken(CodeNoRecording, Place{File: FileChain}, "", "")
	}
	w.c.report.Withheld.After = w.after
}

// sealedFurther reports whether the next seal is the device's own and over statements that are not here.
func (w *walk) sealedFurther() bool {
	if w.failed || w.seal == nil || w.seal.Upto < w.chain.Next() {
		return false
	}
	_, err := w.c.key.CheckSeal(w.seal)
	return err == nil
}

func (w *walk) chainBroken(seq *uint64, detail string) {
	w.failed = true
	p := Place{File: FileChain, Line: w.lines.no, Seq: seq}
	if w.c.rec != nil {
		p.Rec = &w.c.rec.Rec
	}
	w.c.broken(CodeChain, p, "", detail)
}

func (w *walk) sealBroken(err error) {
	w.failed = true
	p := Place{File: FileSeals, Line: w.seals.no}
	var brk *SealBreak
	if errors.As(err, &brk) {
		p.Seq = &brk.Upto
	}
	w.c.broken(CodeSeal, p, "", err.Error())
}
