package people

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// limit is how often somebody may try in vain: so many times at once, and once more after each interval.
type limit struct {
	burst float64
	every time.Duration
}

// The limits. One person who mistypes meets the first; the second bounds guessing from everywhere, and the third guessing everybody's.
var (
	ofBoth    = limit{8, 30 * time.Second}
	ofLogin   = limit{100, 10 * time.Second}
	ofAddress = limit{60, 5 * time.Second}
)

// keptTries is how many logins, addresses and pairs are remembered; who is forgotten begins anew.
const keptTries = 20000

// bucket is what is left of a limit.
type bucket struct {
	left float64
	at   time.Time
}

// tries counts attempts to sign in. It is safe for concurrent use.
type tries struct {
	now func() time.Time

	mu   sync.Mutex
	kept *simplelru.LRU[string, bucket]
}

func newTries(now func() time.Time) *tries {
	kept, err := simplelru.NewLRU[string, bucket](keptTries, nil)
	if err != nil {
		panic(err) // the size is no positive number
	}
	return &tries{now: now, kept: kept}
}

func keys(login, address string) map[string]limit {
	return map[string]limit{"both\x00" + login + "\x00" + address: ofBoth, "login\x00" + login: ofLogin, "address\x00" + address: ofAddress}
}

// take counts an attempt before it is made, so that many at once are counted too. It returns false if there were too many.
func (t *tries) take(login, address string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, ok := t.now(), true
	for key, l := range keys(login, address) {
		ok = ok && t.look(key, l, now).left >= 1
	}
	if !ok {
		return false
	}
	for key, l := range keys(login, address) {
		b := t.look(key, l, now)
		b.left--
		t.kept.Add(key, b)
	}
	return true
}

// giveBack takes back an attempt that succeeded.
func (t *tries) giveBack(login, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for key, l := range keys(login, address) {
		b := t.look(key, l, now)
		b.left = min(b.left+1, l.burst)
		t.kept.Add(key, b)
	}
}

func (t *tries) look(key string, l limit, now time.Time) bucket {
	b, ok := t.kept.Get(key)
	if !ok {
		return bucket{l.burst, now}
	}
	b.left = min(b.left+max(float64(now.Sub(b.at))/float64(l.every), 0), l.burst)
	b.at = now
	return b
}
