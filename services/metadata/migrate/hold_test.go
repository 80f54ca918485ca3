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
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			(&hold{id: uuid.New(), peer: s}).keep(ctx, clock.System{}, began, lost)
		}()
		time.Sleep(time.Hour)
		require.NoError(t, context.Cause(ctx), "every other call is answered")
		gone.Store(true)
		<-ended
		require.ErrorContains(t, context.Cause(ctx), "run the same command again")
		require.Less(t, time.Since(s.heard)+patience, lease, "what it has begun to write ends before another may begin")
	})
}
