// Package remote is a speech engine that answers over HTTP, by the interface that self-hosted engines share: POST /v1/audio/transcriptions with a
// multipart form, as OpenAI's API reference describes it. It is the way to Chinese headers.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"camseal/agent/internal/header"
)

// Config says where the engine is. Only Base must be set.
type Config struct {
	Base     string // such as https://speech.example/ or http://127.0.0.1:9000; the sound goes nowhere else
	Model    string // as the engine calls it; empty: whisper-1, which most take for their default
	Language string // ISO 639-1, such as zh; empty: the engine guesses
	Prompt   string // words that it should expect; empty: none. The register is never sent
	Token    string // file that holds the bearer token; empty: none. It is read anew for each request
	Timeout  time.Duration
	Client   *http.Client // nil: one of our own. Redirects are never followed
}

// Engine is safe for concurrent use.
type Engine struct {
	config Config
	url    string
	client http.Client
}

var _ header.Engine = (*Engine)(nil)

// Bounds.
const (
	longestSound  = 8 << 20  // bytes of WAV
	longestAnswer = 1 << 20  // bytes
	longestToken  = 16 << 10 // bytes
	timeout       = 60 * time.Second
)

// New refuses an address that is neither https nor this machine.
func New(c Config) (*Engine, error) {
	u, err := url.Parse(c.Base)
	if err != nil {
		return nil, fmt.Errorf("address of the speech engine: %w", err)
	}
	if u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("address of the speech engine: %q is not of the form https://HOST/", c.Base)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("address of the speech engine: %q would send footage's sound over the network unencrypted; use https, or an engine on this machine", c.Base)
	}
	e := &Engine{config: c, url: u.JoinPath("v1/audio/transcriptions").String()}
	if c.Client != nil {
		e.client = *c.Client
	}
	e.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if e.client.Timeout = c.Timeout; c.Timeout == 0 {
		e.client.Timeout = timeout
	}
	return e, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (e *Engine) model() string {
	if e.config.Model == "" {
		return "whisper-1"
	}
	return e.config.Model
}

// Transcribe sends the sound and no hints. An error says what the engine did; a token is in none.
func (e *Engine) Transcribe(ctx context.Context, wav io.Reader, _ header.Hints) (header.Transcript, error) {
	sound, err := io.ReadAll(io.LimitReader(wav, longestSound+1))
	if err != nil {
		return header.Transcript{}, fmt.Errorf("read sound: %w", err)
	}
	if len(sound) > longestSound {
		return header.Transcript{}, errors.New("the sound is longer than 8 MiB")
	}
	body, kind, err := e.form(sound)
	if err != nil {
		return header.Transcript{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return header.Transcript{}, err
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", "application/json")
	if e.config.Token != "" {
		token, err := token(e.config.Token)
		if err != nil {
			return header.Transcript{}, fmt.Errorf("token of the speech engine: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return header.Transcript{}, fmt.Errorf("speech engine: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer+1))
	if err != nil {
		return header.Transcript{}, fmt.Errorf("answer of the speech engine: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return header.Transcript{}, fmt.Errorf("the speech engine answered %s: %.200q", resp.Status, strings.ToValidUTF8(string(answer), "?"))
	}
	if len(answer) > longestAnswer {
		return header.Transcript{}, errors.New("the speech engine's answer is longer than 1 MiB")
	}
	return e.read(answer)
}

func (e *Engine) form(sound []byte) (body []byte, kind string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	fields := [][2]string{{"model", e.model()}, {"language", e.config.Language}, {"prompt", e.config.Prompt}, {"response_format", "verbose_json"}, {"temperature", "0"}}
	for _, f := range fields {
		if f[1] != "" {
			err = errors.Join(err, w.WriteField(f[0], f[1]))
		}
	}
	part, errPart := w.CreatePart(map[string][]string{
		"Content-Disposition": {`form-data; name="file"; filename="header.wav"`}, "Content-Type": {"audio/wav"},
	})
	if err = errors.Join(err, errPart); err != nil {
		return nil, "", fmt.Errorf("form for the speech engine: %w", err)
	}
	if _, err = part.Write(sound); err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, "", fmt.Errorf("form for the speech engine: %w", err)
	}
	return b.Bytes(), w.FormDataContentType(), nil
}

func token(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, longestToken+1))
	if err != nil {
		return "", err
	}
	t := strings.TrimSpace(string(b))
	if t == "" || len(b) > longestToken || strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("%s holds no token: one line of visible ASCII is expected", name)
	}
	return t, nil
}

// read reads the answer's text; its confidence is the mean probability of a token, as far as the engine tells it: the mean of avg_logprob over the segments,
// weighed by their length.
func (e *Engine) read(answer []byte) (header.Transcript, error) {
	var a struct {
		Text     *string `json:"text"`
		Segments []struct {
			Start   float64  `json:"start"`
			End     float64  `json:"end"`
			LogProb *float64 `json:"avg_logprob"`
		} `json:"segments"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return header.Transcript{}, fmt.Errorf("answer of the speech engine is not the JSON that was asked for: %w", err)
	}
	if a.Text == nil {
		return header.Transcript{}, errors.New("answer of the speech engine has no text")
	}
	sum, weight := 0.0, 0.0
	for _, s := range a.Segments {
		if s.LogProb != nil {
			w := min(max(s.End-s.Start, 0.01), 1e6)
			sum, weight = sum+w*max(min(*s.LogProb, 0), -100), weight+w
		}
	}
	t := header.Transcript{Text: *a.Text, Engine: "http " + e.model()}
	if weight > 0 {
		t.Confidence = uint64(math.Round(1000 * math.Exp(sum/weight)))
	}
	return t, nil
}
