package app

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
)

// text is a text in both languages.
type text struct{ en, zh string }

func (t text) in(l verify.Lang) string {
	if l == verify.Chinese {
		return t.zh
	}
	return t.en
}

var (
	usage = text{`camseal-verify [--json] [--trust DIR] [--lang en|zh] BUNDLE
camseal-verify log DIR [--json] [--trust DIR] [--lang en|zh]

Checks a bundle of evidence (a folder or a .zip), offline; or walks a copy of a whole transparency log (C2SP
tlog-tiles) and says whether it contradicts itself.

  --trust DIR   the keys that you trust, from elsewhere than the bundle
  --json        the whole report, for programs
  --lang        the language; by default as LC_ALL, LC_MESSAGES or LANG say

Exit status: 0 verified, 2 unreadable or wrong usage, 3 broken, 4 sound but incomplete,
5 consistent, but vouched for only by itself.
`, `camseal-verify [--json] [--trust 文件夹] [--lang en|zh] 证据包
camseal-verify log 文件夹 [--json] [--trust 文件夹] [--lang en|zh]

离线校验证据包（文件夹或 .zip）；或遍历整个透明日志的副本（C2SP tlog-tiles），检查其是否自相矛盾。

  --trust 文件夹   您所信任的公钥，须取自证据包以外
  --json           完整报告，供程序读取
  --lang           语言；默认依 LC_ALL、LC_MESSAGES 或 LANG

退出码：0 校验一致，2 无法读取或用法错误，3 校验不一致，4 一致但不完整，
5 自身一致，但仅由证据包自身担保。
`}
	oneBundle  = text{"name one bundle", "请指定一个证据包"}
	headings   = text{"Not given or not reached, so not claimed", "未给出或未达到，因此不作判断"}
	notProven  = text{"Not proven by any of this", "以上均不证明"}
	others     = text{"Other findings", "其他发现"}
	andMore    = text{"and %d more", "以及另外 %d 项"}
	detailText = text{"technical detail", "技术细节"}
)

var marks = map[verify.Verdict]string{verify.Verified: "✓", verify.SelfVouched: "○", verify.Incomplete: "!", verify.Broken: "✗", verify.Unreadable: "✗"}

// human writes a report for people: the verdict and its reason first, then what was not given.
func human(r *verify.Report, l verify.Lang) string {
	p := &page{lang: l}
	p.verdict(r.Findings, gradeOf(r, l))
	p.list(headings, r.NotGiven)
	if r.About != nil {
		p.about(r)
		p.proof(r)
	}
	p.others(r.Findings)
	if r.Verdict != verify.Unreadable {
		p.list(notProven, r.NotProven)
	}
	return p.b.String()
}

type page struct {
	b    strings.Builder
	lang verify.Lang
}

func (p *page) line(format string, args ...any) {
	fmt.Fprintf(&p.b, format+"\n", args...)
}

func gradeOf(r *verify.Report, l verify.Lang) string {
	if r.About == nil || r.Verdict == verify.Unreadable {
		return ""
	}
	grade := " · " + r.About.Grade.Text(l)
	if r.About.GradeNote != "" {
		grade += fmt.Sprintf(" (%s)", r.About.GradeNote.Text(l))
	}
	return grade
}

func (p *page) verdict(r verify.Findings, grade string) {
	p.line("%s %s%s", marks[r.Verdict], r.Verdict.Text(p.lang), grade)
	if r.First != nil {
		p.line("  %s", r.First.Text(p.lang))
		if r.First.Detail != "" {
			p.line("  (%s: %s)", detailText.in(p.lang), r.First.Detail)
		}
	}
	p.line("  %s", r.Verdict.Reason(p.lang))
}

func (p *page) list(title text, items []verify.Missing) {
	if len(items) == 0 {
		return
	}
	p.line("\n%s:", title.in(p.lang))
	for _, m := range items {
		p.line("  - %s", m.Text(p.lang))
	}
}

func (p *page) row(name text, format string, args ...any) {
	p.line("  %s: %s", name.in(p.lang), verify.Display(fmt.Sprintf(format, args...)))
}

func (p *page) about(r *verify.Report) {
	a := r.About
	p.line("\n%s", text{"Recording", "音像记录"}.in(p.lang)+" "+a.Rec.String())
	p.row(text{"name", "名称"}, "%s", a.Name)
	p.row(text{"file", "文件"}, "%s", a.Original)
	p.row(text{"size", "大小"}, text{"%d bytes in %d chunks", "%d 字节，%d 个数据块"}.in(p.lang), a.Size, a.Chunks)
	if a.Hash != nil {
		p.row(text{"SHA-256", "SHA-256"}, "%s", a.Hash)
	}
	p.row(text{"device", "设备"}, "%s", a.Device)
	if r.Device != nil {
		p.device(r)
	}
	p.row(text{"taken in from (by the device's clock, a claim)", "采集开始（设备时钟所述，未经证明）"}, "%s", when(a.OpenedAt))
	if a.ClosedAt != nil {
		p.row(text{"taken in until (likewise)", "采集结束（同上）"}, "%s", when(*a.ClosedAt))
	}
	if a.Released {
		p.row(text{"recorder's copy", "记录仪中的副本"}, "%s", text{"released, after it was stored", "入库后已清空"}.in(p.lang))
	}
	p.content(a)
}

// content says what officers said the recording is about.
func (p *page) content(a *verify.About) {
	if h := a.Header; h != nil {
		var officers []string
		for _, o := range h.Officers {
			officers = append(officers, strings.TrimSpace(o.Name+" "+o.Certificate))
		}
		p.row(text{"department", "执法部门"}, "%s", h.Department)
		p.row(text{"officers", "执法人员"}, "%s", strings.Join(officers, ", "))
		p.row(text{"cause", "事由"}, "%s", h.Cause)
		p.row(text{"time, place (as stated)", "时间、地点（所述）"}, "%s; %s", h.Time, h.Place)
		spoken := text{"typed only, no voice header", "无语音说明"}.in(p.lang)
		if h.Spoken != nil {
			spoken = h.Spoken.Transcript
		}
		p.row(text{"spoken", "语音说明"}, "%s", spoken)
		p.row(text{"confirmed by", "确认人"}, "%s", h.Confirmed)
	}
	if a.Note != nil {
		p.row(text{"text note", "文字说明"}, "%s", a.Note.Text)
	}
	if a.Marks > 0 {
		p.row(text{"important marks", "重点标记"}, "%d", a.Marks)
	}
	p.faults(a)
}

// faults tells what the device says went wrong meanwhile: it is part of what is sealed, and no reason to doubt the rest.
func (p *page) faults(a *verify.About) {
	if a.Faults == 0 {
		return
	}
	p.row(text{"faults, as the device says", "设备报告的故障"}, "%d", a.Faults)
	for _, f := range a.Told[:min(len(a.Told), shownFaults)] {
		p.row(text{"fault", "故障"}, "%s: %s", f.Why, f.Detail)
	}
	if rest := a.Faults - uint64(min(len(a.Told), shownFaults)); rest > 0 {
		p.row(text{"fault", "故障"}, text{"%d more; data/chain.jsonl has all", "另有 %d 项，全部见 data/chain.jsonl"}.in(p.lang), rest)
	}
}

const shownFaults = 10

// device says whose TPM sealed, and with what software.
func (p *page) device(r *verify.Report) {
	d := r.Device
	if d.Maker != "" {
		p.row(text{"TPM certified by", "TPM 认证方"}, "%s", d.Maker)
	}
	if d.Attested {
		p.row(text{"sealing key and certified TPM are one", "签封密钥与所认证 TPM 为同一芯片"}, "%s", text{"attested by the operator", "由运营方陈述"}.in(p.lang))
	}
	if d.Previous != nil {
		p.row(text{"was before its new key, by its own word", "更换密钥前的设备（设备自述）"}, "%s", *d.Previous)
	}
	for i, b := range d.Boots {
		what := b.Software
		if len(b.PCRs) > 0 {
			set := b.Set
			if set == "" {
				set = text{"not compared, or of none of the sets given", "未比对，或不在所给参考值中"}.in(p.lang)
			}
			what += text{"; start-up values: ", "；启动度量值："}.in(p.lang) + set
		}
		if i == 0 {
			p.row(text{"software", "软件"}, "%s", what)
		} else {
			p.row(text{"software since statement", "软件，自陈述起"}, "%d: %s", b.Seq, what)
		}
		if b.Last != nil {
			p.row(text{"went on from the server's head after its own statement", "自服务器所记末尾继续，此前自身末条陈述"}, "%d", *b.Last)
		}
	}
	if d.Revoked != nil {
		since := text{"no time is stated", "未注明时间"}.in(p.lang)
		if d.SuspectSince != nil {
			since = when(*d.SuspectSince)
		}
		p.row(text{"revoked later; suspect since (the operator's word)", "之后被吊销；自何时起可疑（运营方所述）"}, "%s", since)
	}
}

// counter says what the TPM's counter shows.
func (p *page) counter(r *verify.Report) {
	name := text{"counter", "计数器"}
	c := r.Counter
	if c == nil {
		if r.Seals.TPM {
			p.row(name, "%s", text{"recordings are not counted by the TPM", "记录未由 TPM 计数"}.in(p.lang))
		}
		return
	}
	value := "?"
	if c.Value != nil {
		value = fmt.Sprint(*c.Value)
	}
	p.row(name, text{"%s (index %08x), %d count records, %d missing, %d gaps", "%s（索引 %08x），%d 条计数记录，缺 %d 条，%d 处空缺"}.in(p.lang), value, c.Index, c.Records, c.Missing, len(c.Gaps))
}

func (p *page) proof(r *verify.Report) {
	p.line("\n%s", text{"Proof", "证明"}.in(p.lang))
	by := text{"by a key in a file", "由文件中的密钥签封"}
	if r.Seals.TPM {
		by = text{"by the device's TPM", "由设备的 TPM 签封"}
	}
	if r.Time != nil {
		for _, t := range r.Time.Text(p.lang) {
			p.row(text{"time", "时间"}, "%s", t)
		}
	}
	p.row(text{"seals", "电子签封"}, "%d, %s", r.Seals.Count, by.in(p.lang))
	p.counter(r)
	from := text{"its key comes from the bundle itself", "公钥来自证据包自身"}
	if r.Proven {
		from = text{"its key was given from outside", "公钥由外部给出"}
	}
	name, _, _ := strings.Cut(r.Log, "+")
	p.row(text{"log", "日志"}, "%s, %s", name, from.in(p.lang))
	good := 0
	for _, f := range r.Receipts {
		if f.OK {
			good++
		}
	}
	p.row(text{"receipts", "存证回执"}, text{"%d of %d hold", "%d / %d 成立"}.in(p.lang), good, len(r.Receipts))
	if s := r.About.Stored; s != nil {
		p.stored(s)
	}
	p.row(text{"custody events", "保管流转记录"}, "%d", r.Custody)
	if w := r.Withheld; w.Before+w.Between+w.After+w.Skipped > 0 {
		p.row(text{"withheld statements about others (digests only)", "未提供的其他陈述（仅摘要）"},
			text{"%d before, %d between, %d after; %d more left out before", "之前 %d，之间 %d，之后 %d；另略去 %d"}.in(p.lang), w.Before, w.Between, w.After, w.Skipped)
	}
}

func (p *page) stored(s *verify.StoredFound) {
	lock := text{"in a folder of the server", "服务器文件夹"}
	if s.Lock == evidence.LockCompliance {
		lock = text{"under an object lock that nobody can lift", "对象锁定，任何人不能解除"}
	}
	ended := ""
	if s.Ended {
		ended = text{" (that time is past)", "（已到期）"}.in(p.lang)
	}
	p.row(text{"stored, by the server's word", "入库锁定（服务器所述）"}, text{"%d chunks, until %s%s, %s", "%d 个数据块，保管至 %s%s，%s"}.in(p.lang),
		s.Chunks, when(s.Until), ended, lock.in(p.lang))
}

func (p *page) others(r verify.Findings) {
	if len(r.Problems) < 2 && r.Further == 0 {
		return
	}
	p.line("\n%s:", others.in(p.lang))
	const most = 12
	for i, f := range r.Problems[1:] {
		if i == most {
			p.line("  "+andMore.in(p.lang), len(r.Problems)-1-most+r.Further)
			return
		}
		p.line("  - %s", f.Text(p.lang))
	}
	if r.Further > 0 {
		p.line("  "+andMore.in(p.lang), r.Further)
	}
}

// humanLog writes a report about a log for people.
func humanLog(r *verify.LogReport, l verify.Lang) string {
	p := &page{lang: l}
	p.line("%s %s", marks[r.Verdict], logVerdicts[r.Verdict].in(l))
	if r.First != nil {
		p.line("  %s", r.First.Text(l))
		if r.First.Detail != "" {
			p.line("  (%s: %s)", detailText.in(l), r.First.Detail)
		}
	}
	p.list(headings, r.NotGiven)
	if r.Origin != "" {
		p.line("\n%s %s", text{"Log", "日志"}.in(l), verify.Display(r.Origin))
		p.row(text{"leaves", "叶子"}, "%d", r.Size)
		for _, kind := range slices.Sorted(maps.Keys(r.Leaves)) {
			p.row(text{"of these", "其中"}, "%d %s", r.Leaves[kind], kind)
		}
		p.row(text{"root", "根"}, "%s", r.Root)
		p.row(text{"devices", "设备"}, "%d", r.Devices)
		p.row(text{"recordings", "音像记录"}, "%d", r.Recordings)
		p.row(text{"witnesses that signed", "签署的见证方"}, "%d", r.Witnesses)
	}
	p.others(r.Findings)
	return p.b.String()
}

var logVerdicts = map[verify.Verdict]text{
	verify.Verified:    {"Sound: the whole log gives its signed root, and contradicts itself nowhere", "一致：整个日志推出其签署的根，且无自相矛盾"},
	verify.SelfVouched: {"Consistent, but whose log it is was not checked: no trust folder was given (--trust)", "自身一致，但未校验是谁的日志：没有给出信任文件夹（--trust）"},
	verify.Broken:      {"Broken: the log contradicts itself, or is not what was signed", "校验不一致：日志自相矛盾，或与所签署的不符"},
	verify.Unreadable:  {"Cannot be checked", "无法校验"},
}

// when shows milliseconds since 1970 UTC in local time with its zone.
func when(ms int64) string {
	return time.UnixMilli(ms).Format("2006-01-02 15:04:05 -07:00")
}
