package dockvm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"camseal/scripts/dockvm"
	"camseal/scripts/dockvm/image"
	"camseal/scripts/freeport"
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

var (
	programs string // folder with a program under test
	port     int    // of the host, forwarded to 8080 of the dock
	one      *dockvm.VM
)

// dock is the one that most tests use, with a TPM. Slots are left empty by each.
func dock(t *testing.T) *dockvm.VM {
	t.Helper()
	if one == nil {
		t.Fatal("the dock is not there: see above")
	}
	return one
}

func TestMain(m *testing.M) {
	code, err := withDock(m)
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(code)
}

// withDock runs the tests with a dock and its TPM.
func withDock(m *testing.M) (code int, err error) {
	if os.Getenv("CAMSEAL_TEST") == "quick" {
		fmt.Println("left out: these tests boot a VM")
		return 0, nil
	}
	dir, err := os.MkdirTemp("", "dockvm-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs = filepath.Join(dir, "programs")
	if err := os.Mkdir(programs, 0o755); err != nil {
		return 1, err
	}
	if err := os.WriteFile(filepath.Join(programs, "hello"), []byte("#!/bin/sh\necho hello\n"), 0o755); err != nil {
		return 1, err
	}
	tpm, err := dockvm.StartTPM(context.Background(), filepath.Join(dir, "tpm"))
	if err != nil {
		return 1, err
	}
	defer tpm.Close()
	if _, port, err = freeport.New(); err != nil {
		return 1, err
	}
	one, err = dockvm.Start(context.Background(), dockvm.Config{Dir: filepath.Join(dir, "dock"), Programs: programs, TPM: tpm.Socket,
		Forward: map[int]int{port: 8080}, Log: os.Stdout})
	if err != nil {
		return 1, err
	}
	code = m.Run()
	return code, one.Close()
}

// sh runs a shell's script in the dock; busybox starts no processes for most of it, which are slow there.
func sh(t *testing.T, vm *dockvm.VM, script string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // for cleaning up too
	defer cancel()
	out, err := vm.Run(ctx, append([]string{"busybox", "sh", "-ec", functions + script, "sh"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// functions are what scripts in the dock have: disk PORT prints the block device of what is plugged into a port, once it is there; empty PORT
// waits until the kernel has seen that what was there is gone.
const functions = `
disk() {
	for try in $(seq 200); do
		for b in /sys/bus/usb/devices/$1:*/host*/target*/*/block/sd*; do
			[ -e "$b" ] && [ "$(cat "$b/size")" -gt 0 ] && { basename "$b"; return; }
		done
		sleep 0.05
	done
	echo "nothing at port $1" >&2
	return 1
}
empty() {
	while [ -e /sys/bus/usb/devices/$1 ]; do sleep 0.05; done
}
`

func plug(t *testing.T, vm *dockvm.VM, slot int, r dockvm.Recorder) {
	t.Helper()
	if err := vm.PlugRecorder(slot, r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sh(t, vm, "grep -o ' /mnt/[^ ]*' /proc/mounts | xargs -r umount -l; rm -rf /mnt/*")
		_ = vm.Unplug(slot) // the test may have done so
		sh(t, vm, "empty $1", vm.Ports()[fmt.Sprint(slot)])
	})
}

func unplug(t *testing.T, vm *dockvm.VM, slot int) {
	t.Helper()
	if err := vm.Unplug(slot); err != nil {
		t.Fatal(err)
	}
}

func recorder(t *testing.T, v image.Volume) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := image.Make(t.Context(), path, v); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRecordersUnderTheirPorts: each file system is seen under the port that Ports told, with its serial number, UUID and files.
func TestRecordersUnderTheirPorts(t *testing.T) {
	vm := dock(t)
	entries := []image.Entry{{Name: "DCIM", Dir: []image.Entry{{Name: "现场 执法.mp4", Data: []byte("footage")}}}}
	for slot, v := range map[int]image.Volume{
		1:  {System: "vfat", UUID: "1A2B-3C4D", Entries: entries},
		3:  {System: "vfat", UUID: "1A2B-0001", Partition: true, Entries: entries},
		12: {System: "exfat", UUID: "5E6F-7A8B", Entries: entries},
		24: {System: "ext4", UUID: "6f0c2a8e-3f65-4b7e-9d55-0f1f5a6b7c8d", Entries: entries},
		20: {System: "ntfs", Label: "N"},
	} {
		plug(t, vm, slot, dockvm.Recorder{Image: recorder(t, v), Serial: fmt.Sprintf("REC%04d", slot)})
		part := ""
		if v.Partition {
			part = "1"
		}
		got := sh(t, vm, `
			d=$(disk $1)
			cat /sys/bus/usb/devices/$1/serial
			/sbin/blkid -p -s TYPE -o value /dev/$d$2
			/sbin/blkid -p -s UUID -o value /dev/$d$2
			[ $3 = ntfs ] && exit
			mkdir -p /mnt/$d
			mount -t $3 -o ro,nosuid,nodev,noexec,noatime /dev/$d$2 /mnt/$d
			cat "/mnt/$d/DCIM/现场 执法.mp4"`, vm.Ports()[fmt.Sprint(slot)], part, v.System)
		want := fmt.Sprintf("REC%04d\n%s\n%s\nfootage", slot, v.System, v.UUID)
		if v.System == "ntfs" {
			want = fmt.Sprintf("REC%04d\nntfs\n", slot)
		}
		if v.System == "ntfs" && strings.HasPrefix(got, want) {
			continue
		}
		if got != want {
			t.Errorf("slot %d: %q, not %q", slot, got, want)
		}
	}
}

// TestEightAtOnce: eight recorders are read at the same time, and each gives its own bytes.
func TestEightAtOnce(t *testing.T) {
	vm := dock(t)
	begun := time.Now()
	script := ""
	for slot := 1; slot <= 8; slot++ {
		data := bytes.Repeat([]byte{byte('0' + slot)}, 8<<20)
		plug(t, vm, slot, dockvm.Recorder{Image: recorder(t, image.Volume{System: "vfat", Entries: []image.Entry{{Name: "A.MP4", Data: data}}})})
		script += fmt.Sprintf(`(d=$(disk %s); mkdir /mnt/%d; mount -t vfat -o ro /dev/$d /mnt/%[2]d; openssl dgst -sha256 -r /mnt/%[2]d/A.MP4; head -c1 /mnt/%[2]d/A.MP4) >/tmp/%[2]d &
`, vm.Ports()[fmt.Sprint(slot)], slot)
	}
	got := sh(t, vm, script+"wait; cat /tmp/?")
	t.Logf("plugged, mounted and hashed 64 MiB in %v", time.Since(begun))
	for slot := 1; slot <= 8; slot++ {
		if !strings.Contains(got, fmt.Sprintf(" */mnt/%d/A.MP4\n%d", slot, slot)) {
			t.Errorf("slot %d not read: %s", slot, got)
		}
	}
}

// TestPulledOutMidCopy: the reader gets an error, and the next recorder, in another slot, gets the name that the first one had.
func TestPulledOutMidCopy(t *testing.T) {
	vm := dock(t)
	big := recorder(t, image.Volume{System: "vfat", Size: 1 << 30, Entries: []image.Entry{{Name: "A.MP4", Data: []byte("x"), Size: 900 << 20}}})
	plug(t, vm, 1, dockvm.Recorder{Image: big})
	d := sh(t, vm, `d=$(disk $1); mkdir /mnt/a; mount -t vfat -o ro /dev/$d /mnt/a; echo $d`, vm.Ports()["1"])
	copying, err := vm.Start("copy", "sh", "-c", "exec </mnt/a/A.MP4; dd of=/dev/null bs=64k count=64; touch /dock/begun; dd of=/dev/null bs=64k")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the copy's begin", func() bool { _, err := os.Stat(vm.Path("begun")); return err == nil })
	unplug(t, vm, 1)
	var exit *dockvm.ExitError
	if err := copying.Wait(t.Context()); !errors.As(err, &exit) || exit.Status != 1 {
		t.Errorf("the copy ended with %v", err)
	}
	if log, err := os.ReadFile(copying.Log); err != nil || !bytes.Contains(log, []byte("Input/output error")) {
		t.Errorf("the copy says %s, %v", log, err)
	}
	sh(t, vm, "umount -l /mnt/a")
	plug(t, vm, 24, dockvm.Recorder{Image: recorder(t, image.Volume{System: "exfat"})})
	if got := sh(t, vm, "disk $1", vm.Ports()["24"]); got != d {
		t.Errorf("the next recorder is %s, the first was %s", got, d)
	}
}

// TestBadSectors: what is on them can't be read, all around can; and a medium that fails as a whole while it is plugged in.
func TestBadSectors(t *testing.T) {
	vm := dock(t)
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, bytes.Repeat([]byte("0123456789abcdef"), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	failing := filepath.Join(t.TempDir(), "failing")
	plug(t, vm, 2, dockvm.Recorder{Image: path, Bad: []dockvm.Range{{From: 512 << 10, Until: 516 << 10}}, Failing: failing})
	sh(t, vm, `d=$(disk $1)
		dd if=/dev/$d of=/dev/null bs=4k count=128 iflag=direct
		dd if=/dev/$d of=/dev/null bs=4k skip=129 iflag=direct
		! dd if=/dev/$d of=/dev/null bs=4k skip=128 count=1 iflag=direct`, vm.Ports()["2"])
	if err := os.WriteFile(failing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sh(t, vm, "! dd if=/dev/$(disk $1) of=/dev/null bs=4k count=1 iflag=direct", vm.Ports()["2"])
	if err := os.Remove(failing); err != nil {
		t.Fatal(err)
	}
	sh(t, vm, "dd if=/dev/$(disk $1) of=/dev/null bs=4k count=1 iflag=direct", vm.Ports()["2"])
}

// TestWritesReachTheImage: what the dock writes and syncs is in the image, and what is changed in the image is read past the dock's cache.
func TestWritesReachTheImage(t *testing.T) {
	vm := dock(t)
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, bytes.Repeat([]byte("0123456789abcdef"), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	plug(t, vm, 2, dockvm.Recorder{Image: path})
	sh(t, vm, "printf written | dd of=/dev/$(disk $1) conv=fsync", vm.Ports()["2"])
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 10)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "written789" {
		t.Errorf("the image begins %q, %v", got, err)
	}
	if _, err := f.WriteAt([]byte("changed"), 0); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, vm, "dd if=/dev/$(disk $1) bs=4k count=1 iflag=direct status=none | head -c7", vm.Ports()["2"]); got != "changed" {
		t.Errorf("the dock reads %q", got)
	}
}

// TestTPM: the dock's kernel and a swtpm on the host speak with each other.
func TestTPM(t *testing.T) {
	vm := dock(t)
	got := sh(t, vm, `export TPM2TOOLS_TCTI=device:/dev/tpmrm0
		tpm2_getcap properties-fixed | grep -A2 MANUFACTURER
		tpm2_pcrextend 15:sha256=`+strings.Repeat("ab", 32)+`
		tpm2_pcrread sha256:15`)
	if !strings.Contains(got, "IBM") || strings.Contains(got, strings.Repeat("0", 64)) {
		t.Errorf("the TPM says %s", got)
	}
}

// TestStateSurvives: the shared folder and what was synced to the dock's disk are there after a power cut; a process's end is told.
func TestStateSurvives(t *testing.T) {
	dir := t.TempDir()
	vm := boot(t, dockvm.Config{Dir: dir})
	waiting, err := vm.Start("waiting", "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	sh(t, vm, "echo kept >/dock/kept; echo kept >/var/lib/kept; sync /var/lib/kept")
	vm.Kill()
	<-waiting.Done()
	if err := waiting.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "the dock is off") {
		t.Errorf("what ran ended with %v", err)
	}
	if _, err := vm.Run(t.Context(), "true"); err == nil {
		t.Error("a dock that is off runs programs")
	}
	if got, err := os.ReadFile(vm.Path("kept")); err != nil || string(got) != "kept\n" {
		t.Errorf("the host sees %q, %v", got, err)
	}
	vm = boot(t, dockvm.Config{Dir: dir})
	if got := sh(t, vm, "cat /dock/kept /var/lib/kept"); got != "kept\nkept" {
		t.Errorf("the dock sees %q", got)
	}
	if err := vm.Close(); err != nil {
		t.Error(err)
	}
}

// TestPrograms: exit status, output, signals, and the end of a context; programs of the host work in a sandbox.
func TestPrograms(t *testing.T) {
	vm := dock(t)
	var exit *dockvm.ExitError
	if out, err := vm.Run(t.Context(), "sh", "-c", "echo out; echo err >&2; exit 3"); !errors.As(err, &exit) || exit.Status != 3 ||
		string(exit.Said) != "err" || string(out) != "out\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := vm.Run(t.Context(), "no-such-program"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a program that is not there: %v", err)
	}
	p, err := vm.Start("deaf", "sh", "-c", "trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done")
	if err != nil {
		t.Fatal(err)
	}
	said := func(what string) func() bool {
		return func() bool { log, err := os.ReadFile(p.Log); return err == nil && bytes.Contains(log, []byte(what)) }
	}
	eventually(t, "output while it runs", said("ready"))
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); !errors.As(err, &exit) || exit.Status != 7 || !said("caught")() {
		t.Errorf("after SIGTERM: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := vm.Run(ctx, "sleep", "1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a program that takes too long: %v", err)
	}
	eventually(t, "the end of what took too long", func() bool { return !strings.Contains(sh(t, vm, "pgrep -x sleep || true"), " 1000") })
	if got := sh(t, vm, "hello; bwrap --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --ro-bind /etc/alternatives /etc/alternatives --proc /proc --dev /dev --unshare-all "+
		"ffmpeg -v error -f lavfi -i testsrc=d=1 -f null - && echo sandboxed"); got != "hello\nsandboxed" {
		t.Errorf("%q", got)
	}
}

// TestNetwork: the host reaches a port of the dock, the dock reaches the host, and nothing beyond it.
func TestNetwork(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "from the host") }))
	t.Cleanup(server.Close)
	vm := dock(t)
	_, hostPort, _ := net.SplitHostPort(server.Listener.Addr().String())
	if got := sh(t, vm, `perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new("10.0.2.2:$ARGV[0]") or die $!; print $s "GET / HTTP/1.0\r\n\r\n"; print <$s>' $1
		ip route`, hostPort); !strings.Contains(got, "from the host") || strings.Contains(got, "default") {
		t.Errorf("the dock hears %q", got)
	}
	if _, err := vm.Start("serve", "perl", "-MIO::Socket::INET", "-e", `$l = IO::Socket::INET->new(Listen=>5, LocalPort=>8080) or die $!; while ($c = $l->accept) { print $c "from the dock"; close $c }`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer of the dock", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		defer c.Close()
		got, err := io.ReadAll(c)
		return err == nil && string(got) == "from the dock"
	})
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(60 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited 60 s for: %s", what)
		}
	}
}
