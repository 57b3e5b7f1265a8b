package seal

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"

	"camseal/pkg/attestation"
	"camseal/pkg/evidence"
	"camseal/pkg/verify"
)

// memory is a Store whose every write is durable: a crash drops the sealer, not the store.
type memory struct {
	mu     sync.Mutex
	key    *attestation.Key
	lines  [][]byte
	heads  []evidence.Digest
	seals  []evidence.Seal
	counts *Counts
	record map[uint64][]evidence.Count // by the number of seals before them
	intent *Intent
	n      uint64
	rec    uint64
	notify chan struct{}
}

func newMemory(t testing.TB, key *attestation.Key) *memory {
	return newCounted(t, key, nil)
}

// newCounted is newMemory for a device with a counter.
func newCounted(t testing.TB, key *attestation.Key, counter *evidence.CounterRef) *memory {
	m := &memory{key: key, notify: make(chan struct{}, 1), record: map[uint64][]evidence.Count{}}
	m.append(t, evidence.RecordingID{}, &evidence.Enrol{AK: key.Bytes(), Class: key.Class(), Counter: counter, HomeLog: "log"})
	return m
}

func (m *memory) append(t testing.TB, rec evidence.RecordingID, body evidence.Body) uint64 {
	seq, err := m.add(rec, body)
	if err != nil && t != nil {
		t.Error(err)
	}
	return seq
}

func (m *memory) add(rec evidence.RecordingID, body evidence.Body) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := evidence.NewStatement(m.key.Name(), rec, body)
	s.Seq, s.N = uint64(len(m.lines)), m.n
	if !rec.IsZero() {
		s.N = m.rec
	}
	_, _ = rand.Read(s.Salt[:])
	line, d, err := s.Encode()
	if err != nil {
		return 0, err
	}
	prev := evidence.FirstHead(m.key.Name())
	if len(m.heads) > 0 {
		prev = m.heads[len(m.heads)-1]
	}
	head := evidence.NextHead(s.Seq, rec, prev, d)
	counts, err := m.counts.Said(&s, head)
	if err != nil {
		return 0, err
	}
	if rec.IsZero() {
		m.n++
	} else {
		m.rec++
	}
	m.counts = counts
	m.lines = append(m.lines, line)
	m.heads = append(m.heads, head)
	select {
	case m.notify <- struct{}{}:
	default:
	}
	return s.Seq, nil
}

// say appends n statements of one recording and returns the last one's seq.
func (m *memory) say(t testing.TB, n int) (seq uint64) {
	for range n {
		seq = m.append(t, evidence.RecordingID{1}, &evidence.Beat{})
	}
	return seq
}

func (m *memory) sealed() int {
	if len(m.seals) == 0 {
		return 0
	}
	return int(m.seals[len(m.seals)-1].Upto) + 1
}

func (m *memory) Tip(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.lines)), nil
}

func (m *memory) NextHead(context.Context) (uint64, evidence.Digest, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, size := m.sealed(), 0
	i := from
	for ; i < len(m.lines) && i-from < evidence.MaxSealedStatements; i++ {
		if size += len(m.lines[i]); size > evidence.MaxSealedBytes {
			break
		}
	}
	if i == from {
		return 0, evidence.Digest{}, false, nil
	}
	return uint64(i - 1), m.heads[i-1], true, nil
}

func (m *memory) LastSeal(context.Context) (*evidence.Seal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seals) == 0 {
		return nil, nil
	}
	s := m.seals[len(m.seals)-1]
	return &s, nil
}

func (m *memory) Intent(context.Context) (*Intent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.intent, nil
}

func (m *memory) SetIntent(_ context.Context, i *Intent) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.intent = i
	return nil
}

func (m *memory) PutSeal(_ context.Context, s evidence.Seal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if int(s.Upto) < m.sealed() || m.heads[s.Upto] != s.Head {
		return errors.New("this seal does not follow")
	}
	m.seals, m.intent = append(m.seals, s), nil
	return nil
}

func (m *memory) AppendBoot(_ context.Context, b evidence.Boot) error {
	_, err := m.add(evidence.RecordingID{}, &b)
	return err
}

func (m *memory) Counts(context.Context) (*Counts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts, nil
}

func (m *memory) PutCount(_ context.Context, c evidence.Count, value uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next, err := m.counts.Counted(c.Seq, value)
	if err != nil || int(c.Seq) >= m.sealed() {
		return errors.Join(err, errors.New("this count does not follow"))
	}
	at := uint64(len(m.seals) - 1)
	m.counts, m.record[at] = next, append(m.record[at], c)
	return nil
}

func (m *memory) Notify() <-chan struct{} { return m.notify }

// check walks the chain with the verifier's code. It returns how many findings "order not proven" there are, and how many
// boots.
func (m *memory) check(t testing.TB) (unproven, boots int) {
	t.Helper()
	unproven, boots, _ = m.walk(t)
	return unproven, boots
}

// walk is check, with the gaps that the counter shows.
func (m *memory) walk(t testing.TB) (unproven, boots int, gaps []verify.CounterGap) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	c, next := verify.NewChain(m.key), 0
	for _, line := range m.lines {
		l, err := c.Statement(line)
		if err != nil {
			t.Fatal(err)
		}
		if l.Statement.Kind == evidence.KindBoot {
			boots++
		}
		if next < len(m.seals) && m.seals[next].Upto == l.Seq {
			sealed, err := c.Seal(m.seals[next])
			if err != nil {
				t.Fatal(err)
			}
			if sealed.Unproven != nil {
				unproven++
			}
			gaps = append(gaps, sealed.Gaps...)
			for _, r := range m.record[uint64(next)] {
				if err := c.Count(r); err != nil {
					t.Fatal(err)
				}
			}
			next++
		}
	}
	if next != len(m.seals) || c.Unsealed() != 0 {
		t.Fatalf("%d of %d seals fit, %d statements unsealed", next, len(m.seals), c.Unsealed())
	}
	return unproven, boots, gaps
}
