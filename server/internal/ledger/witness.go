package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/tessera/client"

	"camseal/pkg/tlog"
)

// Witness is an outside witness of the log (https://c2sp.org/tlog-witness).
type Witness struct {
	URL string   // http or https; add-checkpoint lies below it
	Key tlog.Key // its verifier key (https://c2sp.org/tlog-cosignature)
}

const (
	askTimeout = 10 * time.Second // of one request to a witness or a time stamping authority
	maxOff     = 5 * time.Minute  // how far a witness's or an authority's clock may be from the server's
	maxRefusal = 512              // bytes of an error's text that are read
)

// errOld says that a witness knows another size of the log than it was told.
type errOld struct{ known uint64 }

func (e *errOld) Error() string { return fmt.Sprintf("it has cosigned a log of %d leaves", e.known) }

// witness is one that is asked. The coordinator of rounds owns all but what is set once.
type witness struct {
	Witness
	cosigner tlog.Cosigner
	known    uint64 // the size that it has cosigned, as far as is known
	busy     *round // what it is asked for now
	retry    retry
	status   WitnessStatus
}

func newWitness(w Witness) (*witness, error) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("witness: %q is not a URL such as https://witness.example", w.URL)
	}
	c, err := tlog.NewCosigner(w.Key)
	if err != nil {
		return nil, fmt.Errorf("witness %s: %w", w.URL, err)
	}
	return &witness{Witness: w, cosigner: c, status: WitnessStatus{Name: c.Name(), URL: w.URL}}, nil
}

// cosign asks the witness to cosign c, and returns the signature line that it gave, checked, and its time. It tells the witness that
// it knows a log of old leaves; when it says that it knows another, it is asked once more.
func (l *Ledger) cosign(ctx context.Context, w *witness, old uint64, c checkpoint) (line []byte, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	body, err := l.addCheckpoint(ctx, w.URL, old, c)
	var other *errOld
	if errors.As(err, &other) && other.known != old {
		body, err = l.addCheckpoint(ctx, w.URL, other.known, c)
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	signed, err := tlog.AddLines(c.raw, body)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("its answer is no signature line: %w", err)
	}
	at, ok, err := w.cosigner.Verify(signed)
	switch off := at.Sub(l.cfg.Now()); {
	case err != nil:
		return nil, time.Time{}, fmt.Errorf("it lies: %w", err)
	case !ok:
		return nil, time.Time{}, fmt.Errorf("it signed with another key than %s", w.Key)
	case off.Abs() > maxOff:
		return nil, time.Time{}, fmt.Errorf("its clock says %s, this server's is off by %s from that; nothing of it is taken; set the clock that is wrong",
			at.Format(time.RFC3339), off.Round(time.Second))
	}
	return ownLine(signed, w.cosigner), at, nil
}

// ownLine returns the cosigner's line of a checkpoint that has one.
func ownLine(signed []byte, c tlog.Cosigner) []byte {
	for line := range bytes.Lines(signed) {
		rest, ok := bytes.CutPrefix(line, []byte("\u2014 "+c.Name()+" "))
		raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(rest)))
		if ok && err == nil && len(raw) > 4 && uint32(raw[0])<<24|uint32(raw[1])<<16|uint32(raw[2])<<8|uint32(raw[3]) == c.KeyHash() {
			return line
		}
	}
	return nil
}

// addCheckpoint is one request of the protocol. Errors: *errOld, or what the witness or the network said.
func (l *Ledger) addCheckpoint(ctx context.Context, to string, old uint64, c checkpoint) ([]byte, error) {
	if old > c.size() {
		return nil, fmt.Errorf("it has cosigned a log of %d leaves, and this checkpoint is over %d: an older copy of the log, or a witness that lies", old, c.Size)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	if old > 0 && old < c.size() {
		proofs, err := client.NewProofBuilder(ctx, c.size(), l.files.ReadTile)
		if err != nil {
			return nil, err
		}
		nodes, err := proofs.ConsistencyProof(ctx, old, c.size())
		if err != nil {
			return nil, fmt.Errorf("proof from %d to %d leaves: %w", old, c.Size, err)
		}
		for _, n := range nodes {
			b.WriteString(base64.StdEncoding.EncodeToString(n) + "\n")
		}
	}
	b.WriteString("\n")
	b.Write(c.raw)
	status, body, err := post(ctx, strings.TrimSuffix(to, "/")+"/add-checkpoint", "text/plain; charset=utf-8", b.Bytes(), tlog.MaxCheckpoint)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusOK:
		return body, nil
	case status == http.StatusConflict:
		if known, err := strconv.ParseUint(strings.TrimSuffix(string(body), "\n"), 10, 63); err == nil {
			return nil, &errOld{known}
		}
	}
	return nil, refused(status, body)
}

// refused says why a request failed, as far as its status tells.
func refused(status int, body []byte) error {
	meaning := map[int]string{http.StatusForbidden: "it trusts no key of this log", http.StatusNotFound: "it does not know this log",
		http.StatusUnprocessableEntity: "it says that this log does not go on from what it has cosigned"}[status]
	return fmt.Errorf("status %d %s: %q", status, meaning, body[:min(len(body), maxRefusal)])
}

// outsideClient follows no redirects: what is configured is who is asked.
var outsideClient = &http.Client{Timeout: askTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// post sends a small request and reads a small answer of at most limit bytes.
func post(ctx context.Context, to, kind string, body []byte, limit int64) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", kind)
	resp, err := outsideClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(answer)) > limit {
		err = fmt.Errorf("%s answers with more than %d bytes", to, limit)
	}
	return resp.StatusCode, answer, err
}
