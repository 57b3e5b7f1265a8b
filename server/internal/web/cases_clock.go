package web

import (
	"time"

	"camseal/server/internal/casefile"
	"camseal/server/internal/workdays"
)

// soonDays is how many working days before its end a review is due soon.
const soonDays = 2

// clock is how long a review has left.
type clock struct {
	Runs    bool
	Due     int64  // milliseconds since 1970 UTC
	Day     string // of that, as pages show it
	Today   bool   // it ends today
	Left    int    // working days after today; over: how many began since
	Soon    bool
	Overdue bool
	Guessed bool // nobody has said yet which days of the year are worked on
}

// clockOf says how long a case's review has left; it runs only in review.
func clockOf(days *workdays.Calendar, state casefile.State, due int64, now time.Time) clock {
	if state != casefile.InReview || due == 0 {
		return clock{}
	}
	end := time.UnixMilli(due)
	y, m, d := now.In(days.Zone()).Date()
	k := clock{Runs: true, Due: due, Day: dueText(days, due), Left: days.Left(time.Date(y, m, d+1, 0, 0, 0, 0, days.Zone()), end), Overdue: now.After(end), Guessed: !days.Known(end.In(days.Zone()).Year())}
	if k.Overdue {
		k.Left = -days.Left(now, end)
	}
	k.Today = !k.Overdue && now.In(days.Zone()).Format(time.DateOnly) == end.In(days.Zone()).Format(time.DateOnly)
	k.Soon = !k.Overdue && k.Left <= soonDays
	return k
}

// dueText writes when a review ends, in the zone in which days are counted.
func dueText(days *workdays.Calendar, due int64) string {
	t := time.UnixMilli(due).In(days.Zone())
	return t.Format("2006-01-02 15:04") + " (UTC" + t.Format("-07:00") + ")"
}
