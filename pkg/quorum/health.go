package quorum

import (
	"math"
	"slices"
	"time"
)

// HealthConfig says how a node's health is judged.
type HealthConfig struct {
	Failures   int           // so many in a row, and the node is avoided
	FirstProbe time.Duration // after it is avoided; doubles while probes fail
	LastProbe  time.Duration // the longest time between probes
	HalfLife   time.Duration // of what is known of a latency, while nothing new is
	MinHedge   time.Duration // limits of Hedge
	MaxHedge   time.Duration
	Guess      time.Duration // Hedge, before any latency was measured
}

// DefaultHealth is for nodes that are anywhere between one machine and another town.
var DefaultHealth = HealthConfig{
	Failures:   3,
	FirstProbe: time.Second,
	LastProbe:  10 * time.Second,
	HalfLife:   30 * time.Second,
	MinHedge:   10 * time.Millisecond,
	MaxHedge:   2 * time.Second,
	Guess:      100 * time.Millisecond,
}

const (
	latencyWeight = 1.0 / 8 // of a new latency in the mean
	window        = 64      // latencies that the 95th percentile is taken from
	recompute     = 8       // after so many new ones
)

// Health is what is known of one node. Like the other machines it belongs to
// one goroutine, or to who holds its lock.
type Health struct {
	config HealthConfig

	mean     float64 // of latencies, in seconds
	measured time.Time
	recent   [window]time.Duration
	count    int // latencies seen
	hedge    time.Duration

	failures int // in a row
	avoided  bool
	interval time.Duration // to the next probe
	probeAt  time.Time
}

// NewHealth knows nothing of a node and thinks well of it.
func NewHealth(c HealthConfig) *Health {
	return &Health{config: c, hedge: clamp(c.Guess, c.MinHedge, c.MaxHedge)}
}

// Succeeded says that the node answered a call, well or badly, whatever it took.
func (h *Health) Succeeded() {
	h.failures, h.avoided, h.interval = 0, false, 0
}

// Answered says that the node answered a read, and how long that took.
func (h *Health) Answered(took time.Duration, now time.Time) {
	h.Succeeded()
	h.mix(took, now)
	h.recent[h.count%window] = took
	h.count++
	if h.count <= recompute || h.count%recompute == 0 {
		h.hedge = clamp(percentile95(h.recent[:min(h.count, window)]), h.config.MinHedge, h.config.MaxHedge)
	}
}

// Outrun says that a read was given up after so long, because another node was
// faster: this one takes at least as long.
func (h *Health) Outrun(after time.Duration, now time.Time) {
	if h.measured.IsZero() || after.Seconds() > h.mean {
		h.mix(after, now)
	}
}

// Failed says that the node did not answer a call, or in no useful time.
func (h *Health) Failed(now time.Time) {
	h.failures++
	if !h.avoided && h.failures >= h.config.Failures {
		h.avoided = true
		h.postpone(now)
	}
}

// Probed says how a probe ended, that began because NextProbe said so. A node
// that answers a probe is asked again, but one failure then is enough to avoid
// it, for longer: a probe shows less than what it is for.
func (h *Health) Probed(answered bool, now time.Time) {
	switch {
	case answered && h.avoided:
		h.failures, h.avoided = max(h.config.Failures-1, 0), false
	case h.avoided:
		h.postpone(now)
	}
}

func (h *Health) postpone(now time.Time) {
	h.interval = clamp(2*h.interval, h.config.FirstProbe, h.config.LastProbe)
	h.probeAt = now.Add(h.interval)
}

// Avoid reports whether the node failed so often that it is asked last.
func (h *Health) Avoid() bool { return h.avoided }

// NextProbe is when to probe a node that is avoided, or false.
func (h *Health) NextProbe() (time.Time, bool) { return h.probeAt, h.avoided }

// Latency is how long an answer is expected to take: nothing, until one was
// measured, so that every node is tried. An old measurement counts less and
// less, so that a node once slow is tried again.
func (h *Health) Latency(now time.Time) time.Duration {
	mean := h.mean
	if age := now.Sub(h.measured); !h.measured.IsZero() && age > 0 && h.config.HalfLife > 0 {
		mean *= math.Exp2(-age.Seconds() / h.config.HalfLife.Seconds())
	}
	return time.Duration(mean * float64(time.Second))
}

// Hedge is how long 19 of 20 recent answers took at most.
func (h *Health) Hedge() time.Duration { return h.hedge }

func (h *Health) mix(took time.Duration, now time.Time) {
	if h.measured.IsZero() {
		h.mean = took.Seconds()
	} else {
		h.mean += latencyWeight * (took.Seconds() - h.mean)
	}
	h.measured = now
}

func percentile95(latencies []time.Duration) time.Duration {
	var sorted [window]time.Duration
	n := copy(sorted[:], latencies)
	slices.Sort(sorted[:n])
	return sorted[(n*95+99)/100-1]
}

func clamp(d, low, high time.Duration) time.Duration { return min(max(d, low), high) }

// Order puts nodes in the order in which to read from them: those to avoid
// last, and the nearest first, by latency; equals stay in their order. rank is
// called once for each.
func Order(nodes []int, rank func(node int) (avoid bool, latency time.Duration)) {
	type ranked struct {
		node    int
		avoid   bool
		latency time.Duration
	}
	var few [8]ranked
	list := few[:0]
	for _, n := range nodes {
		avoid, latency := rank(n)
		list = append(list, ranked{n, avoid, latency})
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		switch {
		case a.avoid != b.avoid && a.avoid:
			return 1
		case a.avoid != b.avoid:
			return -1
		case a.latency < b.latency:
			return -1
		case a.latency > b.latency:
			return 1
		}
		return 0
	})
	for i, r := range list {
		nodes[i] = r.node
	}
}
