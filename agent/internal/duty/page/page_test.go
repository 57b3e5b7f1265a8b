package page

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"camseal/agent/internal/capture"
	"camseal/agent/internal/duty"
	"camseal/pkg/evidence"
)

// recorder is one by hand.
type recorder struct {
	mu      sync.Mutex
	st      duty.State
	asked   []string
	err     error
	changed chan struct{}
}

func newRecorder() *recorder {
	return &recorder{changed: make(chan struct{}), st: duty.State{Station: "DSJ-V6 0042", Video: "h264", Width: 1280, Height: 720, Audio: "pcma", Buffered: 30,
		Link: "mobile", Troubles: []string{}, Health: duty.Health{Online: true, Class: "tpm", Full: 3}}}
}

func (r *recorder) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) State(context.Context) duty.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.st
	st.At = time.Now()
	return st
}

func (r *recorder) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *recorder) do(what string, rec *evidence.RecordingID) (id evidence.RecordingID, err error) {
	r.set(func() {
		r.asked = append(r.asked, what)
		if err = r.err; err == nil {
			id, r.st.Recording, r.st.Since = evidence.RecordingID{1}, rec, time.Now()
		}
	})
	return id, err
}

func (r *recorder) Start(_ context.Context, by string) (evidence.RecordingID, error) {
	return r.do("start "+by, &evidence.RecordingID{1})
}
func (r *recorder) Stop(_ context.Context, by string) (evidence.RecordingID, error) {
	return r.do("stop "+by, nil)
}
func (r *recorder) Mark(_ context.Context, by, text string) (evidence.RecordingID, error) {
	return r.do("mark "+by+" "+text, &evidence.RecordingID{1})
}
func (r *recorder) EndHeader(_ context.Context, by string) error {
	_, err := r.do("header-end "+by, &evidence.RecordingID{1})
	return err
}

func serve(t *testing.T, r *recorder) *httptest.Server {
	t.Helper()
	h, err := New(Config{Recorder: r, Now: time.Now, Log: slog.New(slog.DiscardHandler), Lang: "en"})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// send sends a request whose headers are given in pairs, and returns the answer's status, Location and body.
func send(t *testing.T, method, url, body string, headers ...string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Content-Security-Policy") != policy || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s: headers %v", method, url, resp.Header)
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(raw)
}

func TestControl(t *testing.T) {
	r := newRecorder()
	s := serve(t, r)
	const form = "application/x-www-form-urlencoded"
	page := []string{"Accept", "text/html,*/*", "Content-Type", form, "Sec-Fetch-Site", "same-origin", "Origin", s.URL}
	if code, to, _ := send(t, "POST", s.URL+"/start", "", page...); code != http.StatusSeeOther || to != "/?said=start" {
		t.Errorf("start: %d %q", code, to)
	}
	if code, _, body := send(t, "GET", s.URL+"/?said=start", "", "Accept", "text/html"); code != 200 || !strings.Contains(body, "RECORDING") || !strings.Contains(body, texts["said-start"][0]) {
		t.Errorf("page: %d %s", code, body)
	}
	if code, _, body := send(t, "POST", s.URL+"/mark", `{"text":"a knife"}`, "Content-Type", "application/json"); code != 200 || !strings.Contains(body, `"recording":"0100`) {
		t.Errorf("mark: %d %s", code, body)
	}
	if code, _, _ := send(t, "POST", s.URL+"/mark", "text=again", "Content-Type", form); code != 200 {
		t.Errorf("mark: %d", code)
	}
	if code, _, body := send(t, "POST", s.URL+"/header-end", ""); code != 200 || strings.TrimSpace(body) != "{}" {
		t.Errorf("header-end: %d %s", code, body)
	}
	if code, _, _ := send(t, "POST", s.URL+"/stop", ""); code != 200 {
		t.Errorf("stop: %d", code)
	}
	want := []string{"start web page on the recorder", "mark button a knife", "mark button again", "header-end button", "stop button"}
	if !slices.Equal(r.asked, want) {
		t.Errorf("asked: %q", r.asked)
	}
	var st duty.State
	if code, _, body := send(t, "GET", s.URL+"/state", ""); code != 200 || json.Unmarshal([]byte(body), &st) != nil || st.Width != 1280 || st.Recording != nil || !st.Online {
		t.Errorf("state: %d %s", code, body)
	}
	for err, key := range map[error]string{capture.ErrIdle: "idle", capture.ErrNoCamera: "no-camera", capture.ErrRecording: "recording", io.ErrShortWrite: "failed"} {
		r.set(func() { r.err = err })
		if code, to, _ := send(t, "POST", s.URL+"/stop", "", page...); code != http.StatusSeeOther || to != "/?wrong="+key {
			t.Errorf("%v: %d %q", err, code, to)
		}
		if code, _, body := send(t, "POST", s.URL+"/stop", ""); code < 409 || !strings.Contains(body, `"error":"`+key) || !strings.Contains(body, err.Error()) {
			t.Errorf("%v: %d %s", err, code, body)
		}
	}
}

// Other pages, other names and long bodies are refused, and nothing is done.
func TestRefused(t *testing.T) {
	r := newRecorder()
	s := serve(t, r)
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
	}{
		"cross-site":    {"POST", "/start", "", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"same-site":     {"POST", "/start", "", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"origin":        {"POST", "/stop", "", []string{"Origin", "http://127.0.0.1:1"}, 403},
		"null":          {"POST", "/stop", "", []string{"Origin", "null"}, 403},
		"name":          {"POST", "/start", "", []string{"Host", "evil.example" + port}, 403},
		"name to read":  {"GET", "/state", "", []string{"Host", "evil.example"}, 403},
		"like local":    {"GET", "/", "", []string{"Host", "localhost.evil.example" + port}, 403},
		"other address": {"GET", "/events", "", []string{"Host", "192.168.0.7" + port}, 403},
		"long":          {"POST", "/mark", `{"text":"` + strings.Repeat("x", maxBody) + `"}`, []string{"Content-Type", "application/json"}, 413},
		"long form":     {"POST", "/mark", strings.Repeat("x", maxBody+1), []string{"Content-Type", "application/x-www-form-urlencoded"}, 413},
		"get":           {"GET", "/start", "", nil, 404},
		"page":          {"GET", "/nothing", "", []string{"Accept", "text/html"}, 404},
	} {
		if code, _, body := send(t, c.method, s.URL+c.path, c.body, c.headers...); code != c.status || body == "" {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if len(r.asked) > 0 {
		t.Errorf("asked: %q", r.asked)
	}
	for _, host := range []string{"localhost" + port, "127.0.0.1", "[::1]" + port, "LOCALHOST"} {
		if code, _, _ := send(t, "GET", s.URL+"/state", "", "Host", host); code != 200 {
			t.Errorf("%s: %d", host, code)
		}
	}
}

// Every text is there in both languages with the same blanks, and every one is asked for.
func TestTextsAreComplete(t *testing.T) {
	var source bytes.Buffer
	for _, pattern := range []string{"*.go", "templates/*.html"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if raw, err := os.ReadFile(path); err != nil {
				t.Fatal(err)
			} else if path != "texts.go" && !strings.HasSuffix(path, "_test.go") {
				source.Write(raw)
			}
		}
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:\.T "|T\("|in\(")([a-z-]+[a-z])"`).FindAllStringSubmatch(source.String(), -1) {
		used[m[1]] = true
	}
	for prefix, keys := range map[string][]string{"": {"recording", "ready", "no-camera", "wifi", "mobile", "dock", "sorry-host", "sorry-other", "sorry-much", "sorry-none", "sorry-busy",
		"by-button", "by-key", "by-schedule", "by-configuration", "by-page", "by-restart"}, "do-": {"recording", "ready", "no-camera"}, "said-": {"start", "stop", "mark", "header-end"},
		"wrong-": {"recording", "idle", "no-camera", "failed"}} {
		for _, k := range keys {
			used[prefix+k] = true
		}
	}
	blanks := regexp.MustCompile(`%[a-z]`)
	for key := range used {
		if texts[key][0] == "" || texts[key][1] == "" {
			t.Errorf("text %q is missing", key)
		}
	}
	for key, both := range texts {
		if !used[key] {
			t.Errorf("text %q is never shown", key)
		}
		if en, zh := blanks.FindAllString(both[0], -1), blanks.FindAllString(both[1], -1); !slices.Equal(en, zh) {
			t.Errorf("text %q: blanks %q, and %q in Chinese", key, en, zh)
		}
		if strings.ContainsAny(both[0]+both[1], "!！") && key != "unsealed" && key != "software" { // there it is a sign
			t.Errorf("text %q exclaims", key)
		}
	}
}
