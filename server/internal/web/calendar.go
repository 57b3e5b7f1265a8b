package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/workdays"
)

func (s *site) calendarRoutes() []Route {
	return []Route{
		{"GET", "/calendar", auth.Calendar, s.calendarPage},
		{"POST", "/calendar", auth.Calendar, s.setCalendar},
	}
}

const (
	maxCalendarForm = 32 << 10 // bytes
	yearsBefore     = 1        // shown before this one
	yearsAfter      = 2
	firstYear       = 2000 // that may be entered
	lastYear        = 2199
)

// calendarYear is a line of the calendar's page.
type calendarYear struct {
	Year        int
	Known       string // a text's key: from where its days are known
	Off, Worked string
	Person      bool // terms run into it, and its holidays are not known
}

// calendarForm is what was typed.
type calendarForm struct {
	Year, Off, Worked string
	Wrong             string // what could not be read
	Why               string // a text's key; empty: nothing is wrong
}

func (s *site) calendarPage(c *gin.Context) {
	years, err := s.Cases.CalendarYears(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	form := calendarForm{Year: c.Query("year")}
	if _, err := strconv.Atoi(form.Year); err != nil {
		form.Year = strconv.Itoa(s.Now().In(s.Cases.Zone).Year() + 1)
	}
	for _, y := range years {
		if strconv.Itoa(y.Year) == form.Year {
			form.Off, form.Worked = y.OffText(), y.WorkedText()
		}
	}
	s.showCalendar(c, http.StatusOK, years, form)
}

func (s *site) showCalendar(c *gin.Context, status int, entered []workdays.Year, form calendarForm) {
	calendar := workdays.New(s.Cases.Zone, entered...)
	now, runs := s.Now().In(s.Cases.Zone).Year(), calendar.Due(s.Now(), workdays.ReviewDays).Year()
	byYear := map[int]workdays.Year{}
	first, last := now-yearsBefore, now+yearsAfter
	for _, y := range entered {
		if len(y.Off)+len(y.Worked) == 0 {
			continue
		}
		byYear[y.Year] = y
		first, last = min(first, y.Year), max(last, y.Year)
	}
	var years []calendarYear
	for year := last; year >= first; year-- {
		y, has := byYear[year]
		if !has && (year < now-yearsBefore || year > now+yearsAfter) {
			continue
		}
		line := calendarYear{Year: year, Known: "calendar-unknown", Off: y.OffText(), Worked: y.WorkedText()}
		switch {
		case has && workdays.Listed(year):
			line.Known = "calendar-both"
		case has:
			line.Known = "calendar-entered"
		case workdays.Listed(year):
			line.Known = "calendar-listed"
		}
		line.Person = !calendar.Known(year) && year <= runs
		years = append(years, line)
	}
	s.page(c, status, "calendar.html", struct {
		Frame
		Years []calendarYear
		Form  calendarForm
		Zone  string
	}{s.frame(c, "calendar"), years, form, s.Cases.Zone.String()})
}

func (s *site) setCalendar(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxCalendarForm)
	form := calendarForm{Why: "calendar-large"}
	year, status := 0, http.StatusRequestEntityTooLarge
	if err := c.Request.ParseForm(); err == nil {
		form = calendarForm{Year: c.PostForm("year"), Off: c.PostForm("off"), Worked: c.PostForm("worked")}
		if year, err = strconv.Atoi(form.Year); err != nil || year < firstYear || year > lastYear {
			form.Why, form.Wrong, status = "calendar-year-wrong", form.Year, http.StatusUnprocessableEntity
		}
	}
	if form.Why == "" {
		err := s.Cases.SetCalendar(c.Request.Context(), s.me(c), year, form.Off, form.Worked)
		var day *workdays.WrongDay
		var refused *casefile.Refused
		switch {
		case err == nil:
			c.Redirect(http.StatusSeeOther, "/calendar?year="+strconv.Itoa(year))
			return
		case errors.As(err, &day):
			form.Why, form.Wrong, status = "calendar-day-wrong", day.Word, http.StatusUnprocessableEntity
		case errors.As(err, &refused):
			form.Why, status = refused.Key, http.StatusForbidden
		default:
			s.fail(c, err)
			return
		}
	}
	years, err := s.Cases.CalendarYears(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	s.showCalendar(c, status, years, form)
}
