package evidence_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"camseal/pkg/evidence"
)

const at = 1795359100000 // 2026-11-22T13:31:40Z

var (
	device = evidence.DeviceID(append([]byte{0, 11}, bytes.Repeat([]byte{0x5e}, 32)...))
	rec    = evidence.RecordingID(bytes.Repeat([]byte{0xa7}, 16))
	other  = evidence.RecordingID(bytes.Repeat([]byte{0xb8}, 16))
	hash   = evidence.Sum([]byte("footage"))
)

func ptr[T any](v T) *T { return &v }

// samples is a body of every kind.
func samples() []evidence.Body {
	source := evidence.Source{Modified: at - 5000, Serial: "BZ02712", Volume: "1A2B-3C4D", Size: 700, Officer: "011314"}
	source.SetPath([]byte("/DCIM/市场检查 \"1\"\n.MP4"), []byte("市场检查 \"1\"\n.MP4"))
	odd := evidence.Source{Serial: "", Volume: "", Size: 0}
	odd.SetPath([]byte("/GBK/\xca\xd3\xc6\xb5.mp4"), []byte("\xca\xd3\xc6\xb5.mp4"))
	return []evidence.Body{
		&evidence.Enrol{AK: []byte("public area"), Class: evidence.ClassTPM, ClearDisabled: true,
			Counter: &evidence.CounterRef{Index: 0x1810c51, Name: []byte("name")}, EK: []byte("ek"), EKCert: []byte("der"),
			HomeLog: "camseal.example/log+1a2b3c4d+AX", Previous: &evidence.ChainRef{Device: device, Head: hash, Seq: 41}, TLSKey: []byte("spki")},
		&evidence.Boot{ChainPCR: 13, Counter: "18446744073709551615", Intents: []evidence.Digest{hash},
			PCRs: []evidence.Digest{hash, {}}, ResetCount: 3, RestartCount: 1, Software: "camseal-agent 0.1"},
		&evidence.Anchor{Checkpoint: "camseal.example/log\n12\nroot=\n\n— camseal.example/log sig\n"},
		&evidence.Intake{ClockOffset: &evidence.Signed{Sign: "-", Value: 1500}, Counter: "12", Recorder: "BZ02712", Slot: "1-1.2"},
		&evidence.Open{ChunkSize: 4096, Intake: 3, MediaType: "video/mp4", Mode: evidence.ModeImport,
			Sequence: &evidence.Sequence{ID: other, Index: 2}, Source: source},
		&evidence.Open{ChunkSize: 4096, Intake: 3, MediaType: "application/octet-stream", Mode: evidence.ModeImport, Source: odd},
		&evidence.Open{Continues: &other, Counter: "7", MediaType: "video/mp4", Mode: evidence.ModeCapture},
		&evidence.Chunk{Hash: hash, Index: 0, Offset: 0, Size: 700},
		&evidence.Chunk{Duration: 4000, Early: true, Hash: hash, Index: 9, Keyframe: true, Offset: 70000, Size: 800, Start: 36000},
		&evidence.Beat{},
		&evidence.Header{Activity: "检查", Case: "2026-0117", Cause: "无照经营", Companions: []string{"专家 张三"}, Confirmed: "011314",
			Corrects: 5, Department: "市场监管局", Officers: []evidence.Officer{{Certificate: "甘A-0001", Name: "李伟"}}, Place: "兰州",
			Spoken: &evidence.SpokenHeader{Confidence: 915, Engine: "pocketsphinx", From: 4000, Transcript: "…", Until: 21000},
			Time:   "2026-11-22 09:31", Further: []evidence.FurtherField{{Name: "区域", Value: "城关"}}},
		&evidence.Mark{Moment: 192440, Text: "⚑"},
		&evidence.Note{By: "011314", Corrects: 4, Text: "两箱 \u2028 \\ \" \u001f 𝄞"},
		&evidence.Fault{Chunks: []uint64{1, 2}, Detail: "input/output error", Offset: 4096, Size: 8192, Why: evidence.WhyReadError},
		&evidence.Close{Chunks: 1, Duration: 40000, Hash: hash, Size: 700, Why: evidence.WhyComplete},
		&evidence.Unrecorded{Activity: "送达", By: "011314", Reason: "文字记录已足够"},
		&evidence.Release{Erased: hash, Permit: hash},
		&evidence.Boot{ChainPCR: 13, Counter: "12", Last: ptr(uint64(0)), PCRs: []evidence.Digest{hash, {}}, ResetCount: 4, Software: "camseal-agent 0.1"},
	}
}

func sample(t *testing.T, body evidence.Body, seq, n uint64, of evidence.RecordingID) []byte {
	t.Helper()
	s := evidence.NewStatement(device, of, body)
	s.At, s.Seq, s.N, s.Salt = at, seq, n, evidence.Salt(bytes.Repeat([]byte{byte(seq)}, 16))
	line, _, err := s.Encode()
	if err != nil {
		t.Fatalf("%s: %v", body.Kind(), err)
	}
	return line
}

func sampleOf(t *testing.T, i int) []byte {
	body := samples()[i]
	of, seq := rec, uint64(i)
	switch body.(type) {
	case *evidence.Enrol, *evidence.Boot, *evidence.Anchor, *evidence.Intake:
		of = evidence.RecordingID{}
	}
	return sample(t, body, seq, 1, of)
}

func leaves() []evidence.Leaf {
	return []evidence.Leaf{
		&evidence.Seen{Device: device, Head: hash, Seq: 9},
		&evidence.Seen{Device: device, Head: hash, Prev: ptr(uint64(0)), Seq: 12},
		&evidence.Stored{Chunks: 2, Device: device, List: hash, Lock: evidence.LockFolder, Manifest: hash, Open: hash, Rec: rec, Until: at, Vault: "v"},
		&evidence.Stored{Absent: []uint64{1}, Chunks: 2, Close: &hash, Device: device, List: hash, Lock: evidence.LockCompliance,
			Manifest: hash, Open: hash, Rec: rec, Until: at, Vault: "v"},
		&evidence.Custody{Event: hash},
		&evidence.Revoke{Device: device, SuspectSince: ptr(int64(at))},
		&evidence.Export{Device: device, Last: 4, Manifest: hash, Rec: rec},
	}
}

func writeLineVectors(t *testing.T) {
	put := func(name, kind string, input []byte) {
		_, digest, err := parse(kind, input)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		writeVector(t, "testdata/vectors/line/good-"+name+".vector", input, "type: "+kind, "expect: ok", "digest: "+digest.String())
	}
	for i, b := range samples() {
		put(fmt.Sprintf("statement-%02d-%s", i, b.Kind()), "statement", sampleOf(t, i))
	}
	withheld, err := evidence.Encode(evidence.Withheld{Digest: hash, Rec: rec, Seq: 7})
	if err != nil {
		t.Fatal(err)
	}
	put("withheld", "chain-line", withheld)
	seal, _ := evidence.Encode(evidence.Seal{Attest: []byte("attest"), Head: hash, PCRs: []evidence.Digest{hash}, Sig: []byte("sig"), Type: "seal", Upto: 9})
	put("seal", "seal-line", seal)
	count, _ := evidence.Encode(evidence.Count{Attest: []byte("attest"), Seq: 9, Sig: []byte("sig"), Type: "count"})
	put("count", "seal-line", count)
	for i, l := range leaves() {
		line, err := evidence.EncodeLeaf(l)
		if err != nil {
			t.Fatal(err)
		}
		put(fmt.Sprintf("leaf-%d", i), "leaf", line)
	}
	for _, b := range brokenLines(t, withheld, seal) {
		writeVector(t, "testdata/vectors/line/broken-"+b.name+".vector", []byte(b.input), "type: "+b.kind, "expect: broken: "+b.reason)
	}
}

type brokenLine struct{ name, kind, input, reason string }

// brokenLines are spellings of good lines that a lax parser would take.
func brokenLines(t *testing.T, withheld, seal []byte) []brokenLine {
	chunk, open, note, enrol := string(sampleOf(t, 7)), string(sampleOf(t, 4)), string(sampleOf(t, 12)), string(sampleOf(t, 0))
	leaf, _ := evidence.EncodeLeaf(leaves()[3])
	swap := func(s, old, with string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("%s does not contain %s", s, old)
		}
		return strings.Replace(s, old, with, 1)
	}
	return []brokenLine{
		{"space", "statement", swap(chunk, ":", ": "), "bytes differ"},
		{"trailing-space", "statement", chunk + " ", "bytes differ"},
		{"trailing-value", "statement", chunk + "{}", "something follows"},
		{"empty", "statement", "", "EOF"},
		{"not-an-object", "statement", "[]", "cannot unmarshal"},
		{"order", "statement", swap(chunk, `"index":0,"offset":0`, `"offset":0,"index":0`), "bytes differ"},
		{"unknown-member", "statement", swap(chunk, `"index":0`, `"index":0,"mood":1`), "unknown field"},
		{"duplicate-member", "statement", swap(chunk, `"index":0`, `"index":0,"index":0`), "stands twice"},
		{"member-case", "statement", swap(chunk, `"index"`, `"Index"`), "member name"},
		{"member-digit", "statement", swap(chunk, `"index"`, `"index1"`), "member name"},
		{"member-missing", "statement", swap(chunk, `"index":0,`, ``), "bytes differ"},
		{"zero-member", "statement", swap(chunk, `"hash"`, `"duration":0,"hash"`), "bytes differ"},
		{"number-exponent", "statement", swap(chunk, `"size":700`, `"size":7e2`), "integer"},
		{"number-fraction", "statement", swap(chunk, `"size":700`, `"size":700.0`), "integer"},
		{"number-negative", "statement", swap(chunk, `"offset":0`, `"offset":-0`), "integer"},
		{"number-leading-zero", "statement", swap(chunk, `"size":700`, `"size":0700`), "invalid character"},
		{"number-too-large", "statement", swap(chunk, `"size":700`, `"size":9007199254740992`), "integer"},
		{"number-as-string", "statement", swap(chunk, `"size":700`, `"size":"700"`), "cannot unmarshal"},
		{"null-number", "statement", swap(chunk, `"size":700`, `"size":null`), "bytes differ"},
		{"size-zero", "statement", swap(chunk, `"size":700`, `"size":0`), "size 0"},
		{"hex-upper", "statement", strings.Replace(chunk, hash.String(), strings.ToUpper(hash.String()), 1), "lower-case"},
		{"hex-short", "statement", strings.Replace(chunk, hash.String(), hash.String()[2:], 1), "hexadecimal digits"},
		{"version", "statement", swap(chunk, `"v":1`, `"v":2`), "version 2"},
		{"kind-unknown", "statement", swap(chunk, `"kind":"chunk"`, `"kind":"chunks"`), "unknown kind"},
		{"kind-of-another-body", "statement", swap(chunk, `"kind":"chunk"`, `"kind":"mark"`), "unknown field"},
		{"chunk-of-the-device", "statement", strings.Replace(chunk, rec.String(), evidence.RecordingID{}.String(), 1), "with recording"},
		{"enrol-of-a-recording", "statement", strings.Replace(enrol, evidence.RecordingID{}.String(), rec.String(), 1), "with recording"},
		{"enrol-not-first", "statement", swap(enrol, `"seq":0`, `"seq":5`), "enrol is the first"},
		{"first-not-enrol", "statement", swap(chunk, `"seq":7`, `"seq":0`), "enrol is the first"},
		{"enrol-class", "statement", swap(enrol, `"class":"tpm"`, `"class":"hsm"`), "unknown class"},
		{"base64-unpadded", "statement", strings.Replace(enrol, `"ek":"ZWs="`, `"ek":"ZWs"`, 1), "base64"},
		{"base64-loose-bits", "statement", strings.Replace(enrol, `"ek":"ZWs="`, `"ek":"ZWt="`, 1), "base64"},
		{"base64-newline", "statement", strings.Replace(enrol, `"ek":"ZWs="`, `"ek":"ZW\ns="`, 1), "base64"},
		{"base64-empty", "statement", strings.Replace(enrol, `"ek":"ZWs="`, `"ek":""`, 1), "bytes differ"},
		{"mode", "statement", swap(open, `"mode":"import"`, `"mode":"copy"`), "unknown mode"},
		{"chunk-size-zero", "statement", swap(open, `"chunk_size":4096`, `"chunk_size":0`), "chunk_size"},
		{"name-raw-needless", "statement", strings.Replace(open, `,"officer"`, `,"name_raw":"YQ==","officer"`, 1), "one form"},
		{"counter-leading-zero", "statement", swap(string(sampleOf(t, 1)), `"counter":"1`, `"counter":"01`), "decimal"},
		{"counter-too-large", "statement", swap(string(sampleOf(t, 1)), `"counter":"1`, `"counter":"2`), "decimal"},
		{"counter-signed", "statement", swap(string(sampleOf(t, 3)), `"counter":"1`, `"counter":"+1`), "decimal"},
		{"counter-of-an-import", "statement", swap(open, `"chunk_size":4096`, `"chunk_size":4096,"counter":"7"`), "counted by its intake"},
		{"last-null", "statement", swap(string(sampleOf(t, 17)), `"last":0`, `"last":null`), "bytes differ"},
		{"sign", "statement", swap(string(sampleOf(t, 3)), `"sign":"-"`, `"sign":"~"`), "sign"},
		{"sign-minus-zero", "statement", swap(string(sampleOf(t, 3)), `"value":1500`, `"value":0`), "sign"},
		{"utf8-broken", "statement", strings.Replace(note, "两箱", "两\xe7\xae", 1), "UTF-8"},
		{"utf8-overlong", "statement", strings.Replace(note, "两箱", "\xc0\xaf", 1), "UTF-8"},
		{"utf8-surrogate", "statement", strings.Replace(note, "两箱", "\xed\xa0\x80", 1), "UTF-8"},
		{"escaped-surrogate", "statement", strings.Replace(note, "两箱", `\ud800`, 1), "bytes differ"},
		{"escaped-needlessly", "statement", strings.Replace(note, "两箱", `\u4e24箱`, 1), "bytes differ"},
		{"escaped-slash", "statement", strings.Replace(note, "两箱", `\/`, 1), "bytes differ"},
		{"escape-long", "statement", strings.Replace(note, `\"`, `\u0022`, 1), "bytes differ"},
		{"control-raw", "statement", strings.Replace(note, "两箱", "\x01", 1), "invalid character"},
		{"too-deep", "statement", strings.Repeat("[", 9) + strings.Repeat("]", 9), "nested deeper"},
		{"too-long", "statement", strings.Replace(note, "两箱", strings.Repeat("x", 64<<10), 1), "at most 65536"},
		{"bom", "statement", "\ufeff" + chunk, "invalid character"},
		{"withheld-of-the-device", "chain-line", strings.Replace(string(withheld), rec.String(), evidence.RecordingID{}.String(), 1), "withheld"},
		{"seal-type", "seal-line", swap(string(seal), `"type":"seal"`, `"type":"stamp"`), "neither seal nor count"},
		{"seal-pcrs-null", "seal-line", swap(string(seal), `["`+hash.String()+`"]`, `null`), "bytes differ"},
		{"leaf-type", "leaf", swap(string(leaf), `"type":"stored"`, `"type":"seen"`), ""},
		{"leaf-empty-absent", "leaf", swap(string(leaf), `"absent":[1]`, `"absent":[]`), "bytes differ"},
		{"leaf-version", "leaf", swap(string(leaf), `"v":1`, `"v":2`), "version 2"},
	}
}

func writeChainVectors(t *testing.T) {
	lines := [][]byte{
		sample(t, samples()[0], 0, 0, evidence.RecordingID{}), sample(t, samples()[1], 1, 1, evidence.RecordingID{}),
		sample(t, samples()[3], 2, 2, evidence.RecordingID{}), sample(t, samples()[4], 3, 0, rec), sample(t, samples()[7], 4, 1, rec),
		sample(t, samples()[4], 5, 0, other), sample(t, samples()[14], 6, 2, rec), sample(t, samples()[12], 7, 3, rec),
	}
	heads := []string{evidence.FirstHead(device).String()}
	head := evidence.FirstHead(device)
	for i, line := range lines {
		s, d, err := evidence.ParseUnverified(line)
		if err != nil {
			t.Fatal(err)
		}
		head = evidence.NextHead(uint64(i), s.Rec, head, d)
		heads = append(heads, head.String())
	}
	put := func(name, expect string, lines [][]byte) {
		writeVector(t, "testdata/vectors/chain/"+name+".vector", bytes.Join(lines, []byte("\n")),
			"device: "+device.String(), "heads: "+strings.Join(heads, " "), "expect: "+expect)
	}
	put("good", "ok", lines)
	withheld, _ := evidence.Encode(evidence.Withheld{Digest: evidence.Sum(lines[5]), Rec: other, Seq: 5})
	with := func(i int, line []byte) [][]byte {
		out := append([][]byte{}, lines...)
		out[i] = line
		return out
	}
	put("good-withheld", "ok", with(5, withheld))
	moved, _ := evidence.Encode(evidence.Withheld{Digest: evidence.Sum(lines[5]), Rec: rec, Seq: 5})
	put("broken-withheld-under-another-recording", "broken chain at seq 5", with(5, moved))
	put("broken-changed", "broken chain at seq 7", with(7, bytes.Replace(lines[7], []byte("两箱"), []byte("三箱"), 1)))
	put("broken-dropped", "broken chain at seq 4", append(append([][]byte{}, lines[:4]...), lines[5:]...))
	put("broken-swapped", "broken chain at seq 4", append(append([][]byte{}, lines[:4]...), lines[6], lines[5], lines[4], lines[7]))
}
