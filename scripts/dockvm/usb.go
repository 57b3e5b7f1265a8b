package dockvm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// place is where a slot is: a port of a controller, or of the hub on the first one.
type place struct {
	bus, port string // as QEMU calls them
	path      string // as Linux calls the port
}

const direct = 10 // slots on a controller; the rest are on the hub

// places of all slots. Recorders are SuperSpeed devices on the controllers (each has one bus for USB 2 and one for USB 3), and full speed on the hub.
func places(slots int) []place {
	list := make([]place, slots)
	for i := range list {
		switch port := i % direct; i / direct {
		case 0:
			list[i] = place{"usb0.0", strconv.Itoa(port + 1), fmt.Sprintf("2-%d", port+1)}
		case 1:
			list[i] = place{"usb1.0", strconv.Itoa(port + 1), fmt.Sprintf("4-%d", port+1)}
		default:
			list[i] = place{"usb0.0", fmt.Sprintf("%d.%d", direct+1, port+1), fmt.Sprintf("1-%d.%d", direct+1, port+1)}
		}
	}
	return list
}

// controllers are QEMU's arguments for what the slots are on.
func controllers() []string {
	return []string{"-device", "qemu-xhci,id=usb0,p2=12,p3=12", "-device", "qemu-xhci,id=usb1,p2=12,p3=12",
		"-device", fmt.Sprintf("usb-hub,bus=usb0.0,port=%d,ports=8", direct+1)}
}

// Recorder is a USB storage device.
type Recorder struct {
	Image   string  // file with the medium's bytes; the dock can write to it, unless there are bad stretches
	Serial  string  // USB serial number; "": it has none
	Bad     []Range // stretches of the medium that can't be read
	Failing string  // while there is a file of this name on the host, nothing can be read or written; "": it never fails
}

// usb is the dock's slots.
type usb struct {
	qmp    *qmp
	places []place

	mu      sync.Mutex
	plugged map[int]*plugged // by slot
	count   int
}

type plugged struct {
	device, drive string // QEMU's ids
	bad           *badMedium
}

func newUSB(q *qmp, slots int) *usb {
	return &usb{qmp: q, places: places(slots), plugged: map[int]*plugged{}}
}

// Ports says of each slot, "1" and up, which USB port the dock's kernel calls it, such as "2-1" or "1-11.3".
func (vm *VM) Ports() map[string]string {
	ports := map[string]string{}
	for i, p := range vm.usb.places {
		ports[strconv.Itoa(i+1)] = p.path
	}
	return ports
}

// Plug puts a recorder with the image as its medium into a slot, 1 and up.
func (vm *VM) Plug(slot int, image, serial string) error {
	return vm.PlugRecorder(slot, Recorder{Image: image, Serial: serial})
}

// PlugRecorder puts a recorder into a slot, 1 and up. The image must stay until it is unplugged.
func (vm *VM) PlugRecorder(slot int, r Recorder) error {
	if err := vm.usb.plug(slot, r, vm.config); err != nil {
		return fmt.Errorf("plug %s into slot %d: %w", r.Image, slot, err)
	}
	return nil
}

const qmpTime = 20 * time.Second

func (u *usb) plug(slot int, r Recorder, c Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), qmpTime)
	defer cancel()
	u.mu.Lock()
	defer u.mu.Unlock()
	if slot < 1 || slot > len(u.places) {
		return fmt.Errorf("the dock has slots 1 to %d", len(u.places))
	}
	if u.plugged[slot] != nil {
		return errors.New("there is a recorder in it")
	}
	u.count++
	p := &plugged{device: fmt.Sprintf("recorder%d", u.count), drive: fmt.Sprintf("medium%d", u.count)}
	file := map[string]any{"driver": "file", "filename": r.Image, "locking": "off"}
	if len(r.Bad) > 0 || r.Failing != "" {
		bad, err := serveBad(ctx, r, c.file(fmt.Sprintf("bad%d", u.count)))
		if err != nil {
			return err
		}
		p.bad = bad
		file = map[string]any{"driver": "nbd", "server": map[string]any{"type": "unix", "path": bad.socket}}
	}
	err := u.qmp.do(ctx, "blockdev-add", map[string]any{"driver": "raw", "node-name": p.drive, "read-only": len(r.Bad) > 0, "file": file})
	if err != nil {
		return errors.Join(err, p.bad.close())
	}
	place := u.places[slot-1]
	device := map[string]any{"driver": "usb-storage", "id": p.device, "drive": p.drive, "bus": place.bus, "port": place.port, "removable": true}
	if r.Serial != "" {
		device["serial"] = r.Serial
	}
	if err := u.qmp.do(ctx, "device_add", device); err != nil {
		return errors.Join(err, u.qmp.do(ctx, "blockdev-del", map[string]any{"node-name": p.drive}), p.bad.close())
	}
	u.plugged[slot] = p
	return nil
}

// Unplug pulls out what is in a slot, whatever it does just now, and returns when the image is closed.
// The dock's kernel learns of it a moment later.
func (vm *VM) Unplug(slot int) error {
	if err := vm.usb.unplug(slot); err != nil {
		return fmt.Errorf("pull out of slot %d: %w", slot, err)
	}
	return nil
}

func (u *usb) unplug(slot int) error {
	ctx, cancel := context.WithTimeout(context.Background(), qmpTime)
	defer cancel()
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.plugged[slot]
	if p == nil {
		return errors.New("there is no recorder in it")
	}
	deleted := u.qmp.deleted(p.device)
	if err := u.qmp.do(ctx, "device_del", map[string]any{"id": p.device}); err != nil {
		return err
	}
	select {
	case <-deleted:
	case <-ctx.Done():
		return fmt.Errorf("QEMU does not let go of it: %w", ctx.Err())
	}
	delete(u.plugged, slot)
	return errors.Join(u.qmp.do(ctx, "blockdev-del", map[string]any{"node-name": p.drive}), p.bad.close())
}

// close ends what serves the media, when QEMU has ended.
func (u *usb) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.plugged {
		_ = p.bad.close() // it is killed: there is nothing to keep
	}
}
