package officers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/archive"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
)

// Store keeps registers in the vault. All members must be set. It is safe for concurrent use.
type Store struct {
	Vault   archive.Vault
	Catalog *catalog.Catalog
	Book    *casework.Book
	Until   func() time.Time // how long registers are locked

	mu   sync.Mutex
	last *transport.Register // in force when it was read last
}

// Set brings a register into force and returns it, with the log index of the custody event. It is durable then. Setting the same content again makes one more
// custody event.
func (s *Store) Set(ctx context.Context, actor string, c *Content) (*transport.Register, uint64, error) {
	if err := c.check(); err != nil {
		return nil, 0, err
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, 0, err
	}
	if len(raw) > maxContent {
		return nil, 0, fmt.Errorf("the register has %d bytes, at most %d fit into one answer; nothing was changed; split it by department", len(raw), maxContent)
	}
	if _, err := archive.PutBytes(ctx, s.Vault, archive.RegisterKey, raw, s.Until()); err != nil {
		return nil, 0, fmt.Errorf("put register: %w", err)
	}
	r, err := s.Book.Record(ctx, casework.Act{Name: catalog.ActRegisterSet, Actor: actor, Detail: evidence.Detail{
		catalog.DetailVersion: evidence.Sum(raw).String(), catalog.DetailSize: strconv.Itoa(len(raw)), catalog.DetailOfficers: strconv.Itoa(len(c.Officers))}})
	if err != nil {
		return nil, 0, err
	}
	reg, err := s.Current(ctx)
	return reg, r.Index, err
}

// maxContent leaves room in an answer for what a register's object does not hold.
const maxContent = transport.MaxAnswer - 1024

// check refuses what did not come from File.Content: above all a PIN or a card in clear.
func (c *Content) check() error {
	if c.Type != contentType || c.V != evidence.Version || len(c.CardSalt) < 16 {
		return errors.New("not the content of a register; nothing was changed")
	}
	for i, o := range c.Officers {
		if o.PIN != "" && !strings.HasPrefix(o.PIN, "$argon2id$") || len(o.Card) != 0 && len(o.Card) != sha256.Size {
			return fmt.Errorf("officers, number %d: card or PIN is not hashed; nothing was changed", i+1)
		}
	}
	return nil
}

// Current returns the register in force, nil if there is none. It must not be changed.
func (s *Store) Current(ctx context.Context) (*transport.Register, error) {
	row, err := s.Catalog.LastRegister(ctx)
	if errors.Is(err, catalog.ErrUnknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	version, err := evidence.ParseDigest(row.Version)
	if err != nil {
		return nil, fmt.Errorf("register of officers: %w", err)
	}
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	if last != nil && last.Version == version && last.At == row.At {
		return last, nil
	}
	raw, err := archive.Read(ctx, s.Vault, archive.Ref{Key: archive.RegisterKey(version), Hash: version, Size: row.Size}, maxContent)
	if err != nil {
		return nil, fmt.Errorf("register of officers: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var c Content
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("register of officers: %w", err)
	}
	r := &transport.Register{Version: version, At: row.At, Departments: c.Departments, Officers: c.Officers, Causes: c.Causes, Places: c.Places,
		Activities: c.Activities, CardSalt: c.CardSalt}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = r
	return r, nil
}
