package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"camseal/pkg/evidence"
)

// takeSeal checks the seal read ahead against the chain as it stands.
func (w *walk) takeSeal() {
	from, line := w.chain.State().Seq, w.lines.no
	sealed, err := w.chain.Seal(*w.seal)
	var brk *SealBreak
	if errors.As(err, &brk) && brk.Reason == SealHead {
		if _, bad := w.c.key.CheckSeal(w.seal); bad == nil && !w.headLater(w.seal.Head) {
			w.lines.no = line
			w.chainBroken(&from, fmt.Sprintf("one of the statements %d to %d is not what the device sealed", from, w.seal.Upto))
			return
		}
	}
	if err != nil {
		w.sealBroken(err)
		return
	}
	w.countSeal(sealed)
	w.drift.sealed(sealed.Upto, sealed.Quote)
	w.gaps = append(w.gaps, sealed.Gaps...)
	if o := sealed.Unproven; o != nil {
		w.c.report.Seals.Unproven++
		w.c.incomplete(CodeOrder, Place{File: FileSeals, Line: w.seals.no, Seq: &sealed.Upto}, fmt.Sprint(o.After), o.String())
	}
	w.nextSeal()
}

// headLater reads on, to tell a seal that names a wrong statement from a statement that was changed.
func (w *walk) headLater(head evidence.Digest) bool {
	for range evidence.MaxSealedStatements {
		raw, err := w.lines.next()
		if err != nil {
			return false
		}
		if _, err = w.chain.Line(raw); err != nil {
			return false
		}
		if w.chain.Head() == head {
			return true
		}
	}
	return false
}

func (w *walk) countSeal(s Sealed) {
	now := epoch{s.Quote.Reset, s.Quote.Restart}
	if w.c.report.Seals.Count == 0 || now != w.epoch {
		w.c.report.Seals.Epochs++
	}
	w.epoch = now
	w.c.report.Seals.Count++
}

// nextSeal reads ahead to the next seal, and takes in the count records before it.
func (w *walk) nextSeal() {
	w.seal = nil
	for !w.failed {
		raw, err := w.seals.next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			w.sealBroken(err)
			return
		}
		a, err := evidence.ParseSealUnverified(raw)
		if err != nil {
			w.sealBroken(err)
			return
		}
		if a.Seal != nil {
			w.seal = a.Seal
			return
		}
		w.takeCount(*a.Count)
	}
}

// countEnd is how every canonical count line ends, and no seal.
var countEnd = []byte(`"type":"count"}`)

const maxCounts = 1 << 21

// countRecords reads which statements there are count records of: withheld ones do not say so themselves.
func (w *walk) countRecords() (map[uint64]bool, error) {
	f, err := w.c.src.Open(FileSeals)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[uint64]bool{}
	in := newLines(f, w.c.files[FileSeals])
	for {
		raw, err := in.next()
		if err != nil || len(out) == maxCounts {
			return out, nil // what is wrong with the line is found when it is its turn
		}
		if !bytes.HasSuffix(raw, countEnd) {
			continue
		}
		if a, err := evidence.ParseSealUnverified(raw); err == nil && a.Count != nil {
			out[a.Count.Seq] = true
		}
	}
}

func (w *walk) takeCount(r evidence.Count) {
	if w.chain == nil {
		w.sealBroken(&SealBreak{Upto: r.Seq, Reason: SealCount, Want: "a seal before it", Got: "none"})
		return
	}
	if err := w.chain.Count(r); err != nil {
		w.sealBroken(err)
		return
	}
	delete(w.uncounted, r.Seq)
	w.counts++
}

// addGaps keeps what the counter shows to be missing.
func (w *walk) addGaps() {
	w.gaps = append(w.gaps, w.chain.takeGaps()...)
}

// describeCounter reports what the counter says, and the counted statements that have no count record.
func (w *walk) describeCounter() {
	if w.chain == nil || w.chain.done.Counter == nil {
		return
	}
	w.addGaps()
	s := w.chain.done.Counter
	found := &CounterFound{Index: w.c.enrol.Counter.Index, Value: s.Value, Records: w.counts, Gaps: w.gaps, Missing: len(w.uncounted)}
	if found.Gaps == nil {
		found.Gaps = []CounterGap{}
	}
	w.c.report.Counter = found
	for _, g := range w.gaps {
		values := strconv.FormatUint(g.From, 10)
		if g.To > g.From {
			values += "–" + strconv.FormatUint(g.To, 10)
		}
		w.c.incomplete(CodeCounterGap, Place{File: FileSeals, Seq: &g.Before}, values, g.String())
	}
	for _, seq := range slices.Sorted(maps.Keys(w.uncounted)) {
		w.c.incomplete(CodeNoCount, Place{File: FileSeals, Seq: &seq}, strconv.FormatUint(seq, 10), "")
	}
}
