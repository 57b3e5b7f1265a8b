// Package workdays counts working days on the Chinese calendar: weekends, the public holidays with the weekend days that are worked for them, and
// what an administrator entered for years of which the built-in list knows nothing yet.
//
// The State Council announces a year's holidays in the autumn before, so no list knows more than a year ahead.
package workdays

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/6tail/lunar-go/HolidayUtil"
)

// ReviewDays is how many working days a legal review takes in principle (R11).
const ReviewDays = 10

// Year is what an administrator entered: for its days it counts more than the built-in list. Days are YYYY-MM-DD.
type Year struct {
	Year   int
	Off    []string // days off that would be worked otherwise
	Worked []string // days of a week's end that are worked
}

// WrongDay says that a word is no day of the year, or stands twice, or that there are too many.
type WrongDay struct{ Word string }

func (e *WrongDay) Error() string {
	return fmt.Sprintf("%q is no day of the year, or is there twice", e.Word)
}

// maxDays is how many days of one kind a year may have.
const maxDays = 200

// ParseYear reads the days of a year, with white space or commas between. Errors are *WrongDay.
func ParseYear(year int, off, worked string) (Year, error) {
	y, seen := Year{Year: year}, map[string]bool{}
	for _, part := range []struct {
		text string
		to   *[]string
	}{{off, &y.Off}, {worked, &y.Worked}} {
		for _, day := range strings.FieldsFunc(part.text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,，、;；", r) }) {
			d, err := time.Parse(time.DateOnly, day)
			if err != nil || d.Year() != year || seen[day] || len(*part.to) == maxDays {
				return Year{}, &WrongDay{Word: cut(day)}
			}
			seen[day] = true
			*part.to = append(*part.to, day)
		}
		slices.Sort(*part.to)
	}
	return y, nil
}

// cut keeps what is said about a word short.
func cut(word string) string {
	r := []rune(word)
	return string(r[:min(len(r), 20)])
}

// OffText returns the days off as ParseYear reads them.
func (y Year) OffText() string { return strings.Join(y.Off, " ") }

// WorkedText returns the days worked as ParseYear reads them.
func (y Year) WorkedText() string { return strings.Join(y.Worked, " ") }

// Calendar tells working days from others in one time zone. It is safe for concurrent use.
type Calendar struct {
	zone    *time.Location
	years   map[int]bool
	entered map[string]bool // day → it is worked
}

// New returns the calendar of a zone with these entered years. One without any day is as if it were not entered.
func New(zone *time.Location, years ...Year) *Calendar {
	c := &Calendar{zone: zone, years: map[int]bool{}, entered: map[string]bool{}}
	for _, y := range years {
		c.years[y.Year] = len(y.Off)+len(y.Worked) > 0
		for _, d := range y.Off {
			c.entered[d] = false
		}
		for _, d := range y.Worked {
			c.entered[d] = true
		}
	}
	return c
}

// Zone is the zone in which days begin and end.
func (c *Calendar) Zone() *time.Location { return c.zone }

// The built-in list begins in 2001.
const (
	firstListed = 2001
	lastListed  = 2100
)

// builtIn is the built-in list: day → it is worked; years are listed as YYYY. Reading it once keeps its package's shared state out of the way.
var builtIn = sync.OnceValue(func() map[string]bool {
	days := map[string]bool{}
	for year := firstListed; year <= lastListed; year++ {
		for e := HolidayUtil.GetHolidaysByYear(year).Front(); e != nil; e = e.Next() {
			if h, ok := e.Value.(*HolidayUtil.Holiday); ok {
				days[h.GetDay()] = h.IsWork()
				days[strconv.Itoa(year)] = true
			}
		}
	}
	return days
})

// Listed reports whether the built-in list has a year.
func Listed(year int) bool { return builtIn()[strconv.Itoa(year)] }

// Known reports whether anybody knows a year's holidays. If not, only weekends are off in it, and a due time may come out too early.
func (c *Calendar) Known(year int) bool { return c.years[year] || Listed(year) }

// Working reports whether the day of t in the calendar's zone is worked.
func (c *Calendar) Working(t time.Time) bool {
	t = t.In(c.zone)
	if worked, ok := c.entered[t.Format(time.DateOnly)]; ok {
		return worked
	}
	if worked, ok := builtIn()[t.Format(time.DateOnly)]; ok {
		return worked
	}
	return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday
}

// Due returns the last millisecond of the n-th working day after the day of from: that day itself does not count.
func (c *Calendar) Due(from time.Time, n int) time.Time {
	day := c.begin(from)
	for n > 0 {
		if day = c.next(day); c.Working(day) {
			n--
		}
	}
	return c.next(day).Add(-time.Millisecond)
}

// Left returns how many working days are left until due, the day of now included; negative if it is over: then how many began since.
func (c *Calendar) Left(now, due time.Time) int {
	if now.After(due) {
		return -c.between(c.next(c.begin(due)), now)
	}
	return c.between(c.begin(now), due)
}

// maxSpan bounds what is counted, in days.
const maxSpan = 3660

// between counts the working days that begin from day on up to until.
func (c *Calendar) between(day, until time.Time) (n int) {
	for range maxSpan {
		if day.After(until) {
			break
		}
		if c.Working(day) {
			n++
		}
		day = c.next(day)
	}
	return n
}

// begin is where the day of t begins.
func (c *Calendar) begin(t time.Time) time.Time {
	t = t.In(c.zone)
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, c.zone)
}

func (c *Calendar) next(day time.Time) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, c.zone)
}
