package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"camseal/pkg/evidence"
)

// Keys of the index. Numbers are big-endian, so that they are walked in order.
//
//	meta, intent, counts              JSON
//	enrol                             the line of the first statement, which the chain loses if it goes on elsewhere
//	s <seq> 0                         H(seq) and the statement's line
//	s <seq> 1                         the line of the seal up to seq
//	s <seq> 2 <seq>                   the line of the count record of a statement, made when that seal was the newest
//	r <rec>                           Recording, JSON
//	c <rec> <index>                   chunk
//	k <identity> <rec>                which recordings had this identity
//	p <seq of open> <rec>             recordings not wholly stored
//	t <rec> <log index>               stored receipt
//	n <seq>                           seen receipt
//	g <group> <seq of open> <rec>     which recordings one case header is about
//	w <seq of open> <rec>             recordings that wait for a case header
//	d <name>                          what the dock keeps
var (
	keyMeta   = []byte("meta")
	keyIntent = []byte("intent")
	keyEnrol  = []byte("enrol")
)

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func key(kind byte, parts ...[]byte) []byte {
	k := []byte{kind, '/'}
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func keyStatement(seq uint64) []byte { return key('s', be(seq), []byte{0}) }
func keySeal(seq uint64) []byte      { return key('s', be(seq), []byte{1}) }
func keyRecording(r evidence.RecordingID) []byte {
	return key('r', r[:])
}
func keyChunk(r evidence.RecordingID, index uint64) []byte { return key('c', r[:], be(index)) }
func keyPending(open uint64, r evidence.RecordingID) []byte {
	return key('p', be(open), r[:])
}

// Chunk is what the spool knows of one chunk.
type Chunk struct {
	Index  uint64
	Seq    uint64          // of its statement
	Size   uint64          // bytes
	Hash   evidence.Digest // SHA-256 of its bytes
	Digest evidence.Digest // D of its statement
}

const chunkSize = 8 + 8 + 32 + 32

func (c Chunk) encode() []byte {
	b := append(be(c.Seq), be(c.Size)...)
	return append(append(b, c.Hash[:]...), c.Digest[:]...)
}

func decodeChunk(index uint64, b []byte) (Chunk, error) {
	if len(b) != chunkSize {
		return Chunk{}, fmt.Errorf("chunk entry of %d bytes", len(b))
	}
	return Chunk{Index: index, Seq: binary.BigEndian.Uint64(b), Size: binary.BigEndian.Uint64(b[8:]),
		Hash: evidence.Digest(b[16:48]), Digest: evidence.Digest(b[48:])}, nil
}

// txn is a Badger transaction with this package's ways of reading and writing.
type txn struct{ *badger.Txn }

func (s *Spool) view(f func(txn) error) error {
	return s.db.View(func(t *badger.Txn) error { return f(txn{t}) })
}

func (t txn) bytes(k []byte) ([]byte, error) {
	item, err := t.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

func (t txn) json(k []byte, v any) error {
	raw, err := t.bytes(k)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

func (t txn) putJSON(k []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.Set(k, raw)
}

// walk calls f for each key from start on that begins with prefix, until f returns false.
func (t txn) walk(prefix, start []byte, f func(key, value []byte) (bool, error)) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	o.PrefetchSize = 16
	it := t.NewIterator(o)
	defer it.Close()
	for it.Seek(start); it.Valid(); it.Next() {
		item := it.Item()
		var more bool
		err := item.Value(func(v []byte) (err error) {
			more, err = f(item.Key(), v)
			return err
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// commit runs f in a transaction and returns when it is durable. s.mu is held. After an error in committing, the spool
// refuses further writes, since what is on disk is not known until the next start.
func (s *Spool) commit(f func(txn) error) error {
	if s.broken != nil {
		return s.broken
	}
	if free, err := s.free(); err != nil {
		return err
	} else if free < floor {
		return fmt.Errorf("%w: %d MiB are free on its disk, %d MiB stay free always; everything in it is kept; make room", ErrFull, free>>20, floor>>20)
	}
	t := s.db.NewTransaction(true)
	defer t.Discard()
	if err := f(txn{t}); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		s.broken = fmt.Errorf("the spool could not write to its index and stops here; everything acknowledged is kept; look at the disk and start the agent again: %w", err)
		return s.broken
	}
	s.cfg.Step("committed")
	return nil
}
