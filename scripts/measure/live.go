package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"camseal/scripts/camera/recorder"
	"camseal/scripts/visitor"
)

// What is measured of live recording.
const (
	shortGOP     = 600 * time.Millisecond // 18 pictures: many segments in a short time
	usualGOP     = 2 * time.Second
	liveSegments = 110
	settleTime   = 5 * time.Second  // after which an agent's costs are those of its work, and not of its start
	cpuTime      = 60 * time.Second // over which they are measured
	clicks       = 15
	linger       = 2 * time.Second // of a recorder that nobody watches any more
)

const liveWeb, recorderPage = "http://127.0.0.1:18080", "http://127.0.0.1:18091"

// recording measures what recording live costs, how soon the server has what is sealed, and how soon a browser shows a picture.
func recording(p *place) (rows []row, err error) {
	s, err := p.enrolled(p.path("system"), nil, "--live-linger", linger.String())
	if err != nil {
		return nil, err
	}
	defer s.stop()
	link, err := p.do(nil, "camseal-server", "account", "add", "--login", "bench", "--name", "Bench", "--role", "custodian", "--body", "Bench", "--state", p.path("system", "server"))
	if err != nil {
		return nil, err
	}
	who, err := visitor.New(liveWeb)
	if err == nil {
		err = who.UseLink(strings.TrimSpace(link.out.String()), "correct horse battery")
	}
	if err != nil {
		return nil, err
	}
	fast, _, err := p.onDuty(s, shortGOP, func(a *proc) ([]row, error) {
		return nil, within(3*time.Minute, "segments", func() bool { return stateOf().Segments >= liveSegments })
	})
	if err != nil {
		return nil, err
	}
	usual, costs, err := p.onDuty(s, usualGOP, func(a *proc) ([]row, error) { return p.costs(a, s.server, who) })
	if err != nil {
		return nil, err
	}
	rows = append(seenRows("segments of 0.6 s", fast, true), seenRows("segments of 2 s", usual, false)...)
	relay, err := relayed(p, "--viewers", "20,100,160,220,280,340", "--seconds", "5", "--firsts", "4")
	return append(append(rows, costs...), relay...), err
}

// agentState is what is read of the recorder's state.
type agentState struct {
	Video      string
	Segments   int
	Watched    int
	Publishing bool
	LiveOn     bool `json:"live_on"`
	Orders     bool
	Behind     int
}

// stateOf asks the recorder; zero while it does not answer.
func stateOf() (s agentState) {
	resp, err := http.Get(recorderPage + "/state")
	if err != nil {
		return s
	}
	defer resp.Body.Close()
	if raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err == nil && json.Unmarshal(raw, &s) != nil {
		return agentState{}
	}
	return s
}

// onDuty has an agent record a camera of 4 Mbit/s with that time between keyframes while during runs, and returns how its segments fared.
func (p *place) onDuty(s *system, gop time.Duration, during func(*proc) ([]row, error)) (all []fate, rows []row, err error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	camera, err := recorder.Start(ctx, recorder.Config{GOP: gop, Length: 12 * time.Second})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, camera.Close()) }()
	agent, err := p.start(nil, "camseal-agent", append([]string{"run", "--camera", "rtsp://" + camera.Address() + "/stream", "--capture-always", "--segment", (gop - 100*time.Millisecond).String(),
		"--speech", "none", "--recorder", "BENCH", "--capture-listen", strings.TrimPrefix(recorderPage, "http://"), "--log-level", "debug"}, s.flags...)...)
	if err != nil {
		return nil, nil, err
	}
	defer agent.stop()
	if err := until("the recorder to record", func() bool { return stateOf().Segments > 0 }); err != nil {
		agent.stop()
		return nil, nil, fmt.Errorf("%w\n%s", err, agent.out.Bytes())
	}
	rows, err = during(agent)
	agent.stop() // its log is whole then
	if err != nil {
		return nil, nil, fmt.Errorf("%w\n%s", err, tail(agent.out.String()))
	}
	if all, err = fates(agent.out.String()); err != nil {
		return nil, nil, err
	}
	closed := closing.FindStringSubmatch(agent.out.String())
	if closed == nil {
		return nil, nil, fmt.Errorf("the recording was not closed\n%s", tail(agent.out.String()))
	}
	chunks, _ := strconv.ParseFloat(closed[1], 64) // they are digits
	bytes, _ := strconv.ParseFloat(closed[2], 64)
	return all, append([]row{figure("recorded and sent", "%.0f MB in %.0f segments: %.2f Mbit/s", bytes/1e6, chunks, bytes*8/1e6/((chunks-1.5)*gop.Seconds()))}, rows...), nil
}

// closing is what the agent says of a recording's end: how many chunks, one of which is the begin of the file, and bytes.
var closing = regexp.MustCompile(`msg="recording closed".* chunks=(\d+) bytes=(\d+)`)

// tail is the end of a log.
func tail(log string) string { return log[max(0, len(log)-4000):] }

// costs measures the agent while it records and sends, without a viewer and with one; and how soon the viewers have a picture.
func (p *place) costs(agent, server *proc, who *visitor.Visitor) (rows []row, err error) {
	alone := spend(agent, server)
	wall, err := p.openWall(who)
	if err != nil {
		return nil, err
	}
	defer wall.close()
	begun, err := wall.clicks(clicks, false)
	if err != nil {
		return nil, err
	}
	there, err := wall.clicks(clicks, true)
	if err != nil {
		return nil, err
	}
	if _, err := wall.watch(); err != nil {
		return nil, err
	}
	watched := spend(agent, server)
	rows = append(alone.rows("recording and sending"), watched.rows("the same, with a viewer")...)
	for _, k := range []struct {
		when string
		ms   []float64
	}{{"the recorder sends already", there}, {"the recorder has to begin", begun}} {
		rows = append(rows, target("first picture in the browser, "+k.when, spread(k.ms), "p50 under 300 ms", percentile(k.ms, 50) < 300))
	}
	return rows, nil
}

// spent is what processes used over a while.
type spent struct {
	agent, server float64 // share of a core
	memory        int64   // of the agent at its peak: RssAnon, bytes
}

// spend measures the costs of work that goes on.
func spend(agent, server *proc) (s spent) {
	<-time.After(settleTime)
	began, a, b := time.Now(), agent.cpu(), server.cpu()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(cpuTime); ; {
		select {
		case <-tick.C:
			s.memory = max(s.memory, anonymous(agent.cmd.Process.Pid))
		case <-end:
			took := time.Since(began).Seconds()
			s.agent, s.server = (agent.cpu()-a).Seconds()/took, (server.cpu()-b).Seconds()/took
			return s
		}
	}
}

func (s spent) rows(when string) []row {
	return []row{
		target("agent, "+when+": processor", fmt.Sprintf("%.1f %% of a core", 100*s.agent), "under 5 %", s.agent < 0.05),
		target("agent, "+when+": RssAnon at its peak", fmt.Sprintf("%.0f MiB", float64(s.memory)/(1<<20)), "under 96 MiB", s.memory < 96<<20),
		figure("server, "+when+": processor", "%.1f %% of a core", 100*s.server),
	}
}

// spread tells of times in ms.
func spread(ms []float64) string {
	sorted := slices.Sorted(slices.Values(ms))
	return fmt.Sprintf("p50 %.0f ms, %.0f to %.0f ms, %d times", percentile(sorted, 50), sorted[0], sorted[len(sorted)-1], len(sorted))
}
