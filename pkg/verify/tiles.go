package verify

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	xtlog "golang.org/x/mod/sumdb/tlog"

	"camseal/pkg/tlog"
)

// A log as files: https://c2sp.org/tlog-tiles. Tiles hold 256 hashes, entry bundles 256 leaves, each after its length in two bytes.
const (
	tileWidth      = 256
	fileCheckpoint = "checkpoint"
	dirEntries     = "tile/entries/"
)

var errEntries = errors.New("not a run of entries, each after its length")

// tilePath is where a tile or bundle with this number lies, below its level's folder.
func tilePath(dir string, n int64) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	return dir + s
}

func levelDir(level int) string { return "tile/" + strconv.Itoa(level) + "/" }

// openTile opens a tile or bundle of which the first width parts are wanted: the full one, the partial one of this width, or a wider
// one, which a log that has grown since has instead.
func openTile(fsys fs.FS, path string, width int) (io.ReadCloser, string, error) {
	names := []string{path}
	if width < tileWidth {
		names = []string{fmt.Sprintf("%s.p/%d", path, width), path}
		wider, err := fs.ReadDir(fsys, path+".p")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, path, err
		}
		for _, e := range wider {
			if n, err := strconv.Atoi(e.Name()); err == nil && n > width && n < tileWidth && strconv.Itoa(n) == e.Name() {
				names = append(names, path+".p/"+e.Name())
			}
		}
	}
	for _, name := range names {
		f, err := fsys.Open(name)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, name, err
		}
	}
	return nil, names[0], fs.ErrNotExist
}

// entries reads a bundle one leaf at a time.
type entries struct {
	r    *bufio.Reader
	leaf [tlog.MaxLeaf]byte
}

// next returns the next leaf, good until the next call. io.EOF ends.
func (e *entries) next() ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(e.r, size[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errEntries
		}
		return nil, err
	}
	leaf := e.leaf[:binary.BigEndian.Uint16(size[:])]
	if _, err := io.ReadFull(e.r, leaf); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errEntries
		}
		return nil, err
	}
	return leaf, nil
}

// treeRoot gathers leaf hashes in order: the tiles above them, level by level, and the tree's root (RFC 6962 section 2.1).
type treeRoot struct {
	levels [][]xtlog.Hash // the last tile of each level, not yet full
	done   []int64        // full tiles of each level
	full   func(level int, n int64, tile []xtlog.Hash) error
}

func (t *treeRoot) add(level int, h xtlog.Hash) error {
	if level == len(t.levels) {
		t.levels, t.done = append(t.levels, make([]xtlog.Hash, 0, tileWidth)), append(t.done, 0)
	}
	t.levels[level] = append(t.levels[level], h)
	if len(t.levels[level]) < tileWidth {
		return nil
	}
	if err := t.full(level, t.done[level], t.levels[level]); err != nil {
		return err
	}
	up := fold(t.levels[level])
	t.levels[level] = t.levels[level][:0]
	t.done[level]++
	return t.add(level+1, up)
}

// root returns the root over all that was added.
func (t *treeRoot) root() xtlog.Hash {
	var right xtlog.Hash
	some := false
	for _, tile := range t.levels {
		for n := len(tile); n > 0; { // the largest full subtrees, from the right
			size := n & -n
			h := fold(tile[n-size : n])
			if some {
				h = xtlog.NodeHash(h, right)
			}
			right, some, n = h, true, n-size
		}
	}
	if !some {
		root, _ := xtlog.TreeHash(0, nil) // SHA-256 of nothing; it reads nothing
		return root
	}
	return right
}

// fold returns the root over a full subtree.
func fold(hashes []xtlog.Hash) xtlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return xtlog.NodeHash(fold(hashes[:half]), fold(hashes[half:]))
}
