// Package dockvm is a docking station without hardware: QEMU with Debian's kernel, the host's own programs (read-only), a software TPM, and
// USB storage that is plugged in and pulled out like recorders. Tests and demonstrations drive it.
package dockvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"camseal/scripts/dockvm/guest"
)

// MaxSlots is how many slots a dock can have.
const MaxSlots = 24

// Config says what a dock is made of.
type Config struct {
	Dir      string      // folder for all that belongs to the dock; what Path names there survives it, and so does its disk
	Programs string      // folder with the programs under test, /opt/camseal in the dock and on its path; "": none
	TPM      string      // control socket of a swtpm without --server; "": the dock has no TPM
	Forward  map[int]int // port of the host's loopback to port of the dock; the dock reaches the host's loopback at 10.0.2.2
	Slots    int         // 0: MaxSlots
	Memory   int         // MiB; 0: 1536
	Log      io.Writer   // what is done, in words; nil: nowhere
}

// VM is a running dock. It is safe for concurrent use.
type VM struct {
	config Config
	cmd    *exec.Cmd
	ended  chan struct{} // closed when QEMU has ended
	err    error         // of QEMU, once it has ended
	qmp    *qmp
	line   *line
	usb    *usb
	accel  string
	boot   time.Duration
}

// Accelerator says how the dock's processor is run: "kvm", or "tcg" for software emulation.
func (vm *VM) Accelerator() string { return vm.accel }

// BootTime is how long it took from starting QEMU until programs can be run.
func (vm *VM) BootTime() time.Duration { return vm.boot }

// Path is where the host sees what the dock sees as /dock/name.
func (vm *VM) Path(name string) string { return filepath.Join(vm.config.Dir, "shared", name) }

func (c Config) file(name string) string { return filepath.Join(c.Dir, name) }

// Start boots a dock and returns once programs can be run in it. It is switched off by Close, or by Kill as by a power cut, and killed
// when ctx ends.
func Start(ctx context.Context, config Config) (*VM, error) {
	if config.Slots == 0 {
		config.Slots = MaxSlots
	}
	if config.Memory == 0 {
		config.Memory = 1536
	}
	if config.Log == nil {
		config.Log = io.Discard
	}
	if config.Slots < 0 || config.Slots > MaxSlots {
		return nil, fmt.Errorf("%d slots: a dock has at most %d", config.Slots, MaxSlots)
	}
	image, err := config.prepare(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare the dock: %w", err)
	}
	var failed error
	for _, accel := range accelerators() {
		vm, err := boot(ctx, config, image, accel)
		if err == nil {
			fmt.Fprintf(config.Log, "dock: up after %.1f s (%s)\n", vm.boot.Seconds(), accel)
			return vm, nil
		}
		noKVM.Store(true)
		failed = errors.Join(failed, fmt.Errorf("boot the dock with %s: %w", accel, err))
	}
	return nil, failed
}

// noKVM: it was tried and did not boot. There are machines where /dev/kvm opens and runs nothing.
var noKVM atomic.Bool

func accelerators() []string {
	if noKVM.Load() {
		return []string{"tcg"}
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return []string{"tcg"}
	}
	_ = f.Close() // it was only to be opened
	return []string{"kvm", "tcg"}
}

// prepare makes what the dock boots from, and its disk if there is none yet.
func (c Config) prepare(ctx context.Context) (image string, err error) {
	for _, dir := range []string{c.Dir, c.file("shared"), c.file("shared/run"), c.file("empty")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
	}
	image, modules, err := kernel()
	if err != nil {
		return "", err
	}
	if err := writeInitramfs(ctx, c.file("initramfs"), modules); err != nil {
		return "", err
	}
	disk := c.file("disk")
	if _, err := os.Stat(disk); err == nil {
		return image, nil
	}
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return "", err
	}
	if err := os.Truncate(disk, 8<<30); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", disk).CombinedOutput(); err != nil {
		return "", fmt.Errorf("mkfs.ext4: %w\n%s", err, out)
	}
	return image, nil
}

// arguments are QEMU's.
func (c Config) arguments(image, accel string) []string {
	programs := c.Programs
	if programs == "" {
		programs = c.file("empty")
	}
	share := func(tag, path, options string) string {
		return "local,security_model=none,multidevs=remap,mount_tag=" + tag + ",path=" + path + options
	}
	forward := ""
	for host, dock := range c.Forward {
		forward += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", host, dock)
	}
	args := []string{"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
		"-m", strconv.Itoa(c.Memory), "-smp", "2", "-kernel", image, "-initrd", c.file("initramfs"),
		"-append", "console=ttyS0 loglevel=4 panic=-1 mitigations=off nokaslr random.trust_cpu=on net.ifnames=0",
		"-serial", "file:" + c.file("console.log"),
		"-virtfs", share("usr", "/usr", ",readonly=on"), "-virtfs", share("etc", "/etc", ",readonly=on"),
		"-virtfs", share("programs", programs, ",readonly=on"), "-virtfs", share("shared", c.file("shared"), ""),
		"-drive", "if=virtio,format=raw,file=" + c.file("disk"),
		"-netdev", "user,id=net,ipv6=off" + forward, "-device", "virtio-net-pci,netdev=net,romfile=",
		"-device", "virtio-rng-pci",
		"-chardev", "socket,id=line,server=on,wait=off,path=" + c.file("line"), "-device", "virtio-serial-pci",
		"-device", "virtserialport,chardev=line,name=" + guest.Line,
		"-qmp", "unix:" + c.file("qmp") + ",server=on,wait=off"}
	if accel == "kvm" {
		args = append(args, "-accel", "kvm", "-cpu", "host")
	} else {
		args = append(args, "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max")
	}
	if c.TPM != "" {
		args = append(args, "-chardev", "socket,id=tpm,path="+c.TPM, "-tpmdev", "emulator,id=tpm,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm")
	}
	return append(args, controllers()...)
}

func boot(ctx context.Context, config Config, image, accel string) (*VM, error) {
	begun := time.Now()
	for _, name := range []string{"line", "qmp"} {
		if err := os.Remove(config.file(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	said, err := os.Create(config.file("qemu.log"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	vm := &VM{config: config, accel: accel, ended: make(chan struct{})}
	vm.cmd = exec.CommandContext(ctx, "qemu-system-x86_64", config.arguments(image, accel)...)
	vm.cmd.Stdout, vm.cmd.Stderr = said, said
	vm.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := vm.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		vm.err = vm.cmd.Wait()
		close(vm.ended)
	}()
	patience := 2 * time.Minute
	if accel == "kvm" {
		patience = 20 * time.Second
	}
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := vm.connect(limit); err != nil {
		vm.Kill()
		return nil, fmt.Errorf("%w\n%s", err, vm.words())
	}
	vm.usb = newUSB(vm.qmp, config.Slots)
	vm.boot = time.Since(begun)
	return vm, nil
}

// words are the last that QEMU and the dock's console said.
func (vm *VM) words() []byte {
	var all []byte
	for _, name := range []string{"qemu.log", "console.log"} {
		said, err := os.ReadFile(vm.config.file(name))
		if err != nil {
			said = []byte(err.Error())
		}
		all = append(all, said[max(0, len(said)-4000):]...)
	}
	return all
}

func (vm *VM) connect(ctx context.Context) error {
	conn, err := vm.dial(ctx, "line")
	if err != nil {
		return err
	}
	vm.line = newLine(conn)
	monitor, err := vm.dial(ctx, "qmp")
	if err != nil {
		return err
	}
	if vm.qmp, err = newQMP(ctx, monitor); err != nil {
		return err
	}
	select {
	case err := <-vm.line.up:
		return err
	case <-vm.ended:
		return fmt.Errorf("QEMU ended: %w", vm.err)
	case <-ctx.Done():
		return fmt.Errorf("the dock does not come up: %w", ctx.Err())
	}
}

// dial connects to a socket that QEMU makes.
func (vm *VM) dial(ctx context.Context, name string) (net.Conn, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", vm.config.file(name))
		if err == nil {
			return conn, nil
		}
		select {
		case <-tick.C:
		case <-vm.ended:
			return nil, fmt.Errorf("QEMU ended: %w", vm.err)
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

// Close ends what runs in the dock, unmounts its disk and switches it off. An error means that it did not go in order; it is off anyway.
func (vm *VM) Close() error {
	defer vm.Kill()
	if err := vm.line.send(guest.Request{Op: guest.OpOff}); err != nil {
		return fmt.Errorf("switch the dock off: %w", err)
	}
	select {
	case <-vm.ended:
		return vm.err
	case <-time.After(30 * time.Second):
		return fmt.Errorf("switch the dock off: it did not go off in 30 s\n%s", vm.words())
	}
}

// Kill is a power cut: nothing in the dock is told. It returns when the dock is off.
func (vm *VM) Kill() {
	_ = vm.cmd.Process.Kill() // it may have ended already
	<-vm.ended
	if vm.line != nil {
		_ = vm.line.conn.Close() // QEMU's end is gone
	}
	if vm.qmp != nil {
		_ = vm.qmp.conn.Close() // as above
	}
	if vm.usb != nil {
		vm.usb.close()
	}
}
