package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// exfat is an exFAT that is being filled. Terms and offsets as in Microsoft's "exFAT file system specification". All that is written lies
// in one piece, so that the FAT is only needed for the root.
type exfat struct {
	f       *os.File
	cluster int64
	table   int64 // offset of the FAT
	heap    int64 // offset of cluster 2
	count   uint32
	free    uint32 // the first cluster that was never taken
	bitmap  int64  // offset of the allocation bitmap
}

func makeExFAT(ctx context.Context, f *os.File, v Volume) error {
	var args []string
	if v.Cluster != 0 {
		args = append(args, "-c", strconv.Itoa(v.Cluster))
	}
	if v.Label != "" {
		args = append(args, "-L", v.Label)
	}
	if err := tool(ctx, "mkfs.exfat", append(args, f.Name())...); err != nil {
		return err
	}
	if v.UUID != "" {
		if err := tool(ctx, "tune.exfat", "-I", "0x"+strings.ReplaceAll(v.UUID, "-", ""), f.Name()); err != nil {
			return err
		}
	}
	boot := make([]byte, 512)
	if _, err := f.ReadAt(boot, 0); err != nil {
		return err
	}
	sector := int64(1) << boot[108]
	x := &exfat{f: f, cluster: sector << boot[109], table: int64(le.Uint32(boot[80:])) * sector, heap: int64(le.Uint32(boot[88:])) * sector,
		count: le.Uint32(boot[92:])}
	root := le.Uint32(boot[96:])
	x.free = root + 1 // mkfs.exfat writes bitmap, upcase table and root in this order, from cluster 2
	return x.root(root, v.Entries)
}

func (x *exfat) offset(cluster uint32) int64 { return x.heap + int64(cluster-2)*x.cluster }

// root adds to what mkfs.exfat wrote into the root.
func (x *exfat) root(root uint32, entries []Entry) error {
	data := make([]byte, x.cluster)
	if _, err := x.f.ReadAt(data, x.offset(root)); err != nil {
		return err
	}
	used := 0
	for ; used < len(data) && data[used] != 0; used += 32 {
		if data[used] == 0x81 {
			x.bitmap = x.offset(le.Uint32(data[used+20:]))
		}
	}
	if x.bitmap == 0 {
		return errors.New("no allocation bitmap in the root that mkfs.exfat made")
	}
	sets, err := x.folder(entries)
	if err != nil {
		return err
	}
	data = append(data[:used], sets...)
	if _, err := x.f.WriteAt(data[:min(int64(len(data)), x.cluster)], x.offset(root)); err != nil {
		return err
	}
	chain := []uint32{root}
	if more := int64(len(data)) - x.cluster; more > 0 {
		first, err := x.write(more, func(w io.Writer) error { _, err := w.Write(data[x.cluster:]); return err })
		if err != nil {
			return err
		}
		for c := first; c < x.free; c++ {
			chain = append(chain, c)
		}
	}
	for i, c := range chain {
		next := uint32(0xffffffff)
		if i+1 < len(chain) {
			next = chain[i+1]
		}
		if _, err := x.f.WriteAt(le.AppendUint32(nil, next), x.table+4*int64(c)); err != nil {
			return err
		}
	}
	return x.mark()
}

// mark marks every cluster up to free as taken.
func (x *exfat) mark() error {
	bits := make([]byte, (x.count+7)/8)
	for c := range x.free - 2 {
		bits[c/8] |= 1 << (c % 8)
	}
	_, err := x.f.WriteAt(bits, x.bitmap)
	return err
}

// write takes clusters for size bytes and has them written.
func (x *exfat) write(size int64, write func(io.Writer) error) (uint32, error) {
	n := (size + x.cluster - 1) / x.cluster
	if n == 0 {
		return 0, nil
	}
	if int64(x.free)+n > int64(x.count)+2 {
		return 0, fmt.Errorf("%d bytes more than the medium holds", size)
	}
	first := x.free
	x.free += uint32(n)
	return first, write(io.NewOffsetWriter(x.f, x.offset(first)))
}

// folder writes all that is in a folder and returns its entry sets.
func (x *exfat) folder(entries []Entry) ([]byte, error) {
	var data []byte
	for _, e := range entries {
		set, err := x.entry(e)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", e.Name, err)
		}
		data = append(data, set...)
	}
	return data, nil
}

func (x *exfat) entry(e Entry) ([]byte, error) {
	if e.Dir == nil {
		size, err := e.size()
		if err != nil {
			return nil, err
		}
		first, err := x.write(size, e.write)
		return entrySet(e, 0x20, first, size), err
	}
	data, err := x.folder(e.Dir)
	if err != nil {
		return nil, err
	}
	size := (int64(len(data))/x.cluster + 1) * x.cluster // at least one empty entry marks the end
	first, err := x.write(size, func(w io.Writer) error { _, err := w.Write(data); return err })
	return entrySet(e, 0x10, first, size), err
}

// entrySet is what a folder says of a file: its file, stream and name entries of 32 bytes each.
func entrySet(e Entry, attributes byte, first uint32, size int64) []byte {
	name := utf16.Encode([]rune(e.Name))
	parts := (len(name) + 14) / 15
	set := make([]byte, 32*(2+parts))
	t := e.modified()
	stamp := uint32(max(t.Year()-1980, 0)<<25 | int(t.Month())<<21 | t.Day()<<16 | t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	set[0], set[1], set[4] = 0x85, byte(1+parts), attributes
	for _, at := range []int{8, 12, 16} {
		le.PutUint32(set[at:], stamp)
	}
	for at := 22; at < 25; at++ {
		set[at] = 0x80 // the stamps are UTC
	}
	stream := set[32:]
	stream[0], stream[1], stream[3] = 0xc0, 0x01, byte(len(name))
	if first != 0 {
		stream[1] |= 0x02 // in one piece
	}
	var hash uint16
	for i, u := range name {
		for _, b := range le.AppendUint16(nil, uint16(unicode.ToUpper(rune(u)))) {
			hash = hash<<15 | hash>>1
			hash += uint16(b)
		}
		part := set[64+32*(i/15):]
		part[0] = 0xc1
		le.PutUint16(part[2+2*(i%15):], u)
	}
	le.PutUint16(stream[4:], hash)
	le.PutUint64(stream[8:], uint64(size))
	le.PutUint32(stream[20:], first)
	le.PutUint64(stream[24:], uint64(size))
	var sum uint16
	for i, b := range set {
		if i != 2 && i != 3 {
			sum = sum<<15 | sum>>1
			sum += uint16(b)
		}
	}
	le.PutUint16(set[2:], sum)
	return set
}
