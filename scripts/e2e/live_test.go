package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"camseal/scripts/camera/recorder"
)

// TestLiveExhibitPlays: what was captured is, byte for byte, what was sealed; it plays as one file in ffmpeg, ffplay and Chromium, with every
// picture that the camera sent.
func TestLiveExhibitPlays(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	recs := map[string]string{}
	for name, c := range map[string]recorder.Config{"H.264 and G.711": {}, "H.265 and AAC": {Codec: "h265", Audio: "aac"}} {
		d := s.onDuty(camera(t, c).URL())
		recs[name] = d.press("start")
		d.segments(4)
		if rec := d.press("stop"); rec != recs[name] {
			t.Errorf("%s: %s was ended, not %s", name, rec, recs[name])
		}
		s.stored(recs[name])
		d.terminate()
	}
	trust := s.trust()
	for name, rec := range recs {
		c := s.inBundle(rec)
		c.contiguous(t)
		said := verify(t, 0, "--trust", trust, c.bundle)
		if !strings.Contains(said, "capture-sealed") || len(c.faults) > 0 {
			t.Errorf("%s: faults %+v; the verifier says\n%s", name, c.faults, said)
		}
		decodes(t, c.file)
		playsInFFplay(t, c.file)
		end := c.chunks[len(c.chunks)-1]
		if want, got := int(float64(end.Start+end.Duration)*30/1000+0.5), pictures(t, c.file); got != want {
			t.Errorf("%s: %d pictures in %d ms, want %d", name, got, end.Start+end.Duration, want)
		}
	}
	t.Run("Chromium", func(t *testing.T) { playsInChromium(t, s, recs["H.264 and G.711"]) })
}

func playsInChromium(t *testing.T, s *system, rec string) {
	skipQuick(t)
	w := openBrowser(t, s)
	w.checkedPage(rec, "en")
	w.run(chromedp.Evaluate(theVideo+`.play().catch(() => 0)`, nil))
	w.until("the recording to play to its end", theVideo+`.ended`)
	length := ask[float64](w, theVideo+`.duration`)
	w.run(chromedp.Evaluate(`document.querySelector('.check button').click()`, nil))
	w.until("all parts to be checked", `!['', 'checking', 'unchecked'].includes(`+theVerdict+`.dataset.state ?? '')`)
	if state := ask[string](w, theVerdict+`.dataset.state`); state != "sound" {
		t.Errorf("the verdict is %q: %s", state, ask[string](w, theVerdict+`.textContent`))
	}
	if said := ask[string](w, theVerdict+`.textContent`); !regexp.MustCompile(`(\d+) of (\d+) checked in this browser`).MatchString(said) {
		t.Errorf("the verdict is %q", said)
	}
	for _, at := range []float64{length * 0.7, length * 0.2} {
		n := ask[int](w, theVideo+`.getVideoPlaybackQuality().totalVideoFrames`)
		w.run(chromedp.Evaluate(fmt.Sprintf(theVideo+`.currentTime = %f, `+theVideo+`.play().catch(() => 0)`, at), nil))
		w.until("playback from another place", fmt.Sprintf(`(v => v.currentTime > %f && v.currentTime < %f && v.getVideoPlaybackQuality().totalVideoFrames > %d)(%s)`, at+0.3, at+3, n, theVideo))
	}
	w.shot("live-exhibit")
	quiet(w)
}

// quiet expects that the browser had nothing to complain of.
func quiet(w *window) {
	w.t.Helper()
	if got := w.said(); len(got) > 0 {
		w.t.Errorf("the browser complains:\n%s", strings.Join(got, "\n"))
	}
}

const theScreen = `document.querySelector('camseal-live')`

// TestLiveInTheBrowser: a custodian has a recorder begin, watches it, marks and ends it, and sees the recording grow; all of it is on record at both ends.
func TestLiveInTheBrowser(t *testing.T) {
	skipQuick(t)
	t.Parallel()
	s := newSystem(t)
	r := s.onDuty(camera(t, recorder.Config{}).URL())
	w := openBrowser(t, s)
	d := &day{w: w}
	d.visit("/live?lang=en")
	w.until("the recorder on the wall", `document.querySelector('.live-tile') !== null`)
	device := ask[string](w, `document.querySelector('.live-tile').dataset.stream`)
	one := "/live/" + device

	d.visit(one + "?lang=en")
	d.send(`form[data-order=start] button`)
	d.ordered("begin")
	rec := r.until("a recording begun by the server", func(s dutyState) bool { return s.Recording != "" }).Recording
	w.watch(r, one)

	d.visit(one + "?lang=en")
	d.fill("text", "摊主出示执照")
	d.send(`form[data-order=mark] button`)
	d.ordered("mark")
	w.until("what is sealed", `document.querySelector('.live-facts a.sealed') !== null`)
	if err := s.as("custodian").Say(rec); err != nil {
		t.Fatal(err)
	}
	d.send(`.live-facts a.sealed`)
	if path := ask[string](w, `location.pathname`); path != "/recordings/"+rec {
		t.Fatalf("what is sealed so far leads to %s", path)
	}
	w.grows(s, r, rec)
	for _, lang := range []string{"zh-CN", "en"} {
		d.visit("/recordings/" + rec + "?lang=" + lang)
		w.until("a picture", theVideo+`?.readyState >= 2`)
		for _, v := range violations(w) { // one of each is enough: a recording's page is always dark
			t.Errorf("growing, %s: %s", lang, v)
		}
		w.shot("live-growing-" + lang)
	}
	d.visit(one)
	look(w, "live-one")
	d.visit("/live")
	look(w, "live-wall")

	d.visit(one + "?lang=en")
	d.send(`form[data-order=stop] button`)
	d.send(`form[action$="/order"] button`)
	d.ordered("end")
	r.until("the end of the recording", func(s dutyState) bool { return s.Recording == "" })
	s.stored(rec)
	w.run(chromedp.Navigate("about:blank"))
	if err := s.server.cmd.Process.Signal(syscall.SIGTERM); err != nil { // which ends watches that could still be gone on with
		t.Fatal(err)
	}
	<-s.server.done
	s.startServer()
	atBothEnds(t, d, s, rec, device)
	quiet(w)
}

// ordered expects that the page says of a command that it was carried out.
func (d *day) ordered(what string) {
	d.w.t.Helper()
	if said := d.text("#said"); !d.has("#said.done") || said == "" {
		d.w.t.Errorf("%s: the page says %q", what, said)
	}
}

// watch says what for, watches the recorder from the wall, and ends that.
func (w *window) watch(r *onDuty, one string) {
	t := w.t
	t.Helper()
	d := &day{w: w}
	d.visit("/live/purpose?next=/live&lang=en")
	d.fill("purpose", "supervision")
	d.send(`main form.fields button`)
	w.until("a button to watch", theScreen+`?.querySelector('[data-do=watch]:not([hidden])') !== null`)
	w.click(`camseal-live [data-do=watch]`)
	w.until("pictures", `Number(`+theScreen+`.dataset.frames ?? 0) > 20`)
	t.Logf("first picture after %s ms", ask[string](w, theScreen+`.dataset.firstMs`))
	r.until("the recorder to show that it is watched", func(s dutyState) bool { return s.Watched == 1 && s.Publishing })
	on := ask[bool](w, `((a, b) => a.top >= b.top && a.bottom <= b.bottom && a.left >= b.left && a.right <= b.right && a.width > 0)(`+
		`document.querySelector('.live-evidence').getBoundingClientRect(), document.querySelector('camseal-live video').getBoundingClientRect())`)
	if said := d.text(".live-evidence"); !on || said != "Live, not evidence" {
		t.Errorf("on the picture (%v) is %q", on, said)
	}
	w.shot("live-wall-watched")
	var shot []byte
	w.run(chromedp.Screenshot("camseal-live video", &shot, chromedp.ByQuery))
	if c := colours(t, shot); c < 100 {
		t.Errorf("the live picture has %d colours", c)
	}
	n := ask[int](w, `Number(`+theScreen+`.dataset.frames)`)
	d.visit(one + "?lang=en")
	w.click(`camseal-live [data-do=watch]`)
	w.until("pictures on the recorder's page", `Number(`+theScreen+`.dataset.frames ?? 0) > 20`)
	w.shot("live-one-watched")
	if n <= 20 {
		t.Errorf("%d pictures on the wall", n)
	}
	w.click(`camseal-live [data-do=stop]`)
	r.until("nobody to watch", func(s dutyState) bool { return s.Watched == 0 })
}

// growth is what the page is told of a recording that grows.
type growth struct {
	State        string
	Grows        bool
	Seen, Stored uint64
	Parts        uint64
}

func (s *system) growth(rec string) (g growth) {
	s.t.Helper()
	resp, err := s.as("custodian").Get("http://" + s.web + "/recordings/" + rec + "/growth")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return g // nothing of it came yet
	}
	if err := json.NewDecoder(resp.Body).Decode(&g); err != nil {
		s.t.Fatalf("%s: %v", resp.Status, err)
	}
	return g
}

// grows expects that a page shows more and more of a recording that is being made, and plays what is stored.
func (w *window) grows(s *system, r *onDuty, rec string) {
	t := w.t
	t.Helper()
	w.until("the player", theVideo+`?.readyState >= 2`)
	w.run(chromedp.Evaluate(theVideo+`.currentTime = 0, `+theVideo+`.play().catch(() => 0)`, nil))
	w.until("what is stored to play", theVideo+`.currentTime > 1.5`)
	before, words := s.growth(rec), ask[string](w, `document.querySelector('[data-word=far]').textContent`)
	if !before.Grows || before.Seen == 0 || before.Stored == 0 || before.Seen < before.Stored || r.state().Recording != rec {
		t.Errorf("while it is made: %+v", before)
	}
	eventually(t, "more to be seen and stored", func() bool {
		now := s.growth(rec)
		return now.Seen > before.Seen && now.Stored > before.Stored && now.Parts > before.Parts
	})
	w.until("the page to say so", fmt.Sprintf(`document.querySelector('[data-word=far]').textContent != %q`, words))
}

// atBothEnds looks for everything that was ordered and watched in the agent's journal, on the server's pages, and in the bundle.
func atBothEnds(t *testing.T, d *day, s *system, rec, device string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.agentDir, "commands.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	done := 0
	for line := range strings.Lines(string(raw)) {
		var e struct {
			Command *struct{ Kind, By, Text string }
			Result  *struct{ Done bool }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Command != nil && e.Command.Kind != "live" && e.Command.Kind != "live-end" {
			kinds = append(kinds, e.Command.Kind)
			if !strings.Contains(e.Command.By, "王 custodian") {
				t.Errorf("the journal says that %q was ordered by %q", e.Command.Kind, e.Command.By)
			}
		}
		if e.Result != nil && e.Result.Done {
			done++
		}
	}
	if !slices.Equal(kinds, []string{"start", "mark", "stop"}) || done < 3 {
		t.Errorf("the agent's journal has %q, %d of all done", kinds, done)
	}
	for path, wants := range map[string][]string{
		"/recordings/" + rec + "/custody": {"command given to the recorder", "carried out a command", "watched live, from now", "watched live, until now", "length", "mark an important moment", "stop recording"},
		"/fleet/" + device:                {"command given to the recorder", "watched live, from now", "watched live, until now", "start recording", "stop recording"},
	} {
		d.visit(path + "?lang=en")
		text := strings.ToLower(d.text("main"))
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", path, want, text)
			}
		}
		d.w.shot("live-custody-" + strings.Split(path, "/")[1])
	}
	c := s.inBundle(rec)
	verify(t, 0, "--trust", s.trust(), c.bundle)
	if c.marks != 1 {
		t.Errorf("%d marks in the chain", c.marks)
	}
}
