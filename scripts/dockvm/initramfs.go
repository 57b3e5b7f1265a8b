package dockvm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modules that the dock needs before it can ask the host's modprobe for more, and those that a device would ask for.
var modules = []string{"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "9pnet_virtio", "9p", "crc32c_generic", "ext4", "xhci_pci", "usb_storage", "uas",
	"sd_mod", "loop", "overlay"}

// parameters of modules: a recorder's storage is looked at as soon as it is there, not a second later.
var parameters = map[string]string{"usb-storage.ko": "delay_use=0"}

// kernel finds Debian's newest kernel with USB, which the cloud flavour lacks, and its modules.
func kernel() (image, modules string, err error) {
	images, err := filepath.Glob("/boot/vmlinuz-*")
	if err != nil {
		return "", "", err
	}
	slices.SortFunc(images, func(a, b string) int { return strings.Compare(b, a) })
	for _, image := range images {
		dir := "/usr/lib/modules/" + strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		if found, err := filepath.Glob(dir + "/kernel/drivers/usb/storage/usb-storage.ko*"); err != nil {
			return "", "", err
		} else if len(found) > 0 {
			return image, dir, nil
		}
	}
	return "", "", errors.New("no kernel with usb-storage in /boot; nothing was started: install the package linux-image-amd64")
}

// order lists what must be loaded for the wanted modules, each after what it needs; paths are relative to dir.
func order(dir string, wanted []string) ([]string, error) {
	f, err := os.Open(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	needs, byName := map[string][]string{}, map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		file, rest, _ := strings.Cut(lines.Text(), ":")
		needs[file] = strings.Fields(rest)
		name, _, _ := strings.Cut(path.Base(file), ".ko")
		byName[strings.ReplaceAll(name, "-", "_")] = file
	}
	var list []string
	for _, name := range wanted {
		file, ok := byName[name]
		if !ok {
			if builtin(dir, name) {
				continue
			}
			return nil, fmt.Errorf("the kernel of %s has no module %s; nothing was started", dir, name)
		}
		first := slices.Clone(needs[file])
		slices.Reverse(first) // depmod names the deepest last
		for _, f := range append(first, file) {
			if !slices.Contains(list, f) {
				list = append(list, f)
			}
		}
	}
	return list, nil
}

// builtin reports whether the kernel has the module in itself.
func builtin(dir, name string) bool {
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	return err == nil && slices.ContainsFunc(strings.Fields(string(list)), func(file string) bool {
		return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_") == name
	})
}

// writeInitramfs builds the dock's first process and packs it with the modules of dir into an archive that the kernel unpacks.
func writeInitramfs(ctx context.Context, archive, dir string) error {
	program := archive + ".init"
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "camseal/scripts/dockvm/init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the dock's first process: %w\n%s", err, out)
	}
	files, err := order(dir, modules)
	if err != nil {
		return err
	}
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	c := &cpio{w: bufio.NewWriter(f)}
	c.folder("dev")
	c.folder("modules")
	names := ""
	for i, file := range files {
		name := fmt.Sprintf("%03d-%s", i, path.Base(file))
		names += name + " " + parameters[path.Base(file)] + "\n"
		c.file("modules/"+name, 0o600, filepath.Join(dir, file))
	}
	c.bytes("modules/order", 0o600, []byte(names))
	c.file("init", 0o700, program)
	return errors.Join(c.close(), f.Close())
}

// cpio writes the "newc" format, see Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
type cpio struct {
	w   *bufio.Writer
	n   int
	err error
}

func (c *cpio) entry(name string, mode uint32, data []byte) {
	c.n++
	head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00", c.n, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	for _, part := range []string{head, string(data)} {
		if c.err == nil {
			_, c.err = io.WriteString(c.w, part+"\x00\x00\x00"[:(4-len(part)%4)%4])
		}
	}
}

func (c *cpio) folder(name string)                          { c.entry(name, 0o040755, nil) }
func (c *cpio) bytes(name string, mode uint32, data []byte) { c.entry(name, 0o100000|mode, data) }

func (c *cpio) file(name string, mode uint32, from string) {
	data, err := os.ReadFile(from)
	if err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.bytes(name, mode, data)
}

func (c *cpio) close() error {
	c.entry("TRAILER!!!", 0, nil)
	return errors.Join(c.err, c.w.Flush())
}
