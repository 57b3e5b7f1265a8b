package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Text says what is known about the time, a sentence or two a line, the strongest first.
func (t *TimeFound) Text(l Lang) []string {
	var out []string
	claim := fmt.Sprintf(pair{"the device's clock said %s (a claim)", "设备时钟所述为 %s（未经证明）"}.in(l), span(t.OpenedAt, t.ClosedAt))
	if t.Filming {
		claim += pair{"; filming time not proven", "；拍摄时间未得证明"}.in(l)
	}
	switch {
	case t.Contradict:
		out = append(out, fmt.Sprintf(pair{"no time is proven: those who state times contradict each other; %s", "没有任何时间得到证明：各方所述时间相互矛盾；%s"}.in(l), claim))
	case t.After != nil && t.Before != nil:
		out = append(out, fmt.Sprintf(pair{"sealed between %s by %s; %s", "签封于 %s 之间，由%s证明；%s"}.in(l),
			between(t.After.At, t.Before.At, l), by(l, t.After, t.Before), claim))
	case t.Before != nil:
		out = append(out, fmt.Sprintf(pair{"sealed no later than %s UTC by %s, how long before is not proven; %s", "签封不晚于 %s UTC，由%s证明，早多久未得证明；%s"}.in(l),
			utc(t.Before.At), by(l, t.Before), claim))
	case t.After != nil:
		out = append(out, fmt.Sprintf(pair{"sealed no earlier than %s UTC by %s, how long after is not proven; %s", "签封不早于 %s UTC，由%s证明，晚多久未得证明；%s"}.in(l),
			utc(t.After.At), by(l, t.After), claim))
	default:
		out = append(out, fmt.Sprintf(pair{"no time is proven; %s", "没有任何时间得到证明；%s"}.in(l), claim))
	}
	if t.Stamp != nil && t.Before != nil && t.Before.By != ByStamp {
		out = append(out, fmt.Sprintf(pair{"sealed no later than %s UTC by %s", "签封不晚于 %s UTC，由%s证明"}.in(l), utc(t.Stamp.At), by(l, t.Stamp)))
	}
	if t.Last != nil && t.Before != nil && t.Last.At > t.Before.At {
		out = append(out, fmt.Sprintf(pair{"what was added to it later: no later than %s UTC by %s", "后续补充的陈述：不晚于 %s UTC，由%s证明"}.in(l), utc(t.Last.At), by(l, t.Last)))
	}
	if t.After != nil && t.MadeFrom != nil {
		out = append(out, fmt.Sprintf(pair{"made no earlier than %s UTC from chunk %d on, if the recorder's software is what its start-up values say", "自数据块 %[2]d 起，录制不早于 %[1]s UTC（前提：记录仪软件与其启动度量值相符）"}.in(l),
			utc(t.After.At), *t.MadeFrom))
	}
	if s := t.serverText(l); s != "" {
		out = append(out, s)
	}
	return append(out, t.clockText(l)...)
}

func (t *TimeFound) serverText(l Lang) string {
	switch a, b := t.ServerAfter, t.ServerBefore; {
	case a != nil && b != nil:
		return fmt.Sprintf(pair{"the server says: sealed between %s", "服务器所述：签封于 %s 之间"}.in(l), between(*a, *b, l))
	case b != nil:
		return fmt.Sprintf(pair{"the server says: sealed no later than %s UTC", "服务器所述：签封不晚于 %s UTC"}.in(l), utc(*b))
	case a != nil:
		return fmt.Sprintf(pair{"the server says: sealed no earlier than %s UTC", "服务器所述：签封不早于 %s UTC"}.in(l), utc(*a))
	}
	return ""
}

const (
	layoutDay  = "2006-01-02"
	layoutTime = "15:04:05"
)

func utc(ms int64) string {
	return time.UnixMilli(ms).UTC().Format(layoutDay + " " + layoutTime)
}

// between shows two times, the day once if it is the same.
func between(a, b int64, l Lang) string {
	until := utc(b)
	if day, rest, _ := strings.Cut(until, " "); strings.HasPrefix(utc(a), day) {
		until = rest
	}
	return fmt.Sprintf(pair{"%s and %s UTC", "%s 与 %s UTC"}.in(l), utc(a), until)
}

// span shows the times that a device claims.
func span(from int64, until *int64) string {
	if until == nil || *until/1000 == from/1000 {
		return utc(from)
	}
	b := utc(*until)
	if day, rest, _ := strings.Cut(b, " "); strings.HasPrefix(utc(from), day) {
		b = rest
	}
	return utc(from) + "–" + b
}

// by names who proves the bounds: how many witnesses, or a time stamp.
func by(l Lang, bounds ...*TimeBound) string {
	var parts []string
	n, least := 0, 0
	for _, b := range bounds {
		if b.By == ByWitnesses {
			if n++; least == 0 || len(b.Names) < least {
				least = len(b.Names)
			}
		}
	}
	if n > 0 {
		parts = append(parts, fmt.Sprintf(pair{"%s", "%s见证方"}.in(l), witnesses(least, l)))
	}
	for _, b := range bounds {
		if b.By == ByStamp {
			parts = append(parts, fmt.Sprintf(pair{"a time stamp of %s", "%s 的时间戳"}.in(l), strings.Join(b.Names, ", ")))
		}
	}
	return strings.Join(slices.Compact(parts), pair{" and ", "与"}.in(l))
}

func witnesses(n int, l Lang) string {
	words := map[Lang][]string{English: {"", "one", "two", "three", "four", "five", "six"}, Chinese: {"", "一", "两", "三", "四", "五", "六"}}[l]
	word := strconv.Itoa(n)
	if n < len(words) {
		word = words[n]
	}
	switch {
	case l == Chinese:
		return word + "个"
	case n == 1:
		return word + " witness"
	}
	return word + " witnesses"
}
