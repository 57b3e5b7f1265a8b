package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

const (
	endsSoon       = 30 * 24 * time.Hour
	dueFor         = 100 * 365 * 24 * time.Hour // how long ago a retention may have ended
	shownEnding    = 20
	shownDisposals = 50
)

func (s *site) retentionRoutes() []Route {
	return []Route{
		{"GET", "/retention", auth.Retain, s.retention},
		{"GET", "/retention/due", auth.Dispose, s.retentionDue},
		{"GET", "/retention/disposed", auth.Dispose, s.retentionDisposed},
		{"POST", "/retention/classes", auth.Retain, s.setClass},
		{"GET", "/recordings/:rec/retention", auth.Retain, s.retentionOf},
		{"POST", "/recordings/:rec/retention/class", auth.Retain, s.retain},
		{"POST", "/recordings/:rec/retention/propose", auth.Dispose, s.propose},
		{"POST", "/recordings/:rec/retention/withdraw", auth.Dispose, s.withdraw},
		{"POST", "/recordings/:rec/retention/confirm", auth.Dispose, s.confirmDisposal},
	}
}

// ending is a recording whose retention ends, with why it may not be disposed of yet.
type ending struct {
	row
	Kept string // a text's key; empty: it may be proposed
}

// shortfall is a recording whose locks have not all followed.
type shortfall struct {
	Rec string
	casework.Progress
}

// retention shows the classes, what ends soon, what is due for disposal, and what waits for the second person.
func (s *site) retention(c *gin.Context) {
	ctx, now := c.Request.Context(), s.Now().UnixMilli()
	data := struct {
		Frame
		Classes   []db.RetentionClass
		Default   time.Duration
		Due, Soon []ending
		MoreDue   bool
		MoreSoon  bool
		Proposed  []db.Disposal
		Removing  []db.Disposal
		Short     []shortfall
		CanRemove bool
	}{Frame: s.frame(c, "retention"), Default: s.DefaultRetention, CanRemove: s.Retention.Disposer != nil}
	var errs [5]error
	data.Classes, errs[0] = s.Catalog.Classes(ctx)
	data.Due, data.MoreDue, errs[1] = s.endings(ctx, data.Frame, now-dueFor.Milliseconds(), now, catalog.Ending{Until: -1}, shownEnding)
	data.Soon, data.MoreSoon, errs[2] = s.endings(ctx, data.Frame, now, now+endsSoon.Milliseconds(), catalog.Ending{Until: -1}, shownEnding)
	data.Proposed, errs[3] = s.Catalog.Disposals(ctx, catalog.DisposalProposed, catalog.Ending{Until: -1}, shownDisposals)
	data.Removing, errs[4] = s.Catalog.Disposals(ctx, catalog.DisposalConfirmed, catalog.Ending{Until: -1}, shownDisposals)
	if err := errors.Join(errs[:]...); err != nil {
		s.fail(c, err)
		return
	}
	for k, p := range s.Retention.Shortfalls() {
		data.Short = append(data.Short, shortfall{k.Rec.String(), p})
	}
	s.page(c, http.StatusOK, "retention.html", data)
}

// endings returns recordings whose retention ends in [begin, end), and why each of those that ended may not go.
func (s *site) endings(ctx context.Context, f Frame, begin, end int64, after catalog.Ending, n int) (out []ending, more bool, err error) {
	list, err := s.Catalog.EndingBetween(ctx, begin, end, after, n+1)
	if err != nil {
		return nil, false, err
	}
	more = len(list) > n
	reg, _ := s.register(ctx)
	for _, r := range list[:min(n, len(list))] {
		e := ending{row: rowOf(r, "")}
		if err := s.describe(&e.row, reg); err != nil {
			return nil, false, err
		}
		if end <= s.Now().UnixMilli() {
			var no *casework.Refusal
			if err := s.Retention.MayDispose(ctx, r); errors.As(err, &no) {
				e.Kept = no.Key
			} else if err != nil {
				return nil, false, err
			}
		}
		out = append(out, e)
	}
	return out, more, nil
}

// retentionDue is the whole list of what is due for disposal, the longest ended first.
func (s *site) retentionDue(c *gin.Context) {
	after, ok := endingAfter(c)
	if !ok {
		s.sorry(c, http.StatusBadRequest, "no-page")
		return
	}
	data := struct {
		Frame
		Due  []ending
		Next string
	}{Frame: s.frame(c, "retention-due")}
	now := s.Now().UnixMilli()
	list, more, err := s.endings(c.Request.Context(), data.Frame, now-dueFor.Milliseconds(), now, after, perPage)
	if err != nil {
		s.fail(c, err)
		return
	}
	if data.Due = list; more {
		last := list[len(list)-1]
		data.Next = next(c.Request.URL.Path, last.StoredUntil, last.Rec)
	}
	s.page(c, http.StatusOK, "retention-due.html", data)
}

// retentionDisposed lists the tombstones.
func (s *site) retentionDisposed(c *gin.Context) {
	after, ok := endingAfter(c)
	if !ok {
		s.sorry(c, http.StatusBadRequest, "no-page")
		return
	}
	list, err := s.Catalog.Disposals(c.Request.Context(), catalog.DisposalDone, after, perPage+1)
	if err != nil {
		s.fail(c, err)
		return
	}
	data := struct {
		Frame
		Gone []db.Disposal
		Next string
	}{Frame: s.frame(c, "retention-gone"), Gone: list}
	if len(list) > perPage {
		data.Gone = list[:perPage]
		data.Next = next(c.Request.URL.Path, list[perPage-1].ProposedAt, list[perPage-1].Rec)
	}
	s.page(c, http.StatusOK, "retention-gone.html", data)
}

func endingAfter(c *gin.Context) (e catalog.Ending, ok bool) {
	if c.Query("before") == "" {
		return catalog.Ending{Until: -1}, true
	}
	n, err := strconv.ParseInt(c.Query("before"), 10, 64)
	return catalog.Ending{Until: n, Rec: c.Query("after")}, err == nil
}

// retentionOf shows how long one recording is kept, and what may be done about it.
func (s *site) retentionOf(c *gin.Context) {
	v, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.retentionPage(c, http.StatusOK, v, "")
}

// retentionPage is retentionOf with what was refused, a text's key.
func (s *site) retentionPage(c *gin.Context, status int, v row, refused string) {
	ctx := c.Request.Context()
	k, err := catalog.KeyOf(v.Device, v.Rec)
	if err != nil {
		s.fail(c, err)
		return
	}
	data := struct {
		Frame
		R        row
		Class    string // empty: the default one
		Until    int64
		Classes  []db.RetentionClass
		Default  time.Duration
		Held     []string // ids of cases
		Progress *casework.Progress
		Kept     string // why it may not be disposed of; empty: it may be proposed
		Proposal *db.Disposal
		Confirm  string // why the reader may not confirm; empty: may
		Refused  string
	}{Frame: s.frame(c, "retention"), R: v, Default: s.DefaultRetention, Refused: refused}
	var errs [5]error
	data.Until, errs[0] = s.Retention.KeptUntil(ctx, v.Recording)
	data.Classes, errs[1] = s.Catalog.Classes(ctx)
	data.Held, errs[2] = s.Catalog.HeldBy(ctx, k.Device, k.Rec)
	data.Kept, errs[3] = refusalIn(s.Retention.MayDispose(ctx, v.Recording))
	if kept, err := s.Catalog.Retained(ctx, k); err == nil {
		data.Class = kept.Class
	} else if !errors.Is(err, catalog.ErrUnknown) {
		errs[4] = err
	}
	if p, ok := s.Retention.Progress(k); ok {
		data.Progress = &p
	}
	if d, err := s.Catalog.Disposal(ctx, k); err == nil {
		data.Proposal = &d
		data.Confirm, err = refusalIn(s.Retention.MayConfirm(ctx, data.Me, d))
		errs[4] = errors.Join(errs[4], err)
	}
	if err := errors.Join(errs[:]...); err != nil {
		s.fail(c, err)
		return
	}
	s.page(c, status, "retention-one.html", data)
}

// refusalIn takes a refusal out of an error.
func refusalIn(err error) (key string, rest error) {
	var no *casework.Refusal
	if errors.As(err, &no) {
		return no.Key, nil
	}
	return "", err
}

// sure shows what is about to be done and asks for it once more. It reports whether that was answered already.
func (s *site) sure(c *gin.Context, form url.Values, what string, args []any, fields ...string) bool {
	if form.Get("sure") == "yes" {
		return true
	}
	data := struct {
		Frame
		What   string // a text's key: WHAT, WHAT-says, WHAT-do
		Args   []any
		Action string
		Back   string
		Fields []named
	}{Frame: s.frame(c, what), What: what, Args: args, Action: c.Request.URL.Path, Back: "/retention"}
	if rec := c.Param("rec"); rec != "" {
		data.Back = "/recordings/" + rec + "/retention"
	}
	for _, f := range fields {
		data.Fields = append(data.Fields, named{f, form.Get(f)})
	}
	s.page(c, http.StatusOK, "retention-sure.html", data)
	return false
}

// setClass makes a class or lengthens its term.
func (s *site) setClass(c *gin.Context) {
	form, ok := s.form(c)
	if !ok || !s.sure(c, form, "sure-class", []any{form.Get("name"), form.Get("days")}, "name", "days") {
		return
	}
	days, err := strconv.Atoi(form.Get("days"))
	if err != nil {
		days = 0 // refused in words
	}
	s.acted(c, s.Retention.SetClass(c.Request.Context(), s.me(c), form.Get("name"), days), "/retention")
}

// keep reads the form of an act upon a recording and asks for it once more, then does it.
func (s *site) keep(c *gin.Context, what string, do func(ctx context.Context, form url.Values, rec evidence.RecordingID) error, args func(url.Values, row) []any, fields ...string) {
	v, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	form, ok := s.form(c)
	if !ok || !s.sure(c, form, what, args(form, v), fields...) {
		return
	}
	rec, err := evidence.ParseRecordingID(v.Rec)
	if err == nil {
		err = do(c.Request.Context(), form, rec)
	}
	var no *casework.Refusal
	if errors.As(err, &no) {
		s.retentionPage(c, http.StatusConflict, v, no.Key)
		return
	}
	s.acted(c, err, "/recordings/"+v.Rec+"/retention")
}

// acted leads on after an act, or says why it was refused.
func (s *site) acted(c *gin.Context, err error, to string) {
	var no *casework.Refusal
	switch {
	case errors.As(err, &no):
		s.sorry(c, http.StatusConflict, no.Key)
	case err != nil:
		s.fail(c, err)
	default:
		c.Redirect(http.StatusSeeOther, to)
	}
}

// label names a recording in a question.
func (s *site) label(c *gin.Context, v row) string { return v.Label(s.frame(c, "retention")) }

func (s *site) retain(c *gin.Context) {
	s.keep(c, "sure-retain", func(ctx context.Context, form url.Values, rec evidence.RecordingID) error {
		return s.Retention.Retain(ctx, s.me(c), rec, form.Get("class"))
	}, func(form url.Values, v row) []any { return []any{s.label(c, v), form.Get("class")} }, "class")
}

func (s *site) propose(c *gin.Context) {
	s.keep(c, "sure-propose", func(ctx context.Context, form url.Values, rec evidence.RecordingID) error {
		return s.Retention.Propose(ctx, s.me(c), rec, form.Get("reason"))
	}, func(form url.Values, v row) []any { return []any{s.label(c, v), form.Get("reason")} }, "reason")
}

func (s *site) withdraw(c *gin.Context) {
	s.keep(c, "sure-withdraw", func(ctx context.Context, _ url.Values, rec evidence.RecordingID) error {
		return s.Retention.Withdraw(ctx, s.me(c), rec)
	}, func(_ url.Values, v row) []any { return []any{s.label(c, v)} })
}

func (s *site) confirmDisposal(c *gin.Context) {
	s.keep(c, "sure-dispose", func(ctx context.Context, _ url.Values, rec evidence.RecordingID) error {
		return s.Retention.Confirm(ctx, s.me(c), rec)
	}, func(_ url.Values, v row) []any { return []any{s.label(c, v)} })
}
