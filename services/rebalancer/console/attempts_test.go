package console

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

func TestAttemptsAreCountedByNetworkAndTheOldestMakeRoom(t *testing.T) {
	c := clock.NewManual(noon)
	a := newAttempts(c)
	for i := range maxAttempts {
		require.True(t, a.admit(fmt.Sprintf("2001:db8:1:2::%x", i)))
	}
	require.False(t, a.admit("2001:db8:1:2:ffff::1"), "one machine may have all of a /64")
	require.True(t, a.admit("2001:db8:1:3::1"))
	c.Advance(time.Second)
	for i := range maxAddresses {
		require.True(t, a.admit(fmt.Sprintf("10.0.%d.%d", i/256, i%256)), "a new one may always try")
	}
	require.Len(t, a.all, maxAddresses)
	require.NotContains(t, a.all, "2001:db8:1:2::/64")
	require.Contains(t, a.all, "10.0.0.0")
}

func TestWhoSignsInMayNotTryThePasswordsOfOthersForThat(t *testing.T) {
	s := serve(t, func(_ *Config, d *Deps) {
		d.SignIn = func(ctx context.Context, user, password string) (Operator, error) {
			if _, bounded := ctx.Deadline(); !bounded {
				return Operator{}, errors.Newf(errors.Internal, "this may take for ever")
			}
			if password != "hers" {
				return Operator{}, errors.Newf(errors.Unauthenticated, "no")
			}
			return Operator{Name: user}, nil
		}
	})
	for range maxAttempts / 2 {
		resp, _ := s.try("ben", "guess")
		require.Equal(t, 401, resp.StatusCode)
		resp, body := s.try("ann", "hers")
		require.Equal(t, 200, resp.StatusCode, body)
	}
	resp, _ := s.try("ben", "guess")
	require.Equal(t, 429, resp.StatusCode)
}
