package usage

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

var (
	midnight = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	photos   = uuid.UUID{1}
)

func open(t *testing.T, folder string) *History {
	t.Helper()
	h, err := Open(folder)
	require.NoError(t, err)
	return h
}

func TestHoursAreKeptForAMonthAndDaysForTwoYears(t *testing.T) {
	folder := t.TempDir()
	h := open(t, folder)
	const days = 60
	for i := range days * 24 {
		now := midnight.Add(time.Duration(i) * time.Hour)
		require.True(t, h.Due(now))
		require.NoError(t, h.Add(Sample{Time: now, All: Held{int64(i), int64(i) << 10}, Buckets: map[uuid.UUID]Held{photos: {int64(i), 7}}}))
		require.False(t, h.Due(now.Add(59*time.Minute)))
	}
	end := midnight.Add(days * 24 * time.Hour)
	check := func(h *History) {
		t.Helper()
		all, err := h.Samples(t.Context(), uuid.Nil, time.Time{}, end)
		require.NoError(t, err)
		require.Equal(t, midnight, all[0].Time, "the first day is there")
		hours := 0
		for i, s := range all {
			require.Nil(t, s.Buckets)
			require.Equal(t, int64(s.Time.Sub(midnight)/time.Hour), s.All.Objects)
			if i > 0 {
				step := s.Time.Sub(all[i-1].Time)
				require.Greater(t, step, time.Duration(0), "they are in order, each once")
				require.LessOrEqual(t, step, 24*time.Hour)
				if step == time.Hour {
					hours++
				}
			}
		}
		require.GreaterOrEqual(t, hours, 30*24-1)
		require.Less(t, hours, 40*24)
	}
	check(h)
	h = open(t, folder)
	check(h)
	require.False(t, h.Due(end.Add(-time.Hour)), "it is remembered over a start")
	some, err := h.Samples(t.Context(), photos, end.Add(-3*time.Hour), end.Add(-2*time.Hour))
	require.NoError(t, err)
	require.Equal(t, []Sample{
		{Time: end.Add(-3 * time.Hour), All: Held{days*24 - 3, (days*24 - 3) << 10}, Buckets: map[uuid.UUID]Held{photos: {days*24 - 3, 7}}},
		{Time: end.Add(-2 * time.Hour), All: Held{days*24 - 2, (days*24 - 2) << 10}, Buckets: map[uuid.UUID]Held{photos: {days*24 - 2, 7}}},
	}, some)
	none, err := h.Samples(t.Context(), uuid.UUID{9}, time.Time{}, end)
	require.NoError(t, err)
	require.Empty(t, none, "a bucket that was never seen")
}

func TestASampleHasTheLargestBucketsAtMost(t *testing.T) {
	h := open(t, t.TempDir())
	buckets := map[uuid.UUID]Held{}
	for i := range MaxBuckets + 5 {
		buckets[uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i))] = Held{1, int64(i)}
	}
	require.NoError(t, h.Add(Sample{Time: midnight, Buckets: buckets}))
	for i, there := range map[int]bool{4: false, 5: true, MaxBuckets: true} {
		some, err := h.Samples(t.Context(), uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)), time.Time{}, midnight)
		require.NoError(t, err)
		require.Equal(t, there, len(some) == 1, "%d", i)
	}
}
