package pebble

import (
	"context"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

// disk is a file system with so many free bytes.
type disk struct {
	vfs.FS
	free atomic.Int64
}

func (d *disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(d.free.Load()), TotalBytes: 1 << 40}, nil
}

func requireFull(t *testing.T, err error) {
	t.Helper()
	require.True(t, errors.Is(err, errors.Full), "%v", err)
}

func TestTheReserveIsKeptForDeletions(t *testing.T) {
	ctx := context.Background()
	c := clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	d := &disk{FS: vfs.NewMem()}
	room := func(bytes int64) { d.free.Store(bytes); c.Advance(measureEvery) }
	room(1 << 40)
	cfg := config(d, c)
	cfg.Reserve = 256 << 20
	s, err := Open(cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	bucket, key := uuid.New(), meta.Key{AccessKey: "GK0001", Secret: "secret"}
	ref := func(key string) meta.UploadRef { return meta.UploadRef{Bucket: bucket, Key: key, ID: uuid.New()} }
	single, multi, attempt := ref("single"), ref("multi"), uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "b"}))
	empty := uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: empty, Name: "empty"}))
	require.NoError(t, s.CreateKey(ctx, key))
	require.NoError(t, s.SetGrant(ctx, bucket, meta.Grant{Grantee: key.AccessKey, Rights: identity.Read}))
	require.NoError(t, s.BeginUpload(ctx, meta.Upload{UploadRef: single}))
	require.NoError(t, s.BeginUpload(ctx, meta.Upload{UploadRef: multi, Multipart: true}))
	require.NoError(t, s.BeginPart(ctx, multi, 1, attempt))
	put := func() error {
		_, err := s.PutObject(ctx, meta.Put{Bucket: bucket, Key: "k", Size: 1, Inline: []byte{1}})
		return err
	}
	require.NoError(t, put())

	room(cfg.Reserve - 1)
	for name, add := range map[string]func() error{
		"put":          put,
		"begin":        func() error { return s.BeginUpload(ctx, meta.Upload{UploadRef: ref("new")}) },
		"begin a part": func() error { return s.BeginPart(ctx, multi, 2, uuid.New()) },
		"add chunks":   func() error { return s.AddChunks(ctx, multi, attempt, []meta.Chunk{{Length: 1}}) },
		"finish a part": func() error {
			_, err := s.FinishPart(ctx, multi, meta.Part{Number: 1, Attempt: attempt}, nil)
			return err
		},
		"bucket": func() error { return s.CreateBucket(ctx, meta.Bucket{ID: uuid.New(), Name: "c"}) },
		"key":    func() error { return s.CreateKey(ctx, meta.Key{AccessKey: "GK0002", Secret: "secret"}) },
		"grant": func() error {
			return s.SetGrant(ctx, bucket, meta.Grant{Grantee: key.AccessKey, Rights: identity.Read | identity.Write})
		},
	} {
		t.Run(name, func(t *testing.T) { requireFull(t, add()) })
	}
	requireFull(t, s.Writable())
	require.NoError(t, s.Problem(), "it serves reads and deletions")
	results, err := s.DeleteObjects(ctx, bucket, []meta.Delete{{Key: "k"}})
	require.NoError(t, err)
	require.True(t, results[0].Existed)
	require.NoError(t, s.AbortUpload(ctx, single))
	require.NoError(t, s.AbortUpload(ctx, multi))
	garbage, _, err := s.ListGarbage(ctx, meta.ListGarbage{Limit: 10, IdleBefore: c.Now()})
	require.NoError(t, err)
	require.Len(t, garbage, 2)
	require.NoError(t, s.DropGarbage(ctx, garbage[0].ID, garbage[1].ID))
	require.NoError(t, s.SetGrant(ctx, bucket, meta.Grant{Grantee: key.AccessKey}))
	require.NoError(t, s.DeleteKey(ctx, key.AccessKey))
	require.NoError(t, s.DeleteBucket(ctx, empty))

	room(s.room.floor - 1)
	_, err = s.DeleteObjects(ctx, bucket, []meta.Delete{{Key: "k"}})
	requireFull(t, err)

	room(cfg.Reserve)
	require.NoError(t, put())
	require.NoError(t, s.Writable())
}

// fullDisk is a store whose flushes fail while full is set, and the number of their attempts.
type fullDisk struct {
	*testing.T
	*Store
	cfg      Config
	bucket   uuid.UUID
	full     atomic.Bool
	attempts atomic.Int64
	begun    chan struct{} // if not nil, the first attempt waits for it

	mu           sync.Mutex
	acknowledged map[string]struct{}
}

func newFullDisk(t *testing.T) *fullDisk {
	f := &fullDisk{T: t, bucket: uuid.New(), acknowledged: make(map[string]struct{})}
	mem := vfs.NewMem()
	f.cfg = config(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpCreate || path.Ext(op.Path) != ".sst" || !f.full.Load() {
			return nil
		}
		if f.attempts.Add(1) == 1 && f.begun != nil {
			<-f.begun
		}
		return syscall.ENOSPC
	})), clock.System{})
	f.cfg.MemTable = 1 << 20
	f.open()
	require.NoError(t, f.CreateBucket(context.Background(), meta.Bucket{ID: f.bucket, Name: "b"}))
	return f
}

func (f *fullDisk) open() {
	var err error
	f.Store, err = Open(f.cfg)
	require.NoError(f, err)
}

func (f *fullDisk) put(key string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := f.PutObject(ctx, meta.Put{Bucket: f.bucket, Key: key, Size: 4096, Inline: make([]byte, 4096)})
	if err == nil {
		f.mu.Lock()
		f.acknowledged[key] = struct{}{}
		f.mu.Unlock()
	}
	return err
}

// fill has several writers put objects until each of them has failed. It returns their errors.
func (f *fullDisk) fill(name string) <-chan error {
	results := make(chan error, 6)
	for w := range cap(results) {
		go func() {
			var err error
			for n := 0; err == nil; n++ {
				err = f.put(fmt.Sprintf("%s/%d/%d", name, w, n))
			}
			results <- err
		}()
	}
	return results
}

// answered is what was sent in time.
func answered[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(30 * time.Second):
		t.Fatal("it hangs")
	}
	return v
}

func (f *fullDisk) requireAcknowledged() {
	for key := range f.acknowledged {
		_, err := f.Object(context.Background(), f.bucket, key)
		require.NoError(f, err, key)
	}
}

func TestAFullDiskRefusesWritesAndHangsNone(t *testing.T) {
	ctx := context.Background()
	f := newFullDisk(t)
	f.begun = make(chan struct{})
	f.full.Store(true)
	writers := f.fill("first")
	// All writers wait for the flush under way before it fails.
	require.Eventually(t, func() bool {
		wait, err := f.room.judge(frees)
		return wait != nil && err == nil
	}, 30*time.Second, time.Millisecond)
	began := time.Now()
	close(f.begun)
	for range cap(writers) {
		requireFull(t, answered(t, writers))
	}
	deleted := make(chan error, 1)
	go func() {
		_, err := f.DeleteObjects(ctx, f.bucket, []meta.Delete{{Key: "first/0/0"}})
		deleted <- err
	}()
	requireFull(t, answered(t, deleted))
	f.requireAcknowledged() // reads are served

	require.Eventually(t, func() bool { return f.attempts.Load() > 2 }, 30*time.Second, time.Millisecond)
	require.LessOrEqual(t, f.attempts.Load(), 2+int64(time.Since(began)/retryAfter), "no busy loop")
	requireFull(t, f.put("still"))

	f.full.Store(false)
	require.Eventually(t, func() bool { return f.put("again") == nil }, 30*time.Second, 10*time.Millisecond)
	f.requireAcknowledged()

	f.full.Store(true)
	writers = f.fill("second")
	for range cap(writers) {
		requireFull(t, answered(t, writers))
	}
	done := make(chan error, 1)
	go func() { done <- f.Close() }()
	require.NoError(t, answered(t, done))

	f.full.Store(false)
	f.open()
	f.requireAcknowledged()
	require.NoError(t, f.Close())
}

func TestClosingEndsTheWaitOfWriters(t *testing.T) {
	s, err := Open(config(vfs.NewMem(), clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))))
	require.NoError(t, err)
	s.room.mu.Lock()
	s.room.unmerged = manySublevels
	s.room.mu.Unlock()
	waits, done := make(chan error, 1), make(chan error, 1)
	go func() { waits <- s.CreateBucket(context.Background(), meta.Bucket{ID: uuid.New(), Name: "b"}) }()
	require.Eventually(t, func() bool {
		s.gate.mu.Lock()
		defer s.gate.mu.Unlock()
		return s.gate.calls == 1
	}, 30*time.Second, time.Millisecond)
	go func() { done <- s.Close() }()
	require.NoError(t, answered(t, done))
	err = answered(t, waits)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
}

// The bytes that writes wait for must never be more than what a flush takes away, whatever the writes are.
func TestWritesGoOnForLongWithSmallMemory(t *testing.T) {
	ctx := context.Background()
	cfg := config(vfs.NewMem(), clock.System{})
	cfg.MemTable, cfg.NoSync = 1<<20, true
	s, err := Open(cfg)
	require.NoError(t, err)
	bucket := uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "b"}))
	for n := range 3000 {
		_, err := s.PutObject(ctx, meta.Put{Bucket: bucket, Key: fmt.Sprint(n % 700), Size: 4096, Inline: make([]byte, 4096)})
		require.NoError(t, err)
		_, err = s.DeleteObjects(ctx, bucket, []meta.Delete{{Key: "none"}, {Key: fmt.Sprint(n % 5)}})
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
}
