package block

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"camseal/firmware-bridge/internal/storage/looptest"
)

// TestPortOfUSBDevices reads paths as sysfs has them.
func TestPortOfUSBDevices(t *testing.T) {
	for path, want := range map[string]string{
		"/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.2/1-1.2:1.0/host2/target2:0:0/2:0:0:0/block/sdb":      "1-1.2",
		"/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1.2/1-1.2:1.0/host2/target2:0:0/2:0:0:0/block/sdb/sdb1": "1-1.2",
		"/sys/devices/pci0000:00/0000:00:14.0/usb2/2-3/2-3:1.1/tty/ttyACM0":                                      "2-3",
		"/sys/devices/platform/soc/usb1/1-1/1-1.4/1-1.4.3/1-1.4.3:1.0/host0/target0:0:0/0:0:0:0/block/sda":       "1-1.4.3",
		"/sys/devices/virtual/block/loop3":                                              "",
		"/sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda": "",
	} {
		if got, dir := usbDevice(path); got != want || filepath.Base(dir) != want && want != "" {
			t.Errorf("%s: %q in %q", path, got, dir)
		}
	}
}

func only(name string) func(string, bool) bool {
	return func(port string, _ bool) bool { return port == name }
}

func find(t *testing.T, name string) []Disk {
	t.Helper()
	list, err := Scan(only(name))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestMediumHasANumberOfItsOwn also where the name is the same, and a device without a medium is none.
func TestMediumHasANumberOfItsOwn(t *testing.T) {
	name, dir := looptest.Free(t), t.TempDir()
	if got := find(t, name); len(got) != 0 {
		t.Errorf("empty: %+v", got)
	}
	image := looptest.Image(t, dir, "")
	looptest.Plug(t, name, image)
	one := find(t, name)
	looptest.Pull(t, name)
	looptest.Plug(t, name, image)
	two := find(t, name)
	if len(one) != 1 || len(two) != 1 || one[0].Seq == two[0].Seq || one[0].Seq == 0 || one[0].Size != 16<<20 || one[0].USB || one[0].Port != name || one[0].Used {
		t.Errorf("%+v %+v", one, two)
	}
	at := t.TempDir()
	looptest.Do(t, "mount", "-r", "/dev/"+name, at)
	looptest.Pull(t, name) // the kernel only notes it
	if got := find(t, name); len(got) != 0 {
		t.Errorf("pulled out while mounted: %+v", got)
	}
	looptest.Do(t, "umount", at)
}

// event makes the kernel say that a device changed.
func event(t *testing.T, device string, times int) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join("/sys/class", device, "uevent"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range times {
		if _, err := f.Write([]byte("change")); err != nil {
			t.Fatal(err)
		}
	}
}

func listen(t *testing.T) *Events {
	t.Helper()
	looptest.Root(t)
	e, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

const long = 20 * time.Second // and a test that waits so long has failed

func TestBlockDevicesAreHeard(t *testing.T) {
	e := listen(t)
	name := looptest.Free(t)
	for _, happens := range []func(){func() { looptest.Plug(t, name, looptest.Image(t, t.TempDir(), "")) }, func() { looptest.Pull(t, name) }} {
		happens()
		start := time.Now()
		if err := e.Next(t.Context(), start.Add(long)); err != nil || time.Since(start) > long/2 {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	}
}

// TestLostEventsAreHeard: more of other devices' events come than the socket holds; the kernel says so once, and that counts as an event.
func TestLostEventsAreHeard(t *testing.T) {
	e := listen(t)
	event(t, "mem/null", 20_000)
	start := time.Now()
	if err := e.Next(t.Context(), start.Add(long)); err != nil || time.Since(start) > long/2 {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
}

// TestOtherDevicesAreNot shows also that waiting ends when it should.
func TestOtherDevicesAreNotHeard(t *testing.T) {
	if concerns([]byte("change@/devices/virtual/mem/null\x00ACTION=change\x00SUBSYSTEM=mem\x00X=SUBSYSTEM=block\x00")) {
		t.Error("a mem device is taken for a disk")
	}
	e := listen(t)
	event(t, "mem/null", 10)
	if err := e.Next(t.Context(), time.Now().Add(50*time.Millisecond)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	start := time.Now()
	for ctx.Err() == nil { // other tests on this machine may plug in what they like
		if err := e.Next(ctx, start.Add(long)); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if time.Since(start) > long/2 {
		t.Errorf("it ended after %s", time.Since(start))
	}
}
