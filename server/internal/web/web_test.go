package web

import (
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/auth"
	"camseal/server/internal/casefile"
	"camseal/server/internal/casework"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
	"camseal/server/internal/media"
)

// Every text that a page asks for is there, in both languages, and every text is asked for.
func TestTextsAreComplete(t *testing.T) {
	used := map[string]bool{"no-page": true, "no-recording": true, "not-stored": true, "not-here": true, "trouble": true, "unnamed": true, "recording": true}
	for _, g := range []verify.Grade{verify.CaptureSealed, verify.DockSealed, verify.SoftwareSealed} {
		used[string(g)], used[string(g)+"-says"] = true, true
	}
	for _, e := range []string{"department", "officers", "cause", "time", "place", "activity", "case", "companions", "further"} {
		used["header-"+e] = true
	}
	for _, f := range []string{"valid", "invalid", "unknown", "undated", "other"} {
		used["certificate-"+f] = true
	}
	for _, s := range []string{"open", "seen", "partly", "stored", "incomplete"} {
		used[s], used[s+"-says"] = true, true
	}
	for _, w := range []string{evidence.WhyComplete, evidence.WhyChanged, evidence.WhyVanished, evidence.WhyReadError, evidence.WhyInterrupted, evidence.WhyMediaChanged,
		evidence.WhyGap, evidence.WhyDiskFull, evidence.WhyClockJump, evidence.WhyLost} {
		used[w] = true
	}
	for _, a := range []string{casework.ActExport, casework.ActViewed, catalog.ActQuarantined} {
		used["act-"+a] = true
	}
	for _, a := range []string{catalog.ActDerivedAsked, catalog.ActDerivedMade} {
		used["act-"+a] = true
	}
	for _, f := range []string{media.FailureUnreadable, media.FailureTime, media.FailureFlood, media.FailureWrong, media.FailureSpace, media.FailureVault,
		media.FailureSandbox, media.FailureInterrupted, media.FailureOther} {
		used["failure-"+f] = true
	}
	for _, w := range []string{"no-copy", "copy-wrong"} {
		used[w] = true
	}
	for _, v := range []catalog.Vouched{catalog.VouchedMaker, catalog.VouchedTrial, catalog.VouchedNobody, catalog.VouchedSoftware} {
		used["vouched-"+v] = true
	}
	for _, l := range []evidence.Lock{evidence.LockCompliance, evidence.LockFolder} {
		used["lock-"+string(l)] = true
	}
	playerWords(t, used)
	for _, g := range []string{growing, late, silent, between} {
		used["growing-"+g], used["growing-"+g+"-says"] = true, true
	}
	for _, c := range []transport.CommandKind{transport.CommandStart, transport.CommandStop, transport.CommandMark, transport.CommandLive, transport.CommandLiveEnd, transport.CommandChunk} {
		used["command-"+string(c)] = true
	}
	for _, k := range []string{"growing-far", "growing-ended", "growing-over", "link-wifi", "link-mobile", "link-dock", "duty-now", "duty-heard"} {
		used[k] = true
	}
	for _, a := range []string{casework.ActRecordingHeld, casework.ActRecordingReleased, catalog.ActMarked, catalog.ActCalendarSet} {
		used["act-"+a] = true
	}
	for _, r := range casefile.Reasons {
		used["rule-"+r] = true
	}
	for _, k := range casework.ConcernKeys {
		used[k] = true
	}
	for key := range textsChecked { // handed to the script by prefix
		used[key] = true
	}
	for _, k := range []string{"calendar", "calendar-listed", "calendar-entered", "calendar-both", "calendar-unknown", "calendar-day-wrong", "calendar-year-wrong", "calendar-large"} {
		used[k] = true
	}
	for _, k := range append(usedLive(t), caseTexts()...) {
		used[k] = true
	}
	asked := regexp.MustCompile(`\.T "([a-z_-]+)"`)
	err := fs.WalkDir(files, "templates", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := files.ReadFile(path)
		for _, m := range asked.FindAllSubmatch(raw, -1) {
			used[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	used["recordings"] = true
	for key := range texts {
		for _, family := range []string{"act-", "detail-", "said-", "life-", "retain-", "dispose-", "sure-"} { // asked for by the name of what happened
			used[key] = used[key] || strings.HasPrefix(key, family)
		}
	}
	for _, key := range append(usedPeople(), "no-leaf", "disposed-of", "tombstone", "no-device", "fleet") {
		used[key] = true
	}
	for _, t := range []string{"search-not-saved", "search-full", "search-so-far", "search-many", "search-some", "search-all"} {
		used[t] = true
	}
	for key := range used {
		if texts[key][0] == "" || texts[key][1] == "" {
			t.Errorf("text %q is missing", key)
		}
	}
	for key := range texts {
		if !used[key] {
			t.Errorf("text %q is never shown", key)
		}
	}
}

// Who sees only some recordings finds only these; without a certificate or a body, none.
func TestScopeOfSearches(t *testing.T) {
	for _, c := range []struct {
		me   auth.Account
		want string
	}{
		{auth.Account{Role: auth.Officer, Certificate: "A1", Body: "城管"}, "[[off:a1]]"},
		{auth.Account{Role: auth.Officer}, "[[]]"},
		{auth.Account{Role: auth.Leader, Certificate: "A1", Body: "城管"}, "[[dept:城管 body:城管]]"},
		{auth.Account{Role: auth.Leader}, "[[ ]]"},
		{auth.Account{Role: auth.Custodian, Certificate: "A1", Body: "城管"}, "[]"},
		{auth.Account{Role: auth.Reviewer}, "[]"},
		{auth.Account{Role: auth.Supervisor}, "[]"},
	} {
		if got := fmt.Sprint(scopeOf(c.me)); got != c.want {
			t.Errorf("%s: %s, want %s", c.me.Role, got, c.want)
		}
	}
}

// playerWords notes the texts that the player's modules ask for: say('word'), or a word that stands in a table of theirs.
func playerWords(t *testing.T, used map[string]bool) {
	t.Helper()
	for _, key := range []string{"no-recording", "mark-refused", "side-too-many", "side-by-side"} {
		used[key] = true
	}
	literal := regexp.MustCompile(`'([a-z-]+)'`)
	said := regexp.MustCompile(`say\('([a-z-]+)'[,)]`)
	for _, name := range []string{"picture", "player", "keys", "timeline", "sheet"} {
		raw, err := files.ReadFile("static/js/" + name + ".js")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range literal.FindAllSubmatch(raw, -1) {
			for _, key := range []string{"player-" + string(m[1]), "player-is-" + string(m[1]), "player-" + string(m[1]) + "-at"} {
				if _, ok := textsPlayer[key]; ok {
					used[key] = true
				}
			}
		}
		for _, m := range said.FindAllSubmatch(raw, -1) {
			used["player-"+string(m[1])] = true
		}
	}
}

// A mark's moment is read as people write it; what is none is refused.
func TestMoments(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "3.5": 3500, "02:03": 123_000, "1:02:03.25": 3_723_250, " 00:00:01.001 ": 1001, "１": 0, "1：30": 90_000} {
		got, err := momentOf(text)
		if text == "１" {
			if err == nil {
				t.Errorf("%q is read as %d", text, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":", "1:60", "-1", "1:2:3:4", "NaN", "Inf", "1e300", "1:-2", "x"} {
		if got, err := momentOf(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

// 100,000 marks are thinned to what can be drawn, and each is counted.
func TestMarksAreThinned(t *testing.T) {
	marks := make([]drawnMark, 100_000)
	for i := range marks {
		marks[i].At = uint64(len(marks)-i) * 36
	}
	got := thinned(marks, 3_600_000)
	total := 0
	for i, m := range got {
		total += 1 + m.More
		if i > 0 && m.At <= got[i-1].At {
			t.Fatal("not in order")
		}
	}
	if len(got) > drawnMarks+1 || len(got) < drawnMarks/2 || total != 100_000 {
		t.Errorf("%d marks are drawn for %d", len(got), total)
	}
}

func TestRanges(t *testing.T) {
	for _, c := range []struct {
		spec        string
		size        int64
		from, until int64
		status      int
	}{
		{"", 10, 0, 10, 200}, {"bytes=0-", 10, 0, 10, 206}, {"bytes=0-99", 10, 0, 10, 206}, {"bytes=9-9", 10, 9, 10, 206}, {"bytes=-3", 10, 7, 10, 206},
		{"bytes=-30", 10, 0, 10, 206}, {"bytes=10-", 10, 0, 0, 416}, {"bytes=5-4", 10, 0, 0, 416}, {"bytes=-0", 10, 0, 0, 416}, {"bytes=--5", 10, 0, 0, 416},
		{"bytes=0-", 0, 0, 0, 416}, {"bytes=-1", 0, 0, 0, 416}, {"bytes=1-2,4-5", 10, 0, 0, 416}, {"bytes=99999999999999999999-", 10, 0, 0, 416}, {"items=0-1", 10, 0, 10, 200},
	} {
		r := &http.Request{Header: http.Header{"Range": {c.spec}}}
		from, until, status := rangeOf(r, `"x"`, c.size)
		if status != c.status || status != 416 && (from != c.from || until != c.until) {
			t.Errorf("%q of %d: %d-%d %d, want %d-%d %d", c.spec, c.size, from, until, status, c.from, c.until, c.status)
		}
	}
}

func TestStatesAreNeverRoundedUp(t *testing.T) {
	valid := func(r db.Recording) db.Recording { r.StoredIndex.Valid = true; return r }
	closed := func(r db.Recording, why string) db.Recording { r.ClosedAt.Valid, r.Why = true, why; return r }
	for _, c := range []struct {
		r      db.Recording
		want   string
		person bool
	}{
		{db.Recording{}, "open", false},
		{closed(db.Recording{}, "complete"), "seen", false},
		{valid(closed(db.Recording{}, "complete")), "partly", false},
		{valid(closed(db.Recording{StoredClosed: 1, Absent: "[]"}, "complete")), "stored", false},
		{valid(closed(db.Recording{StoredClosed: 1}, "read-error")), "incomplete", true},
		{valid(closed(db.Recording{StoredClosed: 1, Absent: "[1,7]"}, "complete")), "incomplete", true},
		{valid(closed(db.Recording{StoredClosed: 1, Faults: 1}, "complete")), "stored", true},
	} {
		if got := rowOf(c.r, "tpm"); got.State != c.want || got.Person != c.person {
			t.Errorf("%+v: %s, person %v; want %s, %v", c.r, got.State, got.Person, c.want, c.person)
		}
	}
	if got := rowOf(db.Recording{Mode: "capture"}, "software").Grade; got != "software-sealed" {
		t.Errorf("a capture by a software key is graded %s", got)
	}
}

func TestMP4Index(t *testing.T) {
	box := func(kind string, n int) string {
		return string([]byte{0, 0, byte(n >> 8), byte(n)}) + kind + strings.Repeat("x", n-8)
	}
	for name, c := range map[string]struct {
		file string
		want int64
	}{
		"index behind": {box("ftyp", 24) + box("mdat", 300) + box("moov", 40), 324}, "index ahead": {box("ftyp", 24) + box("moov", 40) + box("mdat", 300), 0},
		"empty": {"", 0}, "cut off": {box("ftyp", 24) + box("mdat", 300)[:100], 0}, "no box": {strings.Repeat("\x00", 64), 0},
		"wide": {"\x00\x00\x00\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff", 0},
	} {
		if got := mp4Index(strings.NewReader(c.file), int64(len(c.file))); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
