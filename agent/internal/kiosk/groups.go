package kiosk

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"camseal/agent/internal/dock"
	"camseal/pkg/evidence"
)

// A page shows so many; the rest is counted. What waits for a header comes first, so confirming makes room.
const (
	shownGroups = 60
	shownItems  = 40
	markable    = 1000
)

// group is a group as it is shown.
type group struct {
	dock.Group
	Lang  lang
	now   time.Time
	Next  *group // the group after it, which it may be joined with
	Back  string // the page that it is shown on
	Shown []item
	More  int // recordings that are not shown
}

type item struct {
	dock.Item
	First bool // of its group
}

func groupOf(g dock.Group, l lang, now time.Time) group {
	v := group{Group: g, Lang: l, now: now}
	for i, it := range g.Items[:min(len(g.Items), shownItems)] {
		v.Shown = append(v.Shown, item{it, i == 0})
	}
	v.More = len(g.Items) - len(v.Shown)
	return v
}

// T returns a text in the page's language.
func (g group) T(key string) string { return g.Lang.in(key) }

// Markable are those of its recordings that a mark can be put on.
func (g group) Markable() []dock.Item { return g.Items[:min(len(g.Items), markable)] }

// Name says which recordings these are.
func (g group) Name() string {
	if len(g.Items) == 0 {
		return short(g.ID)
	}
	if begun := recorderClock(g.Items[0].Begun); begun != "" {
		return begun
	}
	return g.Items[0].Name
}

// DueText says when the header must be there.
func (g group) DueText() string {
	if g.Due.IsZero() {
		return ""
	}
	key := "due"
	if g.Late {
		key = "was-due"
	}
	return fmt.Sprintf(g.Lang.in(key), g.Lang.when(g.Due, g.now))
}

// Percent says how much of an item is read.
func (i item) Percent() uint64 {
	if i.Size == 0 || i.Read >= i.Size {
		return 100
	}
	return uint64(float64(i.Read) / float64(i.Size) * 100)
}

// BegunText is what the recorder's clock showed.
func (i item) BegunText() string { return recorderClock(i.Begun) }

// Sure is the confidence in per cent.
func (g group) Sure() uint64 { return g.Heard.Confidence / 10 }

// HasSpan reports whether there is a spoken span to play.
func (g group) HasSpan() bool { return g.Heard != nil && g.Heard.Until > g.Heard.From }

// groupRegion renders the groups of a slot, or for "" all that wait for a header.
func (s *site) groupRegion(ctx context.Context, l lang, slot string, now time.Time) ([]region, error) {
	groups, err := s.Station.Groups(ctx, slot)
	if err != nil {
		return nil, err
	}
	r, back := region{In: "groups", Order: []string{}}, "/headers"
	if slot != "" {
		back = "/slots/" + url.PathEscape(slot)
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rank(groups[a]) - rank(groups[b]) })
	for _, i := range order[:min(len(order), shownGroups)] {
		v := groupOf(groups[i], l, now)
		v.Back = back
		if i+1 < len(groups) && groups[i+1].Recorder == groups[i].Recorder {
			next := groupOf(groups[i+1], l, now)
			v.Next = &next
		}
		if err := r.add(s, "group-"+v.ID.String(), "group", v); err != nil {
			return nil, err
		}
	}
	key, n := "groups-more", len(groups)-shownGroups
	if len(groups) == 0 {
		key = "groups-none"
	}
	if n > 0 || len(groups) == 0 {
		err = r.add(s, "groups-rest", "rest", fmt.Sprintf(l.in(key), max(n, 0)))
	}
	return []region{r}, err
}

// rank puts what waits for a header first.
func rank(g dock.Group) int {
	if g.Header == nil {
		return 0
	}
	return 1
}

func (s *site) slotRegions(ctx context.Context, l lang, slot string, snap dock.Snapshot) ([]region, error) {
	i := slices.IndexFunc(snap.Tiles, func(t dock.Tile) bool { return t.Slot == slot })
	if i < 0 {
		return nil, dock.ErrNoSlot
	}
	r := region{In: "slot", Order: []string{}}
	if err := r.add(s, "slot-panel", "slot-panel", tileOf(snap.Tiles[i], l, snap.At)); err != nil {
		return nil, err
	}
	groups, err := s.groupRegion(ctx, l, slot, snap.At)
	return append([]region{r}, groups...), err
}

func (s *site) slot(c *gin.Context) {
	slot := c.Param("slot")
	f, err := s.frame(c, "slot", view{"slot", slot})
	if err != nil {
		s.fail(c, err)
		return
	}
	f.Title += " " + slot
	s.page(c, http.StatusOK, "slot.html", f)
}

func (s *site) headers(c *gin.Context) {
	f, err := s.frame(c, "headers", view{page: "headers"})
	if err != nil {
		s.fail(c, err)
		return
	}
	s.page(c, http.StatusOK, "headers.html", f)
}

// groupID reads the address's group. Errors: dock.ErrNoGroup.
func groupID(c *gin.Context) (evidence.RecordingID, error) {
	id, err := evidence.ParseRecordingID(c.Param("id"))
	if err != nil {
		return id, dock.ErrNoGroup
	}
	return id, nil
}

// act does what a form on a page of groups asks for, and leads back to that page.
func (s *site) act(c *gin.Context, back, outcome string, do func(by dock.Officer) error) {
	by, ok := s.must(c, back)
	if !ok {
		return
	}
	if err := do(by); err != nil {
		s.fail(c, err)
		return
	}
	s.see(c, back+"?said="+outcome)
}

func (s *site) first(c *gin.Context) {
	slot := c.Param("slot")
	s.act(c, "/slots/"+url.PathEscape(slot), "said-first", func(by dock.Officer) error { return s.Station.First(c.Request.Context(), slot, by) })
}

func (s *site) split(c *gin.Context) {
	s.act(c, backOf(c), "said-split", func(by dock.Officer) error {
		id, before, err := pairOf(c, "before")
		if err != nil {
			return err
		}
		g, err := s.Station.Group(c.Request.Context(), id)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(g.Items, func(it dock.Item) bool { return it.Rec == before }); i < 1 { // before the first there is nothing to split off
			return dock.ErrNoGroup
		}
		return s.Station.Split(c.Request.Context(), id, before, by)
	})
}

func (s *site) join(c *gin.Context) {
	s.act(c, backOf(c), "said-join", func(by dock.Officer) error {
		id, with, err := pairOf(c, "with")
		if err != nil {
			return err
		}
		if id == with {
			return dock.ErrNoGroup
		}
		return s.Station.Join(c.Request.Context(), id, with, by)
	})
}

func pairOf(c *gin.Context, field string) (id, other evidence.RecordingID, err error) {
	if id, err = groupID(c); err != nil {
		return id, other, err
	}
	if other, err = evidence.ParseRecordingID(c.PostForm(field)); err != nil {
		return id, other, dock.ErrNoGroup
	}
	return id, other, nil
}

// backOf is the page that a form stood on, without what that page announced.
func backOf(c *gin.Context) string {
	back := local(c.PostForm("back"))
	if slot := c.PostForm("slot"); slot != "" {
		back = "/slots/" + url.PathEscape(slot)
	}
	for i, r := range back {
		if r == '?' || r == '#' {
			return back[:i]
		}
	}
	return back
}
