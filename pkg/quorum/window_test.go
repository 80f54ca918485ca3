package quorum

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWindow(t *testing.T) {
	w := NewWindow(WindowConfig{Least: 300, Most: 4000, Slow: 2 * time.Second})
	require.True(t, w.Fits(5000), "one always fits")
	w.Begin(1600)
	w.Begin(1000)
	require.True(t, w.Fits(1400))
	require.False(t, w.Fits(1401))
	require.True(t, w.Fits(0))

	// Two that were late together count once.
	w.Late(1600, at(10), at(1010))
	w.Late(1000, at(20), at(1020))
	require.EqualValues(t, 1300, w.Limit(), "half of what was under way")

	// What took twice as long as it should is half of what fits.
	w.Begin(1000)
	w.End(1000, at(2000), at(6000))
	require.EqualValues(t, 500, w.Limit())
	w.Begin(400)
	w.Late(400, at(7000), at(17000))
	require.EqualValues(t, 300, w.Limit(), "not below the least")

	// What is not slow makes it grow, if it was used, up to the most.
	end := func(n int64) {
		w.Begin(n)
		w.End(n, at(20000), at(21000))
	}
	end(80)
	require.EqualValues(t, 300, w.Limit())
	for range 5 {
		end(160)
	}
	require.EqualValues(t, 340, w.Limit(), "then less than half of it was used")
	end(80000)
	require.EqualValues(t, 4000, w.Limit())

	w.Begin(4000)
	w.Fail(4000)
	require.EqualValues(t, 4000, w.Limit())
	require.True(t, w.Fits(5000))
}

// A link that carries 1 MB/s: whatever is offered, the window comes to what the
// link carries in a few seconds, so that writes end well within 10 s.
func TestWindowFindsTheRateOfALink(t *testing.T) {
	const rate, size = 1_000_000, 500_000 // bytes a second, bytes of a write
	w := NewWindow(DefaultWindow)
	now := begin
	var began []time.Time // of the writes under way, which share the link
	left := []float64{}
	late, ended := 0, 0
	for range 1200 { // tenths of a second
		for w.Fits(size) && len(began) < 64 {
			w.Begin(size)
			began, left = append(began, now), append(left, size)
		}
		now = now.Add(100 * time.Millisecond)
		share := float64(rate) / 10 / float64(len(began))
		for i := len(began) - 1; i >= 0; i-- {
			left[i] -= share
			switch {
			case left[i] <= 0:
				w.End(size, began[i], now)
				ended++
			case now.Sub(began[i]) >= 10*time.Second:
				w.Late(size, began[i], now)
				late++
			default:
				continue
			}
			began, left = append(began[:i], began[i+1:]...), append(left[:i], left[i+1:]...)
		}
	}
	require.LessOrEqual(t, late, 64, "only the first ones")
	require.Greater(t, ended, 120*rate/size*8/10, "four fifths of what the link carries")
	require.Less(t, w.Limit(), int64(8*rate))
}
