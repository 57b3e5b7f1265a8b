package app

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/scripts/visitor"
	"camseal/server/internal/auth"
	"camseal/server/internal/duty"
	"camseal/server/internal/web"
)

// fakeDuty has the recorders that a test puts on duty, and answers commands by a function of the test.
type fakeDuty struct {
	mu     sync.Mutex
	list   []duty.Recorder
	asked  []transport.Command
	actors []string
	answer func(c transport.Command) (transport.Result, error)
}

func (f *fakeDuty) Recorders() []duty.Recorder {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

func (f *fakeDuty) Recorder(id evidence.DeviceID) (duty.Recorder, bool) {
	for _, r := range f.Recorders() {
		if r.Device == id {
			return r, true
		}
	}
	return duty.Recorder{}, false
}

func (f *fakeDuty) Order(_ context.Context, actor string, _ evidence.DeviceID, c transport.Command) (transport.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.actors = append(f.asked, c), append(f.actors, actor)
	return f.answer(c)
}

// set changes the recorders.
func (f *fakeDuty) set(list ...duty.Recorder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
}

// fakeLive relays nothing, but keeps sessions as the relay does.
type fakeLive struct {
	mu       sync.Mutex
	offers   func(ctx context.Context, stream, offer string) (answer string, status int) // nil: any offer is taken
	sessions map[string]chan struct{}
	kinds    map[string]string // whep or whip, and the stream
	n        int
}

func (f *fakeLive) open(kind string, w http.ResponseWriter, r *http.Request, stream, base string) {
	answer, status := "v=0\r\n", http.StatusCreated
	if f.offers != nil {
		body := make([]byte, 64<<10)
		n, _ := r.Body.Read(body)
		for m := n; m > 0; n += m {
			m, _ = r.Body.Read(body[n:])
		}
		answer, status = f.offers(r.Context(), stream, string(body[:n]))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if status == http.StatusCreated {
		f.n++
		id := fmt.Sprintf("session%d", f.n)
		f.sessions[id], f.kinds[id] = make(chan struct{}), kind+" "+stream
		w.Header().Set("Location", base+"/"+id)
		w.Header().Set("Content-Type", "application/sdp")
	}
	w.WriteHeader(status)
	fmt.Fprint(w, answer)
}

func (f *fakeLive) session(w http.ResponseWriter, r *http.Request, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.kinds[id]; !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.Method == http.MethodDelete {
		close(f.sessions[id])
		delete(f.kinds, id)
	}
}

func (f *fakeLive) WHEP(w http.ResponseWriter, r *http.Request, stream, base string) {
	f.open("whep", w, r, stream, base)
}

func (f *fakeLive) WHIP(w http.ResponseWriter, r *http.Request, stream, base string) {
	f.open("whip", w, r, stream, base)
}

func (f *fakeLive) WHEPSession(w http.ResponseWriter, r *http.Request, _, session string) {
	f.session(w, r, session)
}

func (f *fakeLive) WHIPSession(w http.ResponseWriter, r *http.Request, _, session string) {
	f.session(w, r, session)
}

func (f *fakeLive) Ended(_, session string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[session]
}

func (f *fakeLive) Streams() (out []web.Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.kinds {
		if name, ok := strings.CutPrefix(k, "whip "); ok {
			out = append(out, web.Stream{Name: name, Publishing: true, Video: "video/H264"})
		}
	}
	return out
}

// open reports how many sessions there are.
func (f *fakeLive) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.kinds)
}

// rigLive is a rig with a stored recording whose recorder is on duty and makes it, as it says.
func rigLive(t *testing.T) (r *rig, board *fakeDuty, live *fakeLive, rec evidence.RecordingID, dev evidence.DeviceID) {
	t.Helper()
	board, live = &fakeDuty{}, &fakeLive{sessions: map[string]chan struct{}{}, kinds: map[string]string{}}
	testWeb = func(c *web.Config) { c.Duty, c.Live = board, live }
	t.Cleanup(func() { testWeb = nil })
	r, d, rec := rigWithRecording(t)
	dev = d.id()
	board.set(onDuty(r, dev, &rec))
	return r, board, live, rec, dev
}

func onDuty(r *rig, dev evidence.DeviceID, rec *evidence.RecordingID) duty.Recorder {
	now := r.now()
	return duty.Recorder{Device: dev, At: now, Online: true, Watched: 2, Report: transport.Report{Station: "BZ02712", Recording: rec,
		Since: now.Add(-12 * time.Minute).UnixMilli(), Video: "h264", Audio: "pcma", Width: 1280, Height: 720, Link: "mobile", Behind: 3,
		Trouble: "the camera stalled for 4 s", Position: &transport.Position{Lat: evidence.Signed{Sign: "+", Value: 31230416},
			Lon: evidence.Signed{Sign: "+", Value: 121473701}, At: now.UnixMilli()}}}
}

// offers sends an offer and returns status, the session's address and the answer's head.
func offers(t *testing.T, c *http.Client, at string, header ...string) (int, string, http.Header) {
	t.Helper()
	return does(t, c, "POST", at, append([]string{"Content-Type", "application/sdp"}, header...)...)
}

func does(t *testing.T, c *http.Client, method, at string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, at, strings.NewReader("v=0\r\n"))
	check(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	check(t, err)
	check(t, resp.Body.Close())
	return resp.StatusCode, resp.Header.Get("Location"), resp.Header
}

// The wall says of each recorder what it reports, leads to its sealed part, and shows it only to those who may watch it.
func TestLiveWall(t *testing.T) {
	r, board, _, rec, dev := rigLive(t)
	sup := r.by(supervisor)
	says(t, sup.sees("/live", 200), "recorders on duty: 1", "BZ02712", "Live, not evidence", "recording now, since", ", 12:0", "城管 · 李伟 A1", "watched by 2", "mobile network",
		"parts without the server's receipt: 3", "the camera stalled for 4 s", "31.230416° N, 121.473701° E", "/recordings/"+rec.String()+"?at=newest", "<noscript>", "What do you watch for?")
	zh := sup.sees("/live?lang=zh-CN", 200)
	says(t, zh, "在岗记录仪 1 台", "实时画面，非证据", "录制中", "正被 2 人观看", "移动网络", "已签封部分")
	r.by(supervisor).sees("/live?lang=en", 200)
	for _, c := range []struct {
		me   auth.Account
		sees bool
	}{
		{person("lead-here", auth.Leader, "城管"), true}, {person("lead-there", auth.Leader, "监督局"), false}, {person("custodian", auth.Custodian, "城管"), true},
	} {
		v := r.by(c.me)
		if page := v.sees("/live", 200); strings.Contains(page, "BZ02712") != c.sees {
			t.Errorf("%s sees it: %v", c.me.Login, !c.sees)
		}
		want := map[bool]int{true: 200, false: 404}[c.sees]
		v.sees("/live/"+dev.String(), want)
		v.sees("/live/"+dev.String()+"/state", want)
	}
	for what, change := range map[string]func(*transport.Report){
		"B-frames": func(p *transport.Report) { p.BFrames = true }, "H.265": func(p *transport.Report) { p.Video = "h265" }, "no camera": func(p *transport.Report) { p.Video = "" },
	} {
		on := onDuty(r, dev, &rec)
		change(&on.Report)
		on.Report.Station, on.Report.Trouble = "<b>x</b>\u202e", ""
		board.set(on)
		page := sup.sees("/live", 200)
		says(t, page, "No picture: the ", what)
		if _, raw := sup.gets("/live"); strings.Contains(string(raw), "<b>x") || strings.Contains(page, "\u202e") || regexp.MustCompile(`<camseal-live [^>]* watch[ >]`).Match(raw) {
			t.Errorf("%s: markup, or a picture is offered", what)
		}
	}
	on := onDuty(r, dev, &rec)
	on.Report.Audio = "aac"
	board.set(on)
	says(t, sup.sees("/live", 200), "No sound live: the camera sends it coded as AAC")

	// Many recorders come in pages of sixteen, or as chosen, and the script hears the same.
	var many []duty.Recorder
	for i := range 35 {
		x := onDuty(r, dev, nil)
		x.Device[0], x.Report.Station = byte(i), fmt.Sprintf("R%02d", i)
		many = append(many, x)
	}
	many[34].Online, many[33].Online, many[33].At = false, false, r.now().Add(-time.Hour)
	board.set(many...)
	for path, want := range map[string][]string{"": {"R00", "R15"}, "page=2": {"R16", "R31"}, "page=3": {"R32", "R34"}, "page=99": {"R32", "R34"}, "page=x": {"R00", "R15"},
		url.Values{"show": {many[20].Device.String(), many[3].Device.String(), "x"}}.Encode(): {"R03", "R20"}} {
		resp, body := sup.gets("/live/state?" + path)
		var state struct {
			Head  string
			Map   string
			Tiles []struct{ Stream, HTML string }
		}
		if err := json.Unmarshal(body, &state); err != nil || resp.StatusCode != 200 || state.Head != "recorders on duty: 33" || !strings.Contains(state.Map, "<svg") {
			t.Fatalf("%q: %v %d %.300s", path, err, resp.StatusCode, body)
		}
		page := sup.sees("/live?"+path, 200)
		for i, name := range want {
			tile := html.UnescapeString(state.Tiles[i*(len(state.Tiles)-1)].HTML)
			if !strings.Contains(tile, name) || !strings.Contains(page, strings.Join(strings.Fields(tile)[:3], " ")) {
				t.Errorf("%q: %s is not where it belongs", path, name)
			}
		}
	}
	says(t, sup.sees("/live?page=3", 200), "not heard of since")
}

// Nobody watches without having said what for; a watch is on record with its beginning and its end, once, however often it connects; who may
// not watch any more is cut off.
func TestWatchingLiveIsRecorded(t *testing.T) {
	r, board, live, rec, dev := rigLive(t)
	sup := r.by(supervisor)
	client := plain(sup.v)
	at := r.page + "/live/" + dev.String() + "/whep"
	if status, _, _ := offers(t, client, at); status != http.StatusForbidden {
		t.Fatalf("without a purpose: %d", status)
	}
	sup.sends("/live/purpose", url.Values{"purpose": {"curiosity"}}, 422)
	if to := sup.sends("/live/purpose", url.Values{"purpose": {"duty"}, "next": {"//evil.example"}}, 303); to != "/live" {
		t.Error(to)
	}
	says(t, sup.sees("/live", 200), "You watch for: duty command")
	begun, ended := func() int { return r.acts(t, "watched-live") }, func() int { return r.acts(t, "watched-live-end") }
	var sessions []string
	for range 3 {
		status, to, _ := offers(t, client, at)
		if status != http.StatusCreated || !strings.HasPrefix(to, "/live/"+dev.String()+"/whep/") {
			t.Fatalf("%d %s", status, to)
		}
		sessions = append(sessions, r.page+to)
	}
	if begun() != 1 || ended() != 0 {
		t.Errorf("%d begins and %d ends are on record", begun(), ended())
	}
	other := r.by(keeper)
	for _, c := range []struct {
		client *http.Client
		method string
		at     string
		want   int
	}{
		{plain(other.v), "DELETE", sessions[0], 404}, {client, "DELETE", at + "/x", 404}, {client, "PATCH", sessions[0], 200}, {client, "DELETE", sessions[0], 200},
		{client, "POST", r.page + "/live/" + strings.Replace(dev.String(), "a", "b", 1) + "/whep", 404},
	} {
		if status, _, _ := does(t, c.client, c.method, c.at); status != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.at, status, c.want)
		}
	}
	if status, _, _ := offers(t, client, at, "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("from another site with the session's cookie: %d", status)
	}
	on := onDuty(r, dev, &rec)
	on.Online = false
	board.set(on)
	if status, _, h := offers(t, client, at); status != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
		t.Errorf("off duty: %d", status)
	}
	board.set(onDuty(r, dev, &rec))
	if live.count() != 2 {
		t.Errorf("%d sessions", live.count())
	}
	says(t, sup.sees("/recordings/"+rec.String()+"/custody", 200), "watched live, from now", "duty command", supervisor.Actor())
	admin := r.by(administer)
	id := regexp.MustCompile(`/people/([0-9a-f]{32})"><bdi>` + supervisor.Name + `<`).FindStringSubmatch(admin.sees("/people", 200))
	admin.sends("/people/"+id[1]+"/disable", nil, 303)
	within(t, "a disabled account's pictures to end", func() bool { return live.count() == 0 })
	r.stop()
	r.start()
	if begun() != 1 || ended() != 1 {
		t.Errorf("%d begins and %d ends are on record", begun(), ended())
	}
	says(t, r.by(keeper).sees("/recordings/"+rec.String()+"/custody", 200), "watched live, until now", "length")
}

// within waits for something that happens by itself.
func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited for %s", what)
		}
	}
}

// Tokens let players and cameras of others in where they are for, from anywhere, for their time.
func TestLiveTokens(t *testing.T) {
	r, _, live, _, dev := rigLive(t)
	keep, admin := r.by(keeper), r.by(administer)
	bare := plain(&visitor.Visitor{Client: &http.Client{}})
	form := func(more ...string) url.Values {
		return with(url.Values{"name": {"Control room 指挥室"}, "hours": {"2"}, "stream": {dev.String()}, "purpose": {"duty"}}, more...)
	}
	for _, f := range []url.Values{form(), form("kind", "king"), {"kind": {"publisher"}, "hours": {"1"}}, {"kind": {"publisher"}, "hours": {"13"}, "name": {"x"}}, {"kind": {"publisher"}, "hours": {"0"}, "name": {"x"}},
		{"kind": {"player"}, "hours": {"1"}, "name": {"x"}, "stream": {"x"}, "purpose": {"duty"}}, {"kind": {"player"}, "hours": {"1"}, "name": {"x"}, "stream": {dev.String()}},
		{"kind": {"publisher"}, "hours": {"1"}, "name": {strings.Repeat("x", 1000)}}} {
		keep.sends("/live/guests", f, 422)
	}
	admin.sends("/live/guests", form("kind", "player"), 422) // whom it lets see footage it may not see itself
	made := regexp.MustCompile(`id="address">([^<]+)</dd>[^§]*id="token">([A-Z0-9]{26})<`)
	token := func(page string) (at, bearer string) {
		m := made.FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("no token is shown:\n%s", page)
		}
		return m[1], "Bearer " + m[2]
	}
	watch, player := token(keep.sends("/live/guests", form("kind", "player"), 200))
	publish, camera := token(admin.sends("/live/guests", form("kind", "publisher"), 200))
	if page := keep.sees("/live/guests", 200); strings.Contains(page, player[7:]) || !strings.Contains(page, "Control room 指挥室") {
		t.Error("a token is shown again, or its name is not")
	}
	stream := publish[strings.LastIndex(publish, "/")+1:]
	for _, c := range []struct {
		at, bearer string
		want       int
	}{
		{watch, "", 401}, {watch, "Bearer x", 401}, {watch, "Bearer " + strings.Repeat("x", 5000), 401}, {watch, "Basic " + player[7:], 401}, {watch, camera, 403}, {publish, player, 403}, {publish, "", 401},
		{r.page + "/live/" + stream + "/whep", player, 403}, {r.page + "/live/whip/guest-0000000000000000", camera, 403}, {watch, player, 201}, {publish, camera, 201},
	} {
		status, to, h := offers(t, bare, c.at, "Authorization", c.bearer, "Origin", "https://player.example", "Sec-Fetch-Site", "cross-site")
		if c.bearer == "" || strings.HasPrefix(c.bearer, "Basic") || len(c.bearer) > 1000 { // no token: another site's request, which gets no further
			c.want = 403
		} else if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Location") {
			t.Errorf("%s with %.9s: a page elsewhere can't read the answer: %v", c.at, c.bearer, h)
		}
		if status != c.want || (status == 201) != strings.HasPrefix(r.page+to, c.at+"/") {
			t.Errorf("%s with %.9s: %d %s, want %d", c.at, c.bearer, status, to, c.want)
		}
		if status == 201 {
			if status, _, h := does(t, bare, "PATCH", r.page+to, "Authorization", c.bearer); status != 200 || h.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("PATCH %s: %d", to, status)
			}
		}
	}
	if status, _, h := does(t, bare, "OPTIONS", watch, "Origin", "https://player.example", "Access-Control-Request-Headers", "authorization"); status != 204 ||
		h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("the preflight: %d %v", status, h)
	}
	// A token opens nothing else, and its bearer's cookies count for nothing beside it.
	if status, _, _ := ask(t, bare, "GET", r.page+"/live", "", "Authorization", player); status != http.StatusSeeOther {
		t.Errorf("the wall by a token: %d", status)
	}
	if status, _, _ := offers(t, plain(keep.v), watch, "Authorization", "Bearer x"); status != http.StatusUnauthorized {
		t.Errorf("a wrong token with a session: %d", status)
	}
	// A guest's camera is on the wall, said to be no evidence; by nobody's own body.
	says(t, keep.sees("/live", 200), "nothing of it is recorded or sealed here", "/live/"+stream)
	if page := r.by(person("lead-here", auth.Leader, "城管")).sees("/live", 200); strings.Contains(page, stream) {
		t.Error("a leader sees a guest's camera")
	}
	if n := r.acts(t, "live-token-made"); n != 2 {
		t.Errorf("%d tokens are on record", n)
	}
	// Taken back, each ends what goes on by it.
	for want := 1; want >= 0; want-- {
		id := regexp.MustCompile(`/live/guests/([0-9a-f]+)/revoke`).FindStringSubmatch(keep.sees("/live/guests", 200))[1]
		admin.sends("/live/guests/"+id+"/revoke", nil, 303)
		within(t, "a session to end with its token", func() bool { return live.count() == want })
		admin.sends("/live/guests/"+id+"/revoke", nil, 404)
	}
	for at, bearer := range map[string]string{watch: player, publish: camera} {
		if status, _, _ := offers(t, bare, at, "Authorization", bearer); status != 401 {
			t.Errorf("a token that was taken back: %d", status)
		}
	}
	if n := r.acts(t, "live-token-revoked"); n != 2 {
		t.Errorf("%d are on record as taken back", n)
	}
	watch, player = token(keep.sends("/live/guests", form("kind", "player"), 200))
	r.pass(2 * time.Hour)
	if status, _, _ := offers(t, bare, watch, "Authorization", player); status != 401 {
		t.Errorf("after its time: %d", status)
	}
	if strings.Contains(r.log.String(), player[7:]) {
		t.Error("a token is in the log")
	}
}

// Commands go to the recorder in the name of who gives them, and the answer is put into words.
func TestCommandsFromThePage(t *testing.T) {
	r, board, _, rec, dev := rigLive(t)
	keep, path := r.by(keeper), "/live/"+dev.String()
	var res transport.Result
	var fails error
	board.answer = func(transport.Command) (transport.Result, error) { return res, fails }
	says(t, keep.sees(path, 200), "Stop recording", "Set an important mark", `name="part" type="number" min="1" value="1"`)
	if page := r.by(supervisor).sees(path, 200); strings.Contains(page, "/order") {
		t.Error("a supervisor is offered commands")
	}
	r.by(supervisor).sends(path+"/order", url.Values{"kind": {"start"}}, 403)
	for _, c := range []struct {
		form   url.Values
		res    transport.Result
		err    error
		status int
		says   string
	}{
		{url.Values{"kind": {"stop"}, "sure": {"yes"}}, transport.Result{Done: true}, nil, 200, "Done: stop recording."},
		{url.Values{"kind": {"mark"}, "text": {"推搡"}}, transport.Result{Done: true, Text: "at 00:12:04"}, nil, 200, "Done: set a mark. The recorder says: at 00:12:04"},
		{url.Values{"kind": {"start"}, "text": {"x"}}, transport.Result{Text: "it records already<b>"}, nil, 200, "Refused by the recorder: start recording. It says: it records already<b>."},
		{url.Values{"kind": {"chunk"}, "part": {"7"}}, transport.Result{}, duty.ErrNoResult, 200, "No answer yet: send the part first."},
		{url.Values{"kind": {"live"}}, transport.Result{}, fmt.Errorf("wrapped: %w", duty.ErrOffDuty), 409, "not on duty: nothing was sent"},
		{url.Values{"kind": {"live"}}, transport.Result{}, duty.ErrBusy, 409, "this one was not sent"},
		{url.Values{"kind": {"erase"}}, transport.Result{}, nil, 422, "no such command"},
		{url.Values{"kind": {"live-end"}}, transport.Result{}, nil, 422, "no such command"},
		{url.Values{"kind": {"mark"}}, transport.Result{}, nil, 422, "Nothing was changed"},
		{url.Values{"kind": {"chunk"}, "part": {"0"}}, transport.Result{}, nil, 422, "Nothing was sent"},
		{url.Values{"kind": {"chunk"}, "part": {"99999999999999999999"}}, transport.Result{}, nil, 422, "Nothing was sent"},
	} {
		board.asked, board.actors, res, fails = nil, nil, c.res, c.err
		says(t, keep.sends(path+"/order", c.form, c.status), c.says)
		if c.status == 422 {
			if len(board.asked) != 0 {
				t.Errorf("%v: %v was sent", c.form, board.asked)
			}
			continue
		}
		cmd := board.asked[0]
		if string(cmd.Kind) != c.form.Get("kind") || board.actors[0] != keeper.Actor() || cmd.By != keeper.Name || cmd.Until <= r.now().UnixMilli() ||
			cmd.Kind == "mark" && cmd.Text != "推搡" || cmd.Kind == "start" && cmd.Text != "" || cmd.Kind == "chunk" && (cmd.Index != 6 || *cmd.Rec != rec) {
			t.Errorf("%v: %+v by %s", c.form, cmd, board.actors[0])
		}
	}
	board.asked = nil
	if to := keep.sends(path+"/order", url.Values{"kind": {"stop"}}, 303); to != path+"/stop" || len(board.asked) != 0 {
		t.Errorf("a stop is not asked again: %s", to)
	}
	says(t, keep.sees(path+"/stop", 200), "Stop this recording?", `name="sure"`)
	board.set(onDuty(r, dev, nil))
	says(t, keep.sends(path+"/order", url.Values{"kind": {"stop"}, "sure": {"yes"}}, 422), "does not record now")
	says(t, keep.sees(path, 200), "Start recording")
}
