package uplink

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// recs are what queues in these tests know, by the first byte of the id, which is also when they were opened.
type recs map[byte]*about

func (r recs) look(id evidence.RecordingID) about {
	a := about{opened: uint64(id[0])}
	if k := r[id[0]]; k != nil {
		a.captured, a.important, a.newest = k.captured, k.important, k.captured && k.important
	}
	return a
}

func wantedOf(rec byte, indexes ...uint64) (list []transport.Wanted) {
	for _, i := range indexes {
		p := piece{evidence.RecordingID{rec}, i}
		list = append(list, transport.Wanted{Rec: p.rec, Index: i, Method: "PUT", URL: usualURL(p)})
	}
	return list
}

// takes takes n pieces and returns them as "recording/index".
func takes(t *testing.T, q *queue, n int) (out []string) {
	t.Helper()
	for range n {
		w, err := q.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d/%d", w.Rec[0], w.Index))
		q.done(w, 1)
		q.off()
	}
	return out
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestQueueKeepsOneOfEach(t *testing.T) {
	q := newQueue(recs{}.look)
	list := wantedOf(1, 0, 1)
	q.want(list)
	q.want(list)
	for i := range 2 {
		w, err := q.next(t.Context())
		if err != nil || w.Index != uint64(i) || w.URL != list[i].URL {
			t.Fatal(w, err)
		}
		q.want(list[i:]) // announced again while it is on its way
		q.done(w, 5)
		q.off()
		if st := q.standing(w.Rec); st.count != 1-i || st.bytes != int64(5*(i+1)) {
			t.Errorf("after chunk %d: %+v", i, st)
		}
	}
}

// TestOrderOfFootage: what somebody asks for goes first, then important captures from their newest piece back, each after its head, then
// important imports, then the oldest; also when that comes up while the pieces wait, or one of them comes back.
func TestOrderOfFootage(t *testing.T) {
	known := recs{3: {captured: true}, 4: {captured: true}, 5: {important: true}}
	q := newQueue(known.look)
	q.want(wantedOf(4, 0, 1, 2))
	q.want(wantedOf(5, 0, 1))
	q.want(wantedOf(2, 1, 0))
	q.want(wantedOf(3, 0, 1, 2, 3))
	same(t, takes(t, q, 2), "5/0", "5/1")
	w, err := q.next(t.Context())
	if err != nil || w.Rec[0] != 2 || w.Index != 0 {
		t.Fatal(w, err)
	}
	known[3].important = true
	q.reorder(evidence.RecordingID{3})
	q.want(wantedOf(3, 4))
	q.again(w) // it was not sent
	q.off()
	q.prefer(piece{evidence.RecordingID{4}, 2}, true)
	q.prefer(piece{evidence.RecordingID{2}, 7}, true)  // nobody wanted it
	q.prefer(piece{evidence.RecordingID{2}, 9}, false) // nobody can yet
	same(t, takes(t, q, 5), "4/0", "4/2", "2/0", "2/7", "3/0")
	q.want(wantedOf(2, 8, 9))
	same(t, takes(t, q, 8), "2/9", "3/4", "3/3", "3/2", "3/1", "2/1", "2/8", "4/1")
	if idle, _ := q.idle(); !idle {
		t.Error("something is left")
	}
}

// TestOneAtATime: no more is on its way than the link takes, also when that changes.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(recs{}.look)
		q.limit(2, 1)
		q.want(wantedOf(1, 0, 1, 2))
		took := make(chan transport.Wanted, 3)
		for range 3 {
			go func() {
				if w, err := q.next(t.Context()); err == nil {
					took <- w
				}
			}()
		}
		synctest.Wait()
		if len(took) != 2 {
			t.Fatalf("%d at once", len(took))
		}
		q.limit(1, 1)
		q.done(<-took, 1)
		q.off()
		synctest.Wait()
		if len(took) != 1 {
			t.Fatalf("another one before there was room")
		}
		q.done(<-took, 1)
		q.off()
		synctest.Wait()
		if w := <-took; w.Index != 2 {
			t.Fatal(w)
		}
	})
}

// TestManyPieces: 100,000 pieces are no burden, whatever is done to their order. With costs that grow with the square, this test does not end.
func TestManyPieces(t *testing.T) {
	known := recs{1: {captured: true}}
	q := newQueue(known.look)
	const n = 100_000
	for i := range uint64(n) {
		q.want(wantedOf(1+byte(i%3), i))
	}
	for i := range uint64(1000) {
		q.prefer(piece{evidence.RecordingID{2}, 1 + 3*i}, true)
	}
	known[1].important = true
	q.reorder(evidence.RecordingID{1})
	q.drop(evidence.RecordingID{3})
	got := takes(t, q, n-n/3)
	if got[0] != "2/1" || got[1000] != "1/0" || got[1001] != "1/99999" || got[len(got)-1] != "2/99997" {
		t.Errorf("%v … %v", got[:2], got[len(got)-2:])
	}
}

// TestTurns: a recording that grows is asked for every ten seconds at most, and less often when it is long.
func TestTurns(t *testing.T) {
	q := newQueue(recs{}.look)
	rec, now, asks := evidence.RecordingID{1}, time.Unix(1e9, 0), 0
	for end := now.Add(time.Hour); now.Before(end); now = now.Add(time.Second) {
		if wait, _ := q.turn(rec, now); wait <= 0 {
			asks++
		}
	}
	if asks < 100 || asks > 180 {
		t.Errorf("%d times in an hour", asks)
	}
}
