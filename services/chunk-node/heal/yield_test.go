package heal

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

func TestOneChunkAtATimeIsHandledWhileClientsRead(t *testing.T) {
	const workers, takes = 4, 10 * time.Millisecond
	for _, busy := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			e := &Engine{deps: Deps{Clock: clock.System{}, Busy: func() bool { return busy }}}
			one := make(turn, 1)
			began := time.Now()
			var mu sync.Mutex
			var handled, most int
			count := func(n int) {
				mu.Lock()
				defer mu.Unlock()
				handled += n
				most = max(most, handled)
			}
			var work sync.WaitGroup
			for range workers {
				work.Go(func() {
					err := e.yield(t.Context(), one, func() error {
						count(1)
						time.Sleep(takes)
						count(-1)
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			work.Wait()
			if busy {
				require.Equal(t, 1, most)
				require.Equal(t, 4*workers*takes, time.Since(began))
			} else {
				require.Equal(t, workers, most)
				require.Equal(t, takes, time.Since(began))
			}
		})
	}
}
