package verify

import "fmt"

// Held says in sentences what holds, by a report without anything broken; nothing of a broken one.
func (r *Report) Held(l Lang) []string {
	if r.About == nil || r.Verdict == Broken || r.Verdict == Unreadable {
		return nil
	}
	good := 0
	for _, f := range r.Receipts {
		if f.OK {
			good++
		}
	}
	by := pair{"a key in a file", "文件中的密钥"}
	if r.Seals.TPM {
		by = pair{"the recorder's or dock's TPM", "设备的 TPM"}
	}
	out := []string{
		fmt.Sprintf(pair{"The chain of statements is whole, and sealed %d times by %s.", "陈述的哈希链完整，由%[2]s签封 %[1]d 次。"}.in(l), r.Seals.Count, by.in(l)),
		fmt.Sprintf(pair{"%d of %d receipts of the log hold.", "日志的存证回执 %d / %d 成立。"}.in(l), good, len(r.Receipts)),
		fmt.Sprintf(pair{"%d custody events are as they were logged.", "%d 条保管流转记录与登记时一致。"}.in(l), r.Custody),
	}
	if c := r.Counter; c != nil {
		out = append(out, fmt.Sprintf(pair{"The TPM's counter: %d records hold, %d missing, %d gaps.", "TPM 计数器：%d 条计数记录成立，缺 %d 条，%d 处空缺。"}.in(l), c.Records, c.Missing, len(c.Gaps)))
	}
	return out
}
