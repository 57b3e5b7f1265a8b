package web

import (
	"context"
	"errors"
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
		v.Poster, v.Duration = looks[r.Rec].Poster, looks[r.Rec].Duration
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

// recording shows one recording.
func (s *site) recording(c *gin.Context) {
	v, err := s.find(c)
	if errors.Is(err, catalog.ErrUnknown) && s.tombstone(c) {
		return
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	id, err := evidence.ParseDeviceID(v.Device)
	if err != nil {
		s.fail(c, err)
		return
	}
	rec, err := evidence.ParseRecordingID(v.Rec)
	if err != nil {
		s.fail(c, err)
		return
	}
	custody, err := s.Catalog.CountLife(c.Request.Context(), catalog.RecordingKey{Device: id, Rec: rec})
	if err != nil {
		s.fail(c, err)
		return
	}
	dev, err := s.device(c.Request.Context(), id, v.Recording)
	if err != nil {
		s.fail(c, err)
		return
	}
	times, err := s.Exporter.Bracket(c.Request.Context(), rec)
	if err != nil {
		s.fail(c, err)
		return
	}
	what, err := s.about(c.Request.Context(), v.Recording)
	if err == nil {
		err = s.describe(&v, what.Register)
	}
	var linked recordingCases
	if err == nil {
		linked, err = s.casesOf(c, id, rec)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	made, err := s.made(c.Request.Context(), &v)
	var damages []db.Damage
	if err == nil {
		damages, err = s.Catalog.DamagesOf(c.Request.Context(), v.Device, v.Rec, shownDamages)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	data := struct {
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
		Early   []int // parts to fetch early
	}{Frame: s.frame(c, "recording"), M: made, R: v, A: what, D: dev, Custody: custody, Media: baseType(v.MediaType), Lock: s.Vault.Lock(), Cases: linked, Damages: damages, Early: s.early(c, v)}
	data.Times = times.Text(verify.Lang(data.Lang))
	data.Title, data.Dark = v.Label(data.Frame), true
	c.Header("Content-Security-Policy", playerPolicy)
	s.page(c, 200, "recording.html", data)
}

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
