package clock

import (
	"sync"
	"time"
)

// Timestamp is a hybrid logical time: microseconds since the Unix epoch, moved
// forward where needed so that order is kept ("Logical Physical Clocks",
// Kulkarni et al., 2014, with the logical part folded into the microseconds).
// Microseconds are also what CQL's USING TIMESTAMP takes.
type Timestamp int64

// Time is the timestamp as wall time.
func (t Timestamp) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }

// TimestampOf is the timestamp of a wall time.
func TimestampOf(t time.Time) Timestamp { return Timestamp(t.UnixMicro()) }

// Hybrid hands out strictly increasing timestamps that follow a clock.
type Hybrid struct {
	clock Clock
	mu    sync.Mutex
	last  Timestamp
}

// NewHybrid makes a hybrid clock over c.
func NewHybrid(c Clock) *Hybrid { return &Hybrid{clock: c} }

// Now is a timestamp above every one this clock gave or observed before.
func (h *Hybrid) Now() Timestamp { return h.After(0) }

// After is a timestamp above seen and above every one this clock gave or observed before.
func (h *Hybrid) After(seen Timestamp) Timestamp {
	now := TimestampOf(h.clock.Now())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = max(now, h.last+1, seen+1)
	return h.last
}
