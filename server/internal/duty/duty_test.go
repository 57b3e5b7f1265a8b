package duty

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/server/internal/casework"
)

// book keeps events in memory. Writing one takes a while, as it does in a log.
type book struct {
	mu   sync.Mutex
	acts []casework.Act
	fail error
}

func (b *book) Record(_ context.Context, a casework.Act) (casework.Recorded, error) {
	<-time.After(200 * time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return casework.Recorded{}, b.fail
	}
	b.acts = append(b.acts, a)
	return casework.Recorded{}, nil
}

// said are the acts so far, each with its number.
func (b *book) said() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.acts {
		out = append(out, a.Name+" "+a.Detail["number"])
	}
	return out
}

// past is what a server finds in its log.
func (b *book) past(context.Context, evidence.DeviceID) (out []evidence.CustodyEvent, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.acts {
		out = append(out, evidence.CustodyEvent{Act: a.Name, Actor: a.Actor, Detail: a.Detail, Rec: a.Rec})
	}
	slices.Reverse(out)
	return out, nil
}

func newBoard(t *testing.T) (*Board, *book) { return boardWith(t, &book{}) }

func boardWith(t *testing.T, k *book) (*Board, *book) {
	b := New(Config{Book: k, Past: k.past, Now: time.Now, Slog: slog.New(slog.NewTextHandler(t.Output(), nil))})
	t.Cleanup(b.Close)
	return b, k
}

var one = evidence.DeviceID{1}

type answer struct {
	orders transport.Orders
	err    error
	after  time.Duration
}

// ask polls in the background.
func ask(b *Board, id evidence.DeviceID, r transport.Report) <-chan answer {
	out := make(chan answer, 1)
	began := time.Now()
	go func() {
		o, err := b.Poll(context.Background(), id, r)
		out <- answer{o, err, time.Since(began)}
	}()
	synctest.Wait()
	return out
}

type outcome struct {
	result transport.Result
	err    error
}

func give(b *Board, c transport.Command) <-chan outcome {
	out := make(chan outcome, 1)
	go func() {
		r, err := b.Order(context.Background(), "王 the-supervisor", one, c)
		out <- outcome{r, err}
	}()
	synctest.Wait()
	return out
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// A request waits, but for the one of a recorder that comes on duty, and is answered when its time is over, when a newer one comes, and at once when somebody begins to watch; a recorder is on duty
// while it asks and a moment longer, and those who look are told of each change.
func TestLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBoard(t)
		same(t, "who comes on duty", <-ask(b, one, transport.Report{Station: "0"}), answer{orders: transport.Orders{Commands: []transport.Command{}}})
		changed := b.Changed()
		first := ask(b, one, transport.Report{Station: "A", Link: "wifi"})
		<-changed
		second := ask(b, one, transport.Report{Station: "B", Link: "mobile"})
		same(t, "the older request", <-first, answer{orders: transport.Orders{Commands: []transport.Command{}}})
		if r, ok := b.Recorder(one); !ok || !r.Online || r.Report.Station != "B" {
			t.Errorf("%+v", r)
		}
		same(t, "the newer one", <-second, answer{orders: transport.Orders{Commands: []transport.Command{}}, after: transport.OrdersWait})
		b.Watching(one, 2)
		third := <-ask(b, one, transport.Report{})
		same(t, "with watchers", third, answer{orders: transport.Orders{Commands: []transport.Command{}, Watched: 2}})
		deaf := <-ask(b, one, transport.Report{}) // it does not say that it heard
		same(t, "the same once more", deaf, answer{orders: third.orders, after: breath})
		fourth := ask(b, one, transport.Report{Watched: 2})
		b.Watching(one, 0)
		same(t, "no watchers", (<-fourth).orders.Watched, 0)
		changed = b.Changed()
		if r, _ := b.Recorder(one); !r.Online {
			t.Error("off duty already")
		}
		<-changed
		if r, _ := b.Recorder(one); r.Online {
			t.Error("still on duty")
		}
		if err := b.Ask(one, transport.Command{Kind: transport.CommandLive}); !errors.Is(err, ErrOffDuty) {
			t.Error(err)
		}
		same(t, "off duty", (<-give(b, transport.Command{Kind: transport.CommandStart})).err, ErrOffDuty)
	})
}

// A command is on record before the recorder hears of it, its result before the answer; it is sent again until the recorder knows it, and a result
// that is said twice is recorded once. Numbers go on from what the recorder knows, also on a new board.
func TestCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, k := newBoard(t)
		<-ask(b, one, transport.Report{Known: 41})
		p := ask(b, one, transport.Report{Known: 41})
		got := give(b, transport.Command{Kind: transport.CommandMark, Text: "here"})
		if len(k.said()) != 0 || len(p) != 0 {
			t.Fatal("it was handed out before it was on record")
		}
		if err := b.Ask(one, transport.Command{Kind: transport.CommandLive}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(p) != 0 {
			t.Fatal("a later command overtook it")
		}
		a := <-p
		if len(a.orders.Commands) != 2 || a.orders.Commands[0].Number != 42 || a.orders.Commands[0].By != "王 the-supervisor" || a.orders.Commands[1].Number != 43 {
			t.Fatalf("%+v", a.orders)
		}
		same(t, "events", k.said(), []string{"commanded 42"})
		again := <-ask(b, one, transport.Report{Known: 41}) // the answer was lost
		same(t, "sent again", again.orders, a.orders)
		rec := evidence.RecordingID{7}
		results := []transport.Result{{Number: 42, Done: true, Rec: &rec}, {Number: 43, Done: true}, {Number: 99, Done: true}}
		x, y := ask(b, one, transport.Report{Known: 43, Results: results}), ask(b, one, transport.Report{Known: 43, Results: results})
		same(t, "result", <-got, outcome{result: results[0]})
		<-x
		same(t, "events", k.said(), []string{"commanded 42", "command-done 42"})
		if k.acts[1].Rec != rec || *k.acts[1].Device != one || k.acts[1].Detail["by"] != "王 the-supervisor" {
			t.Errorf("%+v", k.acts[1])
		}
		same(t, "nothing more to say", (<-y).after, transport.OrdersWait+200*time.Millisecond)

		next, _ := newBoard(t) // of another server, which knows less than the recorder
		<-ask(next, one, transport.Report{Known: 43, Results: results})
		p = ask(next, one, transport.Report{Known: 43})
		refused := give(next, transport.Command{Kind: transport.CommandStop})
		same(t, "number", (<-p).orders.Commands[0].Number, 44)
		no := transport.Result{Number: 44, Text: "nothing is being recorded"}
		ask(next, one, transport.Report{Known: 44, Results: []transport.Result{no}})
		same(t, "refused", <-refused, outcome{result: no})
	})
}

// A command without a result expires, on record; a result that comes after all is recorded too. What can't be recorded is not handed out, and what
// waits when the board closes is written down.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, k := newBoard(t)
		p := ask(b, one, transport.Report{})
		got := give(b, transport.Command{Kind: transport.CommandStart})
		<-p
		r := transport.Report{Known: 1}
		p = ask(b, one, r)
		same(t, "no result", (<-got).err, ErrNoResult)
		for len(k.said()) < 2 {
			<-p
			p = ask(b, one, r)
		}
		same(t, "expired", k.said(), []string{"commanded 1", "command-expired 1"})
		r.Results = []transport.Result{{Number: 1, Done: true}}
		ask(b, one, r)
		<-time.After(time.Second)
		same(t, "late", k.said(), []string{"commanded 1", "command-expired 1", "command-done 1"})

		k.fail = errors.New("no room")
		same(t, "not on record", errors.Is((<-give(b, transport.Command{Kind: transport.CommandStart})).err, k.fail), true)
		k.fail = nil
		p = ask(b, one, transport.Report{Known: 1})
		got = give(b, transport.Command{Kind: transport.CommandStop})
		same(t, "handed out", (<-p).orders.Commands[0].Kind, transport.CommandStop)
		b.Close()
		same(t, "closed", (<-got).err, ErrNoResult)
		same(t, "at the end", k.said()[3:], []string{"commanded 3", "command-expired 3"})
		if a := <-ask(b, one, transport.Report{}); a.err != nil || len(a.orders.Commands) != 0 || a.after != 0 {
			t.Errorf("%+v", a)
		}
	})
}

// The server ended while commands waited: their results are recorded when they come, those that never come are said to have expired, and no number is
// given twice, also if the recorder never heard of it.
func TestCommandsOfAFormerRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, k := newBoard(t)
		command := func(act, number string) casework.Act {
			return casework.Act{Name: act, Actor: "王", Detail: evidence.Detail{"command": "mark", "number": number}}
		}
		k.acts = []casework.Act{command("commanded", "3"), command("command-done", "3"), command("commanded", "4"), command("command-expired", "4"),
			command("commanded", "5"), command("commanded", "6")} // it was killed here
		b, _ := boardWith(t, k)
		results := []transport.Result{{Number: 3, Done: true}, {Number: 4, Done: true}, {Number: 5}}
		ask(b, one, transport.Report{Known: 5, Results: results})
		<-time.After(time.Second)
		same(t, "late", k.said()[6:], []string{"command-done 4", "command-refused 5"})
		same(t, "by whom", k.acts[6].Detail["by"], "王")
		p := ask(b, one, transport.Report{Known: 5})
		give(b, transport.Command{Kind: transport.CommandStop})
		if o := (<-p).orders.Commands; len(o) != 1 || o[0].Number != 7 {
			t.Errorf("%+v", o)
		}
		for len(k.said()) < 11 {
			<-ask(b, one, transport.Report{Known: 7})
		}
		same(t, "no result", k.said()[8:], []string{"commanded 7", "command-expired 6", "command-expired 7"})
	})
}

// Floods and lies are bounded: commands that wait, texts, numbers, positions, codes.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, k := newBoard(t)
		ask(b, one, transport.Report{})
		var waiting []<-chan outcome
		for range transport.MaxCommands {
			waiting = append(waiting, give(b, transport.Command{Kind: transport.CommandMark, Text: strings.Repeat("重", 5000)}))
		}
		same(t, "one more", (<-give(b, transport.Command{Kind: transport.CommandMark})).err, ErrBusy)
		same(t, "asked", b.Ask(one, transport.Command{Kind: transport.CommandLive}), ErrBusy)
		for _, c := range []transport.Command{{Kind: "format"}, {Kind: transport.CommandChunk}, {Kind: transport.CommandMark, Until: 1}} {
			if err := (<-give(b, c)).err; !errors.Is(err, ErrCommand) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		for _, w := range waiting {
			same(t, "unanswered", (<-w).err, ErrNoResult)
		}
		for _, a := range k.acts {
			if len(a.Detail["text"]) > maxText {
				t.Error(len(a.Detail["text"]))
			}
		}
		lies := transport.Report{Station: "a\x00\xff\u202e" + strings.Repeat("长", 1000), Trouble: strings.Repeat("x", 60000), Link: "tin can", Behind: -4, Width: 1 << 40,
			Watched: -1, Position: &transport.Position{Lat: evidence.Signed{Sign: "+", Value: 90_000_001}, Lon: evidence.Signed{Sign: "+"}}}
		ask(b, one, lies)
		r, _ := b.Recorder(one)
		if r.Report.Position != nil || r.Report.Link != "" || r.Report.Behind != 0 || r.Report.Watched != 0 || r.Report.Width != maxPixels ||
			len(r.Report.Station) > maxName || len(r.Report.Trouble) > maxText || strings.ContainsAny(r.Report.Station, "\x00\u202e") || !utf8.ValidString(r.Report.Station) {
			t.Errorf("%+v", r.Report)
		}
		for _, bad := range []transport.Report{{Known: 1 << 60}, {Results: make([]transport.Result, 33)}} {
			var e *transport.Error
			if a := <-ask(b, one, bad); !errors.As(a.err, &e) || !e.Final() {
				t.Error(fmt.Sprint(a))
			}
		}
	})
}
