package remote

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"camseal/agent/internal/header"
	"camseal/agent/internal/header/sound"
)

var wav = sound.WAV(make([]int16, 1600))

// strict is an engine that looks at every part of a request, and answers with answer.
func strict(t *testing.T, want map[string]string, authorization, answer string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.String() != "/base/v1/audio/transcriptions" || r.Header.Get("Authorization") != authorization {
			t.Errorf("%s %s, authorization %q", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "multipart/form-data" {
			t.Errorf("content type %q: %v", r.Header.Get("Content-Type"), err)
		}
		got := map[string]string{}
		parts := multipart.NewReader(r.Body, params["boundary"])
		for {
			p, err := parts.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Error(err)
				return
			}
			b, err := io.ReadAll(p)
			if err != nil {
				t.Error(err)
			}
			if p.FormName() == "file" {
				if p.FileName() != "header.wav" || p.Header.Get("Content-Type") != "audio/wav" || !bytes.Equal(b, wav) {
					t.Errorf("file %q, %q, %d bytes", p.FileName(), p.Header.Get("Content-Type"), len(b))
				}
				continue
			}
			if got[p.FormName()] != "" {
				t.Errorf("%s comes twice", p.FormName())
			}
			got[p.FormName()] = string(b)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("form %v, want %v", got, want)
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func engine(t *testing.T, c Config) *Engine {
	t.Helper()
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRequestAndAnswer(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := strict(t, map[string]string{"model": "paraformer", "language": "zh", "prompt": "市场监督管理局", "response_format": "verbose_json", "temperature": "0"}, "Bearer s3cret",
		`{"task":"transcribe","language":"chinese","duration":8.5,"text":"我是李伟","segments":[{"id":0,"start":0,"end":2,"text":"我是","avg_logprob":-0.1},{"id":1,"start":2,"end":4,"text":"李伟","avg_logprob":-0.3}]}`)
	got, err := engine(t, Config{Base: s.URL + "/base/", Model: "paraformer", Language: "zh", Prompt: "市场监督管理局", Token: token}).Transcribe(t.Context(), bytes.NewReader(wav), header.Hints{})
	if err != nil || got != (header.Transcript{Text: "我是李伟", Confidence: 819, Engine: "http paraformer"}) { // e^-0.2
		t.Errorf("%+v %v", got, err)
	}
	s = strict(t, map[string]string{"model": "whisper-1", "response_format": "verbose_json", "temperature": "0"}, "", `{"text":"hello"}`)
	got, err = engine(t, Config{Base: s.URL + "/base"}).Transcribe(t.Context(), bytes.NewReader(wav), header.Hints{})
	if err != nil || got != (header.Transcript{Text: "hello", Engine: "http whisper-1"}) {
		t.Errorf("%+v %v", got, err)
	}
}

// TestEngineThatMisbehaves ends in an error that says what was wrong, soon and with little memory, and shows the token to nobody.
func TestEngineThatMisbehaves(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("another server got %s", r.URL) }))
	defer other.Close()
	over := make(chan struct{})
	for want, answer := range map[string]http.HandlerFunc{
		"500 Internal Server Error": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "out of memory", http.StatusInternalServerError)
		},
		"401 Unauthorized": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) },
		"302 Found":        func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
		"307 Temporary Redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"not the JSON":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>garbage\x00") },
		"has no text":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"error":"x"}`) },
		"longer than 1 MiB": func(w http.ResponseWriter, _ *http.Request) { flood(w, over) },
		"deadline exceeded": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"text":`)
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-over:
			}
		},
		"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		s := httptest.NewServer(answer)
		limit := 20 * time.Second
		if want == "deadline exceeded" {
			limit = 300 * time.Millisecond
		}
		begin := time.Now()
		_, err := engine(t, Config{Base: s.URL, Token: token, Timeout: limit}).Transcribe(t.Context(), bytes.NewReader(wav), header.Hints{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") || len(err.Error()) > 1000 || time.Since(begin) > 15*time.Second {
			t.Errorf("%s: %v after %v", want, err, time.Since(begin))
		}
		s.CloseClientConnections()
		s.Close()
	}
	close(over)
}

// flood writes until nobody reads.
func flood(w io.Writer, over chan struct{}) {
	for {
		select {
		case <-over:
			return
		default:
		}
		if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<16)); err != nil {
			return
		}
	}
}

func TestEndOfContextEndsTheRequest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	if _, err := engine(t, Config{Base: s.URL}).Transcribe(ctx, bytes.NewReader(wav), header.Hints{}); err == nil || ctx.Err() == nil {
		t.Error(err)
	}
}

func TestAddressesAndTokens(t *testing.T) {
	for base, ok := range map[string]bool{
		"https://speech.example": true, "https://speech.example/base/": true, "http://127.0.0.1:9000": true, "http://[::1]:9000": true, "http://localhost:9000": true,
		"http://speech.example": false, "http://127.0.0.1.example": false, "ftp://speech.example": false, "https://": false, "": false, "speech.example": false,
		"https://user:pass@speech.example": false, "https://speech.example/?a=b": false, "http://10.0.0.1": false,
	} {
		if _, err := New(Config{Base: base}); (err == nil) != ok {
			t.Errorf("%q: %v", base, err)
		}
	}
	dir := t.TempDir()
	for i, content := range []string{"", " \n", "two words", "two\nlines", strings.Repeat("x", 20<<10), "schlüssel"} {
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := engine(t, Config{Base: "http://127.0.0.1:1", Token: name}).Transcribe(t.Context(), bytes.NewReader(wav), header.Hints{})
		if err == nil || !strings.Contains(err.Error(), "holds no token") {
			t.Errorf("%.20q: %v", content, err)
		}
	}
	if _, err := engine(t, Config{Base: "http://127.0.0.1:1"}).Transcribe(t.Context(), bytes.NewReader(make([]byte, 9<<20)), header.Hints{}); err == nil || !strings.Contains(err.Error(), "8 MiB") {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"text":"a","segments":[{"start":0,"end":1,"avg_logprob":-0.5}]}`))
	f.Add([]byte(`{"text":"a","segments":[{"start":1e308,"end":-1e308,"avg_logprob":1e308},{"avg_logprob":-1e308},null]}`))
	f.Add([]byte(`{"text":"a","segments":[{"start":-1e308,"end":1e308,"avg_logprob":1}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := (&Engine{}).read(b)
		if err == nil && got.Confidence > 1000 {
			t.Errorf("%+v", got)
		}
	})
}
