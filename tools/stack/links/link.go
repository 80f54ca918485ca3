package links

import (
	"math/rand/v2"
	"sync"
	"time"
)

// queued is how long a packet may wait for its turn on a link with a rate; a later one is dropped.
const queued = 200 * time.Millisecond

// Link is how packets go from one site to another, in one direction. The zero Link delivers at once.
type Link struct {
	// Delay is how long each packet takes; Jitter is added to it evenly between none and all. Packets stay in order.
	Delay, Jitter time.Duration
	// Rate is in bytes a second, with the headers of IP; 0 is no limit.
	Rate int64
	// Loss and Reorder are shares of the packets: those that never arrive, and those that arrive late by one more Delay, and not
	// less than a millisecond, while later ones pass them.
	Loss, Reorder float64
	// Cut lets nothing through.
	Cut bool
}

// Traffic is what went over a link since the network was made, in one direction.
type Traffic struct {
	// Packets and Bytes were taken to be delivered; Lost packets were not, by chance, by a full queue or because the link was cut.
	Packets, Bytes, Lost int64
	// Reordered packets were delayed so that others pass them.
	Reordered int64
}

// direction is the link from one site to another, and what happened on it.
type direction struct {
	mu      sync.Mutex
	link    Link
	random  *rand.Rand
	free    time.Time // when the last packet has been sent, on a link with a rate
	last    time.Time // when the last packet in order arrives
	traffic Traffic
}

func newDirection(seed uint64, from, to int) *direction {
	return &direction{random: rand.New(rand.NewPCG(seed, uint64(from)<<32|uint64(to)))}
}

func (d *direction) set(l Link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.link = l
}

// take decides when a packet that is sent now arrives, and whether it does.
func (d *direction) take(now time.Time, size int) (due time.Time, delivered bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Each packet draws the same numbers, whatever the link is like at the time.
	lost, reordered, jitter := d.random.Float64() < d.link.Loss, d.random.Float64() < d.link.Reorder, d.random.Float64()
	sent := now
	if d.link.Rate > 0 && !d.link.Cut {
		if d.free.After(sent) {
			sent = d.free
		}
		if sent.Sub(now) > queued {
			lost = true
		} else {
			sent = sent.Add(time.Duration(float64(size) / float64(d.link.Rate) * float64(time.Second)))
			d.free = sent
		}
	}
	if lost || d.link.Cut {
		d.traffic.Lost++
		return time.Time{}, false
	}
	d.traffic.Packets++
	d.traffic.Bytes += int64(size)
	due = sent.Add(d.link.Delay + time.Duration(jitter*float64(d.link.Jitter)))
	if reordered {
		d.traffic.Reordered++
		return due.Add(max(d.link.Delay, time.Millisecond)), true
	}
	if due.Before(d.last) {
		due = d.last
	}
	d.last = due
	return due, true
}

// lose takes back that a packet was to be delivered.
func (d *direction) lose(size int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.traffic.Packets--
	d.traffic.Bytes -= int64(size)
	d.traffic.Lost++
}

func (d *direction) counted() Traffic {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.traffic
}
