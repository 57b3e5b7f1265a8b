package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"

	"github.com/gin-gonic/gin"

	"camseal/pkg/evidence"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/auth"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

const (
	linesPerPage  = 100
	linesToPrint  = 5000 // on one page, for paper
	readsAtOnce   = 8
	maxEvent      = 128 << 10
	maxLoggedKept = 1 << 16
)

func (s *site) custodyRoutes() []Route {
	return []Route{
		{"GET", "/recordings/:rec/custody", auth.SeeRecordings, s.custody},
		{"GET", "/recordings/:rec/custody/:index", auth.SeeRecordings, s.custodyLeaf},
		{"GET", "/log/leaf/:index", auth.SeeRecordings, s.logLeaf},
	}
}

// life is a recording, or what is left of one that was disposed of, with what its pages call it.
type life struct {
	Key      catalog.RecordingKey
	Rec      string
	Name     string
	Hash     string
	Disposal *db.Disposal // nil: nothing of the kind is under way
}

// Gone reports whether the recording was disposed of.
func (l life) Gone() bool { return l.Disposal != nil && l.Disposal.State != catalog.DisposalProposed }

// life finds the recording that the address names, in the catalog or among what was disposed of. Errors: catalog.ErrUnknown.
func (s *site) life(c *gin.Context) (l life, err error) {
	v, err := s.find(c)
	if errors.Is(err, catalog.ErrUnknown) { // who may not see it does not come so far
		d, err := s.gone(c)
		if err != nil {
			return l, err
		}
		l.Key, err = catalog.KeyOf(d.Device, d.Rec)
		l.Rec, l.Name, l.Hash, l.Disposal = d.Rec, d.Name, d.Hash, &d
		return l, err
	}
	if err != nil {
		return l, err
	}
	l.Rec, l.Name, l.Hash = v.Rec, v.Name, v.Hash
	l.Key, err = catalog.KeyOf(v.Device, v.Rec)
	return l, err
}

// gone finds the tombstone of the recording that the address names. Errors: catalog.ErrUnknown.
func (s *site) gone(c *gin.Context) (db.Disposal, error) {
	rec, err := evidence.ParseRecordingID(c.Param("rec"))
	if err != nil {
		return db.Disposal{}, catalog.ErrUnknown
	}
	d, err := s.Catalog.FindDisposal(c.Request.Context(), rec)
	if err == nil && d.State == catalog.DisposalProposed {
		err = catalog.ErrUnknown
	}
	return d, err
}

// lifeLine is one line of the custody page.
type lifeLine struct {
	Index  int64
	At     int64  // milliseconds since 1970 UTC; 0: not on record
	Claim  bool   // At is the device's clock
	What   string // in words
	Act    string // the act's own name, where there are no words for it
	Who    string
	Detail []named
	Digest string // of what the leaf stands for
	Lost   bool   // its event can't be read from the vault, or is another

	Run []int64 // leaves that this line stands for, itself the last; none: for itself only
}

// named is a member of an event's detail with its name in words.
type named struct{ Name, Value string }

// custody shows a recording's whole life, in the order of the log.
func (s *site) custody(c *gin.Context) {
	l, err := s.life(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	at, ok := lifePlaceOf(c.Query("after"))
	if !ok {
		s.sorry(c, http.StatusBadRequest, "no-page")
		return
	}
	n := linesPerPage
	if c.Query("print") != "" {
		n = linesToPrint
	}
	ctx := c.Request.Context()
	list, next, err := s.Catalog.Life(ctx, l.Key, at, n+1)
	more := len(list) > n
	if err == nil && more {
		list, next, err = s.Catalog.Life(ctx, l.Key, at, n)
	}
	count, errCount := s.Catalog.CountLife(ctx, l.Key)
	if err = errors.Join(err, errCount); err != nil {
		s.fail(c, err)
		return
	}
	data := struct {
		Frame
		L           life
		Lines       []lifeLine
		Count       int
		First       bool
		Print, Next string
		Now         int64
	}{Frame: s.frame(c, "custody"), L: l, Count: count, First: at == catalog.LifeBegin, Now: s.Now().UnixMilli()}
	data.Lines = s.lifeLines(ctx, data.Frame, list)
	if n == linesPerPage {
		data.Lines = inRuns(data.Frame, data.Lines, list)
	}
	path := "/recordings/" + l.Rec + "/custody"
	if more {
		q := url.Values{"after": {fmt.Sprintf("%d.%d", next.Index, next.Seq)}}
		if n == linesToPrint {
			q.Set("print", "1")
		}
		data.Next = path + "?" + q.Encode()
	}
	if n == linesPerPage && (more || !data.First) {
		data.Print = path + "?print=1"
	}
	s.page(c, http.StatusOK, "custody.html", data)
}

// lifePlaceOf reads where a page begins.
func lifePlaceOf(text string) (p catalog.LifePlace, ok bool) {
	if text == "" {
		return catalog.LifeBegin, true
	}
	var rest string
	n, err := fmt.Sscanf(text+" .", "%d.%d %s", &p.Index, &p.Seq, &rest)
	return p, err == nil && n == 3 && rest == "." && p.Index >= -1 && p.Seq >= -1
}

// lifeLines puts lines into words. What a custody event says is read from the vault, several at once.
func (s *site) lifeLines(ctx context.Context, f Frame, list []catalog.Line) []lifeLine {
	out := make([]lifeLine, len(list))
	slots := make(chan struct{}, readsAtOnce)
	var wg sync.WaitGroup
	for i, l := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			out[i] = s.lifeLine(ctx, f, l)
		})
	}
	wg.Wait()
	return out
}

// shortRun is how many seen leaves in a row are shown one by one; of a captured recording there is one for each segment.
const shortRun = 2

// inRuns has one line stand for many seen leaves in a row.
func inRuns(f Frame, lines []lifeLine, list []catalog.Line) []lifeLine {
	var out []lifeLine
	for i := 0; i < len(list); {
		end := i
		for end < len(list) && list[end].Seen != nil {
			end++
		}
		if end-i <= shortRun {
			end = max(end, i+1)
			out = append(out, lines[i:end]...)
			i = end
			continue
		}
		last := lines[end-1]
		for _, l := range lines[i:end] {
			last.Run = append(last.Run, l.Index)
		}
		last.What = fmt.Sprintf(f.T("life-seen-run"), len(last.Run), list[end-1].Seen.Upto)
		out = append(out, last)
		i = end
	}
	return out
}

func (s *site) lifeLine(ctx context.Context, f Frame, l catalog.Line) lifeLine {
	out := lifeLine{Index: l.Index, Who: f.T("life-server")}
	switch {
	case l.Enrolled != nil:
		out.At, out.What, out.Digest = l.Enrolled.EnrolledAt, f.T("life-enrolled"), l.Enrolled.Device[4:]
		out.Detail = f.named("model", l.Enrolled.Model, "maker", l.Enrolled.Maker, "device", l.Enrolled.Device)
	case l.Revoked != nil:
		out.At, out.What = s.logged(ctx, l.Index), f.T("life-revoked")
		out.Detail = f.named("device", l.Revoked.Device)
	case l.Seen != nil:
		out.At, out.What, out.Digest = s.logged(ctx, l.Index), fmt.Sprintf(f.T("life-seen"), l.Seen.Upto), l.Seen.Head
	case l.Stored != nil:
		out.At, out.What = s.logged(ctx, l.Index), fmt.Sprintf(f.T("life-stored"), l.Stored.Chunks, whenText(l.Stored.UntilAt))
		out.Digest = evidence.Sum([]byte(l.Stored.Leaf)).String()
	case l.Said != nil:
		out.At, out.Claim, out.Who = l.Said.At, true, f.T("device")+" "+short(l.Said.Device)
		out.What, out.Detail = f.T("said-"+l.Said.Kind), saidDetail(f, l.Said)
	case l.Custody != nil:
		s.custodyLine(ctx, f, l.Custody, &out)
	}
	return out
}

func (s *site) custodyLine(ctx context.Context, f Frame, row *db.Custody, out *lifeLine) {
	out.At, out.Who, out.Digest = row.At, verify.Display(row.Actor), row.Event
	if out.What = f.T("act-" + row.Act); out.What == "act-"+row.Act {
		out.What, out.Act = f.T("life-other"), verify.Display(row.Act)
	}
	_, ev, err := s.event(ctx, row.Event)
	if err != nil {
		s.Slog.ErrorContext(ctx, "a custody event can't be read", slog.Int64("log_index", row.LogIndex), slog.Any("error", err))
		out.Lost = true
		return
	}
	keys := make([]string, 0, len(ev.Detail))
	for k := range ev.Detail {
		if !slices.Contains(hiddenMembers, k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		out.Detail = append(out.Detail, f.named(k, ev.Detail[k])...)
	}
}

// event reads a custody event from the vault and checks that it is the one that the log names.
func (s *site) event(ctx context.Context, digest string) (raw []byte, ev evidence.CustodyEvent, err error) {
	hash, err := evidence.ParseDigest(digest)
	if err != nil {
		return nil, ev, err
	}
	if raw, err = archive.Read(ctx, s.Vault, archive.Ref{Key: archive.CustodyKey(hash), Hash: hash}, maxEvent); err != nil {
		return nil, ev, err
	}
	return raw, ev, evidence.Decode(raw, &ev)
}

// named puts the names of an event's members into words, as far as there are any. Empty members are left out.
func (f Frame) named(pairs ...string) (out []named) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		name := f.T("detail-" + pairs[i])
		if name == "detail-"+pairs[i] {
			name = verify.Display(pairs[i])
		}
		value := verify.Display(pairs[i+1])
		if ms, err := strconv.ParseInt(value, 10, 64); err == nil && slices.Contains(timeMembers, pairs[i]) {
			value = whenText(ms)
		}
		if known := f.oneOfFew(pairs[i], value); known != "" {
			value = known
		}
		out = append(out, named{name, value})
	}
	return out
}

// oneOfFew puts a member's value into words, where it is one of few; else it is empty.
func (f Frame) oneOfFew(member, value string) string {
	key := map[string]string{casework.DetailPurpose: "purpose-" + value, casework.DetailCommand: "command-" + value, catalog.DetailRole: "role-" + value}[member]
	if _, ok := texts[key]; ok {
		return f.T(key)
	}
	if ms, err := strconv.ParseUint(value, 10, 63); err == nil && (member == catalog.DetailMoment || member == detailLength) {
		return clockText(ms, true)
	}
	return ""
}

// hiddenMembers are for machines: the entry's own page has them.
var hiddenMembers = []string{catalog.DetailAccount, catalog.DetailOpenSeq, catalog.DetailLastSeq, catalog.DetailValue, detailWatch}

// timeMembers are members of events that are times, in milliseconds since 1970 UTC.
var timeMembers = []string{catalog.DetailUntil, catalog.DetailBase, catalog.DetailKeptUntil, catalog.DetailOpened}

// saidDetail is what a statement says, in words.
func saidDetail(f Frame, row *db.SaidPageRow) []named {
	read := func(v any) bool { return json.Unmarshal([]byte(row.Body), v) == nil }
	var (
		open    evidence.Open
		header  evidence.Header
		note    evidence.Note
		mark    evidence.Mark
		fault   evidence.Fault
		end     evidence.Close
		release evidence.Release
	)
	switch kind := evidence.Kind(row.Kind); {
	case kind == evidence.KindOpen && read(&open):
		return f.named("name", open.Source.Name, "serial", open.Source.Serial, "officer", open.Source.Officer)
	case kind == evidence.KindHeader && read(&header):
		return f.named("department", header.Department, "officers", names(header.Officers), "cause", header.Cause, "time", header.Time, "place", header.Place,
			"activity", header.Activity, "case", header.Case, "confirmed", header.Confirmed)
	case kind == evidence.KindNote && read(&note):
		return f.named("text", note.Text, "by", note.By)
	case kind == evidence.KindMark && read(&mark):
		return f.named("moment", clockText(mark.Moment, true), "text", mark.Text)
	case kind == evidence.KindFault && read(&fault):
		return f.named("why", f.T(fault.Why), "text", fault.Detail)
	case kind == evidence.KindClose && read(&end):
		return f.named("why", f.T(end.Why), "size", strconv.FormatUint(end.Size, 10)+" B", "hash", end.Hash.String())
	case kind == evidence.KindRelease && read(&release):
		return f.named("erased", release.Erased.String())
	}
	return nil
}

// loggedTimes remembers the server's time of log leaves, which never changes.
type loggedTimes struct {
	mu sync.Mutex
	at map[int64]int64
}

// logged is the server's own time of a leaf, 0 if it is not on record.
func (s *site) logged(ctx context.Context, index int64) int64 {
	t := &s.times
	t.mu.Lock()
	ms, ok := t.at[index]
	t.mu.Unlock()
	if ok {
		return ms
	}
	at, err := s.LoggedAt(ctx, uint64(index))
	if err != nil {
		s.Slog.WarnContext(ctx, "the time of a log leaf can't be read", slog.Int64("log_index", index), slog.Any("error", err))
		return 0
	}
	if at != nil {
		ms = at.UnixMilli()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == nil || len(t.at) >= maxLoggedKept {
		t.at = map[int64]int64{}
	}
	t.at[index] = ms
	return ms
}
