// Package storage reads what lies on a block device before anything is mounted, mounts it so that nothing on it can change or run, and
// reads and removes single files past all caches. What it reads is hostile.
package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// System is a file system as its superblock describes it. Type and UUID are as blkid(8) prints them.
type System struct {
	Type    string // vfat, exfat, ext2, ext3, ext4, ntfs
	UUID    string // empty if it has none
	Unclean bool   // ext: its journal, or its list of orphans, was not worked off
}

// UnknownError says that there is no file system that this program mounts.
type UnknownError struct {
	Found string // what is there, in words; empty if nothing is known of it
}

func (e *UnknownError) Error() string {
	if e.Found == "" {
		return "no file system that is known here"
	}
	return e.Found + ", which can't be read here"
}

const probed = 4096 // bytes from the start; everything looked at lies there

// Probe reads a volume's superblock: once, 4096 bytes from the start. It believes no number in it. Errors: *UnknownError, and the
// reader's.
func Probe(r io.ReaderAt) (System, error) {
	b := make([]byte, probed)
	if n, err := r.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return System{}, err
	} else if n < probed {
		return System{}, &UnknownError{}
	}
	for _, known := range []func([]byte) (System, bool){exfat, ntfs, fat, ext} { // ext leaves the first sectors alone, so what lies there is newer
		if s, ok := known(b); ok {
			return s, nil
		}
	}
	for _, o := range others {
		if bytes.HasPrefix(b[o.at:], []byte(o.magic)) {
			return System{}, &UnknownError{o.words}
		}
	}
	if bytes.Count(b, []byte{0}) == len(b) {
		return System{}, &UnknownError{"the storage is blank at its start"}
	}
	return System{}, &UnknownError{}
}

// others are recognised to have words for them.
var others = []struct {
	at           int
	magic, words string
}{
	{0, "LUKS\xba\xbe", "the storage is encrypted (LUKS)"},
	{3, "-FVE-FS-", "the storage is encrypted (BitLocker)"},
	{0, "XFSB", "the file system is XFS"},
	{1024, "\x10\x20\xf5\xf2", "the file system is F2FS"},
	{1024, "H+", "the file system is HFS+"},
	{1024, "HX", "the file system is HFS+"},
	{32, "NXSB", "the file system is APFS"},
	{0, "hsqs", "the file system is squashfs"},
}

var le = binary.LittleEndian

func exfat(b []byte) (System, bool) {
	if string(b[3:11]) != "EXFAT   " || bytes.Count(b[11:64], []byte{0}) != 53 || b[510] != 0x55 || b[511] != 0xaa {
		return System{}, false
	}
	return System{Type: "exfat", UUID: serial(b[100:])}, true
}

func ntfs(b []byte) (System, bool) {
	if string(b[3:11]) != "NTFS    " {
		return System{}, false
	}
	return System{Type: "ntfs", UUID: fmt.Sprintf("%016X", le.Uint64(b[72:]))}, true
}

// fat holds what the kernel holds of a FAT's first sector (fs/fat/inode.c, fat_read_bpb).
func fat(b []byte) (System, bool) {
	sector, cluster := int(le.Uint16(b[11:])), int(b[13])
	switch {
	case sector < 512 || sector > 4096 || bits.OnesCount(uint(sector)) != 1,
		cluster == 0 || bits.OnesCount(uint(cluster)) != 1,
		le.Uint16(b[14:]) == 0, // reserved sectors
		b[16] == 0,             // tables
		b[21] != 0xf0 && b[21] < 0xf8:
		return System{}, false
	case le.Uint16(b[22:]) != 0: // sectors a table: FAT12 or FAT16
		return System{Type: "vfat", UUID: serial(b[39:])}, true
	case le.Uint32(b[36:]) != 0: // FAT32
		return System{Type: "vfat", UUID: serial(b[67:])}, true
	}
	return System{}, false
}

// serial writes a volume's serial number. One of zeros is none.
func serial(b []byte) string {
	n := le.Uint32(b)
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%04X-%04X", n>>16, n&0xffff)
}

// Feature bits of ext2, ext3 and ext4 (Documentation/filesystems/ext4/super.rst).
const (
	compatJournal     = 0x4
	incompatRecover   = 0x4
	incompatJournal   = 0x8              // the device holds nothing but a journal
	incompatOfExt3    = 0x2 | 0x4 | 0x10 // file types, recover, meta_bg
	roCompatOfExt3    = 0x1 | 0x2 | 0x4  // sparse super, large file, btree
	roCompatOrphans   = 0x10000          // there are orphans in the orphan file
	extMagic          = 0xef53           //
	superblock        = 1024             // where it begins
	offMagic, offLast = 0x38, 0xe8       // of the superblock
	offUUID           = 0x68             //
	offFeatures       = 0x5c             // compatible, incompatible, read-only compatible
)

func ext(b []byte) (System, bool) {
	b = b[superblock : superblock+1024]
	compat, incompat, ro := le.Uint32(b[offFeatures:]), le.Uint32(b[offFeatures+4:]), le.Uint32(b[offFeatures+8:])
	if le.Uint16(b[offMagic:]) != extMagic || incompat&incompatJournal != 0 {
		return System{}, false
	}
	s := System{Type: "ext2", Unclean: incompat&incompatRecover != 0 || ro&roCompatOrphans != 0 || le.Uint32(b[offLast:]) != 0}
	switch {
	case incompat&^uint32(incompatOfExt3) != 0 || ro&^uint32(roCompatOfExt3) != 0:
		s.Type = "ext4"
	case compat&compatJournal != 0:
		s.Type = "ext3"
	}
	if u := b[offUUID : offUUID+16]; bytes.Count(u, []byte{0}) != 16 {
		s.UUID = fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	}
	return s, true
}
