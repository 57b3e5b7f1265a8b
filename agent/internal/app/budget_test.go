package app

import "testing"

func TestBudgetFollowsWhatLives(t *testing.T) {
	for _, c := range []struct{ live, want int64 }{
		{0, 20 << 20},
		{8 << 20, 20 << 20},
		{16 << 20, 32 << 20},
		{64 << 20, 104 << 20},
	} {
		if got := budget(c.live); got != c.want {
			t.Errorf("%d MiB in use: %d MiB, want %d", c.live>>20, got>>20, c.want>>20)
		}
	}
}
