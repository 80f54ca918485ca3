package migrate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

func TestACallWithoutAnAnswerIsTriedAgainWithATimeOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, began, tries := &migration{Deps: Deps{Clock: clock.System{}}}, time.Now(), 0
		require.NoError(t, m.retry(t.Context(), func(ctx context.Context) error {
			if tries++; tries == 3 {
				return nil
			}
			<-ctx.Done()
			return errors.Wrap(errors.Deadline, ctx.Err(), "waiting for an answer")
		}))
		require.Equal(t, 2*patience+3*firstWait, time.Since(began))
	})
}

func TestWhatIsAnsweredIsNotTriedAgainAndTriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &migration{Deps: Deps{Clock: clock.System{}}}
		tries := func(ctx context.Context, kind errors.Kind) (n int) {
			require.True(t, errors.Is(m.retrySteps(ctx, func() error { n++; return errors.Newf(kind, "no") }), kind))
			return n
		}
		require.Equal(t, 1, tries(t.Context(), errors.NotFound))
		require.Equal(t, 7, tries(t.Context(), errors.Unavailable), "the last after 8 s")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, 1, tries(gone, errors.Unavailable))
	})
}
