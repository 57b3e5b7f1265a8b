package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

const (
	lately        = 30 * 24 * time.Hour
	soonOver      = 60 * 24 * time.Hour // of certificates
	shownOver     = 50
	shownBoots    = 50
	shownLate     = 20
	lowSpace      = 10 // percent of the disk
	reviewerShare = 5  // percent of the officers (R16)
)

func (s *site) fleetRoutes() []Route {
	return []Route{
		{"GET", "/fleet", auth.SeeFleet, s.fleet},
		{"GET", "/fleet/:device", auth.SeeFleet, s.fleetDevice},
	}
}

// fleetRow is a device of the list.
type fleetRow struct {
	catalog.FleetDevice
	Seen int64 // milliseconds since 1970 UTC; 0: never, or not on record
	Work catalog.Work
}

// Person reports whether somebody should look after the device.
func (r fleetRow) Person() bool {
	return r.Gaps > 0 || r.Forks > 0 || r.Work.Late > 0 || r.Work.HeadersLate > 0 || r.Device.SuspectSince.Valid
}

// staff is the figure of R16.
type staff struct {
	Reviewers, Officers int64
	Needed              int64 // reviewers, at least
}

// fleet shows devices and docks, the one not heard of for longest first, and ahead of them what concerns all.
func (s *site) fleet(c *gin.Context) {
	after, device, ok := int64(-2), "", true
	if text := c.Query("before"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		after, device, ok = n, c.Query("after"), err == nil
	}
	if !ok {
		s.sorry(c, http.StatusBadRequest, "no-page")
		return
	}
	ctx := c.Request.Context()
	data := struct {
		Frame
		Count db.CountFleetRow
		Rows  []fleetRow
		First bool
		Next  string
		Space *archive.Space
		Low   bool
		Over  []transport.Officer // certificates that are over, or soon
		More  int
		NoReg bool
		Staff *staff

		Duty     []onDutyRow
		DutyMore int
	}{Frame: s.frame(c, "fleet"), First: c.Query("before") == ""}
	list, err := s.Catalog.Fleet(ctx, after, device, perPage+1)
	if err == nil {
		data.Count, err = s.Catalog.CountFleet(ctx)
	}
	if len(list) > perPage {
		list = list[:perPage]
		last := list[perPage-1].Device
		data.Next = next("/fleet", seenIndex(last), last.Device)
	}
	for _, d := range list {
		var r fleetRow
		if err == nil {
			r, err = s.fleetRow(c, d)
		}
		data.Rows = append(data.Rows, r)
	}
	if err == nil && data.First {
		reg, _ := s.register(ctx)
		data.NoReg = reg == nil
		data.Over, data.More = s.over(reg)
		data.Space, data.Low, err = s.space()
		if err == nil {
			data.Staff, err = s.staff(c, reg)
		}
		if err == nil {
			data.Duty, data.DutyMore, err = s.dutyRows(ctx)
		}
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	s.page(c, http.StatusOK, "fleet.html", data)
}

func seenIndex(d db.Device) int64 {
	if d.SeenIndex.Valid {
		return d.SeenIndex.Int64
	}
	return -1
}

func (s *site) fleetRow(c *gin.Context, d catalog.FleetDevice) (r fleetRow, err error) {
	r.FleetDevice = d
	id, err := evidence.ParseDeviceID(d.Device.Device)
	if err != nil {
		return r, err
	}
	if d.Device.SeenIndex.Valid {
		r.Seen = s.logged(c.Request.Context(), d.Device.SeenIndex.Int64)
	}
	r.Work, err = s.Catalog.DeviceWork(c.Request.Context(), id, s.Now().Add(-lately), s.Now(), s.deadlines())
	return r, err
}

func (s *site) deadlines() catalog.Deadlines {
	return catalog.Deadlines{Export: s.ExportDeadline, Header: s.HeaderDeadline}
}

// over lists officers whose certificates are over or soon will be, the earliest first, and how many more there are.
func (s *site) over(reg *transport.Register) (list []transport.Officer, more int) {
	if reg == nil {
		return nil, 0
	}
	until := s.Now().Local().Add(soonOver).Format(time.DateOnly)
	for _, o := range reg.Officers {
		if o.ValidUntil == "" || o.ValidUntil <= until {
			list = append(list, o)
		}
	}
	slices.SortStableFunc(list, func(a, b transport.Officer) int {
		switch {
		case a.ValidUntil < b.ValidUntil:
			return -1
		case a.ValidUntil > b.ValidUntil:
			return 1
		}
		return 0
	})
	n := min(len(list), shownOver)
	return list[:n], len(list) - n
}

// space says how much room the vault has; nil: it does not tell.
func (s *site) space() (*archive.Space, bool, error) {
	if s.Space == nil {
		return nil, false, nil
	}
	room, err := s.Space()
	return &room, room.Free < room.Total/100*lowSpace, err
}

// staff compares the reviewers with the officers, for those who supervise; nil: not theirs, or there is no register.
func (s *site) staff(c *gin.Context, reg *transport.Register) (*staff, error) {
	if role := s.me(c).Role; reg == nil || role != auth.Supervisor && role != auth.Administrator {
		return nil, nil
	}
	n, err := s.Catalog.CountWithRole(c.Request.Context(), auth.Reviewer)
	officers := int64(len(reg.Officers))
	return &staff{Reviewers: n, Officers: officers, Needed: (officers*reviewerShare + 99) / 100}, err
}

// boot is a start of a device's agent.
type boot struct {
	db.Boot
	Disallowed bool // other firmware than before, and not one of those that are allowed
}

// fleetDevice shows one device.
func (s *site) fleetDevice(c *gin.Context) {
	id, err := evidence.ParseDeviceID(c.Param("device"))
	if err != nil {
		s.sorry(c, http.StatusNotFound, "no-device")
		return
	}
	ctx, now := c.Request.Context(), s.Now()
	dev, err := s.Catalog.Device(ctx, id)
	if errors.Is(err, catalog.ErrUnknown) {
		s.sorry(c, http.StatusNotFound, "no-device")
		return
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	data := struct {
		Frame
		D         db.Device
		Seen      int64
		Value     *uint64
		All, Late catalog.Work // ever, and lately
		Exports   []db.Recording
		Boots     []boot
		Account   catalog.Account
		See       bool
		Within    time.Duration
		Duty      *onDutyRow // nil: it was not on duty since the server began
		Told      []lifeLine // what it was told to do, and who watched it, for those who see recordings
	}{Frame: s.frame(c, "fleet"), D: dev, Within: s.ExportDeadline}
	var errs [8]error
	data.Duty, errs[6] = s.dutyOf(ctx, id)
	data.All, errs[0] = s.Catalog.DeviceWork(ctx, id, time.Unix(0, 0), now, s.deadlines())
	data.Late, errs[1] = s.Catalog.DeviceWork(ctx, id, now.Add(-lately), now, s.deadlines())
	data.Account, errs[2] = s.Catalog.Account(ctx, dev.Device)
	counter, err := catalog.CounterOf(dev)
	if errs[3] = err; counter != nil {
		data.Value = counter.Value
	}
	if data.See = data.May(auth.SeeRecordings); data.See {
		data.Exports, errs[4] = s.Catalog.LateExports(ctx, id, now.Add(-lately), s.deadlines(), shownLate)
		data.Told, errs[7] = s.told(ctx, data.Frame, id)
	}
	boots, err := s.Catalog.Boots(ctx, id, shownBoots)
	errs[5] = err
	for _, b := range boots {
		row := boot{Boot: b}
		if b.Changed.Valid {
			ok, err := s.Catalog.PCRsAllowed(ctx, dev, b)
			row.Disallowed, errs[5] = !ok, errors.Join(errs[5], err)
		}
		data.Boots = append(data.Boots, row)
	}
	if err := errors.Join(errs[:]...); err != nil {
		s.fail(c, err)
		return
	}
	if dev.SeenIndex.Valid {
		data.Seen = s.logged(ctx, dev.SeenIndex.Int64)
	}
	s.page(c, http.StatusOK, "fleet-device.html", data)
}
