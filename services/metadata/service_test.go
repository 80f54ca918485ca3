package metadata

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// faulty is a chunk store whose deletions fail now and then, with or without effect.
type faulty struct {
	*chunkmemory.Store
	mu     sync.Mutex
	random *rand.Rand
	rate   float64
}

func (f *faulty) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	f.mu.Lock()
	fails, before := f.random.Float64() < f.rate, f.random.IntN(2) == 0
	f.mu.Unlock()
	if fails && before {
		return errors.Newf(errors.Unavailable, "injected before")
	}
	if err := f.Store.Delete(ctx, h, ref); err != nil {
		return err
	}
	if fails {
		return errors.Newf(errors.Unavailable, "injected after")
	}
	return nil
}

func (f *faulty) chunks() int64 {
	st, _ := f.Status(context.Background())
	return st.Chunks
}

type fixture struct {
	*testing.T
	ctx     context.Context
	service *Service
	chunks  *faulty
	bucket  uuid.UUID
}

// start runs a service with short times over a chunk store of which that share of deletions fails.
func start(t *testing.T, rate float64) *fixture {
	c := DefaultConfig()
	c.Sweep.Grace, c.Sweep.Interval, c.Sweep.Pause, c.Sweep.RetryMin, c.Sweep.RetryMax = 0, 50*time.Millisecond, time.Millisecond, time.Millisecond, 5*time.Millisecond
	f := &fixture{T: t, chunks: &faulty{Store: chunkmemory.New(uuid.New()), random: rand.New(rand.NewPCG(1, 2)), rate: rate}, bucket: uuid.New()}
	service, err := New(c, Deps{
		Folder: "data", FS: vfs.NewMem(), ClusterID: uuid.New(), Chunks: f.chunks, Clock: clock.System{}, Random: clock.SystemRandom,
		Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
	require.NoError(t, err)
	f.service = service
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	f.ctx = ctx
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- service.Run(running) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		cancel()
		_, err := service.Store().Info(context.Background())
		require.True(t, errors.Is(err, errors.Unavailable), "a store that is closed says so")
	})
	require.NoError(t, service.Store().CreateBucket(ctx, meta.Bucket{ID: f.bucket, Name: "b"}))
	return f
}

// write puts n different chunks for an attempt.
func (f *fixture) write(attempt uuid.UUID, n int) []meta.Chunk {
	var chunks []meta.Chunk
	for i := range n {
		data := buffer.FromBytes(fmt.Appendf(nil, "%v %d", attempt, i))
		c := meta.Chunk{Offset: uint64(i) * 100, Length: uint32(data.Len()), Hash: chunk.HashOf(data)}
		out, err := f.chunks.Put(f.ctx, c.Hash, data, chunk.Ref{Attempt: attempt, Offset: c.Offset})
		require.NoError(f, err)
		require.Equal(f, chunk.Stored, out)
		chunks = append(chunks, c)
	}
	return chunks
}

func (f *fixture) put(key string, n int) uuid.UUID {
	store := f.service.Store()
	id, err := meta.NewUploadID(time.Now(), clock.SystemRandom)
	require.NoError(f, err)
	ref := meta.UploadRef{Bucket: f.bucket, Key: key, ID: id}
	require.NoError(f, store.BeginUpload(f.ctx, meta.Upload{UploadRef: ref}))
	chunks := f.write(id, n)
	_, err = store.PutObject(f.ctx, meta.Put{Bucket: f.bucket, Key: key, Upload: id, Size: int64(n) * 100, First: chunks[0], Chunks: chunks})
	require.NoError(f, err)
	return id
}

// swept waits until the chunk store holds that many chunks and no garbage is left.
func (f *fixture) swept(chunks int64) {
	f.Helper()
	require.Eventually(f, func() bool {
		garbage, _, err := f.service.Store().ListGarbage(f.ctx, meta.ListGarbage{Limit: 1})
		return err == nil && len(garbage) == 0 && f.chunks.chunks() == chunks
	}, 30*time.Second, time.Millisecond)
}

func TestAChunkThatNothingRefersToIsDeletedInTheEnd(t *testing.T) {
	for _, rate := range []float64{0, 0.3} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			f := start(t, rate)
			store := f.service.Store()
			kept := f.put("kept", 5)
			for i := range 10 {
				f.put("replaced", 1+i*30)
			}
			multi := meta.UploadRef{Bucket: f.bucket, Key: "aborted", ID: uuid.New()}
			require.NoError(t, store.BeginUpload(f.ctx, meta.Upload{UploadRef: multi, Multipart: true}))
			for n := 1; n < 5; n++ {
				attempt := uuid.New()
				require.NoError(t, store.BeginPart(f.ctx, multi, n, attempt))
				require.NoError(t, store.AddChunks(f.ctx, multi, attempt, f.write(attempt, 20)))
			}
			require.NoError(t, store.AbortUpload(f.ctx, multi))
			f.put("deleted", 300)
			_, err := store.DeleteObjects(f.ctx, f.bucket, []meta.Delete{{Key: "deleted"}, {Key: "replaced"}})
			require.NoError(t, err)
			f.swept(5)
			chunks, err := store.Chunks(f.ctx, kept, 0, 10)
			require.NoError(t, err)
			for _, c := range chunks {
				b, err := f.chunks.Get(f.ctx, c.Hash)
				require.NoError(t, err)
				b.Release()
			}
		})
	}
}

func TestWhatACrashedWriterLeftIsGivenUp(t *testing.T) {
	f := start(t, 0.2)
	id := uuid.New()
	ref := meta.UploadRef{Bucket: f.bucket, Key: "k", ID: id}
	require.NoError(t, f.service.Store().BeginUpload(f.ctx, meta.Upload{UploadRef: ref}))
	require.NoError(t, f.service.Store().AddChunks(f.ctx, ref, id, f.write(id, 3)))
	_, _, err := f.service.Store().ListGarbage(f.ctx, meta.ListGarbage{Limit: 1, IdleBefore: time.Now().Add(time.Minute)})
	require.NoError(t, err)
	f.swept(0)
	_, err = f.service.Store().PutObject(f.ctx, meta.Put{Bucket: f.bucket, Key: "k", Upload: id})
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Upload))
}

// counting counts the pages of garbage that were listed.
type counting struct {
	meta.Store
	listed atomic.Int64
}

func (c *counting) ListGarbage(ctx context.Context, r meta.ListGarbage) ([]meta.Garbage, []byte, error) {
	defer c.listed.Add(1)
	return c.Store.ListGarbage(ctx, r)
}

func TestAReaderOfAVersionThatIsReplacedFindsItsChunks(t *testing.T) {
	const pages, page = 3, 256

	manual := clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	c := DefaultConfig()
	c.Snapshot.Interval = 0 // its chunks would be counted
	f := &fixture{T: t, ctx: t.Context(), chunks: &faulty{Store: chunkmemory.New(uuid.New()), random: rand.New(rand.NewPCG(1, 2))}, bucket: uuid.New()}
	service, err := New(c, Deps{
		Folder: "data", FS: vfs.NewMem(), ClusterID: uuid.New(), Chunks: f.chunks, Clock: manual, Random: clock.SystemRandom,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	f.service = service
	store := &counting{Store: service.Store()}
	service.sweeper.store = store
	running, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(running) }()
	defer func() {
		stop()
		require.NoError(t, <-ended)
	}()
	require.NoError(t, store.CreateBucket(f.ctx, meta.Bucket{ID: f.bucket, Name: "b"}))
	attempt := f.put("k", pages*page)
	var read []meta.Chunk
	for n := range pages {
		rows, err := store.Chunks(f.ctx, attempt, uint64(len(read))*100, page)
		require.NoError(t, err)
		require.Len(t, rows, page)
		read = append(read, rows...)
		for _, c := range rows {
			b, err := f.chunks.Get(f.ctx, c.Hash)
			require.NoError(t, err)
			b.Release()
		}
		if n == 0 {
			f.put("k", 1)
			before := store.listed.Load()
			manual.Advance(c.Sweep.Interval - time.Minute)
			manual.Advance(time.Minute - 1)
			f.put("k", 1) // what pokes once more
			manual.Advance(1)
			require.Eventually(t, func() bool { return store.listed.Load() > before }, 10*time.Second, time.Millisecond, "a walk came by")
		}
	}
	require.Eventually(t, func() bool {
		manual.Advance(c.Sweep.Grace)
		return f.chunks.chunks() == 1
	}, 30*time.Second, 10*time.Millisecond)
}

// shared is a lease that only one of several services has.
type shared struct {
	mu     sync.Mutex
	holder *shared
	asked  int
}

func (l *shared) Lease(context.Context, string, time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	return l.holder == l, nil
}

func TestOfServicesThatShareAStoreOneSweeps(t *testing.T) {
	f := start(t, 0)
	lease := &shared{}
	store := &counting{Store: f.service.Store()}
	c := DefaultConfig()
	c.Sweep.Interval, c.Sweep.Grace = time.Millisecond, 0
	second := newSweeper(c.Sweep, Deps{Chunks: f.chunks, Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	second.store, second.leaser = store, lease
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		second.run(ctx)
	}()
	asked := func() int {
		lease.mu.Lock()
		defer lease.mu.Unlock()
		return lease.asked
	}
	require.Eventually(t, func() bool { return asked() > 3 }, 10*time.Second, time.Millisecond)
	require.Zero(t, store.listed.Load(), "another service sweeps")
	lease.mu.Lock()
	lease.holder = lease
	lease.mu.Unlock()
	require.Eventually(t, func() bool { return store.listed.Load() > 0 }, 10*time.Second, time.Millisecond)
	stop()
	<-ended
}

func TestNewRefusesWhatIsMissingOrForeign(t *testing.T) {
	_, err := New(DefaultConfig(), Deps{})
	require.True(t, errors.Is(err, errors.Invalid))
	fs := vfs.NewMem()
	d := Deps{
		Folder: "data", FS: fs, ClusterID: uuid.New(), Chunks: chunkmemory.New(uuid.New()), Clock: clock.System{}, Random: clock.SystemRandom,
		Logger: slog.New(slog.DiscardHandler),
	}
	s, err := New(DefaultConfig(), d)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	d.ClusterID = uuid.New()
	_, err = New(DefaultConfig(), d)
	require.ErrorContains(t, err, "mixing clusters")
}
