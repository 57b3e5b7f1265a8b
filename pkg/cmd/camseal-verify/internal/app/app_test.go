package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/pkg/verify/verifytest"
)

// bundle writes a small bundle and a trust folder for it.
func bundle(t *testing.T, change func(verify.Memory)) (dir, trust string) {
	t.Helper()
	spec, err := verifytest.SmallSpec()
	if err != nil {
		t.Fatal(err)
	}
	b, err := verifytest.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	change(b.Files)
	dir, trust = filepath.Join(t.TempDir(), "bundle"), t.TempDir()
	raw, err := json.Marshal(b.Trust())
	if err != nil {
		t.Fatal(err)
	}
	if err := verifytest.WriteFolder(dir, b.Files); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(trust, "trust.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, trust
}

func call(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := Main(args, &out, &errs); got != want {
		t.Fatalf("%v: exit %d, want %d\n%s%s", args, got, want, &out, &errs)
	}
	return out.String(), errs.String()
}

func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in:\n%s", p, text)
		}
	}
}

func TestVerdicts(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	dir, trust := bundle(t, func(verify.Memory) {})
	out, _ := call(t, 0, "--trust", trust, dir)
	wantIn(t, out, "✓ Sound · software-sealed", "No witnesses were given", "NOR_0001.MP4", "7 of 7 hold")
	out, _ = call(t, 5, dir)
	wantIn(t, out, "vouched for only by itself", "No trust folder was given")
	out, _ = call(t, 5, dir, "--lang", "zh")
	wantIn(t, out, "仅由证据包自身担保", "没有给出信任文件夹")

	broken, _ := bundle(t, func(m verify.Memory) { m[verify.DirOriginal+"NOR_0001.MP4"][300] ^= 1 })
	out, _ = call(t, 3, "--trust="+trust, broken)
	wantIn(t, out, "✗ Broken", "chunk 1 (bytes 256 to 511)", "data/original/NOR_0001.MP4")
	t.Setenv("LC_ALL", "zh_CN.UTF-8")
	out, _ = call(t, 3, "--trust="+trust, broken)
	wantIn(t, out, "校验不一致", "数据块 1（第 256 至 511 字节）")
	out, _ = call(t, 3, broken, "--json", "--trust", trust)
	var r verify.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Exit != 3 || *r.First.Place.Chunk != 1 || r.About.Hash == nil {
		t.Errorf("%v: %s", err, out)
	}

	short, _ := bundle(t, func(m verify.Memory) {
		delete(m, verify.FileExportLeaf)
		delete(m, verify.FileExportProof)
		verifytest.RebagTags(m)
	})
	call(t, 4, "--trust", trust, short)
}

// TestFullReport reads what stands in the report of a bundle with all there can be: device, maker, grade, bracket, counter.
func TestFullReport(t *testing.T) {
	spec, err := verifytest.FullSpec()
	if err != nil {
		t.Fatal(err)
	}
	b, err := verifytest.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	trust := b.Trust()
	r, err := verify.Bundle(t.Context(), b.Files, verify.Options{Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	text := human(r, verify.English)
	wantIn(t, text, "✓ Sound · dock-sealed\n", "device: "+r.About.Device.String(), "TPM certified by: Camseal test, TPM maker", "attested by the operator",
		"time: sealed between 2026-09-21 14:13:18 and 14:13:23 UTC by two witnesses; the device's clock said 2026-09-21 14:13:20", "filming time not proven",
		"time: the server says: sealed between", "by a time stamp of stamps.test stamper", "counter: 44 (index 01800051), 5 count records, 0 missing, 0 gaps")
	if strings.Contains(text, "so not claimed") {
		t.Error(text)
	}
	wantIn(t, human(r, verify.Chinese), "由两个见证方证明", "计数器: 44", "拍摄时间未得证明")
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	wantIn(t, string(raw), `"sealed_not_before":{"at":1789999998000,"by":"witnesses"`, `"sealed_not_after":{"at":1790000003000,`, `"counter":{"index":25165905,"value":44,`)

	trust.EKRootsTrial, trust.EKRoots = trust.EKRoots, nil
	trust.Quorum, trust.Witnesses = 2, []string{trust.Witnesses[0], trust.Logs[0].Clock}
	trust.Witnesses[1] = "three.test/witness+" // no key at all: it counts for nothing
	if r, err = verify.Bundle(t.Context(), b.Files, verify.Options{Trust: trust}); err != nil {
		t.Fatal(err)
	}
	text = human(r, verify.English)
	wantIn(t, text, "✓ Sound · dock-sealed (emulated TPM, trial)\n", "sealed no later than 2026-09-21 14:14:21 UTC by a time stamp", "Too few of the witnesses given signed the receipts")
}

func TestUsage(t *testing.T) {
	t.Setenv("LC_ALL", "en_US.UTF-8")
	dir, trust := bundle(t, func(verify.Memory) {})
	for _, args := range [][]string{{}, {dir, dir}, {"--what", dir}, {"--lang", "fr", dir}, {"--trust", dir, dir}, {"--trust", trust + "gone", dir}} {
		if _, errs := call(t, 2, args...); errs == "" {
			t.Errorf("%v: nothing said", args)
		}
	}
	if _, errs := call(t, 0, "--help"); !strings.Contains(errs, "Exit status") {
		t.Errorf("help: %s", errs)
	}
	out, _ := call(t, 2, "--trust", trust, filepath.Join(dir, "gone"))
	wantIn(t, out, "Cannot be checked", "cannot be read")
	out, _ = call(t, 2, t.TempDir())
	wantIn(t, out, "no Camseal bundle")
}

// TestHostileName shows a name that would steer a terminal.
func TestHostileName(t *testing.T) {
	spec, err := verifytest.SmallSpec()
	if err != nil {
		t.Fatal(err)
	}
	spec.Name, spec.Why = "\x1b[2J\u202eevil.mp4", "\x1b]0;x\a"
	b, err := verifytest.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	r, err := verify.Bundle(t.Context(), b.Files, verify.Options{Trust: b.Trust()})
	if err != nil || r.Verdict != verify.Incomplete {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, l := range []verify.Lang{verify.English, verify.Chinese} {
		if text := human(r, l); strings.ContainsAny(text, "\x1b\a\u202e") {
			t.Errorf("%q", text)
		}
	}
}

// writeLog writes a log of some leaves below a folder, and a trust folder for it.
func writeLog(t *testing.T, leaves ...evidence.Leaf) (dir, trust string) {
	t.Helper()
	l, err := verifytest.NewLog("camseal.test/log", "app")
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range leaves {
		if _, err := l.Append(leaf); err != nil {
			t.Fatal(err)
		}
	}
	tiles, err := l.Tiles()
	if err != nil {
		t.Fatal(err)
	}
	dir, trust = t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, tiles); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal((&verifytest.Bundle{Log: l}).Trust())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(trust, "trust.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, trust
}

func TestLogCommand(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	zero := uint64(0)
	first := &evidence.Seen{Device: evidence.DeviceID{0, 11, 1}, Seq: 4}
	dir, trust := writeLog(t, first, &evidence.Custody{})
	out, _ := call(t, 0, "log", dir, "--trust", trust)
	wantIn(t, out, "✓ Sound", "leaves: 2", "1 seen", "No witnesses were given")
	call(t, 0, "--trust", trust, "log", dir)
	out, _ = call(t, 5, "log", dir, "--lang", "zh")
	wantIn(t, out, "没有给出信任文件夹", "叶子: 2")
	out, _ = call(t, 2, "log", t.TempDir())
	wantIn(t, out, "no transparency log")
	out, _ = call(t, 2, "log", filepath.Join(dir, "gone"))
	wantIn(t, out, "Cannot be checked")
	call(t, 2, "log") // a bundle of that name

	dir, trust = writeLog(t, first, &evidence.Seen{Device: first.Device, Head: evidence.Sum([]byte("fork")), Prev: &zero, Seq: 4})
	out, _ = call(t, 3, "log", "--json", "--trust", trust, dir)
	var r verify.LogReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.First.Code != verify.CodeTwoHeads || r.Size != 2 || r.Exit != 3 {
		t.Errorf("%v: %s", err, out)
	}
	out, _ = call(t, 3, "log", "--trust", trust, dir)
	wantIn(t, out, "two different histories of one device", "statement 4")
}
