// Package block finds block devices, and hears when they come and go. It reads what the kernel says (sysfs and its uevents) and nothing
// from the devices.
package block

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Disk is a whole block device that holds a medium.
type Disk struct {
	Name   string // as in /dev; the next recorder may get the same
	Number string // major:minor
	Seq    uint64 // diskseq: another number for each medium that was ever put in; 0: the kernel does not say
	Size   uint64 // bytes
	Port   string // the USB port that it hangs on, such as "1-1.2"; else Name
	USB    bool
	Serial string // of the USB device; empty if it has none
	Used   bool   // the system holds it: swap, device-mapper, RAID
	Parts  []Part // in order
}

// Part is a partition.
type Part struct {
	Name   string
	Number string // major:minor
	Size   uint64 // bytes
	Used   bool
}

const classBlock = "/sys/class/block"

// Scan lists the disks for which want, given port and whether it is USB, says so. A device that goes away meanwhile is left out.
func Scan(want func(port string, usb bool) bool) ([]Disk, error) {
	swaps, err := os.ReadFile("/proc/swaps")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel may be without
		return nil, err
	}
	entries, err := os.ReadDir(classBlock)
	if err != nil {
		return nil, err
	}
	var list []Disk
	for _, e := range entries {
		path, err := filepath.EvalSymlinks(filepath.Join(classBlock, e.Name()))
		if err != nil || exists(filepath.Join(path, "partition")) {
			continue
		}
		d := Disk{Name: e.Name(), Port: e.Name()}
		if port, dir := usbDevice(path); port != "" {
			d.Port, d.USB, d.Serial = port, true, text(dir, "serial")
		}
		if want(d.Port, d.USB) && d.read(path, string(swaps)) == nil && d.Size > 0 {
			list = append(list, d)
		}
	}
	return list, nil
}

// read fills in what the kernel says of the disk at a path in sysfs. An error says that it is gone, or going.
func (d *Disk) read(path, swaps string) error {
	sectors, err := number(path, "size")
	if err != nil {
		return err
	}
	d.Size, d.Number, d.Used = sectors*512, text(path, "dev"), used(path, swaps)
	if d.Seq, err = number(path, "diskseq"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if text(path, "loop/autoclear") == "1" { // it was detached, and only those who still read hold it
		d.Size = 0
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	order := map[string]uint64{}
	for _, e := range entries {
		dir := filepath.Join(path, e.Name())
		n, err := number(dir, "partition")
		if err != nil {
			continue
		}
		sectors, err := number(dir, "size")
		if err != nil {
			return err
		}
		order[e.Name()] = n
		d.Parts = append(d.Parts, Part{e.Name(), text(dir, "dev"), sectors * 512, used(dir, swaps)})
	}
	slices.SortFunc(d.Parts, func(a, b Part) int { return int(order[a.Name]) - int(order[b.Name]) })
	return nil
}

var usbName = regexp.MustCompile(`^[0-9]+-[0-9]+(\.[0-9]+)*$`)

// usbDevice returns the port and the folder of the USB device that a device hangs on; empty if on none.
func usbDevice(path string) (port, dir string) {
	for p := path; p != "/" && p != "."; p = filepath.Dir(p) {
		if usbName.MatchString(filepath.Base(p)) {
			return filepath.Base(p), p
		}
	}
	return "", ""
}

// Terminals lists the terminals that hang on USB, by port: such as /dev/ttyACM0.
func Terminals() (map[string][]string, error) {
	const class = "/sys/class/tty"
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, e := range entries {
		path, err := filepath.EvalSymlinks(filepath.Join(class, e.Name()))
		if err != nil {
			continue // it went away
		}
		if port, _ := usbDevice(path); port != "" {
			found[port] = append(found[port], "/dev/"+e.Name())
		}
	}
	return found, nil
}

// used reports whether the system holds a device for something that is no mount.
func used(path, swaps string) bool {
	holders, err := os.ReadDir(filepath.Join(path, "holders"))
	return err == nil && len(holders) > 0 || strings.Contains(swaps, "/dev/"+filepath.Base(path)+" ")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func text(dir, name string) string {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return "" // there is no such attribute, or the device goes away
	}
	return strings.TrimSpace(string(raw))
}

func number(dir, name string) (uint64, error) {
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
}
