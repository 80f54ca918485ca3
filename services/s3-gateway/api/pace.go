package api

import "time"

// pace is the rule for slow clients, in both directions: one that moves nothing
// for idle, or after that time less than minRate bytes per second, is given up.
type pace struct {
	idle    time.Duration
	minRate int

	begun, set time.Time // when the first byte was due, and when the deadline was last set
	n          int64     // bytes moved
}

// due reports whether the deadline must be set anew: once a second, so that it costs little.
func (p *pace) due(now time.Time) bool { return now.Sub(p.set) >= time.Second }

// extend reports whether the client was fast enough so far to be given more time.
func (p *pace) extend(now time.Time) bool {
	if p.begun.IsZero() {
		p.begun = now
	}
	if took := now.Sub(p.begun); took > p.idle && float64(p.n) < took.Seconds()*float64(p.minRate) {
		return false
	}
	p.set = now
	return true
}
