package casework

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/catalog"
	"camseal/server/internal/workdays"
)

// Calendar returns the calendar by which terms run.
func (c *Cases) Calendar(ctx context.Context) (*workdays.Calendar, error) {
	years, err := c.CalendarYears(ctx)
	if err != nil {
		return nil, err
	}
	return workdays.New(c.Zone, years...), nil
}

// CalendarYears returns the years that an administrator entered.
func (c *Cases) CalendarYears(ctx context.Context) (out []workdays.Year, err error) {
	rows, err := c.Catalog.CalendarYears(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if y, err := workdays.ParseYear(int(r.Year), r.Off, r.Worked); err == nil { // what another server took and this one does not is as if it were not there
			out = append(out, y)
		}
	}
	return out, nil
}

// SetCalendar puts a year's days off and days worked in the place of what was entered for it before. Terms that run already keep their end.
// Errors: *workdays.WrongDay; *casefile.Refused.
func (c *Cases) SetCalendar(ctx context.Context, by auth.Account, year int, off, worked string) error {
	if !by.May(auth.Calendar) {
		return &casefile.Refused{Key: "rule-role"}
	}
	y, err := workdays.ParseYear(year, off, worked)
	if err != nil {
		return err
	}
	_, err = c.Book.Record(ctx, Act{Name: catalog.ActCalendarSet, Actor: by.Actor(), Detail: evidence.Detail{catalog.DetailYear: strconv.Itoa(year),
		catalog.DetailOff: y.OffText(), catalog.DetailWorked: y.WorkedText(), casefile.DetailAccount: by.ID, casefile.DetailRole: string(by.Role)}})
	return err
}

// Submit puts the case to the review body, or again after mending: mended says what was mended. The clock runs from here: the term is written
// into the event, so that no later calendar moves it.
func (c *Cases) Submit(ctx context.Context, by auth.Account, id casefile.ID, mended string) error {
	calendar, err := c.Calendar(ctx)
	if err != nil {
		return err
	}
	due := calendar.Due(c.Book.Now(), workdays.ReviewDays)
	return c.say(ctx, by, id, casefile.ActSubmitted, mended, evidence.Detail{casefile.DetailDue: strconv.FormatInt(due.UnixMilli(), 10)})
}

// Opine gives the review body's opinion on the newest submission.
func (c *Cases) Opine(ctx context.Context, by auth.Account, id casefile.ID, agree bool, text string, checks []casefile.Check) error {
	kept := make([]casefile.Check, len(checks))
	for i, k := range checks {
		k.Text = tidy(k.Text)
		kept[i] = k
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("opinion: %w", err)
	}
	return c.say(ctx, by, id, casefile.ActOpinion, text, evidence.Detail{casefile.DetailAgree: casefile.Answer(agree), casefile.DetailChecks: string(raw)})
}

// Escalate puts the case before the handling body's leader in charge; text is why the handling body stays with its opinion.
func (c *Cases) Escalate(ctx context.Context, by auth.Account, id casefile.ID, text string) error {
	return c.say(ctx, by, id, casefile.ActEscalated, text, nil)
}

// Determine is the leader's word, both opinions in view: whether the decision may be taken.
func (c *Cases) Determine(ctx context.Context, by auth.Account, id casefile.ID, decide bool, text string) error {
	return c.say(ctx, by, id, casefile.ActDetermined, text, evidence.Detail{casefile.DetailGo: casefile.Answer(decide)})
}

// Decide writes down the decision.
func (c *Cases) Decide(ctx context.Context, by auth.Account, id casefile.ID, text string) error {
	return c.say(ctx, by, id, casefile.ActDecided, text, nil)
}
