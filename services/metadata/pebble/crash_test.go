package pebble

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

// beforeSync calls back before each sync.
func beforeSync(fs vfs.FS, f func()) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			f()
		}
		return nil
	}))
}

// crashed is what is left of the file system after a power cut: all that was synced, and some of the rest.
func crashed(fs *vfs.MemFS, rng *rand.Rand) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
}

// holdersOfChunks requires invariant A: every attempt with chunk rows is held.
func holdersOfChunks(t *testing.T, s *Store) {
	held := make(map[uuid.UUID]bool)
	each := func(table byte, f func(key, value []byte) error) {
		require.NoError(t, s.scan(row(table), nil, func(key, value []byte) (bool, error) {
			err := f(key, value)
			return err == nil, err
		}))
	}
	each(tableSingle, func(key, _ []byte) error { held[uuid.UUID(key[1:])] = true; return nil })
	each(tableAttempt, func(key, _ []byte) error { held[uuid.UUID(key[1+idSize:])] = true; return nil })
	each(tablePart, func(_, value []byte) error {
		p, err := decodePart(value)
		held[p.Attempt] = true
		return err
	})
	each(tableObject, func(key, _ []byte) error {
		o, err := s.object(uuid.UUID(key[1:1+idSize]), string(key[1+idSize:]))
		for _, a := range o.Attempts() {
			held[a] = true
		}
		return err
	})
	garbage, _, err := s.ListGarbage(context.Background(), meta.ListGarbage{Limit: 1 << 20})
	require.NoError(t, err)
	for _, g := range garbage {
		for _, a := range g.Attempts {
			held[a] = true
		}
	}
	each(tableChunk, func(key, _ []byte) error {
		require.True(t, held[uuid.UUID(key[1:1+idSize])], "the attempt of a chunk row has no holder")
		return nil
	})
}

// TestAPowerCutAtAnySyncLosesNothing runs random operations on Pebble and in memory. At
// every sync the file system is cloned as a power cut would leave it; the store in the clone must hold what
// the memory store held before the operation under way, or after it.
func TestAPowerCutAtAnySyncLosesNothing(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			ctx := context.Background()
			rng := rand.New(rand.NewPCG(seed, 1))
			c := clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			fs := vfs.NewCrashableMem()
			type cut struct {
				fs *vfs.MemFS
				op int // under way
			}
			var mu sync.Mutex
			var cuts []cut
			op := -1
			store, err := Open(config(beforeSync(fs, func() {
				mu.Lock()
				defer mu.Unlock()
				if op >= 0 && rng.IntN(3) == 0 {
					cuts = append(cuts, cut{crashed(fs, rng), op})
				}
			}), c))
			require.NoError(t, err)
			model, err := memory.New(c, clock.SystemRandom)
			require.NoError(t, err)
			random, subject, expected := metatest.NewRandom(seed, c), metatest.NewSubject(store), metatest.NewSubject(model)
			dumps, names := [][]string{nil}, []string{}
			for n := range 250 {
				o := random.Next()
				mu.Lock()
				op = n
				mu.Unlock()
				got, err := o.Run(ctx, subject)
				require.NoError(t, err)
				want, err := o.Run(ctx, expected)
				require.NoError(t, err)
				require.Equal(t, want, got, o.Name)
				d, err := metatest.Dump(ctx, model)
				require.NoError(t, err)
				dumps, names = append(dumps, d), append(names, o.Name)
			}
			mu.Lock()
			op = -1
			mu.Unlock()
			require.NoError(t, store.Close())
			require.NotEmpty(t, cuts)
			for _, cut := range cuts {
				again, err := Open(config(cut.fs, c))
				require.NoError(t, err)
				got, err := metatest.Dump(ctx, again)
				require.NoError(t, err)
				// Uploads are given up one after the other; everything else is one step.
				if names[cut.op] != "give up idle uploads" && !equal(got, dumps[cut.op]) {
					require.Equal(t, dumps[cut.op+1], got, "a power cut during operation %d", cut.op)
				}
				holdersOfChunks(t, again)
				require.NoError(t, again.Close())
			}
			t.Logf("%d power cuts", len(cuts))
		})
	}
}

func equal(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// TestAcknowledgedWritesOfManyWritersSurvive cuts the power while writers race.
func TestAcknowledgedWritesOfManyWritersSurvive(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewCrashableMem()
	store, err := Open(config(fs, clock.System{}))
	require.NoError(t, err)
	bucket := uuid.New()
	require.NoError(t, store.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "b"}))
	var mu sync.Mutex
	acknowledged := make(map[string]meta.Version)
	deleted := make(map[string]bool)
	listed := make(map[string]bool) // garbage, by attempt
	stop, progress := make(chan struct{}), make(chan struct{})
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case progress <- struct{}{}:
				}
				key := fmt.Sprint(w, "/", n)
				id := uuid.New()
				ref := meta.UploadRef{Bucket: bucket, Key: key, ID: id}
				if store.BeginUpload(ctx, meta.Upload{UploadRef: ref}) != nil {
					return
				}
				v, err := store.PutObject(ctx, meta.Put{Bucket: bucket, Key: key, Upload: id, Size: 9, Chunks: []meta.Chunk{{Length: 9}}})
				if err != nil {
					return
				}
				mu.Lock()
				acknowledged[key] = v
				mu.Unlock()
				if n%3 == 0 {
					mu.Lock()
					delete(acknowledged, key)
					mu.Unlock()
					if _, err := store.DeleteObjects(ctx, bucket, []meta.Delete{{Key: key}}); err != nil {
						return
					}
					mu.Lock()
					deleted[key] = true
					mu.Unlock()
				}
			}
		})
	}
	writers.Go(func() {
		for after := make([]byte, 8+idSize); ; {
			select {
			case <-stop:
				return
			case progress <- struct{}{}:
			}
			garbage, _, err := store.ListGarbage(ctx, meta.ListGarbage{Cursor: after, Limit: 1000})
			if err != nil {
				return
			}
			mu.Lock()
			for _, g := range garbage {
				listed[g.Attempts[0].String()] = true
				after = g.ID
			}
			mu.Unlock()
		}
	})
	rng := rand.New(rand.NewPCG(7, 7))
	for range 10 {
		for range 100 {
			<-progress
		}
		mu.Lock()
		want, gone, garbage := make(map[string]meta.Version), make(map[string]bool), make(map[string]bool)
		for k, v := range acknowledged {
			want[k] = v
		}
		for k := range deleted {
			gone[k] = true
		}
		for a := range listed {
			garbage[a] = true
		}
		mu.Unlock()
		clone := crashed(fs, rng)
		again, err := Open(config(clone, clock.System{}))
		require.NoError(t, err)
		mu.Lock()
		for k, v := range want {
			if _, still := acknowledged[k]; !still {
				continue // being deleted
			}
			o, err := again.Object(ctx, bucket, k)
			require.NoError(t, err, k)
			require.Equal(t, v, o.Version)
		}
		mu.Unlock()
		for k := range gone {
			_, err := again.Object(ctx, bucket, k)
			require.True(t, errors.Is(err, errors.NotFound), "a deleted object is back: %v", err)
		}
		_, err = metatest.Dump(ctx, again)
		require.NoError(t, err)
		holdersOfChunks(t, again)
		all, _, err := again.ListGarbage(ctx, meta.ListGarbage{Limit: 1 << 20})
		require.NoError(t, err)
		for _, g := range all {
			delete(garbage, g.Attempts[0].String())
		}
		require.Empty(t, garbage, "listed garbage is garbage for good")
		require.NoError(t, again.Close())
	}
	close(stop)
	writers.Wait()
	require.NoError(t, store.Close())
}

func TestAFailedSyncEndsWriting(t *testing.T) {
	ctx := context.Background()
	var mu sync.Mutex
	fail := false
	base := vfs.NewCrashableMem()
	fs := errorfs.Wrap(base, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if fail {
				return errors.New("injected")
			}
		}
		return nil
	}))
	store, err := Open(config(fs, clock.System{}))
	require.NoError(t, err)
	bucket := uuid.New()
	require.NoError(t, store.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "b"}))
	put := func(key string) error {
		_, err := store.PutObject(ctx, meta.Put{Bucket: bucket, Key: key, Size: 1, Inline: []byte{1}})
		return err
	}
	require.NoError(t, put("before"))
	require.NoError(t, store.Problem())
	mu.Lock()
	fail = true
	mu.Unlock()
	require.True(t, errors.Is(put("during"), errors.Unavailable))
	mu.Lock()
	fail = false
	mu.Unlock()
	err = put("after")
	require.True(t, errors.Is(err, errors.Unavailable), "a sync is never tried again")
	require.ErrorContains(t, err, "check the disk")
	require.Error(t, store.Problem())
	_, err = store.Object(ctx, bucket, "before")
	require.NoError(t, err, "reads go on")

	again, err := Open(config(base.CrashClone(vfs.CrashCloneCfg{}), clock.System{}))
	require.NoError(t, err)
	_, err = again.Object(ctx, bucket, "before")
	require.NoError(t, err)
	require.NoError(t, again.Close())
	require.Error(t, store.Close())
}

func TestAStoreIsOfOneFormatAndCluster(t *testing.T) {
	fs := vfs.NewMem()
	c := config(fs, clock.System{})
	c.ClusterID = uuid.New()
	s, err := Open(c)
	require.NoError(t, err)
	info, err := s.Info(context.Background())
	require.NoError(t, err)
	require.Equal(t, c.ClusterID, info.ClusterID)
	require.NoError(t, s.db.Set(row(tableStore, []byte("format")), number64(Format+1), cockroach.Sync))
	require.NoError(t, s.Close())
	_, err = Open(c)
	require.ErrorContains(t, err, "the version of Garage that wrote it")
}
