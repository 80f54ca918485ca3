//go:build stack

package cql

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// shifted is the machine's clock, set wrong.
type shifted struct {
	clock.System
	by atomic.Int64 // nanoseconds
}

// Now is the wall clock only, as the monotonic one is never set.
func (c *shifted) Now() time.Time { return time.Now().Round(0).Add(time.Duration(c.by.Load())) }

func TestAServiceWhoseClockIsWrongServesNothingUntilItIsRight(t *testing.T) {
	alone(t)
	ctx := context.Background()
	id := makeBucketIn(t, openStore(t, clock.System{}))
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		c := testConfig(t, &shifted{})
		c.MaxSkew = time.Minute
		clock := c.Clock.(*shifted)
		clock.by.Store(int64(by))
		s := openWith(t, c)
		served := s.Measured()
		refused := func() {
			t.Helper()
			_, err := served.PutObject(ctx, inline(id, "k", "x"))
			require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
			require.ErrorContains(t, err, "NTP")
			_, _, err = served.ListGarbage(ctx, meta.ListGarbage{Limit: 1})
			require.True(t, errors.Is(err, errors.Unavailable), "the sweeper removes by age: %v", err)
			require.True(t, errors.Is(s.Problem(), errors.Unavailable))
		}
		refused()
		clock.by.Store(int64(30 * time.Second))
		require.Eventually(t, func() bool { return s.Problem() == nil }, time.Minute, 10*time.Millisecond)
		_, err := served.PutObject(ctx, inline(id, "k", "x"))
		require.NoError(t, err)
		clock.by.Store(int64(by)) // set wrong while it serves: known at once
		refused()
		past := -2 * measureEvery
		s.skew.set(monotonic().Add(past), clock.Now().Add(past))
		require.Eventually(t, func() bool { return s.Problem() != nil }, time.Minute, 10*time.Millisecond, "the database's clock is measured again")
	}
}
