package dockvm_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"camseal/scripts/dockvm"
)

// boot boots a dock that goes off with the test.
func boot(t *testing.T, config dockvm.Config) *dockvm.VM {
	t.Helper()
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	config.Log = t.Output()
	vm, err := dockvm.Start(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vm.Kill)
	return vm
}

// sh runs a shell's script in the dock.
func sh(t *testing.T, vm *dockvm.VM, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := vm.Run(ctx, "sh", "-ec", script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestBoots(t *testing.T) {
	vm := boot(t, dockvm.Config{})
	t.Log(sh(t, vm, "uname -a; mount; ls -l /dev; lsmod; free -m; dmesg | tail -20; ip a; cat /proc/cpuinfo | head -8"))
	if err := vm.Close(); err != nil {
		t.Fatal(err)
	}
}
