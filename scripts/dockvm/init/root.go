package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"camseal/scripts/dockvm/guest"
)

type mount struct {
	source, target, system string
	flags                  uintptr
	options                string
}

const nine = "trans=virtio,version=9p2000.L,msize=512000"

// mountKernel mounts the kernel's own file systems below root.
func mountKernel(root string) error {
	return mountAll(root, []mount{
		{"dev", "/dev", "devtmpfs", unix.MS_NOSUID, ""},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"sys", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	})
}

func mountAll(root string, mounts []mount) error {
	for _, m := range mounts {
		target := root + m.target
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, target, m.system, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.source, target, err)
		}
	}
	return nil
}

// makeRoot goes from the first root to one in memory with the host's /usr and /etc: programs in a sandbox change their root, which the
// first root does not allow.
func makeRoot() error {
	const root = "/root.new"
	if err := mountAll(root, []mount{{"root", "", "tmpfs", 0, "mode=755"}}); err != nil {
		return err
	}
	if err := mountKernel(root); err != nil {
		return err
	}
	err := mountAll(root, []mount{
		{"usr", "/usr", "9p", unix.MS_RDONLY, nine + ",cache=loose"},
		{"etc", "/etc", "9p", unix.MS_RDONLY, nine + ",cache=loose"},
		{"programs", guest.Programs, "9p", unix.MS_RDONLY, nine + ",cache=loose"},
		{"shared", guest.Shared, "9p", 0, nine},
		{"/dev/vda", guest.State, "ext4", unix.MS_NOATIME, ""},
		{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmp", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"shm", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"pts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
		{"cgroup", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"/root", "/mnt", "/var/tmp"} {
		if err := os.MkdirAll(root+name, 0o755); err != nil {
			return err
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(root, "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return unix.Sethostname([]byte("dock"))
}

// network gives the dock its address. It has no default route: it reaches the host and nothing beyond.
func network() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written to it
	for _, l := range []struct{ name, address, mask string }{
		{"lo", "\x7f\x00\x00\x01", "\xff\x00\x00\x00"},
		{"eth0", "\x0a\x00\x02\x0f", "\xff\xff\xff\x00"},
	} {
		for _, set := range []struct {
			request uint
			value   string
		}{{unix.SIOCSIFADDR, l.address}, {unix.SIOCSIFNETMASK, l.mask}} {
			ifr, err := unix.NewIfreq(l.name)
			if err != nil {
				return err
			}
			if err := ifr.SetInet4Addr([]byte(set.value)); err != nil {
				return err
			}
			if err := unix.IoctlIfreq(fd, set.request, ifr); err != nil {
				return fmt.Errorf("address of %s: %w", l.name, err)
			}
		}
		ifr, err := unix.NewIfreq(l.name)
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
			return fmt.Errorf("%s up: %w", l.name, err)
		}
	}
	return nil
}
