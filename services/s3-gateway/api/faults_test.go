package api_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

// requireNothingLeft checks that no upload is open, no memory is held, and that every
// attempt that stored something is known to the sweeper.
func requireNothingLeft(t *testing.T, g *apitest.Gateway) {
	t.Helper()
	require.Eventually(t, func() bool { return g.Pool.Used() == 0 }, 10*time.Second, time.Millisecond)
	// Only uploads that nobody ended would be listed by an idle time in the future.
	before := garbage(t, g, time.Unix(0, 0))
	after := garbage(t, g, time.Now().Add(time.Hour))
	require.Len(t, after, len(before), "an upload was left open")
}

func garbage(t *testing.T, g *apitest.Gateway, idle time.Time) []meta.Garbage {
	t.Helper()
	all, _, err := g.Meta.ListGarbage(t.Context(), nil, 1000, idle)
	require.NoError(t, err)
	return all
}
