package verify

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"camseal/pkg/evidence"
)

// summary is what recording.json holds: nothing that does not follow from the chain.
type summary struct {
	Chunks     uint64               `json:"chunks"`
	ChunkSize  uint64               `json:"chunk_size"`
	Class      evidence.Class       `json:"class"`
	ClosedAt   *int64               `json:"closed_at"` // the device's clock; null while the recording is open
	Device     evidence.DeviceID    `json:"device"`
	Duration   uint64               `json:"duration"` // milliseconds, 0 if not known
	Faults     uint64               `json:"faults"`
	Hash       *evidence.Digest     `json:"hash"` // SHA-256 of the whole file; null while the recording is open
	Marks      uint64               `json:"marks"`
	MediaType  string               `json:"media_type"`
	Mode       evidence.Mode        `json:"mode"`
	Name       string               `json:"name"`
	OpenedAt   int64                `json:"opened_at"`
	Original   string               `json:"original"` // path in the bundle
	Path       string               `json:"path"`
	Rec        evidence.RecordingID `json:"rec"`
	Released   bool                 `json:"released"` // whether the recorder's copy was erased
	Serial     string               `json:"serial"`
	Size       uint64               `json:"size"`
	Statements uint64               `json:"statements"`
	Type       string               `json:"type"` // "recording"
	V          int                  `json:"v"`
	Why        string               `json:"why"` // of close
}

// maxShown bounds each text that a summary repeats, in bytes.
const maxShown = 4096

// Summary is the content of a bundle's recording.json: canonical JSON and a line feed, the same for the same statements.
// The recording must have been opened.
func Summary(r *Recording, class evidence.Class) ([]byte, error) {
	if r.Open == nil {
		return nil, fmt.Errorf("summary of recording %s: it was never opened", r.Rec)
	}
	o := r.Open
	s := summary{
		Chunks: uint64(len(r.Chunks)), ChunkSize: o.ChunkSize, Class: class, Device: r.Device, Faults: r.Faults, Marks: r.Marks,
		MediaType: shown(o.MediaType), Mode: o.Mode, Name: shown(o.Source.Name), OpenedAt: r.OpenAt.At, Original: OriginalPath(o),
		Path: shown(o.Source.Path), Rec: r.Rec, Released: r.Release != nil, Serial: shown(o.Source.Serial), Size: r.Size,
		Statements: r.N, Type: "recording", V: evidence.Version,
	}
	if r.Close != nil {
		s.ClosedAt, s.Hash, s.Duration, s.Why = &r.CloseAt.At, &r.Close.Hash, r.Close.Duration, shown(r.Close.Why)
	}
	line, err := evidence.Encode(s)
	if err != nil {
		return nil, fmt.Errorf("summary of recording %s: %w", r.Rec, err)
	}
	return append(line, '\n'), nil
}

// Display makes a text that others wrote fit to be shown: one line, bounded, without characters that show nothing or steer
// a terminal.
func Display(s string) string { return shown(s) }

func shown(s string) string {
	s = replaceOdd([]byte(s), "")
	for len(s) > maxShown {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// Readme is the content of a bundle's README.txt, in English and Chinese; the same for the same statements.
// The recording must have been opened.
func Readme(r *Recording, class evidence.Class) ([]byte, error) {
	if r.Open == nil {
		return nil, fmt.Errorf("readme of recording %s: it was never opened", r.Rec)
	}
	return readmesOf(r, class)[0], nil
}

// readmes are all texts that bundles ever had, the newest first. None is ever changed: bundles that hold it must still verify.
var readmes = [][]string{{readmeEnglish, readmeChinese}}

// readmesOf returns the contents that README.txt may have.
func readmesOf(r *Recording, class evidence.Class) (out [][]byte) {
	hash := "-"
	if r.Close != nil {
		hash = r.Close.Hash.String()
	}
	for _, texts := range readmes {
		var b bytes.Buffer
		for _, text := range texts {
			fmt.Fprintf(&b, text, r.Rec, r.Device, class, shown(r.Open.Source.Name), OriginalPath(r.Open), r.Size, len(r.Chunks), hash)
		}
		out = append(out, b.Bytes())
	}
	return out
}

const readmeEnglish = `CAMSEAL EVIDENCE BUNDLE

  recording   %s
  device      %s (%s)
  name        %s
  file        %s
  size        %d bytes in %d chunks
  SHA-256     %s

This folder holds one recording exactly as it was taken in, together with what proves it. You need to trust
nobody who made it. To check it:

  camseal-verify --trust FOLDER BUNDLE

FOLDER holds the public keys of the log that you trust; get it from someone else than the sender of this bundle.
Without it the bundle can only be checked against itself, which shows damage but not forgery.

Without camseal-verify you can still check a good part with common tools:
  sha256sum -c manifest-sha256.txt          every file is as listed
  tpm2_checkquote -u data/device/ak.pem …   a seal (attest, sig, head of a line of data/seals.jsonl)
  openssl verify -CAfile … data/device/ek.pem                            whose TPM it is, if that file is there
  openssl ts -verify -data X.checkpoint -in X.tsr -CAfile …              a time stamp in data/time/, if there is one

What the files are:
  data/original/        the recording itself, bit by bit as found
  data/chain.jsonl      what the device said, one statement a line; other recordings' statements as digests only
  data/seals.jsonl      the signatures of the device's security chip (TPM) over that chain, and over its counter of recordings
  data/receipts/        what the server's public log received, with proofs
  data/custody.jsonl    who did what with the recording
  data/device/          the device's public key, and its TPM maker's certificate
  data/time/            time stamps of outside authorities, if there are any
  data/trust/           the log's key, for comparison only: it proves nothing by itself
  export/               the log's receipt of this bundle as a whole
The format is described, byte by byte, in SPEC.md of Camseal.

Not proven by this bundle: that the picture is true; what happened before the recording was taken in; the time of
filming, unless it was sealed while it was made and witnesses or time stamps say when.

`

const readmeChinese = `CAMSEAL 证据包

  音像记录    %s
  设备        %s (%s)
  名称        %s
  文件        %s
  大小        %d 字节，共 %d 个数据块
  SHA-256     %s

本文件夹包含一份音像记录的原件（与采集时逐位一致）及其证明材料。校验时无需信任任何制作者：

  camseal-verify --trust 信任文件夹 证据包

信任文件夹中是您所信任的日志的公钥，应从证据包提供者以外的渠道取得。没有它，只能检查证据包自身是否一致：
能发现损坏，不能发现整体伪造。

没有 camseal-verify 时，也可用常见工具检查大部分内容：
  sha256sum -c manifest-sha256.txt          每个文件与清单一致
  tpm2_checkquote -u data/device/ak.pem …   签封（data/seals.jsonl 每行的 attest、sig、head）
  openssl verify -CAfile … data/device/ek.pem                            TPM 的厂商（如有该文件）
  openssl ts -verify -data X.checkpoint -in X.tsr -CAfile …              data/time/ 中的时间戳（如有）

文件说明：
  data/original/        音像记录原件
  data/chain.jsonl      设备的逐条陈述（哈希链）；其他音像记录的陈述未提供，仅有摘要
  data/seals.jsonl      设备安全芯片（TPM）对哈希链及其记录计数器的电子签封
  data/receipts/        服务器公开日志的存证回执及其证明
  data/custody.jsonl    保管流转记录
  data/device/          设备公钥及其 TPM 厂商证书
  data/time/            外部机构的时间戳（如有）
  data/trust/           日志公钥，仅供比对，本身不证明任何事
  export/               日志对整个证据包的回执
格式的逐字节说明见 Camseal 的 SPEC.md。

本证据包不证明：画面内容真实；采集之前发生的事；拍摄时间（录制时签封且有见证方或时间戳证明的除外）。
`
