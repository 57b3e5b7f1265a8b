package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"camseal/pkg/evidence"
)

// checkManifests reads both manifests strictly, and compares the tag manifest, which leaves nothing open.
func (c *check) checkManifests() {
	if c.has(FileBagit) && !bytes.Equal(c.small[FileBagit], Bagit()) {
		c.broken(CodeFixedContent, Place{File: FileBagit}, "", "")
	}
	c.listed = c.readManifest(FileManifest)
	tags := c.readManifest(FileTagManifest)
	if tags == nil {
		return
	}
	for _, p := range c.paths() {
		if !strings.HasPrefix(p, "data/") && p != FileTagManifest {
			c.compareListed(tags, FileTagManifest, p)
		}
	}
	c.listedOnly(tags, FileTagManifest, func(p string) bool { return !strings.HasPrefix(p, "data/") && p != FileTagManifest })
}

// compareManifest compares the payload manifest with the files; the original's hash is known by now.
func (c *check) compareManifest() {
	if c.listed == nil {
		return
	}
	for _, p := range c.paths() {
		if strings.HasPrefix(p, "data/") {
			c.compareListed(c.listed, FileManifest, p)
		}
	}
	c.listedOnly(c.listed, FileManifest, func(p string) bool { return strings.HasPrefix(p, "data/") })
}

func (c *check) compareListed(list map[string]evidence.Digest, manifest, path string) {
	want, ok := list[path]
	got, known := c.hashes[path]
	switch {
	case !ok:
		c.broken(CodeNotListed, Place{File: path}, manifest, "")
	case known && got != want:
		c.broken(CodeWrongHash, Place{File: path}, manifest, fmt.Sprintf("want %s, got %s", want, got))
	}
}

func (c *check) listedOnly(list map[string]evidence.Digest, manifest string, belongs func(string) bool) {
	var gone []string
	for p := range list {
		if !belongs(p) {
			c.broken(CodeManifestForm, Place{File: manifest}, "", fmt.Sprintf("it lists %q, which is not its to list", p))
		} else if !c.has(p) {
			gone = append(gone, p)
		}
	}
	slices.Sort(gone)
	for _, p := range gone {
		c.broken(CodeListedMissing, Place{File: p}, manifest, "")
	}
}

// readManifest reads a manifest in the one form that Manifest writes: every path once, in order.
func (c *check) readManifest(name string) map[string]evidence.Digest {
	if !c.has(name) {
		return nil
	}
	f, err := c.src.Open(name)
	if err != nil {
		c.unreadable(CodeIO, name, err.Error())
		return nil
	}
	defer f.Close()
	list, last := map[string]evidence.Digest{}, ""
	in := newLines(f, c.files[name])
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			c.broken(CodeManifestForm, Place{File: name, Line: in.no}, "", err.Error())
			return list
		}
		path, d, err := manifestLine(line)
		if err == nil && path <= last {
			err = errors.New("paths are not in order, each once")
		}
		if err != nil {
			c.broken(CodeManifestForm, Place{File: name, Line: in.no}, "", err.Error())
			return list
		}
		list[path], last = d, path
	}
}

func manifestLine(line []byte) (string, evidence.Digest, error) {
	hash, path, ok := strings.Cut(string(line), "  ")
	if !ok {
		return "", evidence.Digest{}, errors.New("not a hash, two spaces and a path")
	}
	d, err := evidence.ParseDigest(hash)
	if err != nil {
		return "", evidence.Digest{}, err
	}
	return path, d, checkPath(path)
}
