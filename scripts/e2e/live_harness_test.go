package e2e_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/scripts/camera/recorder"
)

// onDuty is the system's agent on a recorder with a camera.
type onDuty struct {
	s     *system
	page  string // address of what the recorder shows
	http  *http.Client
	agent *process
}

// dutyState is what the recorder shows of itself.
type dutyState struct {
	Video, Audio     string
	Width, Height    int
	Recording        string
	Segments         uint64
	Buffered         float64 `json:"buffered_seconds"`
	Publishing       bool
	Watched, Behind  int
	Full             int
	Orders           bool
	InHeader         bool `json:"in_header"`
	Troubles, Alarms []string
}

// camera starts a camera of small pictures, a keyframe a second.
func camera(t *testing.T, c recorder.Config) *recorder.Camera {
	t.Helper()
	if c.Size == "" {
		c.Size = "640x360"
	}
	if c.Bitrate == "" {
		c.Bitrate = "500k"
	}
	c.GOP = time.Second
	cam, err := recorder.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cam.Close(); err != nil {
			t.Error(err)
		}
	})
	return cam
}

// dutyFlags are those of an agent on a recorder whose camera is at url, and whose page is at address.
func dutyFlags(url, address string, flags ...string) []string {
	return append([]string{"--camera", url, "--capture-listen", address, "--recorder", "LIVE0001", "--station", "Car 7", "--speech", "none", "--segment", "1s", "--pre-event", "2s",
		"--header-max", "1s", "--link", "wifi", "--lang", "en"}, flags...)
}

// onDuty starts the agent, and waits until it has its camera and 1 s of footage before a start.
func (s *system) onDuty(url string, flags ...string) *onDuty {
	s.t.Helper()
	address := freeAddress(s.t)
	d := &onDuty{s: s, page: "http://" + address + "/", http: &http.Client{Timeout: 20 * time.Second}}
	d.agent = start(s.t, "camseal-agent", s.agent("run", dutyFlags(url, address, flags...)...)...)
	d.ready()
	return d
}

// ready waits until the agent has its camera, 1 s of footage before a start, and is known to be on duty.
func (d *onDuty) ready() {
	d.s.t.Helper()
	d.s.t.Cleanup(func() {
		if d.s.t.Failed() {
			d.s.t.Logf("the agent:\n%s\nthe server:\n%s", last(d.agent.out.String(), 8000), last(d.s.server.out.String(), 4000))
		}
	})
	d.until("a camera, orders, and footage before a start", func(s dutyState) bool { return s.Video != "" && s.Orders && s.Buffered >= 1 })
}

func last(text string, n int) string { return text[max(0, len(text)-n):] }

func (d *onDuty) ask(method, path, body string, answer any) error {
	req, err := http.NewRequest(method, d.page+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, raw)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, answer)
}

func (d *onDuty) state() (s dutyState) {
	d.s.t.Helper()
	if err := d.ask(http.MethodGet, "state", "", &s); err != nil {
		d.s.t.Fatal(err)
	}
	return s
}

// until waits for a state of the recorder.
func (d *onDuty) until(what string, holds func(dutyState) bool) (s dutyState) {
	d.s.t.Helper()
	defer func() {
		if d.s.t.Failed() {
			d.s.t.Logf("the recorder's state: %+v", s)
		}
	}()
	eventually(d.s.t, what, func() bool {
		select {
		case <-d.agent.done:
			d.s.t.Fatalf("the agent ended: %v", d.agent.err)
		default:
		}
		var now dutyState
		err := d.ask(http.MethodGet, "state", "", &now)
		if err == nil {
			s = now
		}
		return err == nil && holds(now)
	})
	return s
}

// press has the recorder do something, and returns the recording that it was about.
func (d *onDuty) press(what string) string {
	d.s.t.Helper()
	var did struct{ Recording string }
	if err := d.ask(http.MethodPost, what, "{}", &did); err != nil {
		d.s.t.Fatal(err)
	}
	return did.Recording
}

// segments waits until the recording that is made has n segments.
func (d *onDuty) segments(n uint64) {
	d.s.t.Helper()
	d.until(fmt.Sprintf("%d segments", n), func(s dutyState) bool { return s.Segments >= n })
}

// terminate ends the agent as an operator does, and waits for that.
func (d *onDuty) terminate() {
	d.s.t.Helper()
	if err := d.agent.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.s.t.Fatal(err)
	}
	<-d.agent.done
	if d.agent.err != nil {
		d.s.t.Errorf("the agent ended with %v", d.agent.err)
	}
}

// stored waits until the server has stored all of a recording.
func (s *system) stored(rec string) {
	s.t.Helper()
	s.inState(rec, "stored")
}

func (s *system) inState(rec string, states ...string) {
	s.t.Helper()
	next := time.NewTicker(300 * time.Millisecond) // asking starts a program
	defer next.Stop()
	eventually(s.t, rec+" to be "+strings.Join(states, " or "), func() bool {
		<-next.C
		return slices.ContainsFunc(s.recordings(), func(r recording) bool { return r.Rec == rec && slices.Contains(states, r.State) })
	})
}

// captured is a captured recording as its bundle has it.
type captured struct {
	bundle, file string // the exhibit as a file of its own
	open         *evidence.Open
	chunks       []*evidence.Chunk
	faults       []*evidence.Fault
	marks        int
	close        *evidence.Close
}

// inBundle reads a recording's bundle, which holds the exhibit, and compares that with the chain, chunk for chunk.
func (s *system) inBundle(rec string) *captured {
	s.t.Helper()
	c := &captured{bundle: s.export(rec)}
	c.read(s.t, rec)
	raw := original(s.t, c.bundle)
	c.file = filepath.Join(s.t.TempDir(), rec+".mp4")
	if err := os.WriteFile(c.file, raw, 0o600); err != nil {
		s.t.Fatal(err)
	}
	absent := c.absent()
	rest := raw
	for i, k := range c.chunks {
		if k.Index != uint64(i) {
			s.t.Fatalf("chunk %d stands where %d is to be", k.Index, i)
		}
		if absent[k.Index] {
			continue
		}
		if uint64(len(rest)) < k.Size || evidence.Digest(sha256.Sum256(rest[:k.Size])) != k.Hash {
			s.t.Fatalf("chunk %d of %d is not, byte for byte, what the exhibit holds there", i, len(c.chunks))
		}
		rest = rest[k.Size:]
	}
	if len(rest) > 0 {
		s.t.Fatalf("the exhibit has %d bytes after the last chunk", len(rest))
	}
	if c.close != nil && len(absent) == 0 && (c.close.Size != uint64(len(raw)) || c.close.Hash != evidence.Digest(sha256.Sum256(raw))) {
		s.t.Error("the exhibit is not what the recording's end says")
	}
	return c
}

// absent are the chunks that were declared lost.
func (c *captured) absent() map[uint64]bool {
	lost := map[uint64]bool{}
	for _, f := range c.faults {
		for _, i := range f.Chunks {
			lost[i] = true
		}
	}
	return lost
}

func (c *captured) read(t *testing.T, rec string) {
	t.Helper()
	z, err := zip.OpenReader(c.bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	at := slices.IndexFunc(z.File, func(f *zip.File) bool { return strings.HasSuffix(f.Name, "data/chain.jsonl") })
	if at < 0 {
		t.Fatal("a bundle without a chain")
	}
	r, err := z.File[at].Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		if !bytes.Contains(lines.Bytes(), []byte(`"kind"`)) {
			continue // withheld
		}
		s, _, err := evidence.ParseUnverified(lines.Bytes())
		if err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		if s.Rec.String() != rec {
			continue
		}
		switch b := s.Body.(type) {
		case *evidence.Open:
			c.open = b
		case *evidence.Chunk:
			c.chunks = append(c.chunks, b)
		case *evidence.Fault:
			c.faults = append(c.faults, b)
		case *evidence.Mark:
			c.marks++
		case *evidence.Close:
			c.close = b
		}
	}
	if err := lines.Err(); err != nil || c.open == nil {
		t.Fatalf("%s: no open statement; %v", rec, err)
	}
}

// contiguous expects that each segment begins where the one before ended.
func (c *captured) contiguous(t *testing.T) {
	t.Helper()
	for i := 2; i < len(c.chunks); i++ {
		if a, b := c.chunks[i-1], c.chunks[i]; a.Start+a.Duration != b.Start {
			t.Errorf("segment %d ends at %d ms, the next one begins at %d ms", i-1, a.Start+a.Duration, b.Start)
		}
	}
}

// decodes has ffmpeg decode a file, which must not complain of anything.
func decodes(t *testing.T, file string) {
	t.Helper()
	if said := mustRun(t, "ffmpeg", "-nostdin", "-v", "error", "-i", file, "-f", "null", "-"); said != "" {
		t.Errorf("ffmpeg says of %s: %s", filepath.Base(file), said)
	}
}

// pictures counts the pictures that ffprobe decodes.
func pictures(t *testing.T, file string) int {
	t.Helper()
	out := mustRun(t, "ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", file)
	n, err := strconv.Atoi(strings.Trim(strings.TrimSpace(out), ","))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return n
}

// playsInFFplay has ffplay play a file to its end, into no window and no loudspeaker.
func playsInFFplay(t *testing.T, file string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "ffplay", "-v", "error", "-nodisp", "-autoexit", file)
	cmd.Env = append(os.Environ(), "SDL_AUDIODRIVER=dummy", "SDL_VIDEODRIVER=dummy")
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("ffplay: %v: %s", err, out)
	}
}

// skipQuick leaves a test of a browser out of --quick.
func skipQuick(t *testing.T) {
	t.Helper()
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		t.Skip("--quick leaves out browsers")
	}
}
