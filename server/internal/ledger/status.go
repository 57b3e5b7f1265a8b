package ledger

import (
	"slices"
	"time"
)

// Status says how the log stands to those who sign beside it.
type Status struct {
	Size      uint64          // leaves under the newest signed checkpoint
	Witnessed uint64          // leaves under the newest one with the quorum
	Quorum    int             // 0: no witnesses are configured
	Witnesses []WitnessStatus // in the order of the configuration
	TSA       *TSAStatus      // nil: none is configured
}

// WitnessStatus is how one witness stands.
type WitnessStatus struct {
	Name     string
	URL      string
	Size     uint64    // leaves under the newest checkpoint that it has cosigned since this server runs
	At       time.Time // when that was, by its clock
	Err      string    // of the last request; empty if it succeeded
	Failures int       // in a row
}

// TSAStatus is how the time stamping authority stands.
type TSAStatus struct {
	URL      string
	Size     uint64    // leaves under the newest checkpoint that it has stamped
	At       time.Time // when that was, by its clock
	Err      string    // of the last request; empty if it succeeded
	Failures int       // in a row
}

// Status returns how things stand now.
func (l *Ledger) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Size, s.Witnessed = l.latest.size(), l.witnessed.size()
	s.Witnesses = slices.Clone(s.Witnesses)
	if s.TSA != nil {
		tsa := *s.TSA
		s.TSA = &tsa
	}
	return s
}

// publish makes known how the witnesses stand.
func (x *rounds) publish() {
	all := make([]WitnessStatus, len(x.all))
	for i, w := range x.all {
		all[i] = w.status
	}
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	x.l.status.Quorum, x.l.status.Witnesses = x.quorum, all
}
