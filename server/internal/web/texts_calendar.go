package web

// textsCalendar are the words of the calendar of working days.
var textsCalendar = map[string][2]string{
	"calendar":            {"Calendar of working days", "工作日历"},
	"calendar-what":       {"The 10 working days of a legal review are counted by this calendar, in the zone %s. Terms that run already keep their end.", "法制审核的 10 个工作日按本日历计算，时区为 %s。已在计算中的期限不变。"},
	"calendar-year":       {"Year", "年份"},
	"calendar-state":      {"Holidays", "节假日"},
	"calendar-off":        {"Days off", "放假日"},
	"calendar-worked":     {"Days worked instead", "调休上班日"},
	"calendar-listed":     {"known from the built-in list", "内置节假日表"},
	"calendar-entered":    {"entered here", "已录入"},
	"calendar-both":       {"built-in list, with the days entered here above it", "内置节假日表，录入的日期优先"},
	"calendar-unknown":    {"not known yet: only weekends are left out", "尚不明确：仅扣除周末"},
	"calendar-person":     {"Enter this year's holidays: terms end too early without them.", "请录入本年度节假日，否则期限会偏早。"},
	"calendar-enter":      {"Enter a year", "录入年度"},
	"calendar-enter-what": {"As the State Council announces them. What is entered replaces what was entered earlier for the same year; nothing at all takes it back.", "按国务院办公厅通知录入。录入内容将替换同一年度先前录入的内容；全部留空即取消录入。"},
	"calendar-off-what":   {"Days that would be worked otherwise, like 2027-02-08, with spaces or new lines between", "原为工作日而放假的日期，如 2027-02-08，以空格或换行分隔"},
	"calendar-work-what":  {"Saturdays and Sundays that are worked", "调休上班的周六、周日"},
	"calendar-save":       {"Record", "记录"},
	"calendar-day-wrong":  {"“%s” is no day of that year, or stands there twice. Nothing was changed. Write days like 2027-02-08.", "“%s”不是该年度的日期，或重复出现，未作任何更改。日期请写作 2027-02-08。"},
	"calendar-year-wrong": {"“%s” is no year from 2000 to 2199. Nothing was changed.", "“%s”不是 2000 至 2199 之间的年份，未作任何更改。"},
	"calendar-large":      {"That is more than a year's days. Nothing was changed.", "内容超出一年的日期，未作任何更改。"},
}
