//go:build stack

package wan

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequestsTakeFewRoundTrips(t *testing.T) {
	dir := t.TempDir()
	c, err := Start(t.Context(), dir)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Tail(20))
		}
		require.NoError(t, c.Close())
	})
	results, err := Measure(t.Context(), c)
	require.NoError(t, err)
	for _, r := range results {
		t.Log(r)
		require.LessOrEqual(t, r.RoundTrips, r.Most, r.Name)
	}
}
