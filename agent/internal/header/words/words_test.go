package words

import (
	"strings"
	"testing"
)

func TestOneForm(t *testing.T) {
	for text, want := range map[string]string{
		"Harbour Road fifteen": "harbour road 15", "HARBOUR ROAD, 15!": "harbour road 15", "twenty two thirty": "22 30", "twenty zero": "20 0",
		"one two three": "1 2 3", "twenty first of March": "21 of march", "People’s Square": "peoples square", "José Ｗｅｉ": "jose wei",
		"执法证号123456号": "执法证号123456号", "二〇二六年": "二〇二六年", "\xff\u202e": "", "": "",
	} {
		if got := Join(Tokens(text)); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestSpoken(t *testing.T) {
	for text, want := range map[string]string{
		"Harbour Road 15": "harbour road fifteen", "Highway Exit 7": "highway exit seven", "Room 204": "room two zero four", "Exit 07": "exit zero seven", "42nd Street": "forty two nd street",
		"李伟 Li": "li", "٣ x": "x", "20": "twenty", "0": "zero",
	} {
		if got := strings.Join(Spoken(text), " "); got != want {
			t.Errorf("%q is said %q, want %q", text, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]string{
		"time nine thirty": "09:30", "it is two forty five p m": "14:45", "time thirteen oh five": "13:05", "time fourteen hundred hours": "14:00", "half past nine": "09:30",
		"quarter to one in the afternoon": "12:45", "quarter past twelve a m": "00:15", "time 9:30": "09:30", "at 21:05 we came": "21:05", "eleven o clock": "11:00", "time seven": "07:00",
		"the fourth of August 2026, time ten fifteen": "2026-08-04 10:15", "August 4th time ten fifteen": "08-04 10:15", "4 August time ten fifteen": "08-04 10:15",
		"sale nine thirty": "09:30", "certificate one two three": "", "room 12 of 30": "", "time ninety": "", "": "",
		"上午九点三十分": "09:30", "下午两点一刻": "14:15", "晚上十一点半": "23:30", "二十三点零五分": "23:05", "中午十二点": "12:00", "凌晨十二点": "12:00", "14点30分": "14:30", "8月4日": "08-04",
		"二〇二六年十二月三十一号十点整": "2026-12-31 10:00", "十三月四日": "", "二十五点": "", "三点": "03:00",
	} {
		if got, _, _ := Time(Tokens(Clocks(text))); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"one two three four five six": "123456", "12 34 56": "123456", "double five oh one two": "55012", "幺二三四五六": "123456", "证号123456和204817": "123456 204817",
		"one two three": "", "time nine thirty": "", "double": "", "double twelve 3456": "123456",
	} {
		var got []string
		for _, n := range Numbers(Tokens(text)) {
			got = append(got, n.Digits)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q has %q, want %q", text, got, want)
		}
	}
}

// TestNear: what sounds alike is near, what does not is not, and numbers must be the same.
func TestNear(t *testing.T) {
	for _, c := range []struct {
		a, b string
		near bool
	}{
		{"Li Wei", "lee way", true}, {"Mary Jones", "merry jones", true}, {"unlicensed sale", "unlicensed sail", true}, {"Zhao Lei", "jao lay", true}, {"Harbour Road 15", "harbor road fifteen", true},
		{"Harbour Road 15", "harbour road 16", false}, {"East Market", "West Gate", false}, {"Li Wei", "Wang Min", false}, {"Old Bridge", "gold", false},
		{"市场监督管理局", "市场监都管理局", true}, {"市场监督管理局", "城市管理局", false}, {"李伟", "王伟", false},
	} {
		if near := Near(Tokens(c.a), Tokens(c.b)); (near >= 0.74) != c.near {
			t.Errorf("%s and %s: %.2f", c.a, c.b, near)
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, s := range []string{"Harbour Road 15", "执法证号123456", "1٢ ½ ²", "\xff", "double double oh", "24 点", "quarter to 0", "二〇二六年八月"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := Tokens(Clocks(s))
		for _, tok := range text {
			if tok.Text == "" || tok.First > tok.Last {
				t.Errorf("%+v", tok)
			}
		}
		for _, w := range Spoken(s) {
			if strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" || w == "" {
				t.Errorf("%q is no word", w)
			}
		}
		_, _, at := Time(text)
		for _, i := range at {
			if i < 0 || i >= len(text) {
				t.Errorf("token %d of %d", i, len(text))
			}
		}
		for _, n := range Numbers(text) {
			if n.From < 0 || n.Until > len(text) || n.From >= n.Until {
				t.Errorf("%+v", n)
			}
		}
		if len(text) > 0 && len(text) < 50 {
			if near := Near(text, text); near < 0.999 {
				t.Errorf("%v is %v near itself", text, near)
			}
		}
	})
}
