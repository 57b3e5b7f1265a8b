package e2e_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	cdp "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
)

const (
	theVideo   = `document.querySelector('video')`
	theVerdict = `document.querySelector('.verdict')`
	theNotice  = `document.querySelector('.stop')`
)

// longFilm is real footage, repeated until it is longer than what a browser reads ahead.
func longFilm(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "long.mp4")
	out, err := exec.Command("ffmpeg", "-v", "error", "-stream_loop", "15", "-i", filepath.Join(samples, "movie1/VID_20191220_170832.mp4"), "-c", "copy", path).CombinedOutput()
	if err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// withFilm starts a system that has taken in one long film.
func withFilm(t *testing.T, chunk int) (s *system, rec string, film []byte) {
	t.Helper()
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out browsers")
	}
	s, film = newSystem(t), longFilm(t)
	if err := os.WriteFile(filepath.Join(s.recorder, "long.mp4"), film, 0o644); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "camseal-agent", s.importing("--chunk-size", fmt.Sprintf("%dKiB", chunk>>10))...)
	return s, s.recordings()[0].Rec, film
}

// checkedPage opens a recording and waits until its film comes from the worker.
func (w *window) checkedPage(rec, lang string) {
	w.t.Helper()
	w.visit("/recordings/" + rec + "?lang=" + lang)
	w.until("the film from the worker", `(v => v.currentSrc.includes('/checked/') && v.readyState >= 2)(`+theVideo+`)`)
}

func (w *window) state(want string) {
	w.t.Helper()
	w.until("the verdict "+want, fmt.Sprintf(theVerdict+`.dataset.state == %q`, want))
}

func (w *window) shot(name string) {
	w.t.Helper()
	var shot []byte
	w.run(chromedp.Screenshot("main", &shot, chromedp.ByQuery))
	w.keep(name, shot)
}

// TestCheckedPlayback: what is played was checked in the browser, and the verdict says what is known and no more.
func TestCheckedPlayback(t *testing.T) {
	s, recs, _ := withFootage(t, "--chunk-size", "256KiB")
	w := openBrowser(t, s)
	w.checkedPage(recs[film], "en")
	w.run(chromedp.Evaluate(theVideo+`.play().catch(() => 0)`, nil))
	w.until("the film to play", theVideo+`.currentTime > 1`)
	w.run(chromedp.Evaluate(`document.querySelector('.check button').click()`, nil))
	w.state("sound")
	said := ask[string](w, theVerdict+`.textContent`)
	for _, want := range []string{"17 of 17 checked in this browser, by this server's code and log key", `sealed \d+ times by the recorder's or dock's TPM`, `(\d) of (\d) receipts`, "No witnesses were given"} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("the verdict does not say %q: %s", want, said)
		}
	}
	w.shot("checked-sound")
	w.visit("/recordings/" + recs[photo] + "?lang=zh-CN")
	w.until("the photo", `(i => i.currentSrc.includes('/checked/') && i.complete && i.naturalWidth > 0)(document.querySelector('.stage img'))`)
	w.state("sound")
	w.visit("/recordings/" + recs[sound] + "?lang=zh-CN")
	w.until("the sound from the worker", `document.querySelector('audio').currentSrc.includes('/checked/')`)
	w.run(chromedp.Evaluate(`document.querySelector('audio').play()`, nil))
	w.until("the sound to play", `(a => a.currentSrc.includes('/checked/') && a.currentTime > 0.5)(document.querySelector('audio'))`)
	w.state("sound")
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// TestCheckedDamage: the vault's object is changed on disk under a playing recording, and another one is deleted. Playback stops before
// the part with the right words, goes past it, or shows it marked.
func TestCheckedDamage(t *testing.T) {
	const chunk = 256 << 10
	s, rec, long := withFilm(t, chunk)
	parts := (len(long) + chunk - 1) / chunk
	bad, gone := parts/2, parts*3/4
	w := openBrowser(t, s)
	w.checkedPage(rec, "en")
	w.run(chromedp.Evaluate(theVideo+`.muted = true, `+theVideo+`.play().catch(() => 0)`, nil))
	w.until("the film to play", theVideo+`.currentTime > 0.5`)
	damage(t, s, rec, bad)
	removeChunk(t, s, rec, gone)
	w.expect(fmt.Sprintf("/recordings/%s/parts/%d", rec, gone))

	length := ask[float64](w, theVideo+`.duration`)
	from, until := length*float64(bad)*chunk/float64(len(long)), length*float64(bad+1)*chunk/float64(len(long))
	w.run(chromedp.Evaluate(fmt.Sprintf(theVideo+`.currentTime = %f, `+theVideo+`.play().catch(() => 0)`, from-4), nil))
	w.until("words about the changed part", theNotice+`.textContent.includes('do not match')`)
	at, text := ask[float64](w, theVideo+`.currentTime`), ask[string](w, theNotice+`.textContent`)
	stated := regexp.MustCompile(`^✗ Seconds (\d+) to (\d+) \(about\) do not match what the recorder sealed\. They are not shown\.`).FindStringSubmatch(text)
	if stated == nil {
		t.Fatalf("it says %q", text)
	}
	if a, b := number(t, stated[1]), number(t, stated[2]); a > from || a < from-1 || b < until || b > until+1 {
		t.Errorf("it says seconds %v to %v, the part is %.2f to %.2f", a, b, from, until)
	}
	if at > until {
		t.Errorf("it played until %.2f, past the changed part (%.2f to %.2f)", at, from, until)
	}
	t.Logf("stopped at %.2f of %.2f, the part is %.2f to %.2f: %s", at, length, from, until, text)
	w.state("broken")
	w.shot("checked-broken")

	w.run(chromedp.Evaluate(`[...`+theNotice+`.querySelectorAll('button')].find(b => b.textContent == 'Go past it').click()`, nil))
	w.until("playback behind the part", fmt.Sprintf(theVideo+`.currentTime > %f + 0.5 && !`+theVideo+`.paused`, until))
	w.state("broken")

	w.run(chromedp.Evaluate(fmt.Sprintf(theVideo+`.currentTime = %f, `+theVideo+`.play().catch(() => 0)`, length*float64(gone)*chunk/float64(len(long))-3), nil))
	w.until("words about the part that is gone", theNotice+`.textContent.includes('are not in the vault any more')`)
	if n := ask[int](w, theNotice+`.querySelectorAll('button').length`); n != 1 {
		t.Errorf("%d ways are offered where there is nothing to show", n)
	}

	w.checkedPage(rec, "zh-CN")
	w.run(chromedp.Evaluate(fmt.Sprintf(theVideo+`.muted = true, `+theVideo+`.currentTime = %f, `+theVideo+`.play().catch(() => 0)`, from-3), nil))
	w.until("words about the changed part", theNotice+`.textContent.includes('与记录仪签封的内容不一致')`)
	w.run(chromedp.Evaluate(`[...`+theNotice+`.querySelectorAll('button')].find(b => b.textContent.startsWith('仍然显示')).click()`, nil))
	w.until("the part to be shown, or words that it can't be", fmt.Sprintf(theVideo+`.currentTime > %f || `+theNotice+`.textContent.includes('无法解码')`, until))
	if got := ask[string](w, `document.querySelector('.badges').textContent`); got != "✗ 与签封不一致" {
		t.Errorf("what is not as sealed is marked %q", got)
	}
	w.state("broken")
	w.shot("checked-shown-anyway")
	w.visit("/?lang=en") // the server looked for itself, and says so to those who answer for the vault
	w.until("both findings on the home page", fmt.Sprintf(`document.body.innerText.includes('part %d in the vault is not what was sealed') && document.body.innerText.includes('part %d in the vault')`, bad+1, gone+1))
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func removeChunk(t *testing.T, s *system, rec string, index int) {
	t.Helper()
	found, err := filepath.Glob(s.path(fmt.Sprintf("server/vault/objects/recordings/*/%s/chunks/%08d-*", rec, index)))
	if err != nil || len(found) != 1 {
		t.Fatalf("chunk %d: %q %v", index, found, err)
	}
	if err := os.Remove(found[0]); err != nil {
		t.Fatal(err)
	}
}

// TestCheckedHole: a part that the device lost is said to be lost, the verdict never comes out sound, and an ended worker is no hindrance.
func TestCheckedHole(t *testing.T) {
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out browsers")
	}
	const chunk, hole = 256 << 10, 100
	s, long := newSystem(t), longFilm(t)
	s.server.kill()
	if err := os.WriteFile(filepath.Join(s.recorder, "long.mp4"), long, 0o644); err != nil {
		t.Fatal(err)
	}
	sizes := []string{"--chunk-size", fmt.Sprintf("%dKiB", chunk>>10)}
	mustRun(t, "camseal-agent", s.importing(append(sizes, "--sealed-only")...)...)
	spooled, err := os.ReadDir(s.path("agent/spool/chunks"))
	if err != nil || len(spooled) != (len(long)+chunk-1)/chunk {
		t.Fatalf("%d chunks in the spool, %v", len(spooled), err)
	}
	path := s.path("agent/spool/chunks/" + spooled[hole].Name())
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[100] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s.startServer()
	if code, out := run(t, "camseal-agent", s.importing(sizes...)...); code != 1 || !strings.Contains(out, "1 of its") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	rec := s.recordings()[0].Rec
	handMade(t, s, rec, hole)

	w := openBrowser(t, s)
	w.checkedPage(rec, "en")
	length := ask[float64](w, theVideo+`.duration`)
	from := length * hole * chunk / float64(len(long))
	w.run(chromedp.Evaluate(fmt.Sprintf(theVideo+`.muted = true, `+theVideo+`.currentTime = %f, `+theVideo+`.play().catch(() => 0)`, from-3), nil))
	w.until("words about the hole", theNotice+`.textContent.includes('were lost by the device')`)
	if got := ask[[]string](w, `[...`+theNotice+`.querySelectorAll('button')].map(b => b.textContent)`); len(got) != 1 || got[0] != "Go past it" {
		t.Errorf("it offers %q", got)
	}
	w.run(serviceworker.Enable(), serviceworker.StopAllWorkers())
	w.run(chromedp.Evaluate(theNotice+`.querySelector('button').click()`, nil))
	w.until("playback behind the hole", fmt.Sprintf(theVideo+`.currentTime > %f + 1`, from))
	w.run(serviceworker.StopAllWorkers(), chromedp.Evaluate(theVideo+`.currentTime = 1`, nil))
	w.until("playback from the begin again", `(v => v.currentTime > 1.5 && v.currentTime < 5)(`+theVideo+`)`)
	w.until("the proofs", theVerdict+`.querySelector('[data-verdict]').textContent.startsWith('Something is missing')`)
	w.run(chromedp.Evaluate(`document.querySelector('.check button').click()`, nil))
	w.state("incomplete")
	if got := ask[string](w, theVerdict+`.textContent`); !strings.Contains(got, "the device lost these bytes before they could be stored") {
		t.Errorf("the verdict says %q", got)
	}
	w.shot("checked-hole")
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// handMade asks for addresses that no page holds.
func handMade(t *testing.T, s *system, rec string, absent int) {
	t.Helper()
	none := strings.Repeat("0", 32)
	for path, want := range map[string]int{
		"/recordings/" + rec + "/parts": 200, "/recordings/" + rec + "/parts/0": 200, "/recordings/" + rec + "/proof": 200,
		fmt.Sprintf("/recordings/%s/parts/%d", rec, absent): 410, "/recordings/" + rec + "/parts/100000": 410, "/recordings/" + rec + "/parts/-1": 404,
		"/recordings/" + rec + "/parts/99999999999999999999": 404, "/recordings/" + rec + "/parts/x": 404, "/recordings/" + none + "/parts": 404,
		"/recordings/" + none + "/parts/0": 404, "/recordings/" + none + "/proof": 404, "/recordings/x/proof": 404, "/checked/x/" + rec: 404,
		"/wasm/camseal.wasm": 200, "/wasm/wasm_exec.js": 200, "/wasm/..%2f..%2fweb.go": 404, "/wasm/none": 404, "/checked-worker.js": 200,
	} {
		resp, err := s.as("custodian").Get("http://" + s.web + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answers %s, want %d", path, resp.Status, want)
		}
	}
}

// TestCheckedPhoto: a photo that was changed is not shown as one, but marked if somebody wants to see it.
func TestCheckedPhoto(t *testing.T) {
	s, recs, _ := withFootage(t, "--chunk-size", "256KiB")
	damage(t, s, recs[photo], 1)
	w := openBrowser(t, s)
	w.visit("/recordings/" + recs[photo] + "?lang=en")
	w.until("words about the changed part", theNotice+`.textContent.includes('do not match')`)
	w.state("broken")
	w.run(chromedp.Evaluate(theNotice+`.querySelector('button').click()`, nil))
	w.until("the photo, marked", `(i => i.complete && i.naturalWidth > 0)(document.querySelector('.screen.wrong img'))`)
	if got := ask[string](w, `document.querySelector('.badges').textContent`); got != "✗ Not as sealed" {
		t.Errorf("what is not as sealed is marked %q", got)
	}
	w.state("broken")
	w.shot("checked-photo")
}

// TestCheckedLies: a server that lies in its list of parts, or in its proofs, is found out; and where no worker is to be had, the page
// plays and says that nothing was checked.
func TestCheckedLies(t *testing.T) {
	s, recs, _ := withFootage(t, "--chunk-size", "256KiB")
	rec := recs[film]
	fake := bytes.Repeat([]byte("not what was sealed "), 100)
	for name, c := range map[string]struct {
		change func(path string, body []byte) []byte
		state  string
		says   string
	}{
		"list": {func(path string, body []byte) []byte {
			switch path {
			case "/recordings/" + rec + "/parts":
				return withPart(t, body, 3, fake)
			case "/recordings/" + rec + "/parts/3":
				return fake
			}
			return body
		}, "broken", "this server's list says something else than the recorder sealed"},
		"proof": {func(path string, body []byte) []byte {
			if path == "/recordings/"+rec+"/proof" {
				return rezip(t, body, "data/chain.jsonl", func(b []byte) []byte {
					return bytes.Replace(b, []byte(`"index":3,`), []byte(`"index":4,`), 1)
				})
			}
			return body
		}, "broken", "does not fit recording"},
		"no proof": {func(path string, body []byte) []byte {
			if path == "/recordings/"+rec+"/proof" {
				return body[:len(body)/2]
			}
			return body
		}, "unavailable", "The seals were not checked here"},
	} {
		t.Run(name, func(t *testing.T) {
			liar := *s
			liar.web = changing(t, s.web, c.change)
			w := openBrowser(t, &liar)
			w.visit("/recordings/" + rec + "?lang=en")
			w.state(c.state)
			if got := ask[string](w, theVerdict+`.textContent`); !strings.Contains(got, c.says) {
				t.Errorf("it says %q", got)
			}
			w.shot("checked-lie-" + strings.ReplaceAll(name, " ", "-"))
		})
	}
	t.Run("no worker", func(t *testing.T) {
		w := openBrowser(t, s)
		w.run(chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := cdp.AddScriptToEvaluateOnNewDocument(`delete Navigator.prototype.serviceWorker`).Do(ctx)
			return err
		}))
		w.visit("/recordings/" + rec + "?lang=zh-CN")
		w.state("unavailable")
		w.run(chromedp.Evaluate(theVideo+`.play().catch(() => 0)`, nil))
		w.until("the film to play", theVideo+`.currentTime > 0.5`)
		if got := ask[string](w, `document.querySelector('.badges').textContent`); got != "○ 未校验" {
			t.Errorf("what was not checked is marked %q", got)
		}
		w.shot("checked-no-worker")
	})
}

// changing is a proxy before the page that changes what it answers.
func changing(t *testing.T, web string, change func(path string, body []byte) []byte) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: web})
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasPrefix(r.Request.URL.Path, "/recordings/") || r.StatusCode != http.StatusOK {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		body = change(r.Request.URL.Path, body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// withPart puts other bytes into a list of parts, and the hash that goes with them.
func withPart(t *testing.T, list []byte, index int, bytes []byte) []byte {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(list, &all); err != nil {
		t.Error(err)
		return list
	}
	sum := sha256.Sum256(bytes)
	all["parts"].([]any)[index] = map[string]any{"hash": hex.EncodeToString(sum[:]), "size": len(bytes)}
	out, err := json.Marshal(all)
	if err != nil {
		t.Error(err)
	}
	return out
}

func rezip(t *testing.T, raw []byte, name string, change func([]byte) []byte) []byte {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Error(err)
		return raw
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range in.File {
		r, err := f.Open()
		if err != nil {
			t.Error(err)
			return raw
		}
		content, err := io.ReadAll(r)
		if err == nil {
			var w io.Writer
			if f.Name == name {
				content = change(content)
			}
			if w, err = z.Create(f.Name); err == nil {
				_, err = w.Write(content)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Error(err)
	}
	return out.Bytes()
}
