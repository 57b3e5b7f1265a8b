package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"camseal/agent/internal/duty"
	"camseal/agent/internal/uplink/uplinktest"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/configfile"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	rtsp "camseal/scripts/camera/recorder"
)

// said keeps what an agent logs.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// onDuty is an agent that runs on a recorder, as a user runs it.
type onDuty struct {
	*site
	log  said
	page string
	stop func()
}

func (s *site) onDuty(flags ...string) *onDuty {
	s.t.Helper()
	d := &onDuty{site: s}
	var c cli
	parser, err := kong.New(&c, kong.Configuration(configfile.YAML))
	if err != nil {
		s.t.Fatal(err)
	}
	args := []string{"run", "--state", s.state, "--tpm", s.tpm, "--server", s.server.URL, "--gather", "5ms", "--speech", "none", "--capture-listen", "127.0.0.1:0", "--poll", "50ms",
		"--station", "car 7", "--recorder", "R-7", "--lang", "en"}
	if _, err := parser.Parse(append(args, flags...)); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run.Run(ctx, &c.settings, &console{io.Discard, &d.log}) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("the agent ends with: %v", err)
		}
		if s.t.Failed() {
			s.t.Log(d.log.String())
		}
	})
	s.t.Cleanup(d.stop)
	address := regexp.MustCompile(`the recorder's page" address=(\S+)`)
	await(s.t, "the page's address", func() bool {
		select {
		case err := <-done:
			s.t.Fatalf("the agent ends at once: %v\n%s", err, d.log.String())
		default:
		}
		if m := address.FindStringSubmatch(d.log.String()); m != nil {
			d.page = m[1]
		}
		return d.page != ""
	})
	return d
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(40 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within 40 s: %s", what)
		}
	}
}

func (d *onDuty) state() (st duty.State) {
	d.t.Helper()
	resp, err := http.Get(d.page + "/state")
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		d.t.Fatal(err)
	}
	return st
}

func (d *onDuty) post(what string) string {
	d.t.Helper()
	resp, err := http.Post(d.page+"/"+what, "", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %s %s %v", what, resp.Status, body, err)
	}
	return string(body)
}

// recording waits until the server's copy of the newest recording is as wanted, and returns it.
func (d *onDuty) recording(what string, holds func(*uplinktest.Recording) bool) (got *uplinktest.Recording) {
	d.t.Helper()
	await(d.t, what, func() (ok bool) {
		d.server.With(func() {
			for _, r := range d.server.Recordings {
				if got == nil || r.Order >= got.Order {
					got = r
				}
			}
			ok = got != nil && holds(got)
		})
		return ok
	})
	return got
}

// orders has the server give these commands, and returns what notes the results.
func (s *site) orders(commands *[]transport.Command, mu *sync.Mutex, results map[uint64]transport.Result) (offers chan string) {
	offers = make(chan string, 1)
	s.server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/live/whip" {
			sdp, _ := io.ReadAll(r.Body)
			select {
			case offers <- string(sdp):
			default:
			}
			uplinktest.Refuse(w, http.StatusServiceUnavailable, transport.CodeUnavailable)
			return true
		}
		if r.URL.Path != "/v1/orders" {
			return false
		}
		var rep transport.Report
		if err := json.NewDecoder(r.Body).Decode(&rep); err != nil {
			s.t.Errorf("report: %v", err)
		}
		mu.Lock()
		for _, res := range rep.Results {
			results[res.Number] = res
		}
		o := transport.Orders{Watched: 2, Commands: slices.Clone(*commands)}
		mu.Unlock()
		if rep.Watched == 2 && rep.Known >= uint64(len(o.Commands)) {
			select {
			case <-time.After(200 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		_ = json.NewEncoder(w).Encode(o)
		return true
	})
	return offers
}

// A recorder with a camera that wants a password captures from a press of its button to an order of the server, and what comes to the server plays; stopped
// while it records, it says so.
func TestRecorder(t *testing.T) {
	camera, err := rtsp.Start(t.Context(), rtsp.Config{User: "officer", Password: "s3cret-of-camera", Size: "640x360", Bitrate: "500k", GOP: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := camera.Close(); err != nil {
			t.Error(err)
		}
	})
	s := newSite(t, swtpmtest.Start(t).Path())
	var mu sync.Mutex
	var commands []transport.Command
	results := map[uint64]transport.Result{}
	offers := s.orders(&commands, &mu, results)
	order := func(c transport.Command) transport.Result {
		t.Helper()
		mu.Lock()
		c.Number, c.By, c.Until = uint64(len(commands)+1), "Duty Officer", time.Now().Add(time.Minute).UnixMilli()
		commands = append(commands, c)
		mu.Unlock()
		var r transport.Result
		await(t, "a result of "+string(c.Kind), func() bool {
			mu.Lock()
			defer mu.Unlock()
			got, ok := results[c.Number]
			r = got
			return ok
		})
		return r
	}
	password := write(t, filepath.Join(t.TempDir(), "password"), []byte("s3cret-of-camera\n"))
	lamp := write(t, filepath.Join(t.TempDir(), "lamp"), nil)
	d := s.onDuty("--camera", "rtsp://officer@"+camera.Address()+"/stream", "--camera-password-file", password, "--pre-event", "4s", "--segment", "1s", "--indicator", lamp,
		"--link", "wifi")
	await(t, "the camera, and something in the buffer", func() bool {
		st := d.state()
		return st.Video == "h264" && st.Width == 640 && st.Audio == "pcma" && st.Buffered > 1
	})
	d.post("start")
	d.post("mark")
	r := d.recording("five chunks at the server", func(r *uplinktest.Recording) bool { return len(r.Bytes) >= 5 })
	if r.Opened.Mode != evidence.ModeCapture {
		t.Errorf("mode %s", r.Opened.Mode)
	}
	if st := d.state(); st.Recording == nil || st.BegunBy != duty.ByButton || st.Watched != 2 || st.Link != "wifi" || !st.Online {
		t.Errorf("state: %+v", st)
	}
	code, out, errs := s.run("status")
	for _, want := range []string{"camera      h264 640x360 pcma", "RECORDING   ", "begun by button", "LIVE        watched by 2", "alarms      none"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("status says nothing of %q: %d\n%s%s", want, code, out, errs)
		}
	}
	if res := order(transport.Command{Kind: transport.CommandLive}); !res.Done {
		t.Errorf("live: %+v", res)
	}
	if sdp := <-offers; !strings.Contains(sdp, "H264/90000") || !d.state().LiveOn {
		t.Errorf("offered: %s", sdp)
	}
	await(t, "that the server refuses it is said", func() bool { return len(d.state().Troubles) == 1 })
	if res := order(transport.Command{Kind: transport.CommandLiveEnd}); !res.Done || d.state().LiveOn {
		t.Errorf("live-end: %+v", res)
	}
	if res := order(transport.Command{Kind: transport.CommandStop}); !res.Done || res.Rec == nil {
		t.Errorf("stop: %+v", res)
	}
	r = d.recording("all of it", func(r *uplinktest.Recording) bool {
		return r.Close != nil && len(r.Bytes) == len(r.Chunks) && r.Stored > 0
	})
	if r.Close.Why != evidence.WhyComplete || len(r.Faults) > 0 || !slices.ContainsFunc(r.Said, func(s evidence.Statement) bool { return s.Kind == evidence.KindMark }) {
		t.Errorf("close %+v, faults %+v", r.Close, r.Faults)
	}
	plays(t, r.Whole())
	if raw, err := os.ReadFile(lamp); err != nil || string(raw) != "1\n" {
		t.Errorf("the indicator: %q, %v", raw, err)
	}
	if res := order(transport.Command{Kind: transport.CommandStart}); !res.Done || res.Rec == nil {
		t.Errorf("start: %+v", res)
	}
	d.recording("the second one", func(r *uplinktest.Recording) bool { return r.Order > 0 && len(r.Bytes) >= 2 && r.Close == nil })
	d.stop()
	if raw, err := os.ReadFile(lamp); err != nil || string(raw) != "0\n" {
		t.Errorf("the indicator afterwards: %q, %v", raw, err)
	}
	if text := d.log.String(); strings.Contains(text, "s3cret") || !strings.Contains(text, `by="Duty Officer"`) {
		t.Errorf("log: %s", text)
	}
	again := s.onDuty("--camera", filepath.Join(t.TempDir(), "nothing")) // a camera that is not there: what was captured is brought to its end all the same
	r = again.recording("its end", func(r *uplinktest.Recording) bool { return r.Close != nil && len(r.Bytes) == len(r.Chunks) })
	if r.Close.Why != evidence.WhyInterrupted || len(r.Faults) != 1 || r.Faults[0].Detail != "the agent was stopped while it recorded" {
		t.Errorf("closed as %s, faults %+v", r.Close.Why, r.Faults)
	}
	plays(t, r.Whole())
	await(t, "the missing camera is an alarm", func() bool {
		_, out, _ := s.run("status")
		return strings.Contains(out, "the camera sends nothing") && strings.Contains(out, "camera      NONE")
	})
}

// plays decodes a file of fragmented MP4 from its first to its last picture.
func plays(t *testing.T, file []byte) {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", write(t, filepath.Join(t.TempDir(), "it.mp4"), file), "-f", "null", "-")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("what arrived does not play: %v %s", err, out)
	}
}

func TestRecorderSettings(t *testing.T) {
	for text, args := range map[string][]string{
		"can be reached by others":       {"--camera", "/run/camera", "--capture-listen", "0.0.0.0:8091"},
		"is no address such as":          {"--camera", "/run/camera", "--capture-listen", "8091"},
		"the address holds a password":   {"--camera", "rtsp://a:b@10.0.0.1/s"},
		"an address such as rtsp":        {"--camera", "http://10.0.0.1/s"},
		"camera-password-file:":          {"--camera", "rtsp://a@10.0.0.1/s", "--camera-password-file", "/nothing/there"},
		"is no day":                      {"--camera", "/run/camera", "--capture-schedule", "Someday 08:00-09:00"},
		"there is nothing to record":     {"--capture-always"},
		"give the key's code":            {"--camera", "/run/camera", "--key-events", "/dev/input/event0"},
		"is not named under key-events":  {"--camera", "/run/camera", "--key-code", "30"},
		"is none of wifi, mobile, dock":  {"--camera", "/run/camera", "--link", "lan"},
		"pre-event: 20m0s":               {"--camera", "/run/camera", "--pre-event", "20m"},
		"no bridge is named":             {"--camera", "/run/camera", "--kiosk", "127.0.0.1:0"},
		"capture-length: 1s":             {"--camera", "/run/camera", "--capture-length", "1s"},
		"segment: 1ms is not":            {"--segment", "1ms"},
		"header-max: 0s is not":          {"--header-max", "0s"},
		"pre-event-max: 1 is not":        {"--pre-event-max", "1"},
		"pre-event-max: 2147483648 is n": {"--pre-event-max", "2GiB"},
	} {
		var out, errs bytes.Buffer
		state := t.TempDir()
		if code := Main(append([]string{"run", "--state", state, "--tpm", "software"}, args...), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), text) {
			t.Errorf("%q: %d %s", args, code, errs.String())
		}
	}
	var c cli
	parser, err := kong.New(&c, kong.Configuration(configfile.YAML, write(t, filepath.Join(t.TempDir(), "agent.yaml"),
		[]byte("camera: /run/camera\nlive: false\ncapture-schedule: [\"Mon-Fri 08:00-18:00\", \"Sat,Sun 22:00-06:00\"]\nrate-mobile: 64KiB\n"))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"run"}); err != nil {
		t.Fatal(err)
	}
	if err := c.settings.check(); err != nil || c.Live || len(c.schedule) != 2 || c.rates()["mobile"] != 64<<10 {
		t.Errorf("read from YAML: %+v, %v", c.recorderSettings, err)
	}
}

// An agent that dies while it records goes on by itself at the next start: what there was is brought to its end as interrupted, and another recording begins.
func TestRecorderKilled(t *testing.T) {
	camera, err := rtsp.Start(t.Context(), rtsp.Config{User: "officer", Password: "s3cret-of-camera", Size: "640x360", Bitrate: "500k", GOP: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := camera.Close(); err != nil {
			t.Error(err)
		}
	})
	s := newSite(t, "software")
	flags := []string{"--camera", "rtsp://officer@" + camera.Address() + "/stream", "--camera-password-file", write(t, filepath.Join(t.TempDir(), "password"), []byte("s3cret-of-camera")),
		"--segment", "1s", "--speech", "none", "--no-live"}
	cmd := s.process("run", append(flags, "--capture-listen", "", "--capture-always")...)
	var log said
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := &onDuty{site: s}
	first := killed.recording("chunks of the first run", func(r *uplinktest.Recording) bool { return len(r.Bytes) >= 3 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatalf("it was not killed: %s", log.String())
	}
	again := s.onDuty(flags...)
	await(t, "it records again", func() bool { st := again.state(); return st.Recording != nil && st.BegunBy == duty.ByRestart })
	await(t, "the first one's end", func() (ok bool) {
		s.server.With(func() { ok = first.Close != nil && len(first.Bytes) == len(first.Chunks) })
		return ok
	})
	if first.Close.Why != evidence.WhyInterrupted {
		t.Errorf("closed as %s", first.Close.Why)
	}
	plays(t, first.Whole())
	again.post("stop")
	if st := again.state(); st.Recording != nil {
		t.Errorf("it records on: %+v", st)
	}
}
