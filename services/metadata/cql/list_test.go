//go:build stack

package cql

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/listing"
	"deuxfleurs.fr/garage/services/metadata/cql/scan"
)

// filled writes rows of objects straight into the tables: n keys, each with as many rows as kinds has, the newest first.
func filled(t *testing.T, s *Store, n int, key func(i int) string, kinds ...int) uuid.UUID {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	id := uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: id, Name: id.String()}))
	b, err := s.bucket(ctx, id)
	require.NoError(t, err)
	version := idBytes(uuid.New())
	shards := make([][]statement, b.shards)
	for i := range n {
		p := b.place(key(i))
		for j, kind := range kinds {
			shards[p.shard] = append(shards[p.shard], statement{
				`INSERT INTO objects (bucket_id, shard, key, version_ts, version_id, kind, size, etag) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP 1`,
				[]any{id, p.shard, []byte(p.key), int64(len(kinds) - j), version, kind, int64(1), []byte("etag")},
			})
		}
	}
	const batch = 300 // 30 KiB
	var work [][]statement
	for _, rows := range shards {
		for ; len(rows) > 0; rows = rows[min(batch, len(rows)):] {
			work = append(work, rows[:min(batch, len(rows))])
		}
	}
	require.NoError(t, inParallel(ctx, len(work), 16, func(ctx context.Context, i int) error { return s.batch(ctx, work[i]...) }))
	return id
}

// list lists a page of objects and says what it cost.
func list(t *testing.T, s *Store, bucket uuid.UUID, q listing.Query) (entries []string, more bool, cost scan.Cost) {
	more, cost, err := scan.List(context.Background(), objectRows{s, bucket}, shardsOfNew, q, scan.Place{}, func(e listing.Entry, row scan.Row[meta.Listed]) {
		entries = append(entries, e.Prefix+row.Key)
	})
	require.NoError(t, err)
	return entries, more, cost
}

func TestListingAHundredThousandKeys(t *testing.T) {
	s := openStore(t, clock.System{})
	bucket := filled(t, s, 100_000, func(i int) string { return fmt.Sprintf("%03d/%05d", i/1000, i) }, kindObject, kindMarker)

	t.Run("A thousand keys touch each shard at most twice", func(t *testing.T) {
		q := listing.Query{Limit: 1000}
		for range 5 {
			begun := time.Now()
			entries, more, cost := list(t, s, bucket, q)
			t.Logf("%+v in %v", cost, time.Since(begun).Round(time.Millisecond))
			require.Len(t, entries, 1000)
			require.True(t, more)
			require.LessOrEqual(t, cost.Rounds, 2, "a round asks each shard once")
			require.LessOrEqual(t, cost.Asks, 2*shardsOfNew)
			q.After = entries[999]
		}
	})
	t.Run("A hundred common prefixes take at most 12 round trips", func(t *testing.T) {
		for range 3 {
			begun := time.Now()
			entries, more, cost := list(t, s, bucket, listing.Query{Limit: 1000, Delimiter: "/"})
			t.Logf("%+v in %v", cost, time.Since(begun).Round(time.Millisecond))
			require.Len(t, entries, 100)
			require.False(t, more)
			for i, e := range entries {
				require.Equal(t, fmt.Sprintf("%03d/", i), e)
			}
			require.LessOrEqual(t, cost.Rounds, 12)
		}
	})
}

func TestListingByPrefixAndUploads(t *testing.T) {
	alone(t)
	s := openStore(t, clock.System{})
	bucket := filled(t, s, 100, func(i int) string { return "k/" + strconv.Itoa(i) }, kindObject)
	for _, q := range []listing.Query{{Prefix: "k/1", Limit: 5}, {Prefix: "k/1", Delimiter: "1", Limit: 50}, {Delimiter: "/", Limit: 5}, {Prefix: "\xff", Delimiter: "/", Limit: 3}} {
		page, err := s.List(context.Background(), meta.List{Bucket: bucket, Prefix: q.Prefix, Delimiter: q.Delimiter, Limit: q.Limit})
		require.NoError(t, err)
		entries, more, _ := list(t, s, bucket, q)
		require.Equal(t, page.More, more)
		require.Len(t, entries, len(page.Objects)+len(page.Prefixes))
		_, err = s.ListUploads(context.Background(), meta.ListUploads{Bucket: bucket, Prefix: q.Prefix, Delimiter: q.Delimiter, Limit: q.Limit})
		require.NoError(t, err)
		_, err = s.ListUploads(context.Background(), meta.ListUploads{Bucket: bucket, After: "k", AfterID: uuid.New(), Limit: q.Limit})
		require.NoError(t, err)
	}
}
