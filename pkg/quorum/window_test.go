package quorum

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWindow(t *testing.T) {
	w := NewWindow(WindowConfig{Start: 1000, Least: 300, Most: 1100})
	require.True(t, w.Fits(5000), "one always fits")
	w.Begin(600)
	require.True(t, w.Fits(400))
	require.False(t, w.Fits(401))
	w.Begin(400)
	require.False(t, w.Fits(1))

	// Two that were late together count once.
	w.Late(600, at(10), at(1010))
	w.Late(400, at(20), at(1020))
	require.EqualValues(t, 500, w.Limit())
	w.Begin(100)
	w.Late(100, at(1011), at(2011))
	require.EqualValues(t, 300, w.Limit(), "not below the least")

	// What ends well makes it grow, if it was used, up to the most.
	w.Begin(80)
	w.End(80)
	require.EqualValues(t, 300, w.Limit())
	for range 5 {
		w.Begin(160)
		w.End(160)
	}
	require.EqualValues(t, 340, w.Limit(), "then less than half of it was used")
	w.Begin(8000)
	w.End(8000)
	require.EqualValues(t, 1100, w.Limit())

	w.Begin(1100)
	w.Fail(1100)
	require.EqualValues(t, 1100, w.Limit())
	require.True(t, w.Fits(5000))
}
