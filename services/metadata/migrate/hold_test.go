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
	"deuxfleurs.fr/garage/pkg/meta/unfinished"
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
		h.heard.set(began)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.keepHold(ctx, clock.System{}, lost)
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
		h.heard.set(slept)
		h.beat.set(time.Now())
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

func TestAHoldIsSureOnlyWithAHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away, c := errors.Newf(errors.Unavailable, "the database does not answer"), clock.System{}
		h := &hold{id: uuid.New(), peer: &unsteady{away: func() bool { return false }}}
		h.check = func(context.Context, time.Time) error { return away }
		require.NoError(t, h.take(t.Context(), c))
		require.Error(t, h.sure(c), "nobody knows yet whether a copy is being opened")
		require.ErrorIs(t, h.putHeartbeat(t.Context(), c), away)
		require.Error(t, h.sure(c))
		var beat time.Time
		h.check = func(_ context.Context, at time.Time) error { beat = at; time.Sleep(time.Second); return nil }
		require.NoError(t, h.putHeartbeat(t.Context(), c))
		require.Equal(t, time.Now().Add(-time.Second), beat)
		time.Sleep(unbeaten - time.Second)
		require.Error(t, h.sure(c), "nothing was heard of the standalone")
		require.NoError(t, h.renew(t.Context(), c))
		require.NoError(t, h.sure(c))
		time.Sleep(time.Nanosecond)
		require.Error(t, h.sure(c), "it counts from the beginning of the heartbeat")
		require.NoError(t, h.freeze(t.Context()))
		require.Error(t, h.sure(c), "a freeze is no heartbeat")
		require.True(t, errors.Is(h.putHeartbeat(t.Context(), c), errors.Conflict), "a copy may have been opened meanwhile")
		require.Error(t, h.sure(c))
	})
}

// A database that answers slowly, or not for a while, ends no migration: heartbeats have more time than the words to the standalone.
func TestAMigrationOutlivesADatabaseThatIsAwayForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Bool
		h := &hold{id: uuid.New(), peer: &unsteady{away: func() bool { return false }}}
		h.check = func(ctx context.Context, _ time.Time) error {
			if gone.Load() {
				<-ctx.Done()
				return errors.Wrap(errors.Deadline, ctx.Err(), "asking the database")
			}
			return clock.Sleep(ctx, clock.System{}, 6*time.Second) // slow
		}
		require.NoError(t, h.putHeartbeat(t.Context(), clock.System{}))
		ctx, lost := context.WithCancelCause(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.keepBeating(ctx, clock.System{}, lost)
		}()
		time.Sleep(time.Hour)
		gone.Store(true)
		time.Sleep(time.Minute)
		gone.Store(false)
		time.Sleep(time.Hour)
		require.NoError(t, context.Cause(ctx))
		gone.Store(true)
		<-ended
		require.ErrorContains(t, context.Cause(ctx), "run the same command again")
	})
}

// Whoever opens a copy waits for longer than a write may last that began with a heartbeat.
func TestNoWriteLastsUntilACopyMayBeOpened(t *testing.T) {
	require.Less(t, unbeaten+patience+2*maxSkew, unfinished.HeartbeatLife)
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
	h.heard.set(now)
	h.beat.set(now)
	m := &migration{Deps: Deps{Store: s, Clock: clock.System{}}, hold: h}
	require.NoError(t, m.commit(ctx, meta.Bucket{}, &meta.Object{Key: "k"}, uuid.Nil))
	require.ErrorIs(t, m.commit(ctx, meta.Bucket{}, &meta.Object{Key: "k"}, uuid.Nil), context.Canceled, "none begins then")
}
