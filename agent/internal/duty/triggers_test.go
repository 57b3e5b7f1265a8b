package duty

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"camseal/agent/internal/capture"
	"camseal/agent/internal/feed"
	"camseal/pkg/evidence"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestSchedule(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin") // 2026-03-29 02:00 -> 03:00; 2026-10-25 03:00 -> 02:00
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04:05", text, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		entries string
		in, out []string
	}{
		{"Mon-Fri 08:00-18:00", []string{"2026-11-23 08:00:00", "2026-11-27 17:59:59"}, []string{"2026-11-23 07:59:59", "2026-11-27 18:00:00", "2026-11-28 12:00:00", "2026-11-29 12:00:00"}},
		{"Sat,Sun 22:00-06:00", []string{"2026-11-28 22:00:00", "2026-11-29 05:59:59", "2026-11-29 23:00:00", "2026-11-30 05:00:00"}, []string{"2026-11-28 05:00:00", "2026-11-28 21:59:59", "2026-11-30 06:00:00"}},
		{"Fri-Mon 00:00-24:00", []string{"2026-11-27 00:00:00", "2026-11-30 23:59:59"}, []string{"2026-12-01 00:00:00", "2026-11-26 23:59:59"}},
		{"daily 01:00-02:30", []string{"2026-03-29 01:30:00", "2026-03-29 03:29:00"}, []string{"2026-03-29 03:30:00"}}, // the end does not exist that day
		{"daily 02:15-02:45", []string{"2026-03-29 03:20:00"}, []string{"2026-03-29 01:59:00", "2026-03-29 03:45:00"}},
		{"daily 23:00-03:30", []string{"2026-10-25 02:59:59", "2026-10-25 03:29:59"}, []string{"2026-10-25 03:30:00"}},
		{"Mon 08:00-09:00;Tue 10:00-11:00", []string{"2026-11-24 10:30:00"}, []string{"2026-11-24 08:30:00"}},
	} {
		s, err := ParseSchedule(strings.Split(c.entries, ";"))
		if err != nil {
			t.Errorf("%q: %v", c.entries, err)
			continue
		}
		for _, text := range c.in {
			if !s.Within(at(text)) {
				t.Errorf("%q: %s is not within", c.entries, text)
			}
		}
		for _, text := range c.out {
			if s.Within(at(text)) {
				t.Errorf("%q: %s is within", c.entries, text)
			}
		}
	}
	// Clocks go back: 02:15 and 02:45 come twice, and the time lasts from the first 02:15 to the second 02:45.
	s, err := ParseSchedule([]string{"daily 02:15-02:45"})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 10, 25, 0, 15, 0, 0, time.UTC) // 02:15 in summer
	for minutes, want := range map[int]bool{-1: false, 0: true, 29: true, 45: true, 89: true, 90: false} {
		if moment := begin.Add(time.Duration(minutes) * time.Minute).In(berlin); s.Within(moment) != want {
			t.Errorf("%s within: %v", moment, !want)
		}
	}
	for _, bad := range []string{"", "Mon", "Mon 08:00", "Mon-Foo 08:00-09:00", "Mon 8:00-9:00", "Mon 08:00-24:01", "Mon 24:00-08:00", "Mon 08:60-09:00", "Mon 08:00-08:00", "Mon 08:00-09:00 x", "Mon +8:00-09:00"} {
		if _, err := ParseSchedule([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// The schedule begins when its time comes and the camera is there, goes on after a recording that ended by itself, leaves alone what a
// person ended or began, and ends what it began.
func TestScheduleRecords(t *testing.T) {
	path := journalPath(t)
	synctest.Test(t, func(t *testing.T) { // begins on Saturday, 2000-01-01 00:00:00 UTC
		s, err := ParseSchedule([]string{"Sat 01:00-02:00", "Sat 03:00-04:00", "Sat 05:00-06:00"})
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, nil, path, func(c *Config) { c.Schedule, c.Now = s, func() time.Time { return time.Now().UTC() } })
		local := time.Local
		time.Local = time.UTC
		defer func() { time.Local = local }()
		r.capture.camera(false)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.keep(ctx); close(done) }()
		wait := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		expect := func(what string, calls ...string) {
			t.Helper()
			if got := r.capture.calls(); !slices.Equal(got, calls) {
				t.Errorf("%s: %q", what, got)
			}
		}
		wait(time.Hour + time.Minute)
		expect("no camera")
		r.capture.camera(true)
		wait(2 * time.Second)
		expect("the camera came", "start schedule")
		r.capture.set(func() { r.capture.st.Recording = nil }) // by itself
		wait(2 * time.Second)
		expect("it goes on", "start schedule", "start schedule")
		wait(time.Hour)
		expect("its time is over", "start schedule", "start schedule", "stop schedule")
		r.capture.set(func() { r.capture.asked = nil })
		wait(time.Hour)
		if _, err := r.Stop(ctx, ByButton); err != nil {
			t.Fatal(err)
		}
		wait(30 * time.Minute)
		expect("a person ended it", "start schedule", "stop button")
		if _, err := r.Start(ctx, ByButton); err != nil {
			t.Fatal(err)
		}
		wait(3 * time.Hour)
		expect("a person began it", "start schedule", "stop button", "start button")
		stop()
		<-done
		if err := r.journal.close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A camera that was there and sends nothing any more is no camera: nothing is begun for it, and it is told.
func TestCameraGoes(t *testing.T) {
	path := journalPath(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, path, func(c *Config) { c.Always = true })
		sink := r.Feed()
		ctx, stop := context.WithCancel(t.Context())
		var parts sync.WaitGroup
		parts.Go(func() { r.watch(ctx) })
		parts.Go(func() { r.keep(ctx) })
		<-time.After(5 * time.Second)
		sink.Unit(feed.Unit{})
		<-time.After(5 * time.Second)
		if st := r.State(ctx); !st.Camera() || st.Recording == nil || st.BegunBy != ByAlways {
			t.Errorf("with a camera: %+v", st)
		}
		<-time.After(5 * time.Second)
		r.capture.set(func() { r.capture.st.Recording = nil })
		<-time.After(5 * time.Second)
		if st := r.State(ctx); st.Camera() || st.Recording != nil || r.Gone().IsZero() {
			t.Errorf("without: %+v", st)
		}
		sink.Unit(feed.Unit{})
		<-time.After(3 * time.Second)
		if st := r.State(ctx); !st.Camera() || st.Recording == nil {
			t.Errorf("with it again: %+v", st)
		}
		stop()
		parts.Wait()
		if err := r.journal.close(); err != nil {
			t.Fatal(err)
		}
	})
}

// What was being recorded when the agent died is gone on with once, if the camera comes soon and nobody ends it.
func TestResume(t *testing.T) {
	for name, c := range map[string]struct {
		camera time.Duration // when it comes
		stop   bool          // somebody says so before
		want   []string
	}{
		"soon":  {30 * time.Second, false, []string{"start restart of the agent"}},
		"late":  {3 * time.Minute, false, nil},
		"ended": {30 * time.Second, true, []string{"stop button"}},
	} {
		path := journalPath(t)
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil, path, func(c *Config) { c.Resume = true })
			r.capture.camera(false)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { r.keep(ctx); close(done) }()
			<-time.After(10 * time.Second)
			if c.stop {
				if _, err := r.Stop(ctx, ByButton); !errors.Is(err, capture.ErrIdle) {
					t.Error(err)
				}
			}
			<-time.After(c.camera)
			r.capture.camera(true)
			<-time.After(10 * time.Second)
			r.capture.set(func() { r.capture.st.Recording = nil }) // by itself: it is not begun a second time
			<-time.After(10 * time.Second)
			if got := r.capture.calls(); !slices.Equal(got, c.want) {
				t.Errorf("%s: %q", name, got)
			}
			stop()
			<-done
			if err := r.journal.close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func fifo(t *testing.T, path string) *os.File {
	t.Helper()
	var f *os.File
	until(t, "the FIFO is there", func() (ok bool) {
		var err error
		f, err = os.OpenFile(path, os.O_WRONLY, 0)
		return err == nil
	})
	t.Cleanup(func() { f.Close() })
	return f
}

func TestKeyLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	r := newRig(t, newBoard(t), journalPath(t), func(c *Config) { c.Keys.Path = path })
	r.run()
	f := fifo(t, path)
	say := func(text string) {
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	say("toggle\nheader")
	say("-end\nmark a knife\n" + strings.Repeat("z", 5000) + "\n\n  stop \n")
	f.Close()
	f = fifo(t, path) // another writer
	say("start\ntoggle\ntoggle\n")
	want := []string{"start key", "header-end key", "mark a knife key", "stop key", "start key", "header-end key", "stop key"}
	until(t, "all is done", func() bool { return len(r.capture.calls()) >= len(want) })
	if got := r.capture.calls(); !slices.Equal(got, want) {
		t.Errorf("asked: %q", got)
	}
	say("jump\n")
	until(t, "a wrong word is said", func() bool {
		return strings.Contains(strings.Join(r.State(t.Context()).Troubles, ""), `"jump" is none of`)
	})
	say("stop\n")
	until(t, "what can't be done is said", func() bool {
		return strings.Contains(strings.Join(r.State(t.Context()).Troubles, ""), capture.ErrIdle.Error())
	})
}

func TestKeyEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "event0")
	if f, err := openEvents(path, true); err != nil { // an input device can't be made here; what it gives can
		t.Fatal(err)
	} else if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, newBoard(t), journalPath(t), func(c *Config) { c.Keys = Keys{Path: path, Toggle: 212, Mark: 217} })
	r.run()
	var events bytes.Buffer
	for _, e := range [][3]uint32{{4, 4, 7}, {1, 212, 1}, {0, 0, 0}, {1, 212, 2}, {1, 212, 0}, {1, 30, 1}, {1, 212, 1}, {1, 217, 1}, {1, 217, 0}, {1, 212, 1}} {
		events.Write(make([]byte, inputTimes))
		for _, part := range []any{uint16(e[0]), uint16(e[1]), e[2]} {
			if err := binary.Write(&events, binary.NativeEndian, part); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := fifo(t, path)
	whole := events.Bytes()
	for len(whole) > 0 { // in pieces that split events
		n := min(17, len(whole))
		if _, err := f.Write(whole[:n]); err != nil {
			t.Fatal(err)
		}
		whole = whole[n:]
	}
	want := []string{"start key", "header-end key", "mark  key", "stop key"}
	until(t, "all is done", func() bool { return len(r.capture.calls()) >= len(want) })
	if got := r.capture.calls(); !slices.Equal(got, want) {
		t.Errorf("asked: %q", got)
	}
}

// sentence gives a sentence its checksum.
func sentence(body string) string {
	var x byte
	for _, c := range []byte(body) {
		x ^= c
	}
	return "$" + body + "*" + string("0123456789ABCDEF"[x>>4]) + string("0123456789ABCDEF"[x&15])
}

func TestNMEA(t *testing.T) {
	for line, want := range map[string][2]int64{
		sentence("GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W"):     {48_117_300, 11_516_667},
		sentence("GNGGA,001043.00,4404.14036,N,12118.85961,W,1,12,0.98,1113.0,M,,M,,"):   {44_069_006, -121_314_327},
		sentence("GNGLL,3404.14036,S,11800.00000,E,001043.00,A,D"):                       {-34_069_006, 118_000_000},
		sentence("BDRMC,010203.000,A,2232.00000,N,11404.00000,E,0.00,0.00,261126,,,A,V"): {22_533_333, 114_066_667},
	} {
		p, ok := parseNMEA(line)
		if !ok || value(p.Lat) != want[0] || value(p.Lon) != want[1] {
			t.Errorf("%s: %v %v", line, p, ok)
		}
	}
	for _, line := range []string{"", "$", "$GPRMC*00", "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*00",
		sentence("GPRMC,123519,V,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W"), // no fix
		sentence("GPGGA,001043.00,4404.14036,N,12118.85961,W,0,12,0.98,1113.0,M,,M,,"),
		sentence("GPRMC,1,A,9107.038,N,01131.000,E"), sentence("GPRMC,1,A,4867.038,N,01131.000,E"), sentence("GPRMC,1,A,4807.038,X,01131.000,E"),
		sentence("GPRMC,1,A,-807.038,N,01131.000,E"), sentence("GPRMC,1,A,48,N,1,E"), sentence("GPRMC,1,A,4807.0e8,N,01131.000,E"), sentence("GPRMC,1,A,,,,")} {
		if p, ok := parseNMEA(line); ok {
			t.Errorf("%q is taken for %v", line, p)
		}
	}
}

// Positions come from gpsd or a FIFO; a move is told at once, standing still is not.
func TestPosition(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := newBoard(t)
	r := newRig(t, b, journalPath(t), func(c *Config) { c.Position = "gpsd://" + l.Addr().String() })
	r.run()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 100)
	if n, err := conn.Read(buf); err != nil || !strings.Contains(string(buf[:n]), `"nmea":true`) {
		t.Fatalf("asked of gpsd: %q, %v", buf[:n], err)
	}
	say := func(text string) {
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say("{\"class\":\"VERSION\"}\r\n" + sentence("GPRMC,1,A,4807.038,N,01131.000,E") + "\r\n")
	told := func(lat uint64) func() bool {
		return func() bool {
			s := b.seen()
			return len(s) > 0 && s[len(s)-1].Position != nil && s[len(s)-1].Position.Lat == evidence.Signed{Sign: "+", Value: lat}
		}
	}
	until(t, "the position is told", told(48_117_300))
	n := len(b.seen())
	say(sentence("GPRMC,1,A,4807.040,N,01131.000,E") + "\r\n")
	until(t, "a small move is shown here", func() bool { return r.State(t.Context()).Position.Lat.Value == 48_117_333 })
	if got := len(b.seen()); got != n {
		t.Errorf("it is told at once by %d reports", got-n)
	}
	say(sentence("GPRMC,1,A,4807.100,N,01131.000,E") + "\r\n")
	until(t, "a move is told", told(48_118_333))
	conn.Close()
	until(t, "that it fails is said", func() bool { return len(r.State(t.Context()).Troubles) == 1 })
}

func TestLinkFromFile(t *testing.T) {
	kinds := make(chan string, 10)
	file := write(t, "link", "mobile\n")
	r := newRig(t, newBoard(t), journalPath(t), func(c *Config) { c.Link, c.SetLink = "auto:"+file, func(k string) { kinds <- k } })
	r.run()
	if k := <-kinds; k != "mobile" {
		t.Error(k)
	}
	if err := os.WriteFile(file, []byte("wifi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k := <-kinds; k != "wifi" {
		t.Error(k)
	}
	if err := os.WriteFile(file, []byte("dial-up"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k := <-kinds; k != "mobile" {
		t.Error(k)
	}
	if tr := r.State(t.Context()).Troubles; len(tr) != 1 || !strings.Contains(tr[0], "dial-up") {
		t.Errorf("troubles: %q", tr)
	}
	if CheckLink("auto:") == nil || CheckLink("lan") == nil || errors.Join(CheckLink("auto:/x"), CheckLink("dock")) != nil {
		t.Error("links are checked wrongly")
	}
}
