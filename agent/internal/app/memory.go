package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memoryBudget is what the process holds, in bytes, whether it takes in little or much: garbage lies until it is reached.
const memoryBudget = 20 << 20

// holdMemory keeps the process at memoryBudget until ctx ends, and follows what lives when that needs more, so that
// collecting garbage never takes the processor from the work. decisions/0007.
func holdMemory(ctx context.Context) {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryBudget)
	go func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		tick := time.NewTicker(time.Second / 4)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				metrics.Read(live)
				debug.SetMemoryLimit(budget(int64(live[0].Value.Uint64())))
			}
		}
	}()
}

// budget is the limit for a heap with so many bytes in use.
func budget(live int64) int64 { return max(memoryBudget, live+live/2+8<<20) }
