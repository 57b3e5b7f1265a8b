// Package image makes the storage of recorders as files: FAT32, exFAT, ext4 and NTFS, without root and without mounting, and broken in the
// ways that storage breaks, or is broken on purpose.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Volume is a medium with one file system.
type Volume struct {
	System    string // vfat, exfat, ext4 or ntfs
	Size      int64  // bytes of the file system; 0: 64 MiB
	Cluster   int    // bytes; 0: the tool's choice. vfat and exfat only
	UUID      string // as blkid writes it: 1A2B-3C4D for vfat and exfat, a UUID for ext4; "": the tool's choice
	Label     string
	Partition bool // the file system is in the first partition of an MBR, else on the whole medium
	Entries   []Entry
}

// Entry is a file or a folder. Names are written as they are, be they allowed or not.
type Entry struct {
	Name     string    // long name; "": only the short one
	Dir      []Entry   // what is in it; nil for a file
	Data     []byte    // of the file
	From     string    // a file of the host with the file's bytes, instead of Data
	Size     int64     // bytes of the file; 0: as many as there are. What is beyond Data or From is a hole of zeros
	Modified time.Time // as the recorder's clock shows it; the zero time: 2026-03-14 15:09:26

	// Only for vfat.
	Short string       // 11 bytes, padded with spaces and without the dot; "": made up
	Claim uint32       // size that the folder says, whatever the chain has; 0: the true one
	Loop  bool         // the last cluster's successor is the first
	Like  string       // begins at the first cluster of what was written before under this long name, and has none of its own
	Raw   func([]byte) // changes its raw folder entries of 32 bytes each: long name's, then the short one
}

// Make writes a volume to a file, in place of what was there.
func Make(ctx context.Context, path string, v Volume) error {
	if v.Size == 0 {
		v.Size = 64 << 20
	}
	if err := makeVolume(ctx, path, v); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}

func makeVolume(ctx context.Context, path string, v Volume) error {
	bare := path
	if v.Partition {
		bare += ".part"
		defer func() { _ = os.Remove(bare) }() // an aid; it is in the way of nobody
	}
	f, err := os.Create(bare)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(v.Size); err != nil {
		return err
	}
	switch v.System {
	case "vfat":
		err = makeFAT(ctx, f, v)
	case "exfat":
		err = makeExFAT(ctx, f, v)
	case "ext4":
		err = makeExt4(ctx, f, v)
	case "ntfs":
		err = makeNTFS(ctx, f, v)
	default:
		err = fmt.Errorf("file system %q", v.System)
	}
	if err == nil && v.Partition {
		err = partition(path, f, v)
	}
	return err
}

// tool runs a program that makes or changes a file system.
func tool(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// partition copies a file system behind a partition table, holes as holes.
func partition(path string, bare *os.File, v Volume) error {
	const offset = 1 << 20
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(offset + v.Size); err != nil {
		return err
	}
	table := make([]byte, 512)
	e := table[446:]
	e[4] = map[string]byte{"vfat": 0x0c, "exfat": 0x07, "ntfs": 0x07, "ext4": 0x83}[v.System]
	le.PutUint32(e[8:], offset/512)
	le.PutUint32(e[12:], uint32(v.Size/512))
	table[510], table[511] = 0x55, 0xaa
	if _, err := f.WriteAt(table, 0); err != nil {
		return err
	}
	for at := int64(0); ; {
		from, err := unix.Seek(int(bare.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return f.Close()
		} else if err != nil {
			return err
		}
		until, err := unix.Seek(int(bare.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(f, offset+from), io.NewSectionReader(bare, from, until-from)); err != nil {
			return err
		}
		at = until
	}
}

var usual = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func (e Entry) modified() time.Time {
	if e.Modified.IsZero() {
		return usual
	}
	return e.Modified.UTC()
}

// size is how many bytes the file has.
func (e Entry) size() (int64, error) {
	n := int64(len(e.Data))
	if e.From != "" {
		info, err := os.Stat(e.From)
		if err != nil {
			return 0, err
		}
		n = info.Size()
	}
	return max(n, e.Size), nil
}

// write writes the file's bytes, and no hole.
func (e Entry) write(w io.Writer) error {
	if e.From == "" {
		_, err := w.Write(e.Data)
		return err
	}
	f, err := os.Open(e.From)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// makeExt4 has mkfs.ext4 copy a folder.
func makeExt4(ctx context.Context, f *os.File, v Volume) error {
	dir := f.Name() + ".files"
	if err := writeFiles(dir, v.Entries); err != nil {
		return err
	}
	args := []string{"-q", "-F", "-d", dir, "-E", "root_owner=0:0"}
	if v.UUID != "" {
		args = append(args, "-U", v.UUID)
	}
	if v.Label != "" {
		args = append(args, "-L", v.Label)
	}
	return errors.Join(tool(ctx, "mkfs.ext4", append(args, f.Name())...), os.RemoveAll(dir))
}

func writeFiles(dir string, entries []Entry) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name)
		if e.Dir != nil {
			if err := writeFiles(path, e.Dir); err != nil {
				return err
			}
			continue
		}
		if err := e.writeFile(path); err != nil {
			return err
		}
	}
	return nil
}

func (e Entry) writeFile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := e.size()
	if err != nil {
		return err
	}
	if err := e.write(f); err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Chtimes(path, e.modified(), e.modified()))
}

// makeNTFS makes an NTFS, empty: Debian 12's kernel can't mount it, and that is all that can be shown with it.
func makeNTFS(ctx context.Context, f *os.File, v Volume) error {
	if len(v.Entries) > 0 {
		return errors.New("NTFS can only be made empty")
	}
	return tool(ctx, "mkntfs", "-Q", "-q", "-F", "-s", "512", "-p", "0", "-H", "0", "-S", "0", "-L", v.Label, f.Name(), strconv.FormatInt(v.Size/512, 10))
}
