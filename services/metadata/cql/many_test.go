//go:build stack

package cql

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

// many is how many keys were put and deleted; slowly is how many of them one by one, as clients do. A soak run takes 300,000.
var (
	many   = flag.Int("many", 20_000, "keys that the test of many deletions has rows of")
	slowly = flag.Int("slowly", 600, "keys that it puts and deletes one by one")
)

// deletedRows writes what n keys leave that were put and deleted: the rows as a commit writes them, but many in a batch.
func deletedRows(ctx context.Context, s *Store, bucket uuid.UUID, key func(int) string, n int) error {
	const batch = 80 // of two rows: 30 KiB
	of := make([][]string, shardsOfNew)
	for i := range n {
		k := key(i)
		shard := shardOf(k, shardsOfNew)
		of[shard] = append(of[shard], k)
	}
	return inParallel(ctx, shardsOfNew, 8, func(ctx context.Context, shard int) error {
		for keys := range slices.Chunk(of[shard], batch) {
			var statements []statement
			for _, k := range keys {
				o, err := rowOf(meta.Object{Size: 1, ETag: "etag-x", Inline: []byte("x")}, uuid.Nil, nil)
				if err != nil {
					return err
				}
				for _, r := range []*row{o, markerRow(meta.Commit{})} {
					r.version = meta.Version{Timestamp: s.hybrid.Now(), ID: uuid.New()}
					statements = append(statements, r.insertion(place{bucket, shard, k}))
				}
			}
			if err := s.batch(ctx, statements...); err != nil {
				return err
			}
		}
		return nil
	})
}

// bound is how long a page of anything may take, however much was deleted.
const bound = 2 * time.Second

// Deletions at the database's default thresholds: a query over more than 100,000 fails.
func TestManyDeletedKeysSlowNothingDown(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	s := openStore(t, clock.System{})
	bucket := makeBucketIn(t, s)
	timed := func(what string, f func() error) {
		t.Helper()
		start := time.Now()
		require.NoError(t, f(), what)
		took := time.Since(start)
		t.Logf("%s: %v", what, took.Round(time.Millisecond))
		require.Less(t, took, bound, what)
	}
	key := func(i int) string { return fmt.Sprintf("folder-%03d/object-%06d", i%100, i) }
	start := time.Now()
	require.NoError(t, deletedRows(ctx, s, bucket, key, *many))
	t.Logf("wrote the rows of %d deleted keys: %v", *many, time.Since(start).Round(time.Millisecond))
	_, err := s.PutObject(ctx, inline(bucket, key(*many/2), "stays"))
	require.NoError(t, err)
	start = time.Now()
	require.NoError(t, inParallel(ctx, *slowly, 2*wide, func(ctx context.Context, i int) error {
		if i == *many/2 {
			return nil
		}
		if _, err := s.PutObject(ctx, inline(bucket, key(i), "x")); err != nil {
			return err
		}
		_, err := s.DeleteObjects(ctx, bucket, []meta.Delete{{Key: key(i)}})
		return err
	}))
	t.Logf("put and deleted %d of them: %v", *slowly, time.Since(start).Round(time.Millisecond))
	list := func(when string) {
		for _, delimiter := range []string{"", "/"} {
			entries, pages := 0, 0
			start, longest := time.Now(), time.Duration(0)
			for q := (meta.List{Bucket: bucket, Limit: 1000, Delimiter: delimiter}); ; {
				begun := time.Now()
				page, err := s.List(ctx, q)
				require.NoError(t, err)
				longest = max(longest, time.Since(begun))
				entries, pages = entries+len(page.Objects)+len(page.Prefixes), pages+1
				if q.After = page.Next; !page.More {
					break
				}
			}
			t.Logf("list %q, %s: %d pages, %v, the longest %v", delimiter, when, pages, time.Since(start).Round(time.Millisecond), longest.Round(time.Millisecond))
			require.Equal(t, 1, entries)
			require.Less(t, longest, bound)
		}
		timed("list uploads, "+when, func() error {
			page, err := s.ListUploads(ctx, meta.ListUploads{Bucket: bucket, Limit: 1000})
			require.Empty(t, page.Uploads)
			return err
		})
	}
	sweep := func(when string) {
		pages, longest := 0, time.Duration(0)
		start := time.Now()
		for q := (meta.ListGarbage{Limit: 50, Before: time.Now(), IdleBefore: time.Now().Add(-time.Hour)}); ; {
			begun := time.Now()
			garbage, next, err := s.ListGarbage(ctx, q)
			require.NoError(t, err)
			require.Empty(t, garbage, "nothing holds chunks")
			pages, longest = pages+1, max(longest, time.Since(begun))
			if q.Cursor = next; next == nil {
				break
			}
		}
		t.Logf("sweep, %s: %d pages, %v, the longest %v", when, pages, time.Since(start).Round(time.Millisecond), longest.Round(time.Millisecond))
		require.Less(t, longest, bound)
	}
	list("before the sweep")
	sweep("the first")
	list("after the sweep")
	sweep("the second")
	u, err := s.Usage(ctx, bucket)
	require.NoError(t, err)
	require.Equal(t, meta.Usage{Objects: 1, Bytes: 5}, u)
}

func TestManyEndedUploadsSlowNothingDown(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	s := openStore(t, clock.System{})
	f := &fixture{T: t, ctx: ctx, a: s, b: s, bucket: makeBucketIn(t, s)}
	n := *slowly / 2
	start := time.Now()
	require.NoError(t, inParallel(ctx, n, 2*wide, func(ctx context.Context, i int) error {
		id, err := meta.NewUploadID(time.Now(), clock.SystemRandom)
		if err != nil {
			return err
		}
		r := meta.UploadRef{Bucket: f.bucket, Key: fmt.Sprintf("k%06d", i), ID: id}
		if err := s.BeginUpload(ctx, meta.Upload{UploadRef: r, Multipart: i%2 == 0}); err != nil {
			return err
		}
		return s.AbortUpload(ctx, r)
	}))
	t.Logf("began and ended %d uploads: %v", n, time.Since(start).Round(time.Millisecond))
	for _, when := range []string{"before", "after"} {
		start = time.Now()
		page, err := s.ListUploads(ctx, meta.ListUploads{Bucket: f.bucket, Limit: 1000})
		require.NoError(t, err)
		require.Empty(t, page.Uploads)
		require.Less(t, time.Since(start), bound, "list uploads, %s the sweep", when)
		start = time.Now()
		longest := time.Duration(0)
		found := 0
		for q := (meta.ListGarbage{Limit: 50, Before: time.Now()}); ; {
			begun := time.Now()
			garbage, next, err := s.ListGarbage(ctx, q)
			require.NoError(t, err)
			longest = max(longest, time.Since(begun))
			var ids [][]byte
			for _, g := range garbage {
				ids = append(ids, g.ID)
			}
			found += len(ids)
			require.NoError(t, s.DropGarbage(ctx, ids...))
			if q.Cursor = next; next == nil {
				break
			}
		}
		t.Logf("sweep, %s: %d entries, %v, the longest page %v", when, found, time.Since(start).Round(time.Millisecond), longest.Round(time.Millisecond))
	}
}
