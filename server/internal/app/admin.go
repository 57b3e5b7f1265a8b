package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/officers"
)

// The administrator's requests to a running server go over a socket in the state folder, which only its owner can open.

// admin does what an administrator asks for; over the socket, or in this process when no server runs.
type admin interface {
	devices(ctx context.Context) ([]deviceLine, error)
	device(ctx context.Context, id evidence.DeviceID) (deviceDetail, error)
	revoke(ctx context.Context, req revokeRequest) (uint64, error)
	missing(ctx context.Context, id string) ([]missingOf, error)
	pcrs(ctx context.Context) ([]pcrSet, error)
	allow(ctx context.Context, req allowRequest) (pcrSet, error)
	setRegister(ctx context.Context, c *officers.Content) (registerShown, error)
	register(ctx context.Context) (registerShown, error)
	recordings(ctx context.Context, after page) ([]recordingLine, error)
	export(ctx context.Context, req exportRequest) error
	accounts(ctx context.Context, after string) ([]accountLine, error)
	addAccount(ctx context.Context, req accountLine) (linkLine, error)
	linkAccount(ctx context.Context, login string) (linkLine, error)
}

// exportRequest asks for a bundle in a file or folder.
type exportRequest struct {
	Rec    evidence.RecordingID `json:"rec"`
	Path   string               `json:"path"` // absolute
	Folder bool                 `json:"folder"`
}

const actor = "administrator"

// local is admin in this process.
type local struct{ *core }

func (l local) export(ctx context.Context, req exportRequest) error {
	if err := l.wait(ctx); err != nil {
		return err
	}
	b, err := l.exporter.Open(ctx, req.Rec)
	if err != nil {
		return err
	}
	return b.To(ctx, actor, req.Path, req.Folder)
}

// adminHandler serves admin over the socket.
func adminHandler(a admin) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /devices", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(struct{}) (any, error) { return a.devices(r.Context()) })
	})
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(id evidence.DeviceID) (any, error) { return a.device(r.Context(), id) })
	})
	mux.HandleFunc("POST /revoke", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(req revokeRequest) (any, error) { return a.revoke(r.Context(), req) })
	})
	mux.HandleFunc("POST /missing", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(id string) (any, error) { return a.missing(r.Context(), id) })
	})
	mux.HandleFunc("POST /pcrs", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(struct{}) (any, error) { return a.pcrs(r.Context()) })
	})
	mux.HandleFunc("POST /allow", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(req allowRequest) (any, error) { return a.allow(r.Context(), req) })
	})
	mux.HandleFunc("POST /register", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(struct{}) (any, error) { return a.register(r.Context()) })
	})
	mux.HandleFunc("POST /register/set", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(c *officers.Content) (any, error) { return a.setRegister(r.Context(), c) })
	})
	mux.HandleFunc("POST /recordings", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(after page) (any, error) { return a.recordings(r.Context(), after) })
	})
	mux.HandleFunc("POST /export", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(req exportRequest) (any, error) { return struct{}{}, a.export(r.Context(), req) })
	})
	mux.HandleFunc("POST /accounts", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(after string) (any, error) { return a.accounts(r.Context(), after) })
	})
	mux.HandleFunc("POST /account/add", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(req accountLine) (any, error) { return a.addAccount(r.Context(), req) })
	})
	mux.HandleFunc("POST /account/link", func(w http.ResponseWriter, r *http.Request) {
		serveAdmin(w, r, func(login string) (any, error) { return a.linkAccount(r.Context(), login) })
	})
	return mux
}

type adminAnswer struct {
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// Bytes of a request and of an answer. A register is the largest request.
const (
	maxAdmin  = 8 << 20
	maxResult = 16 << 20
)

func serveAdmin[Q any](w http.ResponseWriter, r *http.Request, do func(Q) (any, error)) {
	var q Q
	var result any
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdmin)).Decode(&q)
	if err == nil {
		result, err = do(q)
	}
	var answer adminAnswer
	if err == nil {
		answer.Result, err = json.Marshal(result)
	}
	if err != nil {
		answer = adminAnswer{Error: err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the other end is gone if this fails
}

// remote is admin over the socket.
type remote struct{ client *http.Client }

// reach finds a running server by its socket; nil if there is none.
func reach(s *settings) *remote {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", s.path(fileAdmin))
	}
	conn, err := dial(context.Background(), "", "")
	if err != nil {
		return nil
	}
	_ = conn.Close()
	return &remote{&http.Client{Transport: &http.Transport{DialContext: dial}}}
}

func (r remote) call(ctx context.Context, path string, q, result any) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://server"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the running server: %w", err)
	}
	defer resp.Body.Close()
	var answer adminAnswer
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxResult)).Decode(&answer); err != nil {
		return fmt.Errorf("ask the running server: %s: %w", resp.Status, err)
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return json.Unmarshal(answer.Result, result)
}

func (r remote) devices(ctx context.Context) (out []deviceLine, err error) {
	return out, r.call(ctx, "/devices", struct{}{}, &out)
}

func (r remote) device(ctx context.Context, id evidence.DeviceID) (out deviceDetail, err error) {
	return out, r.call(ctx, "/device", id, &out)
}

func (r remote) revoke(ctx context.Context, req revokeRequest) (index uint64, err error) {
	return index, r.call(ctx, "/revoke", req, &index)
}

func (r remote) missing(ctx context.Context, id string) (out []missingOf, err error) {
	return out, r.call(ctx, "/missing", id, &out)
}

func (r remote) pcrs(ctx context.Context) (out []pcrSet, err error) {
	return out, r.call(ctx, "/pcrs", struct{}{}, &out)
}

func (r remote) allow(ctx context.Context, req allowRequest) (out pcrSet, err error) {
	return out, r.call(ctx, "/allow", req, &out)
}

func (r remote) export(ctx context.Context, req exportRequest) error {
	var nothing struct{}
	return r.call(ctx, "/export", req, &nothing)
}

// withAdmin runs f with the running server, or with everything opened in this process.
func withAdmin(e *env, f func(admin) error) error {
	if r := reach(e.settings); r != nil {
		return f(*r)
	}
	c, err := openCore(e)
	if err != nil {
		return err
	}
	return errors.Join(f(local{c}), c.close())
}

// listenAdmin makes the socket; the state folder is locked, so one that lies there is a dead server's.
func listenAdmin(s *settings) (net.Listener, error) {
	if err := os.Remove(s.path(fileAdmin)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", s.path(fileAdmin))
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(s.path(fileAdmin), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// stamp writes a time for people.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
