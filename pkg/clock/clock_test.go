package clock

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func TestAHybridClockFollowsTheClock(t *testing.T) {
	m := NewManual(noon)
	h := NewHybrid(m)
	require.Equal(t, noon, h.Now().Time())
	m.Advance(time.Second)
	require.Equal(t, noon.Add(time.Second), h.Now().Time())
}

func TestAHybridClockRisesWhileTheClockStandsOrGoesBack(t *testing.T) {
	m := NewManual(noon)
	h := NewHybrid(m)
	last := h.Now()
	for _, d := range []time.Duration{0, -time.Hour, 0, time.Microsecond} {
		m.Advance(d)
		next := h.Now()
		require.Equal(t, last+1, next)
		last = next
	}
}

func TestAHybridClockGoesAboveWhatItSaw(t *testing.T) {
	h := NewHybrid(NewManual(noon))
	seen := TimestampOf(noon.Add(time.Hour))
	require.Equal(t, seen+1, h.After(seen))
	require.Equal(t, seen+2, h.Now())
	require.Equal(t, seen+3, h.After(TimestampOf(noon)))
}

func TestAHybridClockGivesNobodyTheSameTimestamp(t *testing.T) {
	const callers, calls = 8, 1000
	h := NewHybrid(NewManual(noon))
	var mu sync.Mutex
	given := make(map[Timestamp]bool)
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			for range calls {
				at := h.Now()
				mu.Lock()
				given[at] = true
				mu.Unlock()
			}
		})
	}
	work.Wait()
	require.Len(t, given, callers*calls)
}

func TestATimerFiresOnceWhenATestMovesTheClockThere(t *testing.T) {
	m := NewManual(noon)
	timer := m.NewTimer(time.Minute)
	m.Advance(time.Minute - 1)
	require.Empty(t, timer.C())
	m.Advance(1)
	require.Equal(t, noon.Add(time.Minute), <-timer.C())
	m.Advance(time.Hour)
	require.Empty(t, timer.C())
	require.False(t, timer.Stop())
	require.Zero(t, m.Timers())
}

func TestAStoppedTimerDoesNotFireUntilItIsReset(t *testing.T) {
	m := NewManual(noon)
	timer := m.NewTimer(time.Minute)
	require.True(t, timer.Stop())
	m.Advance(time.Hour)
	require.Empty(t, timer.C())
	require.False(t, timer.Reset(time.Minute))
	m.Advance(time.Minute)
	require.Len(t, timer.C(), 1)
}

func TestSleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := NewManual(noon)
	require.ErrorIs(t, Sleep(ctx, m, time.Minute), context.Canceled)
	require.Zero(t, m.Timers())
	require.NoError(t, Sleep(context.Background(), m, 0))
}

func TestTheOffsetOfTheClockIsADuration(t *testing.T) {
	require.Zero(t, mustOffset(""))
	require.Equal(t, -time.Hour, mustOffset("-1h"))
	require.PanicsWithValue(t, "GARAGE_DEBUG_CLOCK_OFFSET: time: unknown unit \" day\" in duration \"1 day\"", func() { mustOffset("1 day") })
}
