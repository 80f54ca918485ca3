package migrate

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// unsteady is a standalone that answers renewals from time to time, or lets them wait.
type unsteady struct {
	metadatav1.MigrationSourceServiceClient
	away  func() bool
	heard time.Time // when the last call began that was answered
}

func (s *unsteady) Hold(ctx context.Context, _ *metadatav1.HoldRequest, _ ...grpc.CallOption) (*metadatav1.HoldResponse, error) {
	if s.away() {
		<-ctx.Done()
		return nil, errors.Wrap(errors.Deadline, ctx.Err(), "asking the standalone")
	}
	s.heard = time.Now()
	return &metadatav1.HoldResponse{}, nil
}

func TestWhoDoesNotHearOfTheStandaloneStopsLongBeforeItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, calls := time.Now(), 0
		var gone atomic.Bool
		s := &unsteady{heard: began}
		s.away = func() bool { calls++; return gone.Load() || calls%2 == 0 }
		ctx, lost := context.WithCancelCause(t.Context())
		h := &hold{id: uuid.New(), peer: s}
		h.heard.Store(&began)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.keep(ctx, clock.System{}, lost)
		}()
		time.Sleep(time.Hour)
		require.NoError(t, context.Cause(ctx), "every other call is answered")
		gone.Store(true)
		<-ended
		require.ErrorContains(t, context.Cause(ctx), "run the same command again")
		require.Less(t, time.Since(s.heard)+patience, lease, "what it has begun to write ends before another may begin")
	})
}

// untouched is a cluster whose objects nobody may change.
type untouched struct {
	meta.Store
	*testing.T
}

func (s untouched) PutObject(context.Context, meta.Put) (meta.Version, error) {
	s.Error("an object was written")
	return meta.Version{}, nil
}

func (s untouched) CompleteUpload(context.Context, meta.Complete) (meta.Version, error) {
	s.Error("an upload was completed")
	return meta.Version{}, nil
}

func (s untouched) DeleteObjects(context.Context, uuid.UUID, []meta.Delete) ([]meta.DeleteResult, error) {
	s.Error("an object was deleted")
	return nil, nil
}

func TestWhoWakesUpAfterItsLeaseWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, slept := &hold{}, time.Now().Add(-unheard-1)
		h.heard.Store(&slept)
		m := &migration{Deps: Deps{Store: untouched{T: t}, Clock: clock.System{}, Random: clock.SystemRandom}, hold: h}
		b := meta.Bucket{ID: uuid.New()}
		for _, err := range []error{
			m.commit(t.Context(), b, &meta.Object{Key: "k"}, uuid.Nil),
			m.multipart(t.Context(), &meta.Object{Key: "k"}, meta.UploadRef{}),
			m.delete(t.Context(), b, []string{"k"}, &differences{}),
		} {
			require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
		}
	})
}

// A standalone whose writes under way take long answers to the freeze, which came last, and to no renewal before.
func TestAFreezeThatIsAnsweredCountsAsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unsteady{away: func() bool { return false }}
		h := &hold{id: uuid.New(), peer: s}
		require.NoError(t, h.take(t.Context(), clock.System{}))
		time.Sleep(unheard + 1)
		require.Error(t, h.sure(clock.System{}))
		require.NoError(t, h.freeze(t.Context(), clock.System{}))
		require.NoError(t, h.sure(clock.System{}))
	})
}

// canceling is a store whose caller goes away while an object is written.
type canceling struct {
	meta.Store
	cancel func()
	seen   error
}

func (s *canceling) PutObject(ctx context.Context, _ meta.Put) (meta.Version, error) {
	s.cancel()
	_, bounded := ctx.Deadline()
	if s.seen = ctx.Err(); !bounded {
		s.seen = errors.Newf(errors.Internal, "the write has no deadline")
	}
	return meta.Version{}, s.seen
}

func TestAWriteIsNotCutOffWhenTheCallerGoesAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &canceling{cancel: cancel}
	h, now := &hold{}, time.Now()
	h.heard.Store(&now)
	m := &migration{Deps: Deps{Store: s, Clock: clock.System{}}, hold: h}
	require.NoError(t, m.commit(ctx, meta.Bucket{}, &meta.Object{Key: "k"}, uuid.Nil))
	require.ErrorIs(t, m.commit(ctx, meta.Bucket{}, &meta.Object{Key: "k"}, uuid.Nil), context.Canceled, "none begins then")
}
