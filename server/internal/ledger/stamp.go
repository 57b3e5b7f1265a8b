package ledger

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"github.com/digitorus/timestamp"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
	"camseal/server/internal/archive"
)

// TSA is a time stamping authority (RFC 3161).
type TSA struct {
	URL      string        // http or https, where requests are posted to
	Interval time.Duration // how often at most; default 1 h
}

const (
	defaultStamp = time.Hour
	maxToken     = 32 << 10
	maxStamped   = 2*(maxToken+tlog.MaxCheckpoint) + 64
	kindQuery    = "application/timestamp-query" // RFC 3161 section 3.4
)

// Stamp is a token of a time stamping authority over the bytes of a signed checkpoint. The authority's chain was not checked: that is
// for whoever trusts one.
type Stamp struct {
	Checkpoint evidence.Bytes `json:"checkpoint"` // signed note
	Token      evidence.Bytes `json:"token"`      // TimeStampResp, DER
}

// stamps asks the authority in the background whenever the log has grown.
type stamps struct {
	l    *Ledger
	next time.Time // not asked before
	size uint64    // stamped up to
	retry
}

// newStamps returns nil if there is no authority.
func newStamps(l *Ledger) (*stamps, error) {
	cfg := &l.cfg.TSA
	if cfg.URL == "" {
		return nil, nil
	}
	if u, err := url.Parse(cfg.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("time stamping authority: %q is not a URL such as https://tsa.example/tsr", cfg.URL)
	}
	if cfg.Interval == 0 {
		cfg.Interval = defaultStamp
	}
	l.status.TSA = &TSAStatus{URL: cfg.URL}
	return &stamps{l: l, retry: retry{first: l.cfg.RetryAfter}}, nil
}

// findStamp finds up to where the log is stamped.
func (l *Ledger) findStamp() error {
	if l.stamps == nil {
		return nil
	}
	h, err := archive.Last(l.ctx, l.cfg.Vault, archive.TimesPrefix(l.logID), digits)
	if errors.Is(err, archive.ErrNotFound) {
		return nil
	}
	if err == nil {
		l.stamps.size, err = archive.NumberOf(h.Key)
	}
	if err != nil {
		return fmt.Errorf("newest time stamp in the vault: %w", err)
	}
	l.status.TSA.Size = l.stamps.size
	return nil
}

func (s *stamps) run() {
	l := s.l
	for l.ctx.Err() == nil {
		l.mu.Lock()
		c, changed := l.witnessed, l.changed
		if c.raw == nil {
			c = l.latest
		}
		l.mu.Unlock()
		now := l.cfg.Now()
		due := s.next
		if s.at.After(due) {
			due = s.at
		}
		switch {
		case c.size() <= s.size:
			select {
			case <-changed:
			case <-l.ctx.Done():
			}
		case now.Before(due):
			pause(l.ctx, due.Sub(now))
		default:
			s.stamp(c, now)
		}
	}
}

// stamp gets one token and keeps it.
func (s *stamps) stamp(c checkpoint, now time.Time) {
	l := s.l
	at, err := s.get(c)
	if l.ctx.Err() != nil {
		return
	}
	if err != nil {
		s.failed(now)
		l.log.WarnContext(l.ctx, "no time stamp; everything else goes on", slog.String("authority", l.cfg.TSA.URL), slog.Int64("size", c.Size), slog.Any("error", err))
	} else {
		s.succeeded()
		s.size, s.next = c.size(), now.Add(l.cfg.TSA.Interval)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	status := l.status.TSA
	status.Failures, status.Err = s.failures, ""
	if err != nil {
		status.Err = err.Error()
		return
	}
	status.Size, status.At = s.size, at
	l.tell()
}

func (s *stamps) get(c checkpoint) (at time.Time, err error) {
	l := s.l
	ctx, cancel := context.WithTimeout(l.ctx, askTimeout)
	defer cancel()
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return at, err
	}
	imprint := evidence.Sum(c.raw)
	query, err := (&timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: imprint[:], Certificates: true, Nonce: nonce}).Marshal()
	if err != nil {
		return at, err
	}
	status, raw, err := post(ctx, l.cfg.TSA.URL, kindQuery, query, maxToken)
	if err == nil && status != http.StatusOK {
		err = refused(status, raw)
	}
	if err != nil {
		return at, err
	}
	if at, err = checkToken(raw, imprint, nonce); err != nil {
		return at, err
	}
	if off := at.Sub(l.cfg.Now()); off.Abs() > maxOff {
		return at, fmt.Errorf("it says that it is %s, this server's clock is off by %s from that; set the clock that is wrong", at.Format(time.RFC3339), off.Round(time.Second))
	}
	object, err := json.Marshal(Stamp{Checkpoint: c.raw, Token: raw})
	if err != nil {
		return at, err
	}
	_, err = archive.PutBytes(l.ctx, l.cfg.Vault, func(h evidence.Digest) string { return archive.TimeKey(l.logID, c.size(), h) }, object, l.cfg.Until())
	return at, err
}

// checkToken checks that a TimeStampResp is over the imprint, answers the request with that nonce and is signed by the certificate
// in it.
func checkToken(raw []byte, imprint evidence.Digest, nonce *big.Int) (time.Time, error) {
	t, err := timestamp.ParseResponse(raw)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("its answer is no time stamp: %w", err)
	case len(t.Certificates) == 0:
		return time.Time{}, errors.New("its time stamp holds no certificate")
	case t.HashAlgorithm != crypto.SHA256 || !bytes.Equal(t.HashedMessage, imprint[:]):
		return time.Time{}, errors.New("its time stamp is over something else")
	case t.Nonce == nil || t.Nonce.Cmp(nonce) != 0:
		return time.Time{}, errors.New("its time stamp answers another request")
	}
	return t.Time.UTC(), nil
}

// StampAfter returns the earliest time stamp over a checkpoint that covers a leaf. The error wraps archive.ErrNotFound if there is
// none yet.
func (l *Ledger) StampAfter(ctx context.Context, index uint64) (Stamp, error) {
	h, err := archive.First(ctx, l.cfg.Vault, archive.TimesPrefix(l.logID), digits, index+1)
	if err != nil {
		return Stamp{}, fmt.Errorf("time stamp over leaf %d: %w", index, err)
	}
	raw, err := archive.Read(ctx, l.cfg.Vault, h.Ref(), maxStamped)
	if err != nil {
		return Stamp{}, fmt.Errorf("time stamp over leaf %d: %w", index, err)
	}
	var s Stamp
	if err := json.Unmarshal(raw, &s); err != nil {
		return Stamp{}, fmt.Errorf("time stamp %s: %w", h.Key, err)
	}
	c, err := tlog.OpenCosigned(s.Checkpoint, l.verifier)
	if err == nil && c.Size <= int64(index) {
		err = fmt.Errorf("it is over %d leaves", c.Size)
	}
	if err != nil {
		return Stamp{}, fmt.Errorf("time stamp %s: %w", h.Key, err)
	}
	return s, nil
}
