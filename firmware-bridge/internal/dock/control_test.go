package dock_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"camseal/firmware-bridge/internal/dock"
	"camseal/firmware-bridge/internal/storage/looptest"
	"camseal/firmware-bridge/internal/vendors"
	"camseal/firmware-bridge/internal/vendors/recordertest"
)

func controlled(addr string, setClock bool) func(*dock.Config) {
	return func(c *dock.Config) { c.Controls, c.SetClock = map[string]string{"1": addr}, setClock }
}

// TestRecorderSaysWhoItIs: serial, officer, battery and clock stand in the docking, and the clock's offset is noted before the clock is set.
func TestRecorderSaysWhoItIs(t *testing.T) {
	for _, setClock := range []bool{false, true} {
		r := recordertest.New()
		r.Offset = -90 * time.Minute
		s := newSite(t, 1, controlled(r.Start(t), setClock))
		looptest.Plug(t, s.names["1"], image(t, uuidOne, map[string][]byte{"v.mp4": footage}))
		d := s.ready("1")
		if d.Serial != r.Identity.Serial || d.Model != r.Identity.Model || d.Firmware != r.Identity.Firmware || d.Officer != "011314" || d.OfficerName != "李伟" || d.Battery == nil || *d.Battery != 87 {
			t.Errorf("%+v", d)
		}
		const off = 90 * 60 * 1000
		if o := d.ClockOffset; o == nil || o.Sign != "-" || o.Value < off-5000 || o.Value > off+5000 {
			t.Errorf("offset %+v", o)
		}
		asked := r.Asked()
		read, set := slices.Index(asked, vendors.CommandClock), slices.Index(asked, vendors.CommandSetClock)
		if read < 0 || setClock != (set > read) || slices.Contains(asked, vendors.CommandStorage) {
			t.Errorf("asked %v", asked)
		}
		if now := time.Since(r.Clock()).Abs() < 5*time.Second; now != setClock {
			t.Errorf("the clock is right: %v", now)
		}
		looptest.Pull(t, s.names["1"])
		s.gone(d.ID)
	}
}

// TestStorageIsReadWhateverTheControlInterfaceAnswers is about recorders that answer rubbish, nothing, or hang up.
func TestStorageIsReadWhateverTheControlInterfaceAnswers(t *testing.T) {
	for _, fault := range []recordertest.Fault{recordertest.Rubbish, recordertest.Hangs, recordertest.Cut, recordertest.Oversized, recordertest.Nonsense, recordertest.Busy} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			r := recordertest.New()
			r.Fault = fault
			s := newSite(t, 1, controlled(r.Start(t), true))
			looptest.Plug(t, s.names["1"], image(t, uuidOne, map[string][]byte{"v.mp4": footage}))
			d := s.ready("1")
			if !bytes.Equal(read(t, d, "v.mp4"), footage) {
				t.Error("other bytes")
			}
			for _, text := range []string{d.Serial, d.Officer, d.OfficerName, d.Model} {
				if len(text) > 4096 {
					t.Errorf("%d bytes of text", len(text))
				}
			}
		})
	}
}

// TestRecorderIsAskedForItsStorage: its control interface is there first, and no storage. It is asked, its storage appears and the control interface goes,
// and what it said stands in the docking. Another recorder's storage in the same slot afterwards has nothing of it.
func TestRecorderIsAskedForItsStorage(t *testing.T) {
	r := recordertest.New()
	shows := make(chan struct{})
	r.Storage = func() { close(shows) }
	path := filepath.Join(t.TempDir(), "control")
	s := newSite(t, 1, controlled("unix:"+path, false))
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Listen(l) }()
	select {
	case <-shows:
	case <-time.After(30 * time.Second):
		t.Fatal("it was not asked for its storage")
	}
	if err := l.Close(); err != nil { // that removes the socket
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	looptest.Plug(t, s.names["1"], image(t, uuidOne, map[string][]byte{"v.mp4": footage}))
	d := s.ready("1")
	if d.Serial != r.Identity.Serial || d.Officer != "011314" || d.ClockOffset == nil {
		t.Errorf("%+v", d)
	}
	if n := strings.Count(strings.Join(commands(r), " "), vendors.CommandStorage.String()); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
	looptest.Pull(t, s.names["1"])
	s.gone(d.ID)
	looptest.Plug(t, s.names["1"], image(t, uuidTwo, map[string][]byte{"v.mp4": footage}))
	if other := s.ready("1"); other.Serial != "" || other.Officer != "" || other.ClockOffset != nil || other.Battery != nil {
		t.Errorf("%+v", other)
	}
}

func commands(r *recordertest.Recorder) (names []string) {
	for _, c := range r.Asked() {
		names = append(names, c.String())
	}
	return names
}
