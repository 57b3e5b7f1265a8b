package web

import (
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/catalog/db"
)

const perPage = 50

// list shows the recordings, newest first, and on the first page those that need a person above them.
func (s *site) list(c *gin.Context) {
	at, rec := int64(evidence.MaxInt), ""
	first := c.Query("before") == ""
	if !first {
		n, err := strconv.ParseInt(c.Query("before"), 10, 64)
		if err != nil {
			s.sorry(c, 400, "no-page")
			return
		}
		at, rec = n, c.Query("after")
	}
	ctx := c.Request.Context()
	list, err := s.Catalog.Shown(ctx, at, rec, perPage+1)
	if err != nil {
		s.fail(c, err)
		return
	}
	count, err := s.Catalog.CountShown(ctx)
	if err != nil {
		s.fail(c, err)
		return
	}
	data := struct {
		Frame
		Rows   []row
		People []row
		Count  int64
		First  bool
		Next   string
	}{Frame: s.frame(c, "recordings"), Count: count, First: first}
	for i, r := range list {
		if i == perPage {
			last := list[i-1]
			q := url.Values{"before": {strconv.FormatInt(last.OpenedAt, 10)}, "after": {last.Rec}}
			data.Next = "/?" + q.Encode()
			break
		}
		v := rowOf(r.Recording, r.Class)
		data.Rows = append(data.Rows, v)
		if v.Person {
			data.People = append(data.People, v)
		}
	}
	s.page(c, 200, "list.html", data)
}

// recording shows one recording.
func (s *site) recording(c *gin.Context) {
	v, err := s.find(c)
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
	custody, err := s.Catalog.Custody(c.Request.Context(), id, rec)
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
	data := struct {
		Frame
		R       row
		Times   []string
		D       device
		Custody []db.Custody
		Media   string
		Lock    evidence.Lock
	}{Frame: s.frame(c, "recording"), R: v, D: dev, Custody: custody, Media: baseType(v.MediaType), Lock: s.Vault.Lock()}
	data.Times = times.Text(verify.Lang(data.Lang))
	data.Title, data.Dark = v.Label(data.Frame), true
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
