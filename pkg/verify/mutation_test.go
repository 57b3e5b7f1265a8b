package verify_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

// mode says what a forger makes right again after a change.
type mode int

const (
	asIs     mode = iota
	rebag         // bag-info and both manifests
	unsaid        // these, and the export receipt is dropped
	allModes      // their number
)

func (m mode) String() string { return [...]string{"as is", "manifests right", "export dropped"}[m] }

// mutant is one changed bundle.
type mutant struct {
	what  string
	names []string // one of these must stand in a finding
	files verify.Memory
	mode  mode
}

// forge makes right what the mode says. It reports whether anything is left of the change.
func (m *mutant) forge(b *verifytest.Bundle) bool {
	if m.mode == asIs {
		return m.differs(b)
	}
	if m.mode == unsaid {
		delete(m.files, verify.FileExportLeaf)
		delete(m.files, verify.FileExportProof)
	}
	verifytest.Rebag(m.files, b.Rec)
	return m.differs(b)
}

func (m *mutant) differs(b *verifytest.Bundle) bool {
	return slices.ContainsFunc(m.names, func(n string) bool {
		was, before := b.Files[n]
		is, now := m.files[n]
		return before != now || !bytes.Equal(is, was)
	})
}

// found reports whether the bundle is refused and the place named: the file itself, the other half of a receipt, or a list
// that does not fit the files.
func (m *mutant) found(r, good *verify.Report) error {
	if r.Exit != 2 && r.Exit != 3 && r.Exit != 4 {
		return fmt.Errorf("%s (%s): verdict %s", m.what, m.mode, r.Verdict)
	}
	for _, p := range r.Problems {
		if p.Place.File == "" || p.Text(verify.English) == "" || p.Text(verify.Chinese) == "" {
			return fmt.Errorf("%s (%s): finding without a place or text: %+v", m.what, m.mode, p)
		}
		for _, n := range m.names {
			if p.Place.File == n || p.Place.File == partner(n) || p.Value == n {
				return nil
			}
		}
	}
	if m.mode != asIs && r.About != nil && r.About.Class == evidence.ClassSoftware && strings.HasPrefix(m.what, "drop line") && m.names[0] == verify.FileSeals {
		return nil // a later seal covers the same statements; only a TPM proves that there was another one
	}
	if m.mode != asIs && (strings.HasSuffix(m.names[0], ".proof") || strings.HasPrefix(m.names[0], verify.DirTime)) && claimsNoMore(r, good) {
		return nil // a cosignature that is not there, or is a stranger's, or what nobody signed of a time stamp: nothing is claimed by it
	}
	if m.mode != asIs && strings.HasPrefix(m.what, "swap line") && m.names[0] == verify.FileSeals && r.Counter != nil && r.Counter.Missing == 0 && r.Counter.Records == good.Counter.Records {
		return nil // a count record may come in after a later seal: both hold, and say the same
	}
	return fmt.Errorf("%s (%s): verdict %s, not named: %+v", m.what, m.mode, r.Verdict, r.Problems)
}

// claimsNoMore reports whether r claims no more about time and witnesses than good.
func claimsNoMore(r, good *verify.Report) bool {
	if r.Time == nil || len(r.Receipts) > len(good.Receipts) {
		return false
	}
	for i, f := range r.Receipts {
		if f.Witnesses > good.Receipts[i].Witnesses {
			return false
		}
	}
	after := r.Time.After == nil || r.Time.After.At <= good.Time.After.At
	before := r.Time.Before == nil || r.Time.Before.At >= good.Time.Before.At
	stamp := r.Time.Stamp == nil || r.Time.Stamp.At >= good.Time.Stamp.At
	return after && before && stamp
}

// tryAll checks all mutants on as many goroutines as there are cores.
func tryAll(t *testing.T, b *verifytest.Bundle, each func(yield func(*mutant) bool)) {
	t.Helper()
	good := checkWith(t, b.Files, b.Trust())
	work := make(chan *mutant, 64)
	var done sync.WaitGroup
	var mu sync.Mutex
	n, bad := 0, 0
	for range runtime.GOMAXPROCS(0) {
		done.Go(func() {
			for m := range work {
				if !m.forge(b) {
					continue
				}
				r, err := verify.Bundle(t.Context(), m.files, verify.Options{Trust: b.Trust()})
				if err == nil {
					err = m.found(r, good)
				}
				mu.Lock()
				if n++; err != nil {
					if bad++; bad <= 20 {
						t.Error(err)
					}
				}
				mu.Unlock()
			}
		})
	}
	each(func(m *mutant) bool {
		work <- m
		mu.Lock()
		defer mu.Unlock()
		return bad < 1000
	})
	close(work)
	done.Wait()
	t.Logf("%d changed bundles, %d not found", n, bad)
}

// shallow copies the map only: a mutant replaces whole files.
func shallow(m verify.Memory) verify.Memory {
	out := make(verify.Memory, len(m))
	for p, b := range m {
		out[p] = b
	}
	return out
}

func paths(m verify.Memory) []string {
	var out []string
	for p := range m {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// everyByte changes one bit of each byte of each file; of every so many of them if step is above 1.
func everyByte(b *verifytest.Bundle, m mode, step int) func(func(*mutant) bool) {
	return func(yield func(*mutant) bool) {
		for _, p := range paths(b.Files) {
			if m == unsaid && strings.HasPrefix(p, "export/") || m != asIs && !strings.Contains(p, "/") {
				continue
			}
			for i := 0; i < len(b.Files[p]); i += step {
				files := shallow(b.Files)
				files[p] = bytes.Clone(files[p])
				files[p][i] ^= 1 << ((i + int(m)) % 7)
				if !yield(&mutant{what: fmt.Sprintf("%s byte %d", p, i), names: []string{p}, files: files, mode: m}) {
					return
				}
			}
		}
	}
}

func TestEveryByte(t *testing.T) {
	for class, b := range map[string]*verifytest.Bundle{"software": small(t), "tpm": emulated(t)} {
		for m := range allModes {
			if os.Getenv("CAMSEAL_TEST") == "quick" && m != unsaid {
				continue
			}
			step := 1
			if class == "tpm" && m == asIs {
				step = 5 // the lists of files find these, whatever they mean; the other class has every one
			}
			t.Run(class+", "+m.String(), func(t *testing.T) { tryAll(t, b, everyByte(b, m, step)) })
		}
	}
}

// structural drops, doubles, swaps and truncates files and lines.
func structural(b *verifytest.Bundle, m mode) func(func(*mutant) bool) {
	return func(yield func(*mutant) bool) {
		add := func(what string, change func(verify.Memory), names ...string) {
			files := shallow(b.Files)
			change(files)
			yield(&mutant{what: what, names: names, files: files, mode: m})
		}
		all := paths(b.Files)
		for i, p := range all {
			if m != asIs && (strings.HasPrefix(p, "export/") || !strings.Contains(p, "/")) {
				continue
			}
			content := b.Files[p]
			add("drop "+p, func(f verify.Memory) { delete(f, p) }, p, verify.DirReceipts, verify.FileCustody, partner(p))
			add("double "+p, func(f verify.Memory) { f[p+".1"] = content }, p+".1")
			add("empty "+p, func(f verify.Memory) { f[p] = nil }, p)
			add("halve "+p, func(f verify.Memory) { f[p] = content[:len(content)/2] }, p)
			add("cut the end of "+p, func(f verify.Memory) { f[p] = content[:len(content)-1] }, p)
			add("lengthen "+p, func(f verify.Memory) { f[p] = append(bytes.Clone(content), '\n') }, p)
			add("lengthen twice "+p, func(f verify.Memory) { f[p] = append(bytes.Clone(content), content...) }, p)
			for _, q := range all[i+1:] {
				if m == asIs || strings.HasPrefix(q, "data/") {
					add("swap "+p+" and "+q, func(f verify.Memory) { f[p], f[q] = f[q], f[p] }, p, q)
				}
			}
			lines := bytes.SplitAfter(content, []byte("\n"))
			if len(lines) < 2 || strings.Contains(p, "original") {
				continue
			}
			for k, l := range lines[:len(lines)-1] {
				put := func(parts ...[]byte) func(verify.Memory) {
					return func(f verify.Memory) { f[p] = bytes.Join(parts, nil) }
				}
				before, after := bytes.Join(lines[:k], nil), bytes.Join(lines[k+1:], nil)
				what := fmt.Sprintf(" line %d of %s", k+1, p)
				add("drop"+what, put(before, after), p)
				add("double"+what, put(before, l, l, after), p)
				add("truncate"+what, put(before, l[:len(l)/2], []byte("\n"), after), p)
				add("cut at"+what, put(before, l), p)
				if k+2 < len(lines) && !bytes.Equal(l, lines[k+1]) {
					add("swap"+what, put(before, lines[k+1], l, bytes.Join(lines[k+2:], nil)), p)
				}
			}
		}
	}
}

// partner is the other file of a receipt.
func partner(p string) string {
	if base, ok := strings.CutSuffix(p, ".leaf"); ok {
		return base + ".proof"
	}
	if base, ok := strings.CutSuffix(p, ".proof"); ok {
		return base + ".leaf"
	}
	return map[string]string{verify.FileExportLeaf: verify.FileExportProof, verify.FileExportProof: verify.FileExportLeaf}[p]
}

func TestStructure(t *testing.T) {
	for name, b := range map[string]*verifytest.Bundle{"software": small(t), "tpm": emulated(t)} {
		for m := range allModes {
			t.Run(name+", "+m.String(), func(t *testing.T) { tryAll(t, b, structural(b, m)) })
		}
	}
}
