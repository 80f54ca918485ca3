package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// history is, of each key, the versions that were committed, and when each was the newest.
type history struct {
	mu    sync.Mutex
	spans map[string][]*span
}

// span is a version from before its commit until after its replacement or deletion.
type span struct {
	etag       string
	size       int64
	begun, end time.Time // end zero: it is there
}

// change records what one writer of a key does: etag empty is a deletion.
func (h *history) change(key, etag string, size int64, do func()) {
	h.mu.Lock()
	next := &span{etag: etag, size: size, begun: time.Now()}
	h.spans[key] = append(h.spans[key], next)
	h.mu.Unlock()
	do()
	h.mu.Lock()
	defer h.mu.Unlock()
	if all := h.spans[key]; len(all) > 1 {
		all[len(all)-2].end = time.Now()
	}
}

func (g *garage) write(r *rand.Rand, h *history, key string, n int) {
	etag, pieces := fmt.Sprintf("%s-%d", key, n), 1+r.IntN(5)
	ref := meta.UploadRef{Bucket: g.bucket.ID, Key: key, ID: uuid.New()}
	must := func(err error) {
		if err != nil {
			g.Error(err)
		}
	}
	switch r.IntN(5) {
	case 0:
		h.change(key, "", 0, func() {
			_, err := g.store.DeleteObjects(g.ctx, g.bucket.ID, []meta.Delete{{Key: key}})
			must(err)
		})
	case 1:
		h.change(key, etag, 1, func() {
			_, err := g.store.PutObject(g.ctx, meta.Put{Bucket: ref.Bucket, Key: key, Size: 1, Inline: []byte("x"), ETag: etag})
			must(err)
		})
	default:
		must(g.store.BeginUpload(g.ctx, meta.Upload{UploadRef: ref}))
		chunks := make([]meta.Chunk, pieces)
		for i := range chunks {
			chunks[i] = meta.Chunk{Offset: uint64(10 * i), Length: 10}
			copy(chunks[i].Hash[:], etag)
			chunks[i].Hash[31] = byte(i)
		}
		h.change(key, etag, int64(10*pieces), func() {
			_, err := g.store.PutObject(g.ctx, meta.Put{Bucket: ref.Bucket, Key: key, Upload: ref.ID, Size: int64(10 * pieces), ETag: etag, First: chunks[0], Chunks: chunks})
			must(err)
		})
	}
}

// sweep drops garbage as fast as it can, so that chunk rows vanish while they are read.
func (g *garage) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		garbage, _, err := g.store.ListGarbage(ctx, meta.ListGarbage{Limit: 100})
		for _, e := range garbage {
			err = errors.Join(err, g.store.DropGarbage(ctx, e.ID))
		}
		if err != nil && ctx.Err() == nil {
			g.Error(err)
		}
	}
}

func TestASnapshotUnderLoadHasOnlyWholeVersionsOfItsTime(t *testing.T) {
	g := newGarage(t)
	ctx, stop := context.WithCancel(g.ctx)
	defer stop()
	h := &history{spans: make(map[string][]*span)}
	const writers, keys = 3, 20
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for n := 0; ctx.Err() == nil; n++ {
				g.write(r, h, fmt.Sprintf("k%d-%d", w, r.IntN(keys)), n)
			}
		})
	}
	work.Go(func() { g.sweep(ctx) })
	type taken struct {
		stream     []byte
		begun, end time.Time
	}
	var all []taken
	for range 8 {
		s := taken{begun: time.Now()}
		s.stream = g.take()
		s.end = time.Now()
		all = append(all, s)
	}
	stop()
	work.Wait()
	objects := 0
	for _, s := range all {
		m, err := read(bytes.NewReader(s.stream), func(*content) error { return nil }, func(o *object) error {
			objects++
			for _, c := range o.chunks {
				for i := range c {
					require.Equal(t, o.ETag, string(bytes.TrimRight(c[i].Hash[:31], "\x00")), "chunks of another version")
				}
			}
			for _, v := range h.spans[o.Key] {
				if v.etag == o.ETag {
					require.Equal(t, v.size, o.Size)
					require.True(t, v.begun.Before(s.end) && (v.end.IsZero() || v.end.After(s.begun)), "%s was not there at that time", o.ETag)
					return nil
				}
			}
			require.Fail(t, "an object that nobody wrote", o.ETag)
			return nil
		})
		require.NoError(t, err)
		require.Zero(t, m.Incomplete)
		// What was there all the time is in it.
		have := make(map[string]bool)
		_, err = read(bytes.NewReader(s.stream), func(*content) error { return nil }, func(o *object) error { have[o.Key] = true; return nil })
		require.NoError(t, err)
		for key, spans := range h.spans {
			for i, v := range spans {
				stays := v.etag != "" && i > 0 && spans[i-1].end.Before(s.begun) && !spans[i-1].end.IsZero() && (v.end.IsZero() && i == len(spans)-1)
				require.True(t, !stays || have[key], "%s is missing", key)
			}
		}
	}
	require.Greater(t, objects, 100)
}
