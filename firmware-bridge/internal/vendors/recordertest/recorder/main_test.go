package main

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"camseal/firmware-bridge/internal/vendors"
)

// TestProgram: it says where it is, answers as it was told to, and ends well when it is asked to.
func TestProgram(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "recorder")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, where := range map[string][]string{"socket": {"--socket", filepath.Join(t.TempDir(), "s")}, "tty": nil} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), bin, append(where, "--serial", "X7", "--clock", "1970-01-01T00:00:10Z", "--battery", "3")...)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			if !lines.Scan() {
				t.Fatal("it does not say where it is")
			}
			for range 2 { // it can be dialled again
				r, err := vendors.Dial(t.Context(), lines.Text())
				if err != nil {
					t.Fatal(err)
				}
				if id, err := r.Identify(t.Context()); err != nil || id.Serial != "X7" {
					t.Errorf("%+v, %v", id, err)
				}
				if b, err := r.Battery(t.Context()); err != nil || b != 3 {
					t.Errorf("battery %d, %v", b, err)
				}
				if at, err := r.Clock(t.Context()); err != nil || at.Unix() < 10 || at.Unix() > 100 {
					t.Errorf("clock %v, %v", at, err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	if out, err := exec.Command(bin, "--socket", "/nowhere/s").CombinedOutput(); err == nil || !strings.Contains(string(out), "/nowhere/s") {
		t.Errorf("%v: %s", err, out)
	}
}
