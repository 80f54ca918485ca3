package links

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// sent hands packets of a size to a link, one each interval, and returns when each arrives; zero if it does not.
func sent(d *direction, packets, size int, interval time.Duration) []time.Duration {
	arrivals := make([]time.Duration, packets)
	for i := range packets {
		if due, ok := d.take(start.Add(time.Duration(i)*interval), size); ok {
			arrivals[i] = due.Sub(start) - time.Duration(i)*interval
		}
	}
	return arrivals
}

func TestALinkDecidesByItsSeedAlone(t *testing.T) {
	l := Link{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.1, Reorder: 0.1, Rate: 1 << 20}
	links := []*direction{newDirection(1, 1, 2), newDirection(1, 1, 2), newDirection(2, 1, 2), newDirection(1, 2, 1)}
	var all [][]time.Duration
	for _, d := range links {
		d.set(l)
		all = append(all, sent(d, 1000, 500, time.Millisecond))
	}
	require.Equal(t, all[0], all[1])
	require.NotEqual(t, all[0], all[2], "another seed")
	require.NotEqual(t, all[0], all[3], "the other direction")
}

func TestPacketsStayInOrderUnlessTheyAreReordered(t *testing.T) {
	order := func(l Link) (passed int) {
		d := newDirection(7, 1, 2)
		d.set(l)
		latest := time.Duration(0)
		for i, after := range sent(d, 5000, 100, time.Millisecond) {
			if at := time.Duration(i)*time.Millisecond + after; at < latest {
				passed++
			} else {
				latest = at
			}
			require.GreaterOrEqual(t, after, l.Delay)
		}
		require.Equal(t, int64(5000), d.counted().Packets)
		return passed
	}
	require.Zero(t, order(Link{Delay: 50 * time.Millisecond, Jitter: 30 * time.Millisecond}))
	require.Greater(t, order(Link{Delay: 50 * time.Millisecond, Reorder: 0.01}), 1000, "each late one is passed by 50")
}

func TestALinkLosesItsShare(t *testing.T) {
	d := newDirection(3, 1, 2)
	d.set(Link{Loss: 0.2})
	sent(d, 10_000, 100, time.Millisecond)
	require.InDelta(t, 2000, d.counted().Lost, 200)
	require.Equal(t, int64(10_000), d.counted().Lost+d.counted().Packets)
	d.set(Link{Cut: true})
	before := d.counted()
	for _, after := range sent(d, 100, 100, time.Millisecond) {
		require.Zero(t, after)
	}
	require.Equal(t, before.Packets, d.counted().Packets)
}

func TestALinkWithARateMakesPacketsWaitAndThenDropsThem(t *testing.T) {
	d := newDirection(3, 1, 2)
	d.set(Link{Rate: 100_000})
	// Twice the rate: the queue grows by half of each packet's time, until it is full.
	arrivals := sent(d, 1000, 1000, 5*time.Millisecond)
	require.Equal(t, 10*time.Millisecond, arrivals[0])
	require.Equal(t, 15*time.Millisecond, arrivals[1])
	for _, after := range arrivals {
		require.LessOrEqual(t, after, queued+10*time.Millisecond)
	}
	require.InDelta(t, 500+20, d.counted().Packets, 3, "what the rate lets through in 5 s, and what the queue holds")
}
