package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

const (
	perPage = 50
)

// rows describes recordings of a list.
func (s *site) rows(ctx context.Context, me auth.Account, list []catalog.Listed) (out []row, err error) {
	reg, _ := s.register(ctx)
	looks, err := s.looks(ctx, list)
	if err != nil {
		return nil, err
	}
	damaged, err := s.Catalog.DamagedRecordings(ctx, knownDamaged)
	if err != nil {
		return nil, err
	}
	shared, err := s.Catalog.Shared(ctx, list)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if ok, err := s.mayLook(ctx, me, r.Recording); err != nil || !ok {
			if err != nil {
				return nil, err
			}
			continue
		}
		v := rowOf(r.Recording, r.Class)
		v.Damaged = damaged[r.Rec]
		v.looked(looks[r.Rec].Poster, looks[r.Rec].Duration)
		s.grow(ctx, &v)
		if err := s.describe(&v, reg); err != nil {
			return nil, err
		}
		if shared[r.Original] {
			if v.Others, _, err = s.attempts(ctx, r.Recording); err != nil {
				return nil, err
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// unrecordedPage shows acts that were not recorded, newest first.
func (s *site) unrecordedPage(c *gin.Context) {
	at, rec, ok := after(c)
	if !ok {
		s.sorry(c, 400, "no-page")
		return
	}
	list, err := s.Catalog.Unrecorded(c.Request.Context(), at, rec, perPage+1)
	data := struct {
		Frame
		Unrecorded []db.Unrecorded
		Acts       int64
		Next       string
	}{Frame: s.frame(c, "unrecorded"), Unrecorded: list}
	if err == nil {
		data.Acts, err = s.Catalog.CountUnrecorded(c.Request.Context())
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	if len(list) > perPage {
		data.Unrecorded = list[:perPage]
		data.Next = next("/unrecorded", list[perPage-1].At, list[perPage-1].Rec)
	}
	s.page(c, 200, "unrecorded.html", data)
}

// after reads where in a list a page begins: behind the entry of a time with an id.
func after(c *gin.Context) (at int64, rec string, ok bool) {
	if c.Query("before") == "" {
		return evidence.MaxInt, "", true
	}
	n, err := strconv.ParseInt(c.Query("before"), 10, 64)
	return n, c.Query("after"), err == nil
}

// next is the address of the page behind an entry.
func next(path string, at int64, rec string) string {
	return path + "?" + url.Values{"before": {strconv.FormatInt(at, 10)}, "after": {rec}}.Encode()
}

// recordingPage is what a recording's page shows.
type recordingPage struct {
	Frame
	M       makings
	R       row
	A       about
	Times   []string
	D       device
	Custody int
	Media   string
	Lock    evidence.Lock
	Cases   recordingCases
	Damages []db.Damage
	Far     string // how much is seen and stored, of what is being captured
	Next    continued
	Told    []verify.FaultFound // by the device
}

// recording shows one recording.
func (s *site) recording(c *gin.Context) {
	v, err := s.find(c)
	if errors.Is(err, catalog.ErrUnknown) && s.tombstone(c) {
		return
	}
	var p recordingPage
	if err == nil {
		p, err = s.recordingPage(c, v)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Header("Content-Security-Policy", playerPolicy)
	s.page(c, http.StatusOK, "recording.html", p)
}

func (s *site) recordingPage(c *gin.Context, v row) (p recordingPage, err error) {
	ctx := c.Request.Context()
	id, rec, err := idsOf(v.Recording)
	if err != nil {
		return p, err
	}
	p = recordingPage{Frame: s.frame(c, "recording"), Media: baseType(v.MediaType), Lock: s.Vault.Lock()}
	s.grow(ctx, &v)
	var errs [10]error
	p.Custody, errs[0] = s.Catalog.CountLife(ctx, catalog.RecordingKey{Device: id, Rec: rec})
	p.D, errs[1] = s.device(ctx, id, v.Recording)
	p.A, errs[2] = s.about(ctx, v.Recording)
	p.Cases, errs[3] = s.casesOf(c, id, rec)
	p.M, errs[4] = s.made(ctx, &v)
	p.Damages, errs[5] = s.Catalog.DamagesOf(ctx, v.Device, v.Rec, shownDamages)
	p.Far, _, errs[7] = s.howFar(ctx, p.Frame, v)
	p.Next, errs[8] = s.continued(ctx, v.Recording)
	p.Told, errs[9] = s.faultsOf(ctx, v.Recording)
	times, err := s.Exporter.Bracket(ctx, rec)
	errs[6] = err
	if err := errors.Join(errs[:]...); err != nil {
		return p, err
	}
	p.Times = times.Text(verify.Lang(p.Lang))
	p.Title, p.Dark = v.Label(p.Frame), true
	err = s.describe(&v, p.A.Register)
	v.Damaged = len(p.Damages) > 0
	p.R = v
	return p, err
}

// faultsOf are the first faults that a recording's device told of.
func (s *site) faultsOf(ctx context.Context, r db.Recording) ([]verify.FaultFound, error) {
	if r.Faults == 0 {
		return nil, nil
	}
	key, err := keyOf(r)
	if err != nil {
		return nil, err
	}
	view, err := s.Log.Recordings.View(ctx, key)
	return view.FaultsSaid[:min(len(view.FaultsSaid), shownFaults)], err
}

const shownFaults = 10

// find reads the recording that the address names. Errors: catalog.ErrUnknown.
func (s *site) find(c *gin.Context) (row, error) {
	rec, err := evidence.ParseRecordingID(c.Param("rec"))
	if err != nil {
		rec = evidence.RecordingID{} // no recording has this id
	}
	r, err := s.Catalog.FindRecording(c.Request.Context(), rec)
	if err != nil {
		return row{}, err
	}
	id, err := evidence.ParseDeviceID(r.Device)
	if err != nil {
		return row{}, err
	}
	dev, err := s.Catalog.Device(c.Request.Context(), id)
	return rowOf(r, dev.Class), err
}
