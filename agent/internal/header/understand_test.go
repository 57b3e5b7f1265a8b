package header_test

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"camseal/agent/internal/header"
	"camseal/agent/internal/header/headertest"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// show is a row of fields as a test says them: department | officers | cause | time | place, "~" before what was only heard.
func show(fields []header.Field) string {
	var s []string
	for _, f := range fields {
		s = append(s, map[header.FieldState]string{header.FieldMatched: "", header.FieldHeard: "~", header.FieldMissing: "-"}[f.State]+f.Value)
	}
	return strings.Join(s, " | ")
}

// TestEnglishHeadersAreUnderstood: what the twenty headers say is found in their text.
func TestEnglishHeadersAreUnderstood(t *testing.T) {
	known := map[string]bool{"broken street lamp": true, "golden dragon restaurant": true} // not in the register
	for _, h := range headertest.Headers() {
		var want []string
		for _, v := range []string{h.Department, h.Officers, h.Cause, h.Time, h.Place} {
			switch {
			case v == "":
				v = "-"
			case known[strings.ToLower(v)]:
				v = "~" + strings.ToLower(v)
			}
			want = append(want, v)
		}
		if got := show(header.Understand(h.Text, headertest.Register())); got != strings.Join(want, " | ") {
			t.Errorf("%s\n got %s\nwant %s", h.Text, got, strings.Join(want, " | "))
		}
	}
}

func TestEnglishAsOtherEnginesWriteIt(t *testing.T) {
	for text, want := range map[string]string{
		"This is Officer Lee Way, certificate number 123-456, of the Market Supervision Bureau, at East Market. Cause: unlicensed sale. Time: 9:30 a.m.": "Market Supervision Bureau | Li Wei 123456 | unlicensed sale | 09:30 | East Market",
		"Officer Alan Walker, certificate 730 195. Market supervision bureau. East market. Unlicensed sail. It's 2:45 PM on August 4th, 2026.":           "Market Supervision Bureau | Alan Walker 730195 | unlicensed sale | 08-04 14:45 | East Market",
		"Officer Alan Walker, certificate 730 196, at Harbor Road 16.":                                                                                   "- | ~Alan Walker 730196 | - | - | ~harbor road 16",
		"Officer Peter Brown, certificate 999 888. Cause: a fight.":                                                                                      "- | ~peter brown 999888 | ~a fight | - | -",
		"My certificate number is seven three zero one nine five, time quarter past ten in the evening.":                                                 "- | ~Alan Walker 730195 | - | 22:15 | -",
		"Two officers, Mary Jones and Susan Miller. The time is 24 past.":                                                                                "- | Mary Jones 881023; Susan Miller 295571 | - | ~24 past | -",
		"the weather is fine": "- | - | - | - | -",
		"":                    "- | - | - | - | -",
	} {
		if got := show(header.Understand(text, headertest.Register())); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

func chinese() *transport.Register {
	return &transport.Register{
		Departments: []string{"市场监督管理局", "城市管理局", "消防救援大队"},
		Officers: []transport.Officer{
			{Name: "李伟", Certificate: "123456"}, {Name: "张敏", Certificate: "204817"}, {Name: "欧阳建国", Certificate: "甘A730195"}, {Name: "王伟", Certificate: "555555"}, {Name: "王伟", Certificate: "666666"},
		},
		Causes: []string{"无证经营", "销售过期食品", "占道经营"},
		Places: []string{"东市场", "兰州市城关区张掖路15号", "中心广场"},
	}
}

func TestChineseHeadersAreUnderstood(t *testing.T) {
	for text, want := range map[string]string{
		"我是市场监督管理局执法人员李伟，执法证号123456，事由无证经营，时间九点三十分，地点东市场。":                       "市场监督管理局 | 李伟 123456 | 无证经营 | 09:30 | 东市场",
		"我是市场监督管理局执法人员李伟，执法证号一二三四五六，事由：无证经营。时间：2026年8月4日上午9点半。地点：东市场。":           "市场监督管理局 | 李伟 123456 | 无证经营 | 2026-08-04 09:30 | 东市场",
		"现在是二〇二六年八月四日下午三点零五分，我们是城市管理局执法人员张敏、李伟，执法证号分别是204817和123456，在中心广场检查占道经营": "城市管理局 | 张敏 204817; 李伟 123456 | 占道经营 | 2026-08-04 15:05 | 中心广场",
		// Other signs of the same sound: the certificate number decides on a name, length on the others.
		"我是市场监督管理局执法人员李维，执法证号幺二三四五六，事由销售过期食平，时间十四点，地点兰州市城关区张液路15号": "市场监督管理局 | 李伟 123456 | 销售过期食品 | 14:00 | 兰州市城关区张掖路15号",
		"我是执法人员欧阳建国，证号730195，案由打架，地点西市场门口":                         "- | 欧阳建国 甘A730195 | ~打架 | - | ~西市场门口",
		"执法人员王伟，事由占道经营":                            "- | ~王伟 555555 | 占道经营 | - | -",
		"执法人员王伟，证号666666，事由占道经营":                   "- | 王伟 666666 | 占道经营 | - | -",
		"执法人员赵六，执法证号999999，地点兰州市城关区张掖路16号，时间中午十二点": "- | ~赵六 999999 | - | 12:00 | ~兰州市城关区张掖路16号",
		"今天天气很好": "- | - | - | - | -",
	} {
		if got := show(header.Understand(text, chinese())); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestOfficersOfAValue(t *testing.T) {
	list := []evidence.Officer{{Name: "Li Wei", Certificate: "123456"}, {Name: "欧阳建国", Certificate: "甘A730195"}, {Name: "Mary Jones"}}
	if got := header.ParseOfficers(header.FormatOfficers(list)); !reflect.DeepEqual(got, list) {
		t.Errorf("%v", got)
	}
	if got := header.ParseOfficers(" ; ；"); got != nil {
		t.Errorf("%v", got)
	}
}

func FuzzUnderstand(f *testing.F) {
	for _, h := range headertest.Headers() {
		f.Add(h.Text, "Li Wei")
	}
	f.Add("我是市场监督管理局执法人员李伟，执法证号123456，事由无证经营，时间2026年8月4日九点三十分，地点东市场。", "李伟")
	f.Add("二〇二六年 十月 零 点 half past quarter to double double 5 oh", "")
	f.Add("\xff\u202e٣٤٥ cause cause officer ²½ time 99:99 24 点", "٣1٢")
	f.Fuzz(func(t *testing.T, text, entry string) {
		reg := chinese()
		reg.Officers = append(reg.Officers, transport.Officer{Name: entry, Spoken: text[:min(len(text), 40)], Certificate: entry})
		reg.Places = append(reg.Places, entry)
		fields := header.Understand(text, reg)
		if len(fields) != 5 {
			t.Fatalf("%v", fields)
		}
		for i, name := range []string{"department", "officers", "cause", "time", "place"} {
			got := fields[i]
			if got.Name != name || (got.State == header.FieldMissing) != (got.Value == "") {
				t.Errorf("%+v", got)
			}
			if got.State == header.FieldHeard && utf8.ValidString(entry) && !utf8.ValidString(got.Value) {
				t.Errorf("%+q", got)
			}
		}
		_ = header.ParseOfficers(fields[1].Value)
	})
}
