package source

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// locate returns the id of the volume that holds the file and the file's path on it, so that a recorder is recognised wherever
// it is mounted. The id is the file system's UUID, or what statfs says when udev knows none. It is looked up each time, since
// device numbers are given anew when a recorder is swapped.
func locate(path string, device uint64) (volume, onVolume string) {
	volume, onVolume = uuid(device), path
	if volume == "" {
		volume = fsid(path)
	}
	if root, mount, ok := mountOf(path, device); ok {
		if rest, err := filepath.Rel(mount, path); err == nil && !strings.HasPrefix(rest, "../") {
			onVolume = filepath.Join(root, rest)
		}
	}
	return volume, onVolume
}

// uuid finds the file-system UUID by the device number.
func uuid(device uint64) string {
	const dir = "/dev/disk/by-uuid"
	names, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, n := range names {
		var st syscall.Stat_t
		if syscall.Stat(filepath.Join(dir, n.Name()), &st) == nil && st.Rdev == device {
			return n.Name()
		}
	}
	return ""
}

func fsid(path string) string {
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		return ""
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(st.Fsid.X__val[0]))
	return hex.EncodeToString(binary.BigEndian.AppendUint32(b, uint32(st.Fsid.X__val[1])))
}

// mountOf finds the mount that path lies in: the folder of the volume that is mounted, and where (proc(5), mountinfo).
func mountOf(path string, device uint64) (root, mount string, ok bool) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", "", false
	}
	defer f.Close()
	want := strconv.FormatUint(device>>8&0xfff, 10) + ":" + strconv.FormatUint(device&0xff|device>>12&0xfff00, 10)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[2] != want {
			continue
		}
		at := unescape(fields[4])
		if within(path, at) && len(at) >= len(mount) {
			root, mount, ok = unescape(fields[3]), at, true
		}
	}
	return root, mount, ok
}

func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// unescape reads the octal escapes of mountinfo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
