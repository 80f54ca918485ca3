package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2h":                   now.Add(-2 * time.Hour),
		"90m":                  now.Add(-90 * time.Minute),
		"3d":                   now.AddDate(0, 0, -3),
		"2026-05-01":           time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		"2026-05-01T10:30":     time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC),
		"2026-05-01 10:30:20":  time.Date(2026, 5, 1, 10, 30, 20, 0, time.UTC),
		"2026-05-01T12:00:00Z": time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
	} {
		at, err := parseTime(text, now)
		require.NoError(t, err, text)
		require.True(t, want.Equal(at), "%s: %v", text, at)
	}
	for _, text := range []string{"", "soon", "-2h", "-3d", "3 d", "3dx", "2026-13-01"} {
		_, err := parseTime(text, now)
		require.Error(t, err, text)
	}
}
