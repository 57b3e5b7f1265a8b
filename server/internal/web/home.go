package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/workdays"
)

const (
	shownHome   = 10  // entries of a list
	shownLast   = 8   // newest recordings
	searchedFor = 300 // newest recordings among which somebody's own are looked for
)

// homePage is what needs a person.
type homePage struct {
	Frame
	Lists []homeList
	Quiet bool // nothing needs a person
	Last  []row
	Fleet string // one line; empty: not for this reader
}

// homeList is one of the four lists; empty on a good day.
type homeList struct {
	Key   string
	Items []homeItem
	More  int64  // entries that are not shown
	Path  string // where all of them are; empty: nowhere
}

type homeItem struct {
	Path, Text string
	Why        string // in words
	At         int64  // milliseconds since 1970 UTC; 0: none
	Due        string // when it has to be done
	Plain      string // what is no name and must not be cut
}

// home shows what needs a person, the newest recordings, and the fleet in one line.
func (s *site) home(c *gin.Context) {
	ctx, me := c.Request.Context(), s.me(c)
	p := homePage{Frame: s.frame(c, "home"), Quiet: true}
	var err error
	for _, list := range []struct {
		key  string
		fill func(context.Context, *homePage, auth.Account, *homeList) error
	}{{"broken", s.homeBroken}, {"missing", s.homeMissing}, {"late", s.homeLate}, {"mine", s.homeMine}} {
		l := homeList{Key: "home-" + list.key}
		if err = list.fill(ctx, &p, me, &l); err != nil {
			s.fail(c, err)
			return
		}
		p.Quiet = p.Quiet && len(l.Items) == 0
		p.Lists = append(p.Lists, l)
	}
	if p.Last, err = s.lastRecordings(ctx, me); err == nil && me.May(auth.SeeFleet) {
		p.Fleet, err = s.fleetLine(ctx, p.Frame)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.page(c, http.StatusOK, "home.html", p)
}

// answersForAll reports whether somebody looks after all recordings and devices.
func answersForAll(me auth.Account) bool {
	return me.Role == auth.Custodian || me.Role == auth.Supervisor || me.Role == auth.Administrator
}

// homeBroken lists devices whose word contradicts itself or is suspect.
func (s *site) homeBroken(ctx context.Context, p *homePage, me auth.Account, l *homeList) error {
	if !answersForAll(me) {
		return nil
	}
	damaged, err := s.Catalog.Damaged(ctx, shownHome)
	if err != nil {
		return err
	}
	for _, d := range damaged {
		i := homeItem{Text: fmt.Sprintf(p.T("home-damaged"), d.Part+1), Plain: short(d.Recording.Device), At: d.FoundAt}
		if me.May(auth.SeeRecordings) {
			i.Path, i.Why, i.Text, i.Plain = "/recordings/"+d.Recording.Rec, i.Text, rowOf(d.Recording, d.Class).Label(p.Frame), ""
		}
		l.add(i)
	}
	forks, err := s.Catalog.AllForks(ctx, shownHome)
	if err != nil {
		return err
	}
	for _, f := range forks {
		l.Items = append(l.Items, homeItem{Text: fmt.Sprintf(p.T("home-fork"), f.Seq), Plain: short(f.Device), At: f.At})
	}
	devices, err := s.Catalog.Devices(ctx)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if d.SuspectSince.Valid {
			l.add(homeItem{Text: p.T("home-suspect"), Plain: short(d.Device), At: d.SuspectSince.Int64})
		}
	}
	return nil
}

// add puts an entry into the list, or counts it if there is no more room.
func (l *homeList) add(i homeItem) {
	if len(l.Items) >= shownHome {
		l.More++
		return
	}
	l.Items = append(l.Items, i)
}

// homeMissing lists recordings that are not whole, and what devices began and never sent.
func (s *site) homeMissing(ctx context.Context, p *homePage, me auth.Account, l *homeList) error {
	if !me.May(auth.SeeRecordings) && !me.May(auth.SeeFleet) {
		return nil
	}
	if answersForAll(me) {
		gaps, err := s.Catalog.AllGaps(ctx, shownHome)
		if err != nil {
			return err
		}
		for _, g := range gaps {
			l.add(homeItem{Text: fmt.Sprintf(p.T("home-gap"), g.FromValue, g.ToValue), Plain: short(g.Device)})
		}
	}
	if !me.May(auth.SeeRecordings) {
		return nil
	}
	n := shownHome
	if me.OwnRecordingsOnly() || me.OwnBodyOnly() {
		n = searchedFor
	}
	if err := s.homeSilent(ctx, p, me, l, n); err != nil {
		return err
	}
	list, count, err := s.Catalog.Incomplete(ctx, n)
	if err != nil {
		return err
	}
	seen := 0
	for _, r := range list {
		if ok, err := s.mayLook(ctx, me, r.Recording); err != nil {
			return err
		} else if !ok {
			continue
		}
		seen++
		v := rowOf(r.Recording, r.Class)
		l.add(homeItem{Path: "/recordings/" + r.Rec, Text: v.Label(p.Frame), Why: p.lack(v), At: r.OpenedAt})
	}
	if n == shownHome {
		l.More += count - int64(seen)
	}
	return nil
}

// lack says in a few words why a recording is not whole.
func (p *homePage) lack(v row) string {
	switch {
	case v.ClosedAt.Valid && v.Why != evidence.WhyComplete:
		return p.T(v.Why)
	case v.Lost > 0:
		return fmt.Sprintf("%s: %d", p.T("absent"), v.Lost)
	}
	return fmt.Sprintf("%s: %d", p.T("faults"), v.Faults)
}

// homeLate lists headers that are late, and reviews that are due soon or overdue.
func (s *site) homeLate(ctx context.Context, p *homePage, me auth.Account, l *homeList) error {
	if me.May(auth.SeeCases) {
		if err := s.lateReviews(ctx, p, me, l); err != nil {
			return err
		}
	}
	if !answersForAll(me) || !me.May(auth.SeeRecordings) {
		return nil
	}
	count, err := s.Catalog.LateHeaders(ctx, s.Now(), s.HeaderDeadline)
	if err != nil || count == 0 {
		return err
	}
	list, _, err := s.Catalog.WithoutHeader(ctx, shownHome)
	if err != nil {
		return err
	}
	for i, r := range list {
		if int64(i) < min(count, shownHome/2) {
			l.Items = append(l.Items, homeItem{Path: "/recordings/" + r.Rec, Text: rowOf(r.Recording, r.Class).Label(p.Frame), Why: p.T("home-header-late"), At: r.OpenedAt})
		}
	}
	l.More += count - min(count, shownHome/2)
	return nil
}

func (s *site) lateReviews(ctx context.Context, p *homePage, me auth.Account, l *homeList) error {
	days, err := s.Cases.Calendar(ctx)
	if err != nil {
		return err
	}
	list, err := s.inState(ctx, me, casefile.InReview, days.Due(s.Now(), soonDays))
	if err != nil {
		return err
	}
	for _, x := range list {
		k := clockOf(days, x.State, x.Due, s.Now())
		if k.Overdue || k.Soon {
			l.add(p.caseItem(x, p.LeftText(k), 0, k.Day))
		}
	}
	return nil
}

// inState are the cases in a state that somebody sees, by due time; those due before a time only, unless that is zero.
func (s *site) inState(ctx context.Context, me auth.Account, state casefile.State, due time.Time) ([]casefile.Summary, error) {
	q := casework.Query{State: state, N: casework.MaxList}
	if me.Role == auth.Reviewer {
		q.ReviewBody = me.Body
	}
	if !due.IsZero() {
		q.Due = due.UnixMilli() + 1
	}
	list, _, err := s.Cases.List(ctx, me, q)
	slices.SortStableFunc(list, func(a, b casefile.Summary) int {
		if a.Due != b.Due {
			return int(min(max(a.Due-b.Due, -1), 1))
		}
		return int(min(max(a.ChangedAt-b.ChangedAt, -1), 1))
	})
	return list, err
}

func (p *homePage) caseItem(x casefile.Summary, why string, at int64, due string) homeItem {
	text := x.Title
	if text == "" {
		text = p.T("case-untitled")
	}
	return homeItem{Path: "/cases/" + string(x.ID), Text: text, Plain: x.Number, Why: why, At: at, Due: due}
}

// waiting says which states of cases wait for whom.
var waiting = map[auth.Role][]casefile.State{
	auth.Officer:   {casefile.Returned, casefile.Agreed, casefile.Determined},
	auth.Custodian: {casefile.Returned, casefile.Agreed, casefile.Determined},
	auth.Reviewer:  {casefile.InReview},
	auth.Leader:    {casefile.Escalated},
}

// homeMine lists the cases that wait for the reader's own body, and the calendar that waits for the administrator.
func (s *site) homeMine(ctx context.Context, p *homePage, me auth.Account, l *homeList) error {
	days, err := s.Cases.Calendar(ctx)
	if err != nil {
		return err
	}
	if year := days.Due(s.Now(), workdays.ReviewDays).Year(); me.May(auth.Calendar) && !days.Known(year) {
		l.add(homeItem{Path: fmt.Sprintf("/calendar?year=%d#enter", year), Plain: strconv.Itoa(year), Text: p.T("home-calendar")})
	}
	if me.May(auth.Dispose) {
		proposed, err := s.Catalog.Disposals(ctx, catalog.DisposalProposed, catalog.Ending{}, shownHome)
		if err != nil {
			return err
		}
		for _, d := range proposed {
			if d.ProposedAccount != me.ID {
				l.add(homeItem{Path: "/recordings/" + d.Rec + "/retention", Text: d.Name, Why: p.T("home-dispose"), At: d.ProposedAt})
			}
		}
	}
	for _, state := range waiting[me.Role] {
		list, err := s.inState(ctx, me, state, time.Time{})
		if err != nil {
			return err
		}
		for _, x := range list {
			body := x.Body
			if me.Role == auth.Reviewer {
				body = x.ReviewBody
			}
			if !casefile.SameBody(body, me.Body) {
				continue
			}
			why, at, due := p.T("case-"+string(state)), x.ChangedAt, ""
			if k := clockOf(days, x.State, x.Due, s.Now()); k.Runs {
				why, at, due = p.LeftText(k), 0, k.Day
			}
			l.add(p.caseItem(x, why, at, due))
		}
	}
	return nil
}

// lastRecordings are the newest that the reader may see.
func (s *site) lastRecordings(ctx context.Context, me auth.Account) ([]row, error) {
	if !me.May(auth.SeeRecordings) {
		return nil, nil
	}
	n := shownLast
	if me.OwnRecordingsOnly() || me.OwnBodyOnly() {
		n = searchedFor
	}
	list, err := s.Catalog.Shown(ctx, evidence.MaxInt, "", n)
	if err != nil {
		return nil, err
	}
	var own []catalog.Listed
	for _, r := range list {
		ok, err := s.mayLook(ctx, me, r.Recording)
		if err != nil {
			return nil, err
		}
		if ok && len(own) < shownLast {
			own = append(own, r)
		}
	}
	return s.rows(ctx, me, own)
}

// fleetLine says in one line how the devices are.
func (s *site) fleetLine(ctx context.Context, fr Frame) (string, error) {
	devices, err := s.Catalog.Devices(ctx)
	if err != nil {
		return "", err
	}
	revoked := 0
	for _, d := range devices {
		if d.RevokedIndex.Valid {
			revoked++
		}
	}
	return fmt.Sprintf(fr.T("home-fleet"), len(devices)-revoked, revoked), nil
}

// Count is how many entries there are, shown or not.
func (l homeList) Count() int64 { return int64(len(l.Items)) + l.More }
