package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
)

// fake is a source that knows what is in it, or fails.
type fake struct {
	known map[string]string // access key → name
	fails error
	asked int
}

func (f *fake) Find(_ context.Context, accessKey string) (identity.Identity, error) {
	f.asked++
	if f.fails != nil {
		return identity.Identity{}, f.fails
	}
	name, known := f.known[accessKey]
	if !known {
		return identity.Identity{}, errors.E(errors.NotFound, errors.AccessKey, accessKey, "")
	}
	return identity.Identity{AccessKey: accessKey, Name: name}, nil
}

func TestABuiltInKeyWins(t *testing.T) {
	builtIn := &fake{known: map[string]string{"GK1": "machine", "GK2": "built in"}}
	directory := &fake{known: map[string]string{"GK2": "ann", "GK3": "ben"}}
	c := clock.NewManual(time.Unix(1e9, 0))
	s := identity.Combine(builtIn, directory, c, 2*time.Second)
	finds := func(accessKey, want string) {
		t.Helper()
		id, err := s.Find(t.Context(), accessKey)
		require.NoError(t, err)
		require.Equal(t, want, id.Name)
	}
	finds("GK1", "machine")
	finds("GK2", "built in")
	require.Zero(t, directory.asked, "the directory is asked for nothing that is built in")
	finds("GK3", "ben")
	_, err := s.Find(t.Context(), "GK4")
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.AccessKey))

	builtIn.asked = 0
	finds("GK3", "ben")
	require.Zero(t, builtIn.asked, "it is remembered that GK3 is not built in")
	builtIn.known["GK3"] = "built in later"
	c.Advance(2 * time.Second)
	finds("GK3", "built in later")

	_, err = s.Find(t.Context(), "GK4")
	require.Error(t, err)
	builtIn.known["GK4"] = "new"
	finds("GK4", "new") // what nobody has is never remembered
}

func TestADirectoryThatIsAwayHidesNoBuiltInKey(t *testing.T) {
	builtIn := &fake{known: map[string]string{"GK1": "machine"}}
	directory := &fake{known: map[string]string{"GK3": "ben"}}
	s := identity.Combine(builtIn, directory, clock.NewManual(time.Unix(1e9, 0)), time.Hour)
	_, err := s.Find(t.Context(), "GK3")
	require.NoError(t, err)
	directory.fails = errors.Newf(errors.Unavailable, "away")
	_, err = s.Find(t.Context(), "GK1")
	require.NoError(t, err)
	for _, accessKey := range []string{"GK3", "GK4"} {
		_, err = s.Find(t.Context(), accessKey)
		require.True(t, errors.Is(err, errors.Unavailable), "nobody knows whose %s is", accessKey)
	}
	builtIn.known["GK3"] = "built in"
	id, err := s.Find(t.Context(), "GK3")
	require.NoError(t, err)
	require.Equal(t, "built in", id.Name)
}

func TestBuiltInKeysThatCannotBeReadAreNotLookedForElsewhere(t *testing.T) {
	builtIn := &fake{fails: errors.Newf(errors.Unavailable, "away")}
	directory := &fake{known: map[string]string{"GK3": "ben"}}
	s := identity.Combine(builtIn, directory, clock.NewManual(time.Unix(1e9, 0)), time.Hour)
	_, err := s.Find(t.Context(), "GK3")
	require.True(t, errors.Is(err, errors.Unavailable))
	require.Zero(t, directory.asked)
}
