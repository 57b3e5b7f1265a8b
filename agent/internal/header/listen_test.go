package header_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"camseal/agent/internal/header"
	"camseal/agent/internal/header/headertest"
	"camseal/agent/internal/header/sound"
	"camseal/agent/internal/header/sphinx"
	"camseal/pkg/sandbox"
)

// engine is an engine that hears always the same, and keeps what it was given.
type engine struct {
	text string
	err  error
	wav  []byte
}

func (e *engine) Transcribe(ctx context.Context, wav io.Reader, _ header.Hints) (t header.Transcript, err error) {
	if e.wav, err = io.ReadAll(wav); err != nil {
		return t, err
	}
	if e.text == "wait" {
		<-ctx.Done()
		return t, ctx.Err()
	}
	return header.Transcript{Text: e.text, Confidence: 900, Engine: "test"}, e.err
}

func listener(e header.Engine) *header.Listener {
	return &header.Listener{Engine: e, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

// footage makes footage in a folder: seconds of a test picture, and a header that is spoken after two seconds.
func footage(t *testing.T, name string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	said, err := headertest.Say(t.Context(), "flite:slt", headertest.Headers()[0].Text)
	if err != nil {
		t.Fatal(err)
	}
	wav := filepath.Join(dir, "said.wav")
	all := append(append(headertest.Silence(2), said...), headertest.Silence(8)...)
	if err := os.WriteFile(wav, sound.WAV(all), 0o600); err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(dir, name)
	args = append([]string{"-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=5", "-i", wav, "-shortest"}, append(args, name)...)
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v %s", err, out)
	}
	return name
}

func listen(t *testing.T, l *header.Listener, name string) (header.Heard, []byte) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	heard, wav, err := l.Listen(t.Context(), f, headertest.Register())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return heard, wav
}

// TestSpokenHeaderOfFootage: the whole way, from footage of several kinds (the index of an MP4 at its end, so it must be sought) to fields, with the built-in
// engine for the first of them.
func TestSpokenHeaderOfFootage(t *testing.T) {
	for i, c := range [][]string{{"a.mp4", "-c:v", "mpeg4", "-c:a", "aac"}, {"b.mkv", "-c:v", "mpeg4", "-c:a", "pcm_s16le"}, {"c.avi", "-c:v", "mpeg4", "-c:a", "mp3"}, {"d.ts", "-c:v", "mpeg2video", "-c:a", "mp2"}} {
		e := &engine{text: headertest.Headers()[0].Text}
		l := listener(e)
		if i == 0 {
			l.Engine = &sphinx.Engine{}
		}
		name := footage(t, c[0], c[1:]...)
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && bytes.Index(before, []byte("moov")) < bytes.Index(before, []byte("mdat")) {
			t.Fatal("the index is not at the end")
		}
		heard, wav := listen(t, l, name)
		if heard.Failed != "" || math.Abs(float64(heard.From)-1800) > 400 || heard.Until < 8000 || heard.Until > 14000 || heard.Confidence == 0 {
			t.Errorf("%s: %+v", c[0], heard)
		}
		if got, want := show(heard.Fields), "Market Supervision Bureau | Li Wei 123456 | unlicensed sale | 09:30 | East Market"; got != want {
			t.Errorf("%s: %s, want %s", c[0], got, want)
		}
		samples, err := sound.ReadWAV(bytes.NewReader(wav), 1<<20)
		if d := sound.Length(len(samples)); err != nil || d != time.Duration(heard.Until-heard.From)*time.Millisecond {
			t.Errorf("%s: %v of sound, %v", c[0], d, err)
		}
		if after, err := os.ReadFile(name); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s was changed", c[0])
		}
	}
}

// TestHostileFootage ends in words, for every file, and reads nothing but the file and fetches nothing.
func TestHostileFootage(t *testing.T) {
	var fetched []string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { fetched = append(fetched, r.URL.Path) }))
	defer s.Close()
	good := footage(t, "good.mp4", "-c:v", "mpeg4", "-c:a", "aac")
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	speech := filepath.Join(filepath.Dir(good), "said.wav")
	silent := filepath.Join(t.TempDir(), "silent.mp4")
	if out, err := exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=5:duration=2", "-c:v", "mpeg4", silent).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	noVideo, err := os.ReadFile(silent)
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(content)
	for i := 40; i < len(broken); i += 7 {
		broken[i] ^= byte(i)
	}
	for name, c := range map[string]struct{ content, words string }{
		"empty":               {"", "could not be decoded"},
		"one byte":            {"x", "could not be decoded"},
		"index cut off":       {string(content[:len(content)-len(content)/4]), "could not be decoded"},
		"every seventh byte":  {string(broken), "The footage"},
		"zeros":               {string(make([]byte, 5<<20)), "could not be decoded"},
		"no sound track":      {string(noVideo), "no sound track"},
		"script":              {"#!/bin/sh\nrm -rf /\n", "could not be decoded"},
		"concat of a file":    {"ffconcat version 1.0\nfile '" + speech + "'\n", "could not be decoded"},
		"playlist of a file":  {"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://" + speech + "\n#EXT-X-ENDLIST\n", "could not be decoded"},
		"playlist of an URL":  {"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n" + s.URL + "/a.ts\n#EXT-X-ENDLIST\n", "could not be decoded"},
		"playlist of itself":  {"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:/proc/self/fd/0\n#EXT-X-ENDLIST\n", "could not be decoded"},
		"dash manifest":       {`<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation id="1"><BaseURL>` + s.URL + `/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>`, "could not be decoded"},
		"session description": {"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9999 RTP/AVP 0\n", "could not be decoded"},
	} {
		e := &engine{text: "never"}
		file := filepath.Join(t.TempDir(), "f.mp4")
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		heard, wav := listen(t, listener(e), file)
		if !strings.Contains(heard.Failed, c.words) || !strings.Contains(heard.Failed, "not touched") || len(heard.Failed) > 600 || wav != nil || e.wav != nil || len(heard.Fields) != 5 {
			t.Errorf("%s: %+v", name, heard)
		}
	}
	if len(fetched) > 0 {
		t.Errorf("fetched %v", fetched)
	}
}

func TestSparseFootageOfTenGiB(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sparse.mp4")
	if err := os.WriteFile(name, []byte("\x00\x00\x00\x1cftypisom\x00\x00\x02\x00isomiso2mp41\x00\x00\x00\x01mdat\x00\x00\x00\x02\x80\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 10<<30); err != nil {
		t.Fatal(err)
	}
	l := listener(&engine{})
	l.Sandbox.Time = 10 * time.Second
	begin := time.Now()
	if heard, _ := listen(t, l, name); heard.Failed == "" || time.Since(begin) > 20*time.Second {
		t.Errorf("%+v after %v", heard, time.Since(begin))
	}
}

// TestStoppedDecoderIsEnded: ffmpeg is stopped while it decodes, as one that hangs in hostile media, and is ended by the clock.
func TestStoppedDecoderIsEnded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "long.wav")
	if err := os.WriteFile(name, sound.WAV(headertest.Silence(1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	l := listener(&engine{})
	l.Detector.Search = 1000 * time.Second
	l.Sandbox = sandbox.Box{Time: 3 * time.Second}
	stop, stopped := make(chan struct{}), make(chan int, 1)
	go func() {
		n := 0
		for ended := false; n == 0 && !ended; n = freeze(t) {
			select {
			case <-stop:
				ended = true
			default:
			}
		}
		stopped <- n
	}()
	begin := time.Now()
	heard, _ := listen(t, l, name)
	close(stop)
	if n := <-stopped; n == 0 || !strings.Contains(heard.Failed, "too long") || time.Since(begin) > 15*time.Second {
		t.Errorf("%d were stopped; %+v after %v", n, heard, time.Since(begin))
	}
	if left := descendants(t); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// freeze stops every ffmpeg below this process.
func freeze(t *testing.T) (n int) {
	for _, pid := range descendants(t) {
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(name) == "ffmpeg\n" && syscall.Kill(pid, syscall.SIGSTOP) == nil {
			n++
		}
	}
	return n
}

// descendants are the processes below this one.
func descendants(t *testing.T) (list []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Error(err)
	}
	parent := map[int]int{}
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		pid, err1 := strconv.Atoi(filepath.Base(filepath.Dir(s)))
		ppid, err2 := strconv.Atoi(fields[1])
		if errors.Join(err1, err2) == nil && fields[0] != "Z" {
			parent[pid] = ppid
		}
	}
	for pid := range parent {
		for p := parent[pid]; p > 1; p = parent[p] {
			if p == os.Getpid() {
				list = append(list, pid)
				break
			}
		}
	}
	return list
}

func TestWhatIsNoFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	heard, _, err := listener(&engine{}).Listen(t.Context(), f, nil)
	if err != nil || !strings.Contains(heard.Failed, "not a file that can be listened to") {
		t.Errorf("%+v %v", heard, err)
	}
}

func TestEngineThatFails(t *testing.T) {
	name := footage(t, "a.mp4", "-c:v", "mpeg4", "-c:a", "aac")
	heard, wav := listen(t, listener(&engine{err: errors.New("out of order")}), name)
	if !strings.Contains(heard.Failed, "out of order") || wav == nil || heard.Until == 0 || heard.Transcript != "" || len(heard.Fields) != 5 {
		t.Errorf("%+v", heard)
	}
	l := listener(&engine{text: "wait"})
	l.Patience = 50 * time.Millisecond
	if heard, wav = listen(t, l, name); !strings.Contains(heard.Failed, "did not answer within 50ms") || wav == nil {
		t.Errorf("%+v", heard)
	}
	heard, _ = listen(t, listener(&engine{text: "a\x00b\xff\u2028 " + strings.Repeat("长", 9000)}), name)
	if heard.Failed != "" || len(heard.Transcript) > 8<<10 || !strings.HasPrefix(heard.Transcript, "a b� 长") {
		t.Errorf("%.100q %s", heard.Transcript, heard.Failed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err := listener(&engine{}).Listen(ctx, f, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
