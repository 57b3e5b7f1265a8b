package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

const (
	purposeLife = 12 * time.Hour // for how long somebody is not asked again
	viewEvery   = time.Hour      // how often a session's look at a recording is recorded
)

// ofRecording are the addresses below a recording.
const ofRecording = "/recordings/:rec"

// withoutPurpose are addresses that show none of the footage, or, with lists, a stamp of it.
var withoutPurpose = []string{ofRecording + "/purpose", ofRecording + "/poster", ofRecording + "/custody", ofRecording + "/custody/:index", ofRecording + "/growth",
	ofRecording + "/retention", ofRecording + "/retention/class", ofRecording + "/retention/propose", ofRecording + "/retention/withdraw",
	ofRecording + "/retention/confirm"}

// mayLook reports whether somebody may see a recording at all. To others it is as if it were not there.
func (s *site) mayLook(ctx context.Context, me auth.Account, r db.Recording) (bool, error) {
	if me.OwnRecordingsOnly() {
		var officers []evidence.Officer
		if err := json.Unmarshal([]byte(r.Officers), &officers); err != nil {
			return false, fmt.Errorf("officers of recording %s: %w", r.Rec, err)
		}
		return me.Certificate != "" && slices.ContainsFunc(officers, func(o evidence.Officer) bool { return o.Certificate == verify.Display(me.Certificate) }), nil
	}
	if me.OwnBodyOnly() && (me.Body == "" || !casefile.SameBody(r.Department, me.Body)) {
		return s.linked(ctx, me, r)
	}
	return true, nil
}

// linked reports whether a recording belongs to a case of somebody's body.
func (s *site) linked(ctx context.Context, me auth.Account, r db.Recording) (bool, error) {
	device, rec, err := idsOf(r)
	if err != nil {
		return false, err
	}
	list, err := s.Cases.OfRecording(ctx, me, device, rec)
	return len(list) > 0, err
}

func idsOf(r db.Recording) (evidence.DeviceID, evidence.RecordingID, error) {
	device, err1 := evidence.ParseDeviceID(r.Device)
	rec, err2 := evidence.ParseRecordingID(r.Rec)
	return device, rec, errors.Join(err1, err2)
}

// impliedPurpose is for what somebody looks at a recording if that need not be asked; empty: it must be.
func (s *site) impliedPurpose(ctx context.Context, me auth.Account, r db.Recording) (auth.Purpose, error) {
	if me.OwnRecordingsOnly() {
		return auth.PurposeOwn, nil
	}
	device, rec, err := idsOf(r)
	if err != nil {
		return "", err
	}
	return s.Cases.Implied(ctx, me, device, rec)
}

// looking stands before everything below a recording's address: it hides recordings that are none of the reader's business, asks what for,
// and records the look.
func (s *site) looking(c *gin.Context) {
	v, err := s.find(c)
	if s.onTombstone(c, err) || c.IsAborted() {
		return
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.admit(c, v)
}

// admit lets the reader look at a recording and reports whether that is so; if not, it has answered.
func (s *site) admit(c *gin.Context, v row) bool {
	ctx := c.Request.Context()
	ok, err := s.mayLook(ctx, s.me(c), v.Recording)
	if err == nil && !ok {
		err = catalog.ErrUnknown
	}
	if err != nil {
		s.fail(c, err)
		return false
	}
	if slices.Contains(withoutPurpose, c.FullPath()) {
		return true
	}
	purpose, err := s.purpose(ctx, s.me(c), v.Recording)
	switch {
	case err != nil:
		s.fail(c, err)
	case purpose == "" && c.Request.Method == http.MethodGet && navigates(c.Request) && !strings.HasPrefix(c.FullPath(), ofRecording+"/"):
		s.page(c, http.StatusOK, "purpose.html", purposeData{Frame: s.frame(c, "purpose"), R: v, Purposes: auth.Purposes, Next: c.Request.URL.RequestURI()})
	case purpose == "":
		s.sorry(c, http.StatusForbidden, "purpose-first")
	case c.Request.Method == http.MethodGet:
		if err := s.viewed(c, v.Recording, purpose); err != nil {
			s.fail(c, err)
		}
	}
	return !c.IsAborted()
}

type purposeData struct {
	Frame
	R        row
	Purposes []auth.Purpose
	Next     string
	What     string
}

// purpose is for what somebody looks at a recording in this session; empty if that was not said.
func (s *site) purpose(ctx context.Context, me auth.Account, r db.Recording) (auth.Purpose, error) {
	session := s.session(ctx)
	p, err := s.purposeSaid(ctx, session, r.Rec)
	if err != nil || p != "" {
		return p, err
	}
	p, err = s.impliedPurpose(ctx, me, r)
	if err == nil && p != "" {
		err = s.Catalog.PutLook(ctx, session, r.Rec, string(p), s.Now())
	}
	return p, err
}

// purposeSaid is for what a session said that it looks at something; empty if it did not, or so long ago that it is asked again.
func (s *site) purposeSaid(ctx context.Context, session, what string) (auth.Purpose, error) {
	look, err := s.Catalog.Look(ctx, session, what)
	if errors.Is(err, catalog.ErrUnknown) || err == nil && s.Now().Sub(time.UnixMilli(look.Chosen)) >= purposeLife {
		return "", nil
	}
	return auth.Purpose(look.Purpose), err
}

// choosePurpose takes the answer to what somebody looks at a recording for.
func (s *site) choosePurpose(c *gin.Context) {
	if !s.shortForm(c) {
		return
	}
	v, err := s.find(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	p, next := auth.Purpose(c.Request.PostForm.Get("purpose")), c.Request.PostForm.Get("next")
	if !slices.Contains(auth.Purposes, p) {
		s.page(c, http.StatusUnprocessableEntity, "purpose.html", purposeData{Frame: s.frame(c, "purpose"), R: v, Purposes: auth.Purposes, Next: next, What: "choose-purpose"})
		return
	}
	if err := s.Catalog.PutLook(c.Request.Context(), s.session(c.Request.Context()), v.Rec, string(p), s.Now()); err != nil {
		s.fail(c, err)
		return
	}
	at := "/recordings/" + v.Rec
	if local(next, s.me(c)) == next && strings.Contains(next, v.Rec) {
		at = next
	}
	s.see(c, at)
}

// viewed records that somebody looks at a recording, once in an hour of a session: what is asked for at the same time waits for that.
func (s *site) viewed(c *gin.Context, r db.Recording, p auth.Purpose) error {
	ctx, me := context.WithoutCancel(c.Request.Context()), s.me(c)
	session := s.session(ctx)
	_, err, _ := s.views.Do(session+r.Rec, func() (any, error) {
		look, err := s.Catalog.Look(ctx, session, r.Rec)
		if err != nil || s.Now().Sub(time.UnixMilli(look.Viewed)) < viewEvery {
			return nil, err
		}
		device, rec, err := idsOf(r)
		if err != nil {
			return nil, err
		}
		at := s.Now()
		_, err = s.Exporter.Book.Record(ctx, casework.Act{Name: casework.ActViewed, Actor: me.Actor(), Device: &device, Rec: rec,
			Detail: evidence.Detail{casework.DetailPurpose: string(p), catalog.DetailAccount: me.ID}})
		if err != nil {
			return nil, err
		}
		return nil, s.Catalog.SetViewed(ctx, session, r.Rec, at)
	})
	return err
}
