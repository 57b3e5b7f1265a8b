package duty

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"camseal/pkg/transport"
)

// Times of the way to the server.
const (
	reportGap   = 200 * time.Millisecond // least time between two reports
	orderGrace  = 15 * time.Second       // that an answer may be late
	letGo       = 5 * time.Second        // how long an overtaken report may stay unanswered
	firstWait   = 500 * time.Millisecond // after a failure; it doubles
	longestWait = 10 * time.Second
	idleWait    = 2 * time.Second // after answers that come at once and say nothing
	refusedWait = time.Minute     // after a refusal, such as of a server that does not know this route
)

// maxUnder is how many reports may be on their way at once.
const maxUnder = 3

// asked is a report that was sent.
type asked struct {
	number uint64
	report transport.Report
	print  []byte // what must change for another report to be worth sending
	at     time.Time
	end    context.CancelFunc
	orders transport.Orders
	err    error
}

// talk is the conversation with the server: one report waits there for something to say. A newer one overtakes it over a connection of its own,
// and the server then lets the older go: dropping it would cost a new connection, and a signature of the TPM, each time.
type talk struct {
	*Duty
	answers chan *asked
	last    *asked // the newest sent
	under   int    // on their way
	idle    int    // answers in a row that came at once and said nothing
	fails   int
	down    bool // the last answer was a failure
}

// orders reports and takes orders until ctx ends.
func (d *Duty) orders(ctx context.Context) {
	t := &talk{Duty: d, answers: make(chan *asked, 1)}
	defer func() {
		for ; t.under > 0; t.under-- { // ctx is over: they return at once
			(<-t.answers).end()
		}
	}()
	for ctx.Err() == nil {
		t.send(ctx)
		wait := t.listen(ctx)
		t.pause(ctx, wait)
	}
}

// report says how the recorder is.
func (d *Duty) report(ctx context.Context) (r transport.Report, print []byte) {
	st := d.State(ctx)
	r = transport.Report{Station: d.Station, Recording: st.Recording, Video: st.Video, Audio: st.Audio, Width: st.Width, Height: st.Height, BFrames: st.BFrames,
		Link: st.Link, Behind: st.Behind, Trouble: st.firstTrouble(), Watched: st.Watched}
	if st.Recording != nil {
		r.Since = st.Since.UnixMilli()
	}
	r.Known, r.Results = d.journal.standing()
	r.Position = st.Position
	worth := r // telling at once
	worth.Behind = 0
	if len(st.Troubles) == 0 { // alarms say how long they last
		worth.Trouble = ""
	}
	if st.Position != nil {
		d.mu.Lock()
		worth.Position = d.place
		d.mu.Unlock()
	}
	print, err := json.Marshal(worth)
	if err != nil {
		d.Log.ErrorContext(ctx, "report not made", slog.Any("error", err))
	}
	return r, print
}

// send sends a report and lets go, after a while, of the one before.
func (t *talk) send(ctx context.Context) {
	a := &asked{at: t.Now()}
	a.report, a.print = t.report(ctx)
	limited, end := context.WithTimeout(ctx, transport.OrdersWait+orderGrace)
	a.end = end
	if old := t.last; old != nil {
		a.number = old.number + 1
		time.AfterFunc(letGo, old.end)
	}
	t.last = a
	t.under++
	go func() {
		a.orders, a.err = t.Server.Orders(limited, a.report)
		t.answers <- a
	}()
}

// listen returns when it is time for the next report: the newest was answered, or would say something else. It returns how long to wait
// before.
func (t *talk) listen(ctx context.Context) time.Duration {
	for {
		changed := t.Changed()
		if _, print := t.report(ctx); t.under < maxUnder && !bytes.Equal(print, t.last.print) {
			return reportGap
		}
		select {
		case <-ctx.Done():
			return 0
		case <-changed:
		case a := <-t.answers:
			if wait := t.take(ctx, a); a == t.last {
				return wait
			}
		}
	}
}

// pause waits, and takes what is answered meanwhile.
func (t *talk) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case a := <-t.answers:
			t.take(ctx, a)
		}
	}
}

// take takes an answer, and returns how long to wait after it.
func (t *talk) take(ctx context.Context, a *asked) time.Duration {
	t.under--
	a.end()
	newest := a == t.last
	if a.err != nil {
		if newest && ctx.Err() == nil {
			return t.failed(ctx, a.err)
		}
		return 0
	}
	if err := t.journal.said(a.report.Results); err != nil {
		t.trouble("journal", err.Error())
	}
	came := t.receive(ctx, a.orders.Commands)
	if !newest { // it was let go: how many watch is said by the newer one
		t.update(func() { t.online = true })
		return 0
	}
	t.fails, t.down = 0, false
	t.trouble("orders", "")
	watched := max(0, a.orders.Watched)
	t.update(func() { t.online, t.watched = true, watched })
	if came == 0 && watched == a.report.Watched && t.Now().Sub(a.at) < time.Second {
		t.idle++
		return min(reportGap<<min(t.idle, 8), idleWait)
	}
	t.idle = 0
	return reportGap
}

// receive writes new commands down and has them carried out.
func (t *talk) receive(ctx context.Context, commands []transport.Command) int {
	commands = commands[:min(len(commands), transport.MaxCommands)]
	for i, c := range commands {
		commands[i].By, commands[i].Text = clean(c.By, maxBy), clean(c.Text, maxText)
		commands[i].Kind = transport.CommandKind(clean(string(c.Kind), maxBy))
	}
	came, err := t.journal.came(commands)
	if err != nil {
		t.trouble("journal", "orders of the server can't be written down here, and are not carried out: "+err.Error())
		return 0
	}
	if came > 0 {
		t.trouble("journal", "")
		t.Log.InfoContext(ctx, "orders came", slog.Int("commands", came))
	}
	select {
	case t.work <- struct{}{}: // also what a former run left: the server's clock is known now
	default:
	}
	return came
}

// failed notes that the server could not be reached, and returns how long to wait.
func (t *talk) failed(ctx context.Context, err error) time.Duration {
	t.update(func() { t.online, t.watched = false, 0 })
	var refusal *transport.Error
	if errors.As(err, &refusal) && refusal.Status/100 == 4 && refusal.Status != http.StatusTooManyRequests {
		if refusal.Status != http.StatusNotFound && refusal.Status != http.StatusMethodNotAllowed {
			t.trouble("orders", "the server takes no reports of this recorder: "+refusal.Message)
		} else if !t.down {
			t.Log.InfoContext(ctx, "this server gives no orders to recorders; it is asked again every minute")
		}
		t.down = true
		return refusedWait/2 + rand.N(refusedWait)
	}
	if !t.down {
		t.Log.InfoContext(ctx, "the server does not take reports; capture goes on", slog.Any("error", err))
	}
	t.down = true
	d := min(firstWait<<min(t.fails, 10), longestWait)
	t.fails++
	return d/2 + rand.N(d/2)
}
