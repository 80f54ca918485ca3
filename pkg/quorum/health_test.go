package quorum

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHealthAvoidsANodeAfterFailuresInARow(t *testing.T) {
	h := NewHealth(DefaultHealth)
	h.Failed(at(0))
	h.Failed(at(1))
	h.Succeeded()
	h.Failed(at(2))
	h.Failed(at(3))
	require.False(t, h.Avoid())
	h.Failed(at(4))
	require.True(t, h.Avoid())
	h.Failed(at(5))

	// Probes come later and later, until one is answered.
	now := at(4)
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		next, ok := h.NextProbe()
		require.True(t, ok)
		require.Equal(t, now.Add(want*time.Second), next)
		now = next
		h.Probed(false, now)
	}
	h.Probed(true, now)
	require.False(t, h.Avoid())
	_, ok := h.NextProbe()
	require.False(t, ok)

	// A probe proves little: the next failure is enough.
	h.Failed(now)
	require.True(t, h.Avoid())
	next, _ := h.NextProbe()
	require.Equal(t, now.Add(10*time.Second), next)

	// A call that succeeds proves that all is well.
	h.Probed(true, now)
	h.Succeeded()
	h.Failed(now)
	h.Failed(now)
	require.False(t, h.Avoid())
	h.Failed(now)
	next, _ = h.NextProbe()
	require.Equal(t, now.Add(time.Second), next, "it begins from the start")
}

func TestHealthFollowsLatency(t *testing.T) {
	h := NewHealth(DefaultHealth)
	require.Zero(t, h.Latency(at(0)), "a node that was not measured is tried")
	require.Equal(t, DefaultHealth.Guess, h.Hedge())

	h.Answered(20*time.Millisecond, at(0))
	require.Equal(t, 20*time.Millisecond, h.Latency(at(0)), "the first measurement is taken as it is")
	for range 100 {
		h.Answered(40*time.Millisecond, at(0))
	}
	require.InDelta(t, 0.040, h.Latency(at(0)).Seconds(), 0.0001)
	require.InDelta(t, 0.020, h.Latency(at(30_000)).Seconds(), 0.0001, "after a half-life it counts half")

	h.Outrun(4*time.Millisecond, at(0))
	require.InDelta(t, 0.040, h.Latency(at(0)).Seconds(), 0.0001, "given up early says nothing")
	h.Outrun(time.Second, at(0))
	require.Greater(t, h.Latency(at(0)), 100*time.Millisecond)

	h = NewHealth(DefaultHealth)
	h.Outrun(time.Second, at(0))
	require.Equal(t, time.Second, h.Latency(at(0)), "given up the first time says all there is to know")
}

func TestHedgeIsThe95thPercentileOfRecentAnswers(t *testing.T) {
	h := NewHealth(DefaultHealth)
	for i := 1; i <= 1000; i++ {
		took := 20 * time.Millisecond
		if i%40 == 0 { // one of forty is slow
			took = 500 * time.Millisecond
		}
		h.Answered(took, at(i))
	}
	require.Equal(t, 20*time.Millisecond, h.Hedge())
	for i := range window {
		h.Answered(time.Duration(i+1)*time.Millisecond, at(i))
	}
	require.Equal(t, 61*time.Millisecond, h.Hedge())

	for range 2 * window {
		h.Answered(time.Microsecond, at(0))
	}
	require.Equal(t, DefaultHealth.MinHedge, h.Hedge())
	for range 2 * window {
		h.Answered(time.Hour, at(0))
	}
	require.Equal(t, DefaultHealth.MaxHedge, h.Hedge())
}

func TestOrder(t *testing.T) {
	latency := []time.Duration{30, 10, 20, 5, 10}
	avoid := []bool{false, false, false, true, true}
	nodes := []int{0, 1, 2, 3, 4}
	Order(nodes, func(n int) (bool, time.Duration) { return avoid[n], latency[n] })
	require.Equal(t, []int{1, 2, 0, 3, 4}, nodes)

	nodes = []int{4, 3, 2, 1, 0}
	Order(nodes, func(int) (bool, time.Duration) { return false, 1 })
	require.Equal(t, []int{4, 3, 2, 1, 0}, nodes, "equals stay")
}
