package consul

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCapacityIsShownInTwoDigits(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 B", 999: "990 B", 1500: "1.5 kB", 2_000_000: "2 MB", 46_912_345_678: "46 GB", 207_000_000_000: "200 GB", 1_890_000_000_000: "1.8 TB", 1 << 62: "4.6 EB",
	} {
		var c coarse
		require.True(t, c.set(bytes))
		require.Equal(t, want, c.String())
	}
	require.Equal(t, "unknown", (&coarse{}).String())
}

func TestCapacityThatChangesALittleIsNotShownAnew(t *testing.T) {
	var c coarse
	require.True(t, c.set(100e9))
	for _, bytes := range []int64{101e9, 109e9, 91e9, 100e9} {
		require.False(t, c.set(bytes))
		require.Equal(t, "100 GB", c.String())
	}
	require.True(t, c.set(120e9))
	require.Equal(t, "120 GB", c.String())
	require.False(t, c.set(110e9), "it is compared with what is shown")
	require.True(t, c.set(0))
}
