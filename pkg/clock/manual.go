package clock

import (
	"sync"
	"time"
)

// Manual is a clock for tests: time stands still until Advance or Set moves it.
type Manual struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*manualTimer]struct{}
}

// NewManual makes a clock that stands at now.
func NewManual(now time.Time) *Manual {
	return &Manual{now: now, timers: make(map[*manualTimer]struct{})}
}

// Now is the time the clock was set to.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance moves the clock by d and fires the timers that became due.
func (m *Manual) Advance(d time.Duration) { m.Set(m.Now().Add(d)) }

// Set moves the clock to t, backwards too, and fires the timers that became due.
func (m *Manual) Set(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = t
	for timer := range m.timers {
		timer.fireIfDue()
	}
}

// Timers is the number of timers that wait: a test can wait for it before it advances.
func (m *Manual) Timers() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.timers)
}

// Next is the time left until the first of them fires, negative when none waits.
func (m *Manual) Next() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := time.Duration(-1)
	for t := range m.timers {
		if left := t.due.Sub(m.now); next < 0 || left < next {
			next = left
		}
	}
	return next
}

// NewTimer makes a timer that fires when the clock reaches now + d.
func (m *Manual) NewTimer(d time.Duration) Timer {
	t := &manualTimer{m: m, c: make(chan time.Time, 1)}
	t.Reset(d)
	return t
}

type manualTimer struct {
	m   *Manual
	c   chan time.Time
	due time.Time
}

func (t *manualTimer) C() <-chan time.Time { return t.c }

func (t *manualTimer) Stop() bool {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	_, waiting := t.m.timers[t]
	delete(t.m.timers, t)
	return waiting
}

func (t *manualTimer) Reset(d time.Duration) bool {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	_, waiting := t.m.timers[t]
	t.due = t.m.now.Add(d)
	t.m.timers[t] = struct{}{}
	t.fireIfDue()
	return waiting
}

// fireIfDue is called with the clock's lock held.
func (t *manualTimer) fireIfDue() {
	if t.m.now.Before(t.due) {
		return
	}
	delete(t.m.timers, t)
	select {
	case t.c <- t.m.now:
	default:
	}
}
