package chunknode

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	"deuxfleurs.fr/garage/pkg/errors"
)

func deps(t *testing.T, c clock.Clock) Deps {
	return Deps{
		Folder: t.TempDir(), NodeID: uuid.New(), ClusterID: uuid.New(), Version: "test",
		Clock: c, Random: clock.SystemRandom, Pool: buffer.NewPool(buffer.DefaultLimit, clock.System{}), Logger: slog.New(slog.DiscardHandler),
	}
}

func start(t *testing.T, c Config, d Deps) (s *Service, stop func()) {
	s, err := New(c, d)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() { cancel(); require.NoError(t, <-done) }
}

func TestChunksOutliveTheService(t *testing.T) {
	d := deps(t, clock.System{})
	s, stop := start(t, DefaultConfig(), d)
	small, smallData := chunktest.Chunk(1, 1000)
	large, largeData := chunktest.Chunk(2, 1<<20)
	chunktest.RequirePut(t, s.Node(), small, smallData, chunktest.Ref(1))
	chunktest.RequirePut(t, s.Node(), large, largeData, chunktest.Ref(2))
	first, err := s.Node().Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, d.NodeID, first.ID)
	require.Equal(t, d.ClusterID, first.ClusterID)
	require.False(t, first.ReadOnly, first.Problem)
	require.Positive(t, first.Free)
	stop()
	_, err = s.Node().Get(t.Context(), small)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)

	s, stop = start(t, DefaultConfig(), d)
	defer stop()
	chunktest.RequireGet(t, s.Node(), small, smallData)
	chunktest.RequireGet(t, s.Node(), large, largeData)
	again, err := s.Node().Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, first.Incarnation, again.Incarnation)
	require.Equal(t, first.Chunks, again.Chunks)
	require.Equal(t, first.Bytes, again.Bytes)
}

func TestUnreferencedChunksAreCollectedAfterTheGracePeriod(t *testing.T) {
	c := clock.NewManual(time.Unix(1_700_000_000, 0))
	s, stop := start(t, DefaultConfig(), deps(t, c))
	defer stop()
	h, b := chunktest.Chunk(1, 100_000)
	chunktest.RequirePut(t, s.Node(), h, b, chunktest.Ref(1))
	require.NoError(t, s.Node().Delete(t.Context(), h, chunktest.Ref(1)))
	const waits = 5 // each task, and tombstones

	pass := func(d time.Duration) { // one round of collection
		require.Eventually(t, func() bool { return c.Timers() == waits }, 10*time.Second, time.Millisecond)
		c.Advance(d)
		require.Eventually(t, func() bool { return c.Timers() == waits }, 10*time.Second, time.Millisecond)
	}
	pass(DefaultConfig().Grace - time.Second)
	chunktest.RequireGet(t, s.Node(), h, b)
	pass(time.Minute)
	_, err := s.Node().Get(t.Context(), h)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	files, err := filepath.Glob(s.deps.Folder + "/chunks/blobs/*/*")
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestForeignFoldersAreRefused(t *testing.T) {
	d := deps(t, clock.System{})
	s, err := New(DefaultConfig(), d)
	require.NoError(t, err)
	_, err = New(DefaultConfig(), d)
	require.Error(t, err, "a second one on the same folder")
	require.NoError(t, s.Close())
	other := d
	other.NodeID = uuid.New()
	_, err = New(DefaultConfig(), other)
	require.ErrorContains(t, err, "belongs to the node")
	other = d
	other.ClusterID = uuid.New()
	_, err = New(DefaultConfig(), other)
	require.ErrorContains(t, err, "belongs to the cluster")
}

func TestDisksOfTheConfiguration(t *testing.T) {
	c := DefaultConfig()
	c.Disks = []string{"a", "/mnt/b=10GB"}
	c.IndexFolder = "/ssd"
	disks, err := c.disks("/data")
	require.NoError(t, err)
	require.Equal(t, "/data/a", disks[0].Path)
	require.Equal(t, "/ssd/data-a", disks[0].Index)
	require.Equal(t, "/mnt/b", disks[1].Path)
	require.EqualValues(t, 10_000_000_000, disks[1].Allocated)
	c.Disks = []string{"/x", "/x/"}
	_, err = c.disks("/data")
	require.ErrorContains(t, err, "twice")
	c.Disks = []string{"/x=many"}
	_, err = c.disks("/data")
	require.ErrorContains(t, err, "size")
}

// finder tells a test that the active rebalancer is looked for.
type finder chan struct{}

func (f finder) Follow(ctx context.Context, _ func(*leader.Active)) error {
	close(f)
	<-ctx.Done()
	return ctx.Err()
}

func TestAProcessThatDoesNotHoldItsIDServesAndDoesNothingElse(t *testing.T) {
	const tasks, waits = 4, 5 // each task, and tombstones
	for name, held := range map[string]bool{"it gets it": true, "it never does": false} {
		t.Run(name, func(t *testing.T) {
			d := deps(t, nil)
			synctest.Test(t, func(t *testing.T) {
				c := clock.NewManual(time.Unix(1_700_000_000, 0))
				claimed, reports := make(chan struct{}), make(finder)
				d.Clock, d.Claimed, d.Rebalancer = c, claimed, reports
				s, stop := start(t, DefaultConfig(), d)
				defer stop()
				synctest.Wait()
				h, b := chunktest.Chunk(1, 100_000)
				chunktest.RequirePut(t, s.Node(), h, b, chunktest.Ref(1))
				chunktest.RequireGet(t, s.Node(), h, b)
				require.Equal(t, waits-tasks, c.Timers(), "no task has begun")
				select {
				case <-reports:
					require.Fail(t, "it reports")
				default:
				}
				if held {
					close(claimed)
					synctest.Wait()
					require.Equal(t, waits, c.Timers())
					<-reports
				} else {
					s.Leave(t.Context()) // at once: it has nothing to ask leave for
				}
			})
		})
	}
}
