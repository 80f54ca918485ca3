package rebalancer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/rebalancer/console"
)

func TestMembersOfTheOperatorsGroupSignIn(t *testing.T) {
	s, _ := served(t, func(d *Deps) { d.Directory = people{} })
	signIn, err := s.signIn("operators")
	require.NoError(t, err)
	ann, err := signIn(t.Context(), "ann", "secret of ann")
	require.NoError(t, err)
	require.Equal(t, console.Operator{Name: "person:ann"}, ann)
	ben, err := signIn(t.Context(), "ben", "secret of ann")
	require.True(t, errors.Is(err, errors.Unauthenticated), "%v", err)
	require.Zero(t, ben)

	none, err := s.signIn("")
	require.NoError(t, err)
	require.Nil(t, none, "without a group nobody signs in by name")
	alone, _ := served(t, nil)
	_, err = alone.signIn("operators")
	require.True(t, errors.Is(err, errors.Invalid), "without LDAP there is no group: %v", err)
}
