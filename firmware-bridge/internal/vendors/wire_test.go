package vendors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"camseal/firmware-bridge/internal/vendors"
	"camseal/firmware-bridge/internal/vendors/recordertest"
)

func dial(t *testing.T, addr string) vendors.Recorder {
	t.Helper()
	r, err := vendors.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestEachFunctionOfTheTrade over a Unix socket and over a terminal.
func TestEachFunctionOfTheTrade(t *testing.T) {
	for name, start := range map[string]func(*recordertest.Recorder) string{
		"socket": func(r *recordertest.Recorder) string { return r.Start(t) },
		"tty":    func(r *recordertest.Recorder) string { return r.StartTTY(t) },
	} {
		t.Run(name, func(t *testing.T) {
			sim := recordertest.New()
			became := make(chan bool, 1)
			sim.Storage = func() { became <- true }
			r, ctx := dial(t, start(sim)), t.Context()
			if id, err := r.Identify(ctx); err != nil || id != sim.Identity {
				t.Errorf("identity %+v, %v", id, err)
			}
			record, err := r.Officer(ctx)
			if err != nil || record != sim.Officer() || record.Name() != "李伟" {
				t.Errorf("record %q, %v", record, err)
			}
			if err := errors.Join(record.SetName("王芳"), r.SetOfficer(ctx, record)); err != nil || sim.Officer() != record {
				t.Errorf("write the record: %v", err)
			}
			if b, err := r.Battery(ctx); err != nil || b != 87 {
				t.Errorf("battery %d, %v", b, err)
			}
			if s, err := r.Resolution(ctx); err != nil || s != "1920x1080" {
				t.Errorf("resolution %s, %v", s, err)
			}
			if at, err := r.Clock(ctx); err != nil || time.Since(at).Abs() > 10*time.Second {
				t.Errorf("clock %v, %v", at, err)
			}
			to := time.Date(2026, 8, 4, 10, 0, 0, 0, time.UTC)
			if err := r.SetClock(ctx, to); err != nil || sim.Clock().Sub(to).Abs() > 10*time.Second {
				t.Errorf("set the clock: %v", err)
			}
			if err := r.ToStorage(ctx); err != nil {
				t.Error(err)
			}
			<-became
			if _, err := r.Battery(ctx); !errors.Is(err, vendors.ErrClosed) {
				t.Errorf("after it became a disk: %v", err)
			}
		})
	}
}

// TestEveryRecordGoesThroughUnchanged: bytes that are no text too.
func TestEveryRecordGoesThroughUnchanged(t *testing.T) {
	r := dial(t, recordertest.Start(t))
	for _, fill := range []byte{0x00, 0x20, 0x80, 0xFF, 0x0A, 0x11, 0x13} {
		record, err := vendors.ParseOfficerRecord(bytes.Repeat([]byte{fill}, vendors.OfficerRecordSize))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.SetOfficer(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Officer(t.Context()); err != nil || got != record {
			t.Fatalf("%x came back as %x, %v", record, got, err)
		}
	}
}

// TestClockOf1970IsReadBeforeItIsSet: the offset is what was there before, and a battery without a charge is no error.
func TestClockOf1970IsReadBeforeItIsSet(t *testing.T) {
	sim := recordertest.New()
	sim.Zone = time.UTC
	sim.SetClock(time.Unix(3, 0))
	sim.Battery = 0
	r, err := vendors.Dialer{Zone: time.UTC}.Dial(t.Context(), sim.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	at, err := r.Clock(t.Context())
	if err != nil || at.Year() != 1970 {
		t.Fatalf("clock %v, %v", at, err)
	}
	if err := r.SetClock(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if at, err = r.Clock(t.Context()); err != nil || time.Since(at).Abs() > 10*time.Second {
		t.Fatalf("clock %v, %v", at, err)
	}
	if b, err := r.Battery(t.Context()); err != nil || b != 0 {
		t.Fatalf("battery %d, %v", b, err)
	}
}

// TestRecorderOfAnotherZone: its clock shows other digits for the same moment.
func TestRecorderOfAnotherZone(t *testing.T) {
	sim := recordertest.New()
	sim.Zone = time.FixedZone("UTC+8", 8*3600)
	r, err := vendors.Dialer{Zone: time.UTC}.Dial(t.Context(), sim.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	at, err := r.Clock(t.Context())
	if off := time.Until(at).Round(time.Minute); err != nil || off != 8*time.Hour {
		t.Fatalf("offset %v, %v", off, err)
	}
}

// questions are all that a recorder can be asked.
var questions = map[vendors.Command]func(context.Context, vendors.Recorder) error{
	vendors.CommandIdentify:   func(ctx context.Context, r vendors.Recorder) error { _, err := r.Identify(ctx); return err },
	vendors.CommandOfficer:    func(ctx context.Context, r vendors.Recorder) error { _, err := r.Officer(ctx); return err },
	vendors.CommandSetOfficer: func(ctx context.Context, r vendors.Recorder) error { return r.SetOfficer(ctx, vendors.OfficerRecord{}) },
	vendors.CommandBattery:    func(ctx context.Context, r vendors.Recorder) error { _, err := r.Battery(ctx); return err },
	vendors.CommandResolution: func(ctx context.Context, r vendors.Recorder) error { _, err := r.Resolution(ctx); return err },
	vendors.CommandClock:      func(ctx context.Context, r vendors.Recorder) error { _, err := r.Clock(ctx); return err },
	vendors.CommandSetClock:   func(ctx context.Context, r vendors.Recorder) error { return r.SetClock(ctx, time.Now()) },
	vendors.CommandStorage:    func(ctx context.Context, r vendors.Recorder) error { return r.ToStorage(ctx) },
}

// TestEveryFaultOfEveryFunctionIsAnError: one that closes the connection, never a value, and never a wait past the context's end.
func TestEveryFaultOfEveryFunctionIsAnError(t *testing.T) {
	for _, fault := range []recordertest.Fault{recordertest.Hangs, recordertest.Rubbish, recordertest.Oversized, recordertest.BadChecksum, recordertest.Cut,
		recordertest.WrongAnswer, recordertest.Short} {
		for c, ask := range questions {
			if fault == recordertest.Short && c == vendors.CommandIdentify {
				continue // a shorter version is a version
			}
			t.Run(fmt.Sprintf("%s/%s", fault, c), func(t *testing.T) {
				sim := recordertest.New()
				sim.Fault, sim.On = fault, c
				r := dial(t, sim.Start(t))
				limit := 20 * time.Second // a hang here is a failure
				if fault == recordertest.Hangs {
					limit = 50 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				err := ask(ctx, r)
				var rubbish *vendors.Rubbish
				switch {
				case err == nil:
					t.Fatal("it was believed")
				case fault == recordertest.Hangs && !errors.Is(err, context.DeadlineExceeded):
					t.Error(err)
				case fault == recordertest.Cut && !errors.Is(err, io.ErrUnexpectedEOF):
					t.Error(err)
				case fault != recordertest.Hangs && fault != recordertest.Cut && !errors.As(err, &rubbish):
					t.Error(err)
				}
				if _, err := r.Battery(t.Context()); !errors.Is(err, vendors.ErrClosed) {
					t.Errorf("and then: %v", err)
				}
			})
		}
	}
}

// TestNonsenseInASoundFrameIsAnError for every answer that has a form; a record and a resolution of any bytes are what they are.
func TestNonsenseInASoundFrameIsAnError(t *testing.T) {
	for _, c := range []vendors.Command{vendors.CommandIdentify, vendors.CommandBattery, vendors.CommandClock} {
		sim := recordertest.New()
		sim.Fault, sim.On = recordertest.Nonsense, c
		r := dial(t, sim.Start(t))
		var rubbish *vendors.Rubbish
		if err := questions[c](t.Context(), r); !errors.As(err, &rubbish) {
			t.Errorf("%s: %v", c, err)
		}
	}
	sim := recordertest.New()
	sim.Fault = recordertest.Forgets
	var rubbish *vendors.Rubbish
	if err := dial(t, sim.Start(t)).SetOfficer(t.Context(), vendors.OfficerRecord{}); !errors.As(err, &rubbish) {
		t.Errorf("a recorder that confirms and forgets: %v", err)
	}
}

// TestRefusalKeepsTheConnection: a busy recorder can be asked again.
func TestRefusalKeepsTheConnection(t *testing.T) {
	sim := recordertest.New()
	sim.Fault, sim.On = recordertest.Busy, vendors.CommandSetClock
	r := dial(t, sim.Start(t))
	var refused *vendors.Refused
	if err := r.SetClock(t.Context(), time.Now()); !errors.As(err, &refused) || refused.Status != vendors.StatusBusy {
		t.Fatal(err)
	}
	if _, err := r.Battery(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestCloseEndsAQuestion that nobody answers.
func TestCloseEndsAQuestion(t *testing.T) {
	sim := recordertest.New()
	sim.Fault = recordertest.Hangs
	r := dial(t, sim.Start(t))
	done := make(chan error)
	go func() {
		_, err := r.Battery(context.Background())
		done <- err
	}()
	for limit := time.After(20 * time.Second); !slices.Contains(sim.Asked(), vendors.CommandBattery); {
		select {
		case <-limit:
			t.Fatal("it was never asked")
		case <-time.After(time.Millisecond):
		}
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Fatal("an answer out of nothing")
	}
}

// TestPasswordIsAskedForAndNeverShown in errors, logs, JSON or YAML.
func TestPasswordIsAskedForAndNeverShown(t *testing.T) {
	const secret = "000000"
	sim := recordertest.New()
	sim.Password = secret
	addr := sim.Start(t)
	r, err := vendors.Dialer{Password: secret}.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	sim.Password = "888888"
	d := vendors.Dialer{Password: secret}
	_, err = d.Dial(t.Context(), addr)
	var refused *vendors.Refused
	if !errors.As(err, &refused) || refused.Status != vendors.StatusPassword {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("dial", slog.Any("dialer", d), slog.Any("password", d.Password), slog.Any("error", err))
	asJSON, err1 := json.Marshal(d)
	asYAML, err2 := yaml.Marshal(d)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %q %s %s %s", d, d, d, d.Password, d.Password, log.String(), asJSON, asYAML) + err.Error()
	if strings.Contains(shown, secret) {
		t.Error(shown)
	}
}

// TestNoRecorderThere: a missing socket, a file that is no tty, a folder.
func TestNoRecorderThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"unix:" + file, "unix:" + file + "2", file, t.TempDir(), "/dev/null", ""} {
		if r, err := vendors.Dial(t.Context(), addr); err == nil {
			r.Close()
			t.Errorf("%q is a recorder", addr)
		}
	}
	if raw, err := os.ReadFile(file); err != nil || string(raw) != "x" {
		t.Errorf("the file holds %q, %v", raw, err)
	}
}

func frame(t testing.TB, c vendors.Command, payload string) []byte {
	t.Helper()
	f, err := vendors.AppendFrame(nil, c, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFrameBytes: a frame made by hand, so that a firmware's author can compare.
func TestFrameBytes(t *testing.T) {
	if got, want := fmt.Sprintf("%x", frame(t, vendors.CommandInit, "123456")), "000b01313233343536"+"a5a4718e"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := vendors.AppendFrame(nil, vendors.CommandInit, make([]byte, vendors.MaxFrame)); err == nil {
		t.Error("a frame that is too long was made")
	}
}

// FuzzReadFrame: what is read as a frame is, written again, the bytes that were read, and no more were read.
func FuzzReadFrame(f *testing.F) {
	whole := frame(f, vendors.CommandInit, "123456")
	f.Add(whole)
	f.Add(append(whole, whole...))
	f.Add(whole[:5])
	f.Add([]byte{0xFF, 0xFF, 1})
	f.Add([]byte{0, 0, 0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bytes.NewReader(raw)
		c, payload, err := vendors.ReadFrame(r)
		if err != nil {
			return
		}
		again, err := vendors.AppendFrame(nil, c, payload)
		if err != nil || !bytes.Equal(again, raw[:len(raw)-r.Len()]) {
			t.Fatalf("%x became %x, %v", raw, again, err)
		}
	})
}

// FuzzAnswers: whatever a recorder answers in sound frames, every question returns, and what is believed has its form.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("\x00BZ02712\x00DSJ\x001"))
	f.Add([]byte("\x0020170731155341000"))
	f.Add([]byte("\x00\x57"))
	f.Add([]byte("\x00\x07\x80\x04\x38"))
	f.Add([]byte("\x01"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 1000 {
			return
		}
		sim := recordertest.New()
		sim.Answer = payload
		addr := sim.Start(t)
		for c, ask := range questions {
			r := dial(t, addr)
			if err := ask(t.Context(), r); err == nil && (len(payload) == 0 || payload[0] != 0) {
				t.Fatalf("%s: %q was believed", c, payload)
			}
			r.Close()
		}
		if id, err := dial(t, addr).Identify(t.Context()); err == nil && (id.Serial == "" || strings.ContainsAny(id.Serial+id.Model+id.Firmware, "\x00\n\uFFFD")) {
			t.Fatalf("%+v", id)
		}
		if b, err := dial(t, addr).Battery(t.Context()); err == nil && (b < 0 || b > 100) {
			t.Fatalf("battery %d", b)
		}
	})
}
