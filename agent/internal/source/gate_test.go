package source

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// TestGateLetsTheMostUrgentGoFirst: one at a time, the highest priority first, whoever came first among equals, and a priority that changes
// while somebody waits counts.
func TestGateLetsTheMostUrgentGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		leave, err := g.Enter(t.Context(), func() int { return 0 })
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		late := 0
		wait := func(name string, prior func() int) {
			go func() {
				leave, err := g.Enter(t.Context(), prior)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				leave()
			}()
			synctest.Wait()
		}
		wait("a", func() int { return 0 })
		wait("b", func() int { return 0 })
		wait("important", func() int { return 1 })
		wait("chosen late", func() int { return late })
		late = 2
		leave()
		synctest.Wait()
		if want := []string{"chosen late", "important", "a", "b"}; !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
	})
}

// TestGateForgetsWhoGaveUp: who stops waiting takes no turn with it.
func TestGateForgetsWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		leave, err := g.Enter(t.Context(), func() int { return 0 })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if _, err := g.Enter(ctx, func() int { return 9 }); err == nil {
				t.Error("entered after giving up")
			}
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		leave()
		again, err := g.Enter(t.Context(), func() int { return 0 })
		if err != nil {
			t.Fatal(err)
		}
		again()
	})
}
