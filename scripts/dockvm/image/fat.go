package image

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

var le = binary.LittleEndian

// fat is a FAT32 that is being filled. Terms and offsets as in Microsoft's "FAT32 File System Specification", 1.03.
type fat struct {
	f       io.WriterAt
	cluster int64             // bytes
	tables  []int64           // offsets of the file allocation tables
	data    int64             // offset of cluster 2
	next    []uint32          // the table: successor of each cluster
	free    uint32            // the first cluster that was never taken
	first   map[string]uint32 // first clusters, by long name
	count   int               // of short names made up
}

const (
	fatRoot = 2
	fatEnd  = 0x0fffffff
)

func makeFAT(ctx context.Context, f *os.File, v Volume) error {
	args := []string{"-F", "32"}
	if v.Cluster != 0 {
		args = append(args, "-s", strconv.Itoa(v.Cluster/512))
	}
	if v.UUID != "" {
		args = append(args, "-i", strings.ReplaceAll(v.UUID, "-", ""))
	}
	if v.Label != "" {
		args = append(args, "-n", v.Label)
	}
	if err := tool(ctx, "mkfs.vfat", append(args, f.Name())...); err != nil {
		return err
	}
	boot := make([]byte, 512)
	if _, err := f.ReadAt(boot, 0); err != nil {
		return err
	}
	sector, reserved, size := int64(le.Uint16(boot[11:])), int64(le.Uint16(boot[14:])), int64(le.Uint32(boot[36:]))
	v2 := &fat{f: f, cluster: sector * int64(boot[13]), free: fatRoot + 1, first: map[string]uint32{}}
	for i := range int64(boot[16]) {
		v2.tables = append(v2.tables, (reserved+i*size)*sector)
	}
	v2.data = (reserved + int64(boot[16])*size) * sector
	v2.next = make([]uint32, (v.Size-v2.data)/v2.cluster+2)
	v2.next[0], v2.next[1] = 0x0ffffff8, fatEnd
	var label []byte
	if v.Label != "" {
		label = fatEntry(fmt.Sprintf("%-11s", v.Label), 0x08, 0, 0, Entry{})
	}
	if err := v2.folder(fatRoot, 0, label, v.Entries); err != nil {
		return err
	}
	return v2.writeTables(sector * int64(le.Uint16(boot[48:])))
}

// writeTables writes both tables, and that it is unknown how much is free.
func (v *fat) writeTables(info int64) error {
	table := make([]byte, 0, 4*len(v.next))
	for _, n := range v.next {
		table = le.AppendUint32(table, n)
	}
	for _, at := range v.tables {
		if _, err := v.f.WriteAt(table, at); err != nil {
			return err
		}
	}
	_, err := v.f.WriteAt([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), info+488)
	return err
}

func (v *fat) offset(cluster uint32) int64 { return v.data + int64(cluster-fatRoot)*v.cluster }

// take takes clusters for so many bytes, one behind the other, and chains them. No bytes, no cluster: 0.
func (v *fat) take(size int64) (uint32, error) {
	n := (size + v.cluster - 1) / v.cluster
	if n == 0 {
		return 0, nil
	}
	if int64(v.free)+n > int64(len(v.next)) {
		return 0, fmt.Errorf("%d bytes more than the medium holds", size)
	}
	first := v.free
	for range n {
		v.next[v.free] = v.free + 1
		v.free++
	}
	v.next[v.free-1] = fatEnd
	return first, nil
}

// folder writes a folder whose first cluster is taken.
func (v *fat) folder(cluster, parent uint32, head []byte, entries []Entry) error {
	data := head
	for _, e := range entries {
		raw, err := v.entry(cluster, e)
		if err != nil {
			return fmt.Errorf("%q: %w", e.Name, err)
		}
		data = append(data, raw...)
	}
	rest, err := v.take(max(0, int64(len(data))-v.cluster))
	if err != nil {
		return err
	}
	v.next[cluster] = fatEnd
	if rest != 0 {
		v.next[cluster] = rest
		if _, err := v.f.WriteAt(data[v.cluster:], v.offset(rest)); err != nil {
			return err
		}
	}
	_, err = v.f.WriteAt(data[:min(int64(len(data)), v.cluster)], v.offset(cluster))
	return err
}

// entry writes a file or folder and returns what its folder says of it.
func (v *fat) entry(parent uint32, e Entry) ([]byte, error) {
	first, size, err := v.contents(parent, e)
	if err != nil {
		return nil, err
	}
	v.first[e.Name] = first
	if e.Loop && first != 0 {
		last := first
		for v.next[last] != fatEnd {
			last = v.next[last]
		}
		v.next[last] = first
	}
	attributes := byte(0x20)
	if e.Dir != nil {
		attributes, size = 0x10, 0
	}
	if e.Claim != 0 {
		size = int64(e.Claim)
	}
	short, long := e.Short, e.Name
	if short == "" {
		short, long = v.short(e.Name)
	}
	if len(short) != 11 {
		return nil, errors.New("a short name has 11 bytes")
	}
	raw := append(longEntries(long, short), fatEntry(short, attributes, first, uint32(size), e)...)
	if e.Raw != nil {
		e.Raw(raw)
	}
	return raw, nil
}

// contents writes what is in a file or folder, and returns its first cluster and its size.
func (v *fat) contents(parent uint32, e Entry) (uint32, int64, error) {
	if e.Like != "" {
		first, ok := v.first[e.Like]
		if !ok {
			return 0, 0, fmt.Errorf("%q was not written before", e.Like)
		}
		return first, int64(len(e.Data)), nil
	}
	if e.Dir != nil {
		first, err := v.take(1)
		if err != nil {
			return 0, 0, err
		}
		v.first[e.Name] = first // so that what is in it can loop
		up := parent
		if up == fatRoot {
			up = 0 // the root is written as 0
		}
		head := append(fatEntry(".          ", 0x10, first, 0, e), fatEntry("..         ", 0x10, up, 0, e)...)
		return first, 0, v.folder(first, parent, head, e.Dir)
	}
	size, err := e.size()
	if err != nil {
		return 0, 0, err
	}
	if size > 1<<32-1 {
		return 0, 0, errors.New("FAT holds files up to 4 GiB - 1")
	}
	first, err := v.take(size)
	if err != nil || first == 0 {
		return 0, size, err
	}
	return first, size, e.write(io.NewOffsetWriter(v.f, v.offset(first)))
}

var plainShort = regexp.MustCompile(`^([A-Z0-9_]{1,8})(?:\.([A-Z0-9_]{1,3}))?$`)

// short makes up a short name, and says which long name is needed besides: none if it is short already.
func (v *fat) short(name string) (short, long string) {
	if m := plainShort.FindStringSubmatch(name); m != nil {
		return fmt.Sprintf("%-8s%-3s", m[1], m[2]), ""
	}
	v.count++
	return fmt.Sprintf("Z%07dXXX", v.count), name
}

// fatEntry is the 32 bytes of a short name.
func fatEntry(short string, attributes byte, first, size uint32, e Entry) []byte {
	b := make([]byte, 32)
	copy(b, short)
	b[11] = attributes
	t := e.modified()
	clock := uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	day := uint16(max(t.Year()-1980, 0)<<9 | int(t.Month())<<5 | t.Day())
	for at, n := range map[int]uint16{14: clock, 16: day, 18: day, 20: uint16(first >> 16), 22: clock, 24: day, 26: uint16(first)} {
		le.PutUint16(b[at:], n)
	}
	le.PutUint32(b[28:], size)
	return b
}

// longEntries are the 32 bytes each of a long name's parts, the last part first.
func longEntries(long, short string) []byte {
	if long == "" {
		return nil
	}
	var sum byte
	for i := range len(short) {
		sum = sum>>1 | sum<<7
		sum += short[i]
	}
	units := utf16.Encode([]rune(long))
	parts := (len(units) + 12) / 13
	if len(units) < parts*13 {
		units = append(units, 0)
	}
	for len(units) < parts*13 {
		units = append(units, 0xffff)
	}
	var all []byte
	for i := parts; i > 0; i-- {
		b := make([]byte, 32)
		b[0], b[11], b[13] = byte(i), 0x0f, sum
		if i == parts {
			b[0] |= 0x40
		}
		for j, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
			le.PutUint16(b[at:], units[(i-1)*13+j])
		}
		all = append(all, b...)
	}
	return all
}
