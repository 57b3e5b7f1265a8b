// Command init is the first process of the virtual dock. It loads the kernel's modules, makes a root of the host's own /usr and /etc
// (read-only, over 9p), and then starts and ends programs as the host asks, over a serial line.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"camseal/scripts/dockvm/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "this is the first process of the virtual dock; nothing else starts it")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Println("dock:", err)
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("dock: switch off:", err)
	}
	select {}
}

func run() error {
	if err := mountKernel(""); err != nil {
		return err
	}
	if err := loadModules(); err != nil {
		return err
	}
	line, err := openLine()
	if err != nil {
		return err
	}
	enc := json.NewEncoder(line)
	if err := comeUp(); err != nil {
		return errors.Join(err, enc.Encode(guest.Event{Error: err.Error()}))
	}
	t := newTable(enc)
	if err := enc.Encode(guest.Event{}); err != nil {
		return fmt.Errorf("the host's line: %w", err)
	}
	dec := json.NewDecoder(line)
	for {
		var r guest.Request
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return errors.New("the host's line is closed")
		} else if err != nil {
			return fmt.Errorf("the host's line: %w", err)
		}
		switch r.Op {
		case guest.OpStart:
			t.start(r)
		case guest.OpSignal:
			t.signal(r)
		case guest.OpOff:
			return t.off()
		default:
			return fmt.Errorf("the host asked for %q", r.Op)
		}
	}
}

func comeUp() error {
	if err := makeRoot(); err != nil {
		return err
	}
	return network()
}

// loadModules loads what the host put beside us, in its order: a line each, the file and its parameters.
func loadModules() error {
	list, err := os.ReadFile("/modules/order")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(list)) {
		name, parameters, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if err := loadModule(filepath.Join("/modules", name), parameters); err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
	}
	return nil
}

func loadModule(path, parameters string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(path) != ".ko" {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(f.Fd()), parameters, flags); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// openLine opens the serial line to the host.
func openLine() (*os.File, error) {
	ports, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, p := range ports {
		name, err := os.ReadFile(p)
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(string(name)) == guest.Line {
			return os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(p))), os.O_RDWR, 0)
		}
	}
	return nil, fmt.Errorf("none of %d serial ports is called %s", len(ports), guest.Line)
}
