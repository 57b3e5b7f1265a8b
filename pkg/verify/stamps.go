package verify

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// stamp is a time stamp in a bundle that holds and that a root given vouches for.
type stamp struct {
	at     time.Time
	name   string // of the authority
	size   int64  // leaves of the log
	root   [32]byte
	proven map[int64]bool // indexes of leaves that are proven to be in that tree
}

// proves reports whether a receipt's leaf is proven to be in the very tree that the stamp is over. A smaller index alone is no
// proof: the log might have shown another tree then.
func (s stamp) proves(p proven) bool {
	return s.proven[p.v.Index] || p.v.Size == s.size && p.v.Root == s.root
}

// timeName reads a file name below time/.
func timeName(name string) (base, ext string, ok bool) {
	base, ext, _ = strings.Cut(name, ".")
	_, _, digits := receiptName(base + ".leaf")
	return base, ext, digits && (ext == "checkpoint" || ext == "tsr" || ext == "proof")
}

// checkStamps reads data/time: checkpoints, time stamps over them, and proofs that newer leaves are in them.
func (c *check) checkStamps(log note.Verifier) {
	for _, p := range c.paths() {
		name, ok := strings.CutPrefix(p, DirTime)
		if !ok {
			continue
		}
		base, ext, _ := timeName(name)
		for _, need := range []string{".checkpoint", ".tsr"} {
			if other := DirTime + base + need; !c.has(other) {
				c.broken(CodeMissingFile, Place{File: other}, "", "a time stamp is a checkpoint and a token")
			}
		}
		if ext == "checkpoint" && c.has(DirTime+base+".tsr") {
			c.checkStamp(log, DirTime+base)
		}
	}
}

func (c *check) checkStamp(log note.Verifier, base string) {
	file := base + ".checkpoint"
	bad := func(file string, err error) { c.broken(CodeStamp, Place{File: file}, "", err.Error()) }
	signed := c.small[file]
	p, err := tlog.OpenCosigned(signed, log)
	if err == nil && base != fmt.Sprintf("%s%012d", DirTime, p.Size) {
		err = fmt.Errorf("it is over %d leaves, its name says otherwise", p.Size)
	}
	if err == nil {
		err = c.checkCosigners(signed)
	}
	if err != nil {
		bad(file, err)
		return
	}
	c.trees = append(c.trees, tree{size: p.Size, root: p.Root, file: file, value: "checkpoint"})
	s := stamp{size: p.Size, root: p.Root, proven: map[int64]bool{}}
	if c.has(base + ".proof") {
		index, err := c.stampedLeaf(log, base+".proof", signed)
		if err != nil {
			bad(base+".proof", err)
			return
		}
		s.proven[index] = true
	}
	token, err := openStamp(c.small[base+".tsr"], signed)
	if err != nil {
		bad(base+".tsr", err)
		return
	}
	c.stampsFound++
	if c.opts.Trust == nil || !c.inRange(p.Size) || c.opts.Trust.TSARoots.vouches(token) != nil {
		return // describe says that it counts for nothing
	}
	s.at, s.name = token.at, token.signer.Subject.CommonName
	c.stamps = append(c.stamps, s)
}

// stampedLeaf checks a proof that the leaf of a receipt in the bundle is in the tree that a stamp is over.
func (c *check) stampedLeaf(log note.Verifier, file string, signed []byte) (int64, error) {
	p, err := tlog.ParseProofUnverified(c.small[file])
	if err != nil {
		return 0, err
	}
	if string(p.Checkpoint) != string(signed) {
		return 0, errors.New("it is about another checkpoint than the stamped one")
	}
	leaf, _ := ReceiptPaths(p.Index)
	if !c.has(leaf) {
		return 0, fmt.Errorf("the leaf %d is not in the bundle", p.Index)
	}
	v, err := tlog.Receipt{Leaf: c.small[leaf], Proof: c.small[file]}.Verify(log)
	if err != nil {
		return 0, err
	}
	if _, ok := c.leaves[leaf].leaf.(*evidence.Seen); !ok {
		return 0, fmt.Errorf("the leaf %d is no seen leaf", p.Index)
	}
	return v.Index, nil
}
