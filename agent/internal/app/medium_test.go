package app

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
)

// TestReadError takes a file from a file system whose medium ends in the middle of it: what was read is kept, and the chain says where it
// ended.
func TestReadError(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	s := newSite(t, "software")
	image, at := filepath.Join(t.TempDir(), "image"), t.TempDir()
	write(t, image, nil)
	do := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
	}
	if err := os.Truncate(image, 32<<20); err != nil {
		t.Fatal(err)
	}
	do("mkfs.ext4", "-q", "-O", "^has_journal", image)
	do("mount", "-o", "loop", image, at)
	unmount := func() { exec.Command("umount", "-l", at).Run() }
	t.Cleanup(unmount)
	want := noise(12<<20, 1)
	write(t, filepath.Join(at, "a.mp4"), want)
	write(t, filepath.Join(at, "b.mp4"), noise(5000, 2))
	unmount()
	do("mount", "-o", "loop,ro", image, at)
	if _, err := os.ReadFile(filepath.Join(at, "b.mp4")); err != nil { // so that it is in memory
		t.Fatal(err)
	}
	raw, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	cut := bytes.Index(raw, want[6<<20:6<<20+4096])
	if cut < 0 {
		t.Fatal("the file lies in pieces")
	}
	if err := os.Truncate(image, int64(cut)); err != nil {
		t.Fatal(err)
	}
	s.extra = []string{"--chunk-size", "64KiB"}
	code, out, _ := s.run("import", at)
	if code != 1 || !strings.Contains(out, "FAULTY") || !strings.Contains(out, "import it again once it is whole") {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.server.With(func() {
		for _, r := range s.server.Recordings {
			if r.Source.Name != "a.mp4" {
				continue
			}
			if r.Close == nil || r.Close.Why != evidence.WhyReadError || len(r.Faults) != 1 || r.Stored == 0 {
				t.Fatalf("%+v %+v", r.Close, r.Faults)
			}
			if got := r.Whole(); !bytes.HasPrefix(want, got) || len(got) < 4<<20 || r.Faults[0].Offset != uint64(len(got)) || r.Close.Hash != evidence.Sum(got) {
				t.Errorf("%d bytes were kept, the fault says %+v", len(got), r.Faults[0])
			}
		}
	})
}

// TestDeadTPM: the TPM dies after the start. Footage is taken in, the alarm stands, and all is sealed when the TPM is back.
func TestDeadTPM(t *testing.T) {
	tpm := swtpmtest.Start(t)
	s := newSite(t, tpm.Path())
	s.file("a.mp4", noise(20_000, 1))
	if code, out, _ := s.run("import", s.footage); code != 0 {
		t.Fatal(out)
	}
	cmd := s.process("run")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGTERM)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for dial(t.Context(), s.state) == nil {
		<-tick.C
	}
	tpm.Kill()
	s.file("b.mp4", noise(30_000, 2))
	said := s.untilAlarm("sealing stands still", "read  ")
	if strings.Contains(said, "sealed  "+s.footage+"/b.mp4") {
		t.Errorf("sealed without a TPM:\n%s", said)
	}
	s.file("c.mp4", noise(30_000, 3)) // another docking, whose count can't be had
	s.untilAlarm("read    " + s.footage + "/c.mp4")
	tpm.PowerOn()
	if code, out, _ := s.run("import", s.footage); code != 0 {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.same(map[string][]byte{"a.mp4": noise(20_000, 1), "b.mp4": noise(30_000, 2), "c.mp4": noise(30_000, 3)})
}
