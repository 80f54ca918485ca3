//go:build stack

package cql

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

func TestTheDatabaseTellsHowItSyncs(t *testing.T) {
	alone(t)
	s := openStore(t, clock.System{})
	require.NoError(t, s.Reach(t.Context()))
	value, err := s.CommitLogSync(t.Context())
	require.NoError(t, err)
	require.Contains(t, []string{"group", "batch"}, value, "as the stack sets it")
	require.NoError(t, s.Close())
	require.True(t, errors.Is(s.Reach(t.Context()), errors.Unavailable))
	_, err = s.CommitLogSync(t.Context())
	require.Error(t, err)
}
