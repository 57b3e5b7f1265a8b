package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/png" // screenshots
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	film  = "movie-hello.mp4"
	photo = "IMG_1054.JPG"
	sound = "debian.mp3"
)

// TestBrowser: a browser shows real footage in both languages, plays it, and takes the bundle away, by keyboard alone.
func TestBrowser(t *testing.T) {
	s, recs, files := withFootage(t)
	w := openBrowser(t, s)
	lists(t, w, recs)
	plays(t, w, recs, files)
	byKeyboard(t, w, s, recs)
	fits(t, w, recs)
	ownFormsOnly(t, s, recs[film])
	if got := w.said(); len(got) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

// TestBrowserDamagedChunk: one byte of one chunk is altered in the vault. What lies before the chunk plays; of the chunk itself not one
// byte arrives.
func TestBrowserDamagedChunk(t *testing.T) {
	const chunk = 1 << 20
	s, recs, files := withFootage(t, "--chunk-size", fmt.Sprintf("%dKiB", chunk>>10))
	want, bad := files[film], len(files[film])/chunk*2/3
	damage(t, s, recs[film], bad)

	first := int64(bad) * chunk
	for _, c := range []struct {
		name    string
		from    int64
		deliver []byte // before the connection breaks off, or all
		broken  bool
	}{
		{"whole", 0, want[:first], true},
		{"from the chunk before", first - chunk, want[first-chunk : first], true},
		{"from within the chunk", first + 100, nil, true},
		{"from the chunk after", first + chunk, want[first+chunk:], false},
	} {
		got, err := ranged(t, s, recs[film], c.from)
		if !bytes.Equal(got, c.deliver) || (err != nil) != c.broken {
			t.Errorf("%s: %d bytes came, want %d; error %v, want one %v", c.name, len(got), len(c.deliver), err, c.broken)
		}
	}
	resp := post(t, s, recs[film], "http://"+s.web)
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); resp.StatusCode == http.StatusOK && err == nil {
		t.Errorf("a bundle of the damaged recording was delivered whole, %d bytes", n)
	}

	w := openBrowser(t, s)
	w.checkedPage(recs[film], "en")
	w.run(chromedp.Evaluate(`document.querySelector('video').play().catch(() => 0)`, nil))
	w.until("what lies before the damage to play", `(v => v.currentTime > 0.3 && v.getVideoPlaybackQuality().totalVideoFrames > 5)(document.querySelector('video'))`)
	w.run(chromedp.Evaluate(`document.querySelector('video').playbackRate = 4`, nil))
	w.until("playback to stop, and words", theNotice+`.textContent.includes('do not match what the recorder sealed')`)
	at, length := ask[float64](w, `document.querySelector('video').currentTime`), ask[float64](w, `document.querySelector('video').duration`)
	if at >= length*0.9 {
		t.Errorf("played until %.1f s of %.1f s, past the damage", at, length)
	}
	// The listener hears what the policy forbids.
	w.run(chromedp.Evaluate(`document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:1/a.png'}))`, nil))
	eventually(t, "a violation of the policy to be heard", func() bool { return strings.Contains(strings.Join(w.said(), "\n"), "127.0.0.1:1") })

	s.server.kill()
	if !strings.Contains(s.server.out.String(), "not what was sealed") {
		t.Errorf("the server's log does not tell of the damage:\n%s", &s.server.out)
	}
}

// withFootage starts a system that has taken in a film, a photo and a sound; recordings and bytes are by name.
func withFootage(t *testing.T, flags ...string) (s *system, recs map[string]string, files map[string][]byte) {
	t.Helper()
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out browsers")
	}
	s, recs, files = newSystem(t), map[string]string{}, map[string][]byte{}
	for _, path := range []string{"movie2/" + film, "pic1/" + photo, "audio1/" + sound} {
		b, err := os.ReadFile(filepath.Join(samples, path))
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = b
		if err := os.WriteFile(filepath.Join(s.recorder, filepath.Base(path)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mustRun(t, "camseal-agent", s.importing(flags...)...)
	for _, r := range s.recordings() {
		recs[r.Name] = r.Rec
	}
	return s, recs, files
}

func lists(t *testing.T, w *window, recs map[string]string) {
	t.Helper()
	for _, c := range []struct{ ask, lang, title, state, person string }{
		{"en", "en", "Recordings", "stored", "needs a header"}, {"zh-CN", "zh-CN", "音像记录", "已入库锁定", "待补执法信息说明"},
		{"zh", "zh-CN", "音像记录", "已入库锁定", "待补执法信息说明"},
	} {
		w.visit("/recordings?lang=" + c.ask)
		got := ask[[]string](w, `[document.documentElement.lang, document.querySelector('h1').textContent, ...[...document.querySelectorAll('td .badge')].map(b => b.textContent)]`)
		want := []string{c.lang, c.title}
		for range recs {
			want = append(want, "! "+c.person, "■ "+c.state)
		}
		if !slices.Equal(got, want) {
			t.Errorf("?lang=%s shows %q, want %q", c.ask, got, want)
		}
		names := ask[[]string](w, `[...document.querySelectorAll('td.name a')].map(a => a.textContent)`)
		slices.Sort(names)
		if !slices.Equal(names, []string{photo, sound, film}) {
			t.Errorf("?lang=%s lists %q", c.ask, names)
		}
		for name, rec := range recs {
			if href := ask[string](w, fmt.Sprintf(`[...document.querySelectorAll('td.name a')].find(a => a.textContent == %q).pathname`, name)); href != "/recordings/"+rec {
				t.Errorf("%s leads to %s", name, href)
			}
		}
	}
}

func plays(t *testing.T, w *window, recs map[string]string, files map[string][]byte) {
	t.Helper()
	const video, frames = `document.querySelector('video')`, `document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames`
	w.checkedPage(recs[film], "en")
	w.run(chromedp.Evaluate(video+`.currentTime = `+video+`.duration - 2`, nil))
	w.until("a place near the end", `(v => !v.seeking && v.readyState >= 2 && v.currentTime > v.duration - 2.5)(`+video+`)`)
	if !slices.ContainsFunc(w.ranges(), func(r string) bool { return !strings.HasPrefix(r, "bytes 0-") }) {
		t.Errorf("no range but from the start was asked for: %q", w.ranges())
	}
	at, n := ask[float64](w, video+`.currentTime`), ask[int](w, frames)
	w.run(chromedp.Evaluate(video+`.play()`, nil))
	w.until("the end of the film to play", fmt.Sprintf(`%s.currentTime > %f + 0.5 && %s > %d + 5`, video, at, frames, n))
	w.until("the film to end", video+`.ended`)

	w.checkedPage(recs[film], "en")
	w.run(chromedp.Evaluate(video+`.play()`, nil))
	w.until("the film to play", fmt.Sprintf(`%s.currentTime > 1 && %s > 15`, video, frames))
	w.run(chromedp.Evaluate(video+`.pause()`, nil))
	var shot []byte
	w.run(chromedp.Screenshot("video", &shot, chromedp.ByQuery))
	w.keep("frame", shot)
	if c := colours(t, shot); c < 200 {
		t.Errorf("the picture has %d colours", c)
	}

	w.visit("/recordings/" + recs[photo])
	w.until("the photo", `(i => i.complete && i.naturalWidth > 0)(document.querySelector('.stage img'))`)
	w.visit("/recordings/" + recs[sound])
	w.until("the sound from the worker", `document.querySelector('audio').currentSrc.includes('/checked/')`)
	w.run(chromedp.Evaluate(`document.querySelector('audio').play()`, nil))
	w.until("the sound to play", `document.querySelector('audio').currentTime > 0.5`)

	for name, want := range files {
		got, err := ranged(t, w.s, recs[name], 0)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes came back, and not the file's %d; %v", name, len(got), len(want), err)
		}
	}
}

// byKeyboard goes from the list to the bundle without a mouse.
func byKeyboard(t *testing.T, w *window, s *system, recs map[string]string) {
	t.Helper()
	w.visit("/recordings?lang=zh-CN")
	w.tabTo("the language link", `document.activeElement.classList.contains('lang')`)
	w.run(chromedp.KeyEvent(kb.Enter))
	w.until("English", `document.readyState == 'complete' && document.documentElement.lang == 'en'`)
	w.tabTo("the link to the content", `document.activeElement.classList.contains('skip')`)
	w.run(chromedp.KeyEvent(kb.Enter))
	w.tabTo("the film's link", fmt.Sprintf(`document.activeElement.pathname == '/recordings/%s'`, recs[film]))
	if outline := ask[string](w, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the focus can't be seen: %s", outline)
	}
	w.run(chromedp.KeyEvent(kb.Enter))
	w.until("the recording's page", `document.readyState == 'complete' && document.querySelector('video')?.readyState >= 2`)
	w.tabTo("the player", `document.activeElement == document.querySelector('video')`)
	w.run(chromedp.KeyEvent(" "))
	w.until("the space bar to play", `document.querySelector('video').currentTime > 0.2`)
	w.run(chromedp.KeyEvent(" "))
	w.until("the space bar to pause", `document.querySelector('video').paused`)
	w.tabTo("the download button", `!!document.activeElement.form?.action.endsWith('/bundle')`)

	dir, done := t.TempDir(), make(chan browser.DownloadProgressState, 1)
	var name string
	chromedp.ListenTarget(w.ctx, func(ev any) {
		switch e := ev.(type) {
		case *browser.EventDownloadWillBegin:
			name = e.SuggestedFilename
		case *browser.EventDownloadProgress:
			if e.State != browser.DownloadProgressStateInProgress {
				select {
				case done <- e.State:
				default:
				}
			}
		}
	})
	w.run(browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(dir).WithEventsEnabled(true), chromedp.KeyEvent(kb.Enter))
	select {
	case state := <-done:
		if state != browser.DownloadProgressStateCompleted {
			t.Fatalf("the download was %s", state)
		}
	case <-w.ctx.Done():
		t.Fatal("no download")
	}
	verify(t, 0, "--trust", s.trust(), filepath.Join(dir, name))
	w.visit("/recordings/" + recs[film] + "/custody")
	said := ask[[]string](w, `[...document.querySelectorAll('main tbody tr')].map(e => e.textContent)`)
	exports := slices.DeleteFunc(slices.Clone(said), func(line string) bool {
		return !strings.Contains(line, "导出证据包") && !strings.Contains(line, "bundle exported")
	})
	if len(exports) != 1 || !strings.Contains(exports[0], "王 custodian (the-custodian, custodian)") {
		t.Errorf("the chain of custody shows %q", said)
	}
}

// fits looks at every page in both languages, both colour schemes and two widths: nothing is wider than the window.
func fits(t *testing.T, w *window, recs map[string]string) {
	t.Helper()
	pages := map[string]string{"list": "/", "film": "/recordings/" + recs[film], "photo": "/recordings/" + recs[photo], "sound": "/recordings/" + recs[sound], "sorry": "/recordings/none"}
	for _, lang := range []string{"en", "zh-CN"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{1280, 800} {
				w.run(chromedp.EmulateViewport(width, 900), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
				for name, path := range pages {
					if name == "sorry" {
						w.expect(path)
					}
					w.visit(path + "?lang=" + lang)
					if name == "film" {
						w.until("a picture", `document.querySelector('video').readyState >= 2 && document.querySelector('video').networkState == 1`)
					}
					at := fmt.Sprintf("%s-%s-%s-%d", name, lang, scheme, width)
					if over := ask[int](w, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
						t.Errorf("%s: %d pixels too wide", at, over)
					}
					cut := ask[[]string](w, `[...document.querySelectorAll('.panel')].filter(p => p.scrollWidth > p.clientWidth).map(p => p.textContent.trim().slice(0, 30))`)
					if len(cut) > 0 {
						t.Errorf("%s: cut off at the right: %q", at, cut)
					}
					var shot []byte
					w.run(chromedp.FullScreenshot(&shot, 100))
					w.keep(at, shot)
				}
			}
		}
	}
}

// ownFormsOnly: another site's page can't have a bundle made, the server's own can.
func ownFormsOnly(t *testing.T, s *system, rec string) {
	t.Helper()
	for origin, want := range map[string]int{"http://evil.example": http.StatusForbidden, "http://" + s.web: http.StatusOK} {
		resp := post(t, s, rec, origin)
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != want {
			t.Errorf("a form from %s: %s, %v", origin, resp.Status, err)
		}
		if want != http.StatusOK {
			continue
		}
		zip := filepath.Join(t.TempDir(), "posted.zip")
		if err := os.WriteFile(zip, body, 0o600); err != nil {
			t.Fatal(err)
		}
		verify(t, 0, "--trust", s.trust(), zip)
	}
}

func post(t *testing.T, s *system, rec, origin string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.web+"/recordings/"+rec+"/bundle", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	resp, err := s.as("custodian").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// ranged reads an original from an offset to its end, or to where the connection breaks off.
func ranged(t *testing.T, s *system, rec string, from int64) ([]byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.web+"/recordings/"+rec+"/original", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	resp, err := s.as("custodian").Do(req)
	if err != nil {
		return nil, err // broken off before the first byte
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent {
		t.Errorf("a range from %d: %s", from, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// damage alters one byte in the middle of a chunk, as it lies in the vault.
func damage(t *testing.T, s *system, rec string, index int) {
	t.Helper()
	found, err := filepath.Glob(s.path(fmt.Sprintf("server/vault/objects/recordings/*/%s/chunks/%08d-*", rec, index)))
	if err != nil || len(found) != 1 {
		t.Fatalf("chunk %d: %q %v", index, found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.Chmod(found[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(found[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func colours(t *testing.T, picture []byte) int {
	t.Helper()
	img, _, err := image.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[color.Color]bool{}
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y += 4 {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x += 4 {
			seen[img.At(x, y)] = true
		}
	}
	return len(seen)
}

// window is a browser with one tab, and what it complained of.
type window struct {
	t     *testing.T
	s     *system
	ctx   context.Context
	shots string // CAMSEAL_SHOTS, or a folder that goes away with the test

	mu       sync.Mutex
	troubles []string
	expected map[string]bool   // addresses that may answer with an error
	asked    map[string]string // addresses by request
	partial  []string          // Content-Range of the answers since the page was visited
}

// openBrowser opens a browser in which a custodian has signed in.
func openBrowser(t *testing.T, s *system) *window {
	t.Helper()
	w := openTab(t, s)
	w.signIn("custodian")
	return w
}

func openTab(t *testing.T, s *system) *window {
	t.Helper()
	w := &window{t: t, s: s, shots: os.Getenv("CAMSEAL_SHOTS"), expected: map[string]bool{}, asked: map[string]string{}}
	if w.shots == "" {
		w.shots = t.TempDir()
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoSandbox,
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("mute-audio", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.WindowSize(1280, 900)}
	timed, stop := context.WithTimeout(context.Background(), 4*time.Minute) // t.Context ends before clean-up, which closes the browser
	allocated, release := chromedp.NewExecAllocator(timed, options...)
	ctx, closeTab := chromedp.NewContext(allocated)
	w.ctx = ctx
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
		closeTab()
		release()
		stop()
	})
	chromedp.ListenTarget(ctx, w.hear)
	w.run(network.Enable(), log.Enable(), audits.Enable(), runtime.Enable())
	return w
}

// signIn gives the browser the session of somebody with a role, who has said what for.
func (w *window) signIn(role string) {
	w.t.Helper()
	v := w.s.as(role)
	cookies, err := v.Cookies()
	for _, r := range w.s.recordings() {
		err = errors.Join(err, v.Say(r.Rec))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range cookies {
		w.run(network.SetCookie(c.Name, c.Value).WithURL(v.Base).WithHTTPOnly(true).WithSameSite(network.CookieSameSiteStrict))
	}
}

// hear notes what the browser complains of.
func (w *window) hear(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	note := func(format string, args ...any) { w.troubles = append(w.troubles, fmt.Sprintf(format, args...)) }
	switch e := ev.(type) {
	case *runtime.EventExceptionThrown:
		note("exception: %s", e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		note("console: %s %v", e.Type, e.Args)
	case *log.EventEntryAdded:
		if (e.Entry.Level == log.LevelError || e.Entry.Source == log.SourceSecurity) && !w.expected[e.Entry.URL] {
			note("log: %s %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	case *audits.EventIssueAdded:
		if e.Issue.Code == audits.InspectorIssueCodeContentSecurityPolicyIssue {
			details, err := json.Marshal(e.Issue.Details.ContentSecurityPolicyIssueDetails)
			note("policy: %s %v", details, err)
		}
	case *network.EventRequestWillBeSent:
		w.asked[string(e.RequestID)] = e.Request.URL
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 && !w.expected[e.Response.URL] {
			note("answer: %d %s", e.Response.Status, e.Response.URL)
		}
		if r, ok := e.Response.Headers["Content-Range"].(string); ok {
			w.partial = append(w.partial, r)
		}
	case *network.EventLoadingFailed: // a player breaks off what it no longer needs, a download ends its navigation
		if url := w.asked[string(e.RequestID)]; !e.Canceled && !w.expected[url] {
			note("request: %s %s %s", url, e.ErrorText, e.BlockedReason)
		}
	}
}

func (w *window) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.troubles)
}

func (w *window) ranges() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.partial)
}

// expect allows an address to answer with an error, in any language.
func (w *window) expect(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, lang := range []string{"", "?lang=en", "?lang=zh-CN"} {
		w.expected["http://"+w.s.web+path+lang] = true
	}
}

func (w *window) run(actions ...chromedp.Action) {
	w.t.Helper()
	if err := chromedp.Run(w.ctx, actions...); err != nil {
		w.t.Fatalf("%v\n%s", err, strings.Join(w.said(), "\n"))
	}
}

func (w *window) visit(path string) {
	w.t.Helper()
	w.mu.Lock()
	w.partial = nil
	w.mu.Unlock()
	w.run(chromedp.Navigate("http://" + w.s.web + path))
}

// ask evaluates an expression in the page. chromedp.Poll can't be used: the page's policy forbids what it injects.
func ask[T any](w *window, expression string) T {
	w.t.Helper()
	var v T
	w.run(chromedp.Evaluate(expression, &v))
	return v
}

// until waits for a condition in the page; a page that is being left does not count.
func (w *window) until(what, expression string) {
	w.t.Helper()
	eventually(w.t, what, func() bool {
		var v bool
		return chromedp.Run(w.ctx, chromedp.Evaluate(expression, &v)) == nil && v
	})
}

// click clicks, as a mouse does, what is to be clicked once it stands still: a page moves while it comes in.
func (w *window) click(selectors ...string) {
	w.t.Helper()
	for _, selector := range selectors {
		w.until(selector+" to stand still", fmt.Sprintf(`(e => {
			if (!e || document.readyState !== 'complete') return false;
			const r = e.getBoundingClientRect(), at = [r.x, r.y, r.width, innerWidth, scrollY].join();
			window.stands = window.stands?.at === at ? {at, n: window.stands.n + 1} : {at, n: 0};
			return window.stands.n >= 5;
		})(document.querySelector(%q))`, selector))
		w.run(chromedp.Click(selector, chromedp.ByQuery))
	}
}

// tabTo presses Tab until the condition holds.
func (w *window) tabTo(what, expression string) {
	w.t.Helper()
	var way []string
	for range 80 {
		w.run(chromedp.KeyEvent(kb.Tab))
		if ask[bool](w, expression) {
			return
		}
		way = append(way, ask[string](w, `document.activeElement.outerHTML.slice(0, 80)`))
	}
	w.t.Fatalf("Tab never reaches %s, only\n%s", what, strings.Join(way, "\n"))
}

func (w *window) keep(name string, shot []byte) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.shots, name+".png"), shot, 0o644); err != nil {
		w.t.Fatal(err)
	}
}
