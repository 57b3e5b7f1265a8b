package duty

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"camseal/agent/internal/capture"
)

// Schedule is a list of times of the week.
type Schedule []span

// span is a time of some days. One that ends at or before its begin lasts into the next day.
type span struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes from midnight by the wall clock
}

var dayNames = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseSchedule reads entries such as "Mon-Fri 08:00-18:00", "Sat,Sun 22:00-06:00" (into the next day) and "daily 00:00-24:00".
func ParseSchedule(entries []string) (Schedule, error) {
	var s Schedule
	for _, e := range entries {
		one, err := parseSpan(e)
		if err != nil {
			return nil, fmt.Errorf("schedule: %q: %w; write it like Mon-Fri 08:00-18:00, Sat,Sun 22:00-06:00 or daily 00:00-24:00", e, err)
		}
		s = append(s, one)
	}
	return s, nil
}

func parseSpan(entry string) (s span, err error) {
	words := strings.Fields(entry)
	if len(words) != 2 {
		return s, errors.New("days and a time are needed")
	}
	if s.days, err = parseDays(strings.ToLower(words[0])); err != nil {
		return s, err
	}
	from, to, ok := strings.Cut(words[1], "-")
	if !ok {
		return s, errors.New("a time from and a time to are needed")
	}
	if s.from, err = parseMinutes(from, 24*60-1); err != nil {
		return s, err
	}
	if s.to, err = parseMinutes(to, 24*60); err != nil {
		return s, err
	}
	if s.from == s.to {
		return s, errors.New("it begins when it ends")
	}
	return s, nil
}

func parseDays(word string) (days [7]bool, err error) {
	if word == "daily" {
		return [7]bool{true, true, true, true, true, true, true}, nil
	}
	for part := range strings.SplitSeq(word, ",") {
		first, last, ranged := strings.Cut(part, "-")
		from, err := parseDay(first)
		if err != nil {
			return days, err
		}
		to := from
		if ranged {
			if to, err = parseDay(last); err != nil {
				return days, err
			}
		}
		for day := from; ; day = (day + 1) % 7 {
			days[day] = true
			if day == to {
				break
			}
		}
	}
	return days, nil
}

func parseDay(word string) (int, error) {
	for i, name := range dayNames {
		if word == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is no day: Mon, Tue, Wed, Thu, Fri, Sat, Sun", word)
}

func parseMinutes(word string, most int) (int, error) {
	var h, m int
	if len(word) != 5 || word[2] != ':' {
		return 0, fmt.Errorf("%q is no time such as 08:00", word)
	}
	for i, c := range word {
		if i != 2 && (c < '0' || c > '9') {
			return 0, fmt.Errorf("%q is no time such as 08:00", word)
		}
	}
	h, m = int(word[0]-'0')*10+int(word[1]-'0'), int(word[3]-'0')*10+int(word[4]-'0')
	if m > 59 || h*60+m > most {
		return 0, fmt.Errorf("%q is no time of a day", word)
	}
	return h*60 + m, nil
}

// Within reports whether t, by the wall clock of its location, is in one of the times. Where the clock is set back, the longer reading
// holds: from the first time that it shows the begin to the last that it shows the end. Where it is set ahead past a begin or an end, that
// moves by as much.
func (s Schedule) Within(t time.Time) bool {
	for _, sp := range s {
		for _, back := range []int{0, 1} { // days since it began
			day := time.Date(t.Year(), t.Month(), t.Day()-back, 12, 0, 0, 0, t.Location())
			if !sp.days[day.Weekday()] {
				continue
			}
			to := sp.to
			if to <= sp.from {
				to += 24 * 60
			}
			first, _ := wall(day, sp.from)
			_, last := wall(day, to)
			if !t.Before(first) && t.Before(last) {
				return true
			}
		}
	}
	return false
}

// wall returns the first and the last moment at which a clock shows so many minutes after the midnight with which day begins.
func wall(day time.Time, minutes int) (first, last time.Time) {
	at := time.Date(day.Year(), day.Month(), day.Day(), 0, minutes, 0, 0, day.Location())
	first, last = at, at
	for _, shift := range []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour} {
		if o := at.Add(-shift); sameWall(o, at) {
			first = o
		}
		if o := at.Add(shift); sameWall(o, at) {
			last = o
		}
	}
	return first, last
}

func sameWall(a, b time.Time) bool {
	return a.Day() == b.Day() && a.Hour() == b.Hour() && a.Minute() == b.Minute()
}

// keepEvery is how often the schedule is looked at; the clock may be set at any time.
const keepEvery = time.Second

// resumeTime is how long the camera is waited for after a restart, to record again.
const resumeTime = 2 * time.Minute

// keep records while the schedule or the configuration wants it. A recording that ends by itself is followed by another one; one that
// somebody ended is not, until the next turn.
func (d *Duty) keep(ctx context.Context) {
	if !d.Always && !d.Resume && len(d.Schedule) == 0 {
		return
	}
	by := BySchedule
	if d.Always {
		by = ByAlways
	}
	if d.Resume {
		d.update(func() { d.wanted = ByRestart })
	}
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	in, begun := false, d.Now()
	for {
		was := in
		in = d.Always || d.Schedule.Within(d.Now().Local())
		switch {
		case in && !was:
			d.update(func() { d.wanted = by })
		case was && !in:
			d.update(func() { d.wanted = "" })
			d.endScheduled(ctx)
		}
		d.beginWanted(ctx, d.Now().Sub(begun) > resumeTime)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// endScheduled ends what the schedule began; a recording that a person began goes on.
func (d *Duty) endScheduled(ctx context.Context) {
	d.mu.Lock()
	mine := d.begunBy == BySchedule
	d.mu.Unlock()
	if !mine {
		return
	}
	if _, err := d.Stop(ctx, BySchedule); err != nil && !errors.Is(err, capture.ErrIdle) && ctx.Err() == nil {
		d.trouble("schedule", "the recording could not be ended by the schedule, and goes on: "+err.Error())
	}
}

// beginWanted begins what is wanted and is not there. late: what a restart wants is not any more.
func (d *Duty) beginWanted(ctx context.Context, late bool) {
	d.mu.Lock()
	by := d.wanted
	if by == ByRestart && late {
		by, d.wanted = "", ""
	}
	d.mu.Unlock()
	if st := d.Capture.State(); by == "" || st.Recording != nil || len(st.Tracks) == 0 || !d.Gone().IsZero() {
		return
	}
	_, err := d.Start(ctx, by)
	switch {
	case err == nil || errors.Is(err, capture.ErrRecording):
		d.trouble("schedule", "")
	case errors.Is(err, capture.ErrNoCamera) || ctx.Err() != nil:
	default:
		d.trouble("schedule", "a recording should be made now and can't be begun: "+err.Error())
	}
	if err == nil && by == ByRestart {
		d.mu.Lock()
		if d.wanted == ByRestart {
			d.wanted = ""
		}
		d.mu.Unlock()
	}
}
