package verify

import (
	"fmt"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
)

// ClockFinding is a place where the device's clock does not go as clocks do. It changes no verdict: that clock is a claim.
type ClockFinding struct {
	Kind    ClockKind `json:"kind"`
	After   uint64    `json:"after"`      // seq
	Before  uint64    `json:"before"`     // seq
	Claimed int64     `json:"claimed_ms"` // how far the device's clock went on; below zero: back
	TPM     *uint64   `json:"tpm_ms"`     // how far the TPM's clock went on between the seals; null: not comparable
}

// ClockKind says what is odd.
type ClockKind string

// The kinds of ClockFinding.
const (
	ClockJump   ClockKind = "jump"   // the device's clock went on by much more or less than the TPM's
	ClockRate   ClockKind = "rate"   // by more than 15 % over a longer time
	ClockBack   ClockKind = "back"   // it went back between two statements
	ClockBehind ClockKind = "behind" // it is behind the time of an anchor that is already in the chain
	ClockReset  ClockKind = "reset"  // it went back to before any recorder was made, as after its battery ran down
)

const (
	slackJump   = 30_000  // ms that sealing may lag behind what it seals
	rateWindow  = 600_000 // ms over which the rates are compared
	slackBack   = 2_000   // ms that a clock is set back by, now and then
	slackAnchor = 120_000 // ms that a clock may be behind the log's
	epochStart  = 946684800000
	maxClock    = 20 // findings listed
)

// drift compares the device's clock with the TPM's. TPM clocks are comparable within one epoch only.
type drift struct {
	at    int64  // of the last whole statement
	seq   uint64 // likewise
	known bool
	floor int64 // the time of the newest anchor, 0 while none is known

	seal, window *tick // the newest one in this epoch, and the one that a window begins with
	found        []ClockFinding
	further      int
}

// tick is a seal right after a whole statement.
type tick struct {
	epoch   epoch
	seq     uint64
	claimed int64
	clock   uint64
}

func (d *drift) add(f ClockFinding) {
	if len(d.found) == maxClock {
		d.further++
		return
	}
	d.found = append(d.found, f)
}

// statement takes in a whole statement.
func (d *drift) statement(s *evidence.Statement) {
	switch {
	case d.known && s.At+slackBack < d.at:
		f := ClockFinding{Kind: ClockBack, After: d.seq, Before: s.Seq, Claimed: s.At - d.at}
		if s.At < epochStart {
			f.Kind = ClockReset
		}
		d.add(f)
		d.floor = 0
	case !d.known && s.At < epochStart:
		d.add(ClockFinding{Kind: ClockReset, After: s.Seq, Before: s.Seq})
		d.floor = 0
	case d.floor > 0 && s.At+slackAnchor < d.floor:
		d.add(ClockFinding{Kind: ClockBehind, After: s.Seq, Before: s.Seq, Claimed: s.At - d.floor})
		d.floor = 0
	}
	d.at, d.seq, d.known = s.At, s.Seq, true
}

// sealed takes in a seal that stands right after statement upto.
func (d *drift) sealed(upto uint64, q attestation.Quote) {
	if !d.known || d.seq != upto || q.Clock == 0 {
		return
	}
	now := &tick{epoch: epoch{q.Reset, q.Restart}, seq: upto, claimed: d.at, clock: q.Clock}
	last := d.seal
	d.seal = now
	if last == nil || last.epoch != now.epoch {
		d.window = now
		return
	}
	if f, ok := compare(last, now, slackJump); ok {
		f.Kind = ClockJump
		d.add(f)
		d.window = now
		return
	}
	if now.clock-d.window.clock >= rateWindow {
		if f, ok := compare(d.window, now, 0); ok {
			f.Kind = ClockRate
			d.add(f)
		}
		d.window = now
	}
}

// compare reports whether the clocks differ by more than 15 % of the time gone by, and slack.
func compare(a, b *tick, slack int64) (ClockFinding, bool) {
	gone, claimed := b.clock-a.clock, b.claimed-a.claimed
	off := claimed - int64(gone)
	if off < 0 {
		off = -off
	}
	return ClockFinding{After: a.seq, Before: b.seq, Claimed: claimed, TPM: &gone}, off > int64(gone)*15/100+slack
}

// hole forgets what can't be compared across statements that were left out.
func (d *drift) hole() { d.known, d.seal, d.window = false, nil, nil }

func (t *TimeFound) clockText(l Lang) []string {
	var out []string
	for _, f := range t.Clock {
		out = append(out, f.Text(l))
	}
	if t.ClockFurther > 0 {
		out = append(out, fmt.Sprintf(pair{"and %d more such places", "另有 %d 处类似情况"}.in(l), t.ClockFurther))
	}
	return out
}

// Text says it in a sentence.
func (f ClockFinding) Text(l Lang) string {
	s := func(ms int64) string { return fmt.Sprintf("%.1f s", float64(ms)/1000) }
	switch f.Kind {
	case ClockReset:
		return fmt.Sprintf(pair{"the device's clock was reset before statement %d, as when its battery ran down", "陈述 %d 之前，设备时钟被重置（如电池耗尽）"}.in(l), f.Before)
	case ClockBack:
		return fmt.Sprintf(pair{"the device's clock went back by %s between statements %d and %d", "设备时钟在陈述 %[2]d 与 %[3]d 之间回退 %[1]s"}.in(l), s(-f.Claimed), f.After, f.Before)
	case ClockBehind:
		return fmt.Sprintf(pair{"the device's clock is %s behind the time of an anchor ahead of it (statement %d)", "设备时钟比此前锚点的时间慢 %s（陈述 %d）"}.in(l), s(-f.Claimed), f.Before)
	case ClockRate:
		return fmt.Sprintf(pair{"the device's clock went on by %s while the TPM's went on by %s, between statements %d and %d", "陈述 %[3]d 与 %[4]d 之间，设备时钟走了 %[1]s，TPM 时钟走了 %[2]s"}.in(l),
			s(f.Claimed), s(int64(*f.TPM)), f.After, f.Before)
	case ClockJump:
		return fmt.Sprintf(pair{"the device's clock jumped between statements %d and %d: it went on by %s, the TPM's by %s", "陈述 %d 与 %d 之间设备时钟跳变：设备时钟走了 %s，TPM 时钟走了 %s"}.in(l),
			f.After, f.Before, s(f.Claimed), s(int64(*f.TPM)))
	}
	return ""
}
