package metadata

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// full is a chunk store that takes no more.
type full struct{ *chunkmemory.Store }

func (full) Put(context.Context, chunk.Hash, *buffer.Buffer, chunk.Ref) (chunk.Outcome, error) {
	return 0, errors.Newf(errors.Full, "no room, says the test")
}

func TestTheFolderKeepsNoMoreSnapshotsWhileNoneCanBeKeptInChunks(t *testing.T) {
	folder := t.TempDir()
	c := DefaultConfig()
	c.Snapshot.Keep = 2
	s, err := New(c, Deps{Folder: folder, ClusterID: uuid.New(), Chunks: full{chunkmemory.New(uuid.New())}, Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, os.MkdirAll(filepath.Join(folder, snapshotFolder), 0o700))
	left := filepath.Join(folder, snapshotFolder, "left"+snapshotSuffix+unfinished)
	require.NoError(t, os.WriteFile(left, nil, 0o600))
	ahead := "99991231-235959.000000" // as of a clock that was wrong
	require.NoError(t, os.WriteFile(filepath.Join(folder, snapshotFolder, ahead+snapshotSuffix), nil, 0o600))
	for range 4 {
		_, err := s.snapshots.take(t.Context(), nil)
		require.True(t, errors.Is(err, errors.Full), "%v", err)
		require.ErrorContains(t, err, "could not be kept in chunks")
	}
	names, err := s.snapshots.files()
	require.NoError(t, err)
	require.Len(t, names, 2)
	require.Contains(t, names, ahead)
	require.NoFileExists(t, left)
}

// leases answers as a test says, and counts.
type leases struct {
	mu    sync.Mutex
	asked int
	mine  bool
	err   error
}

func (l *leases) Lease(context.Context, string, time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	return l.mine, l.err
}

func (l *leases) set(mine bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mine, l.err = mine, err
}

func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

func TestTheLeaseOfASnapshotUnderWayIsRenewedAndItsLossEndsIt(t *testing.T) {
	for name, c := range map[string]struct {
		mine bool
		err  error
		says string
	}{
		"another service has it":       {false, nil, "another metadata service takes snapshots now"},
		"the database does not answer": {true, errors.Newf(errors.Unavailable, "no answer"), "another metadata service may begin one"},
	} {
		t.Run(name, func(t *testing.T) {
			folder, manual := t.TempDir(), clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			s, err := New(DefaultConfig(), Deps{Folder: folder, ClusterID: uuid.New(), Chunks: chunkmemory.New(uuid.New()), Clock: manual, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			require.NoError(t, s.store.CreateBucket(t.Context(), meta.Bucket{ID: uuid.New(), Name: "photos"}))
			lease, begun := &leases{mine: true}, make(chan struct{})
			s.snapshots.leaser = lease
			ended := make(chan error, 1)
			go func() {
				ended <- s.snapshots.holding(t.Context(), func(ctx context.Context) error {
					close(begun)
					<-ctx.Done()
					_, err := s.snapshots.take(ctx, nil)
					return err
				})
			}()
			<-begun
			renewed := func(n int) bool {
				manual.Advance(snapshotRenew)
				return lease.count() >= n
			}
			require.Eventually(t, func() bool { return renewed(5) }, time.Minute, time.Millisecond)
			select {
			case err := <-ended:
				require.Fail(t, "it ended", "%v", err)
			default:
			}
			lease.set(c.mine, c.err)
			require.Eventually(t, func() bool { renewed(0); return len(ended) > 0 }, time.Minute, time.Millisecond)
			require.ErrorContains(t, <-ended, c.says)
			left, err := s.snapshots.files()
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}
