package workdays

import (
	"errors"
	"testing"
	"time"
)

func zone(t *testing.T) *time.Location {
	t.Helper()
	z, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func wrong(err error) bool {
	var w *WrongDay
	return errors.As(err, &w)
}

func at(t *testing.T, z *time.Location, s string) time.Time {
	t.Helper()
	d, err := time.ParseInLocation("2006-01-02 15:04", s, z)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The State Council's notices say which days these were.
func TestKnownHolidays(t *testing.T) {
	z := zone(t)
	c := New(z)
	for day, want := range map[string]bool{
		"2024-02-04": true,  // Sunday, worked for the Spring Festival
		"2024-02-09": true,  // New Year's Eve was no day off in 2024
		"2024-02-10": false, // Spring Festival, a Saturday
		"2024-02-16": false, // Friday, off
		"2024-02-17": false, // Saturday, off
		"2024-02-18": true,  // Sunday, worked
		"2024-09-29": true,  // Sunday, worked for National Day
		"2024-10-01": false, "2024-10-07": false, "2024-10-08": true,
		"2024-10-12": true,  // Saturday, worked
		"2025-01-26": true,  // Sunday, worked for the Spring Festival
		"2025-01-28": false, // New Year's Eve is off since 2025
		"2025-02-04": false, "2025-02-05": true,
		"2025-02-08": true,                       // Saturday, worked
		"2025-05-02": false, "2025-05-05": false, // Labour Day
		"2025-10-08": false, "2025-10-11": true,
		"2025-06-14": false, "2025-06-16": true, // any weekend, any Monday
	} {
		if got := c.Working(at(t, z, day+" 12:00")); got != want {
			t.Errorf("%s: working is %v", day, got)
		}
	}
	if !c.Known(2024) || !c.Known(2025) || c.Known(2060) || c.Known(1990) {
		t.Error("known years")
	}
}

func TestTenWorkingDays(t *testing.T) {
	z := zone(t)
	c := New(z)
	for from, want := range map[string]string{
		"2025-06-10 09:00": "2025-06-24", // two weeks of which nothing is off
		"2025-06-10 23:59": "2025-06-24", // whenever on that day
		"2025-06-14 09:00": "2025-06-27", // from a Saturday the first day is Monday
		"2024-02-02 09:00": "2024-02-21", // over the Spring Festival: Sunday 4th and 18th worked, 10th to 17th off
		"2025-01-20 09:00": "2025-02-08", // Sunday 26th and Saturday 8th worked, 28th to 4th off
		"2025-09-25 09:00": "2025-10-15", // over National Day: Sunday 28th and Saturday 11th worked, 1st to 8th off
	} {
		due := c.Due(at(t, z, from), ReviewDays)
		if got := due.In(z).Format("2006-01-02 15:04:05.000"); got != want+" 23:59:59.999" {
			t.Errorf("from %s: %s, want the end of %s", from, got, want)
		}
	}
	// The server's own zone counts, not UTC: 23:30 UTC on Monday is Tuesday in China.
	if due := c.Due(time.Date(2025, 6, 9, 23, 30, 0, 0, time.UTC), ReviewDays); due.In(z).Format(time.DateOnly) != "2025-06-24" {
		t.Error(due)
	}
	due := c.Due(at(t, z, "2025-09-25 09:00"), ReviewDays)
	for now, want := range map[string]int{"2025-09-25 10:00": 11, "2025-09-26 00:00": 10, "2025-10-03 12:00": 6, "2025-10-15 23:59": 1, "2025-10-16 00:00": -1,
		"2025-10-18 09:00": -2, "2025-10-20 09:00": -3} {
		if got := c.Left(at(t, z, now), due); got != want {
			t.Errorf("%s: %d days left, want %d", now, got, want)
		}
	}
}

// What the administrator entered counts for years that nobody knew, and over the list where the list is wrong.
func TestEnteredYears(t *testing.T) {
	z := zone(t)
	y, err := ParseYear(2060, "2060-02-02, 2060-02-03\n2060-02-04", "2060-02-08")
	if err != nil {
		t.Fatal(err)
	}
	z25, err := ParseYear(2025, "2025-06-10", "")
	if err != nil {
		t.Fatal(err)
	}
	c := New(z, y, z25, Year{Year: 2062})
	for day, want := range map[string]bool{"2060-02-02": false, "2060-02-08": true, "2060-02-07": false, "2060-02-05": true, "2025-06-10": false, "2025-10-01": false} {
		if got := c.Working(at(t, z, day+" 00:00")); got != want {
			t.Errorf("%s: working is %v", day, got)
		}
	}
	if !c.Known(2060) || c.Known(2061) || c.Known(2062) {
		t.Error("known years")
	}
	for _, bad := range []string{"2060-02-30", "2059-12-31", "2060-2-2", "2060-02-02 2060-02-02", "x", "2060-02-02\x00"} {
		if _, err := ParseYear(2060, bad, ""); !wrong(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ParseYear(2060, "2060-02-02", "2060-02-02"); !wrong(err) {
		t.Error("a day both off and worked")
	}
}
