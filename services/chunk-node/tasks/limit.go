package tasks

import (
	"context"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
)

// burst is how much work may follow a pause at once: in time, at the rate of the limit.
const burst = 100 * time.Millisecond

// limit spreads bytes over time.
type limit struct {
	clock clock.Clock

	mu   sync.Mutex
	rate int64     // bytes a second; 0: no limit
	free time.Time // when what was taken so far is worked off
}

func (l *limit) set(rate int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.free = rate, time.Time{}
}

func (l *limit) current() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate
}

// take takes n bytes and returns when they may be used.
func (l *limit) take(ctx context.Context, n int64) error {
	if wait := l.reserve(n); wait > 0 {
		return clock.Sleep(ctx, l.clock, wait)
	}
	return ctx.Err()
}

// reserve takes n bytes and says how long to wait for them: until what was taken before is worked off.
func (l *limit) reserve(n int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 {
		return 0
	}
	now := l.clock.Now()
	if earliest := now.Add(-burst); l.free.Before(earliest) {
		l.free = earliest
	}
	wait := max(l.free.Sub(now), 0)
	l.free = l.free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	return wait
}
