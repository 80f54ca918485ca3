package cached

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

func open(t *testing.T, c clock.Clock) meta.Store {
	s, err := memory.New(c, clock.SystemRandom)
	require.NoError(t, err)
	return New(s, nil)
}

func TestStore(t *testing.T) { metatest.Run(t, open) }

// slow lets a change happen between the store's answer and its arrival.
type slow struct {
	meta.Store
	answered func()
	calls    int
}

func (s *slow) Bucket(ctx context.Context, name string) (meta.Bucket, error) {
	b, err := s.Store.Bucket(ctx, name)
	s.calls++
	if s.answered != nil {
		s.answered()
	}
	return b, err
}

func TestAnAnswerThatAChangeOvertookIsNotKept(t *testing.T) {
	ctx := t.Context()
	under := &slow{Store: open(t, clock.System{})}
	s := New(under, nil)
	b := meta.Bucket{ID: uuid.New(), Name: "photos"}
	require.NoError(t, s.CreateKey(ctx, meta.Key{AccessKey: "k", Secret: "s"}))
	require.NoError(t, s.CreateBucket(ctx, b))
	under.answered = func() {
		under.answered = nil
		require.NoError(t, s.SetGrant(ctx, b.ID, meta.Grant{Grantee: "k", Rights: identity.Read}))
	}
	old, err := s.Bucket(ctx, "photos")
	require.NoError(t, err)
	require.Empty(t, old.Grants)
	for range 3 {
		now, err := s.Bucket(ctx, "photos")
		require.NoError(t, err)
		require.Equal(t, identity.Read, now.Rights("k"))
	}
	require.Equal(t, 2, under.calls, "it is kept from then on")
}

func TestAChangeIsSeenByEveryReadThatStartsAfterIt(t *testing.T) {
	ctx := t.Context()
	s := open(t, clock.System{})
	b := meta.Bucket{ID: uuid.New(), Name: "photos"}
	require.NoError(t, s.CreateBucket(ctx, b))
	require.NoError(t, s.CreateKey(ctx, meta.Key{AccessKey: "k", Secret: "s"}))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = s.Bucket(ctx, "photos")
				}
			}
		})
	}
	for i := range 2000 {
		rights := identity.Rights(i % 8)
		require.NoError(t, s.SetGrant(ctx, b.ID, meta.Grant{Grantee: "k", Rights: rights}))
		got, err := s.Bucket(ctx, "photos")
		require.NoError(t, err)
		require.Equal(t, rights, got.Rights("k"), strconv.Itoa(i))
	}
	close(stop)
	readers.Wait()
	require.NoError(t, s.DeleteKey(ctx, "k"))
	_, err := s.Key(ctx, "k")
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.AccessKey))
	got, err := s.Bucket(ctx, "photos")
	require.NoError(t, err)
	require.Empty(t, got.Grants)
}
