package dock

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"camseal/pkg/handoff"
)

// quiet is how long a bridge may say nothing before it is taken for dead; it says something every 10 s.
const quiet = 35 * time.Second

// bridge is the client of one bridge.
type bridge struct {
	socket string
	http   *http.Client
}

func newBridge(socket string) *bridge {
	return &bridge{socket, &http.Client{Transport: &http.Transport{DisableCompression: true, IdleConnTimeout: time.Minute,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
		}}}}
}

// follow calls f with each docking as it changes, until the stream or ctx ends; the error says why.
func (b *bridge) follow(ctx context.Context, f func(handoff.Docking)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(quiet, func() { cancel(errors.New("it has said nothing for too long")) })
	defer silence.Stop()
	err := b.lines(ctx, http.MethodGet, "/v1/dockings", nil, func(line []byte) error {
		silence.Reset(quiet)
		if len(line) == 0 {
			return nil
		}
		var d handoff.Docking
		if err := json.Unmarshal(line, &d); err != nil {
			return err
		}
		f(d)
		return nil
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// files calls f for each file of a docking, important ones first. A list that was cut off is an error.
func (b *bridge) files(ctx context.Context, id string, f func(handoff.File) error) error {
	whole := false
	err := b.lines(ctx, http.MethodGet, "/v1/dockings/"+id+"/files", nil, func(line []byte) error {
		var file handoff.File
		if err := json.Unmarshal(line, &file); err != nil {
			return err
		}
		if file.End {
			whole = true
			return nil
		}
		return f(file)
	})
	if err == nil && !whole {
		err = errors.New("the list of files was cut off")
	}
	return err
}

// erase has a file erased on its permit; statements writes the lines of open, chunks and close.
func (b *bridge) erase(ctx context.Context, p handoff.Permit, statements func(line func([]byte) error) error) (e handoff.Erased, err error) {
	in, out := io.Pipe()
	go func() {
		w := bufio.NewWriterSize(out, 64<<10)
		head, err := json.Marshal(p)
		line := func(l []byte) error {
			_, err := w.Write(append(l, '\n'))
			return err
		}
		if err == nil {
			err = line(head)
		}
		if err == nil {
			err = statements(line)
		}
		out.CloseWithError(errors.Join(err, w.Flush()))
	}()
	defer in.CloseWithError(io.ErrClosedPipe) // what is still being written is not wanted any more
	err = b.lines(ctx, http.MethodPost, "/v1/erase", in, func(line []byte) error { return json.Unmarshal(line, &e) })
	return e, err
}

// lines sends a request and calls f for each line of the answer. Errors: *handoff.Error for a refusal.
func (b *bridge) lines(ctx context.Context, method, path string, body io.Reader, f func([]byte) error) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://bridge"+path, body)
	if err != nil {
		return err
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the bridge at %s: %w", b.socket, err)
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(make([]byte, 0, 4<<10), handoff.MaxLine)
	if resp.StatusCode != http.StatusOK {
		refusal := &handoff.Error{Status: resp.StatusCode, Code: handoff.CodeInternal, Message: "the bridge answered " + resp.Status}
		if in.Scan() {
			if err := json.Unmarshal(in.Bytes(), refusal); err != nil {
				refusal.Message += ": " + string(bytes.ToValidUTF8(in.Bytes()[:min(200, len(in.Bytes()))], nil))
			}
		}
		refusal.Status = resp.StatusCode
		return refusal
	}
	for in.Scan() {
		if err := f(in.Bytes()); err != nil {
			return err
		}
	}
	return in.Err()
}
