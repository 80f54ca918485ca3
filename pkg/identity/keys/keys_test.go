package keys

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
)

func TestAKeyIsKeptForAShortTimeAndItsAbsenceNever(t *testing.T) {
	ctx := context.Background()
	c := clock.NewManual(time.Unix(1e9, 0))
	store, err := memory.New(c, clock.SystemRandom)
	require.NoError(t, err)
	s := New(store, c, time.Hour)

	_, err = s.Find(ctx, "ann")
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.AccessKey))
	require.NoError(t, store.CreateKey(ctx, meta.Key{AccessKey: "ann", Secret: "s", Name: "Ann", CreateBuckets: true}))
	id, err := s.Find(ctx, "ann")
	require.NoError(t, err)
	require.Equal(t, "s", id.Secret)
	require.True(t, id.CreateBuckets)

	require.NoError(t, store.DeleteKey(ctx, "ann"))
	c.Advance(MaxKeep - 1)
	_, err = s.Find(ctx, "ann")
	require.NoError(t, err)
	c.Advance(1)
	_, err = s.Find(ctx, "ann")
	require.True(t, errors.Is(err, errors.NotFound))
	c.Set(time.Unix(1e9, 0))
	_, err = s.Find(ctx, "ann")
	require.True(t, errors.Is(err, errors.NotFound), "a clock that jumps back does not bring a key back")

	exact := New(store, c, 0)
	require.NoError(t, store.CreateKey(ctx, meta.Key{AccessKey: "ann", Secret: "s"}))
	_, err = exact.Find(ctx, "ann")
	require.NoError(t, err)
	require.NoError(t, store.DeleteKey(ctx, "ann"))
	_, err = exact.Find(ctx, "ann")
	require.True(t, errors.Is(err, errors.NotFound))
}
