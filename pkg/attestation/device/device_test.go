//go:build linux

package device_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"camseal/pkg/attestation"
	"camseal/pkg/attestation/device"
	"camseal/pkg/attestation/device/swtpmtest"
	"camseal/pkg/evidence"
)

func provision(t *testing.T, config device.Config) device.Provisioned {
	t.Helper()
	p, err := device.Provision(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t *testing.T, config device.Config) device.TPM {
	t.Helper()
	d, err := device.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil && !errors.Is(err, device.ErrClosed) {
			t.Error(err)
		}
	})
	return d
}

func TestProvisionProtectsAndIsRepeatable(t *testing.T) {
	s := swtpmtest.Start(t)
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	if _, err := device.Open(t.Context(), config); !errors.Is(err, device.ErrNoKey) {
		t.Fatalf("open before provisioning: %v", err)
	}
	first := provision(t, config)
	if !first.Created || !first.ClearDisabled || first.Hardening != nil {
		t.Fatalf("first: %+v", first)
	}
	info, err := os.Stat(filepath.Join(config.State, "tpm-auth.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("auth file: %v, %v", info, err)
	}
	s.PowerCycle()
	again := provision(t, config)
	if again.Created || !again.ClearDisabled || again.Hardening != nil || again.Key.Name() != first.Key.Name() {
		t.Fatalf("again: %+v", again)
	}
	if out, err := tool(t, s, "tpm2_clear"); err == nil {
		t.Fatalf("TPM2_Clear worked: %s", out)
	}
	// A second key needs the values that are set by now.
	other := config
	other.Handle = device.DefaultHandle + 1
	if p := provision(t, other); !p.Created || p.Key.Name() == first.Key.Name() {
		t.Fatalf("second key: %+v", p)
	}
	// Without the values it can't be had, and that is said.
	other.Handle, other.State = device.DefaultHandle+2, t.TempDir()
	if _, err := device.Provision(t.Context(), other); !errors.Is(err, device.ErrForeign) {
		t.Fatalf("with foreign authorisations: %v", err)
	}
	if list, err := tool(t, s, "tpm2_getcap", "handles-transient"); err != nil || len(list) != 0 {
		t.Fatalf("left loaded: %s %v", list, err)
	}
	if list, err := tool(t, s, "tpm2_getcap", "handles-loaded-session"); err != nil || len(list) != 0 {
		t.Fatalf("left loaded: %s %v", list, err)
	}
}

func TestProvisionRefusesAnotherKey(t *testing.T) {
	s := swtpmtest.Start(t)
	dir := t.TempDir()
	context := filepath.Join(dir, "ctx")
	if out, err := tool(t, s, "tpm2_createprimary", "-C", "o", "-c", context); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if out, err := tool(t, s, "tpm2_evictcontrol", "-c", context, "0x81010C51"); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if _, err := device.Provision(t.Context(), device.Config{Path: s.Path(), State: dir}); !errors.Is(err, device.ErrWrongKey) {
		t.Fatal(err)
	}
}

func TestStateIsLocked(t *testing.T) {
	s := swtpmtest.Start(t)
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	provision(t, config)
	open(t, config)
	if _, err := device.Open(t.Context(), config); !errors.Is(err, device.ErrLocked) {
		t.Fatal(err)
	}
}

func TestQuoteIsASeal(t *testing.T) {
	s := swtpmtest.Start(t)
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	provision(t, config)
	d := open(t, config)
	value := evidence.Digest{}
	for upto := range uint64(300) { // enough for numbers with leading zeros
		head := evidence.Sum([]byte{byte(upto), byte(upto >> 8)})
		if err := d.Extend(t.Context(), head); err != nil {
			t.Fatal(err)
		}
		value = attestation.Extend(value, head)
		seal, err := d.Quote(t.Context(), head, upto)
		if err != nil {
			t.Fatal(err)
		}
		q, err := d.Key().CheckSeal(&seal)
		if err != nil || q.ChainValue != value || q.ChainPCR != attestation.DefaultChainPCR {
			t.Fatalf("%+v, %v", q, err)
		}
	}
	reset, restart, clock, err := d.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.PowerCycle()
	reset2, restart2, _, err := d.Clock(t.Context())
	if err != nil || reset2 != reset+1 || restart2 != restart {
		t.Fatalf("after a power cycle: %d/%d then %d/%d, clock %d, %v", reset, restart, reset2, restart2, clock, err)
	}
	pcrs, err := d.PCRs(t.Context())
	if err != nil || len(pcrs) != 9 || !pcrs[8].IsZero() {
		t.Fatalf("%v %v", pcrs, err)
	}
}

// What tpm2-tools say about a seal: the stranger's check without our code.
func TestTpm2CheckquoteAcceptsASeal(t *testing.T) {
	s := swtpmtest.Start(t)
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	provision(t, config)
	d := open(t, config)
	head := evidence.Sum([]byte("head"))
	if err := d.Extend(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	seal, err := d.Quote(t.Context(), head, 3)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"ak.pem": d.Key().PEM(), "attest": seal.Attest, "sig": seal.Sig} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(q string) error {
		c := exec.Command("tpm2_checkquote", "-u", "ak.pem", "-m", "attest", "-s", "sig", "-g", "sha256", "-q", q)
		c.Dir = dir
		c.Env = append(os.Environ(), "TPM2TOOLS_TCTI=none")
		out, err := c.CombinedOutput()
		t.Logf("tpm2_checkquote -q %s: %v\n%s", q, err, out)
		return err
	}
	if err := check(head.String()); err != nil {
		t.Error("tpm2_checkquote refuses a seal")
	}
	if err := check(hex.EncodeToString(make([]byte, 32))); err == nil {
		t.Error("tpm2_checkquote accepts another head")
	}
}

func TestHangingTPMDoesNotHangTheCaller(t *testing.T) {
	s := swtpmtest.Start(t)
	config := device.Config{Path: s.Path(), State: t.TempDir()}
	provision(t, config)
	config.Timeout = time.Second
	d := open(t, config)
	s.Stop()
	if _, err := d.Quote(t.Context(), evidence.Digest{}, 1); !errors.Is(err, device.ErrHanging) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := d.Clock(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s.Continue()
	var err error
	for range 100 { // the command that hung may still have its turn
		if _, err = d.Quote(t.Context(), evidence.Digest{}, 1); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if _, err := d.Quote(t.Context(), evidence.Digest{}, 1); err == nil {
		t.Fatal("a dead TPM quotes")
	}
	s.PowerOn()
	if _, err := d.Quote(t.Context(), evidence.Digest{}, 1); err != nil {
		t.Fatal(err)
	}
}

func TestSoftwareKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	first, err := device.OpenSoftware(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := device.OpenSoftware(path)
	if err != nil || again.Key().Name() != first.Key().Name() || first.Key().Class() != evidence.ClassSoftware {
		t.Fatal(err)
	}
	seal, err := first.Quote(t.Context(), evidence.Sum(nil), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Key().CheckSeal(&seal); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := device.OpenSoftware(path); err == nil {
		t.Fatal("a key that others may read was opened")
	}
}

// tool runs one of tpm2-tools on the software TPM; this test program itself carries their commands to the socket.
func tool(t *testing.T, s *swtpmtest.TPM, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "TPM2TOOLS_TCTI=cmd:"+os.Args[0], "RELAY_TO="+s.Socket())
	out, err := c.CombinedOutput()
	return string(out), err
}

func TestMain(m *testing.M) {
	if path := os.Getenv("RELAY_TO"); path != "" {
		conn, err := net.Dial("unix", path)
		if err != nil {
			os.Exit(1)
		}
		go func() { _, _ = io.Copy(os.Stdout, conn) }()
		_, _ = io.Copy(conn, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}
