//go:build stack

package cql

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

func inline(bucket uuid.UUID, key, body string) meta.Put {
	return meta.Put{Bucket: bucket, Key: key, Size: int64(len(body)), ETag: "etag-" + body, Inline: []byte(body)}
}

func makeBucketIn(t *testing.T, s *Store) uuid.UUID {
	id := uuid.New()
	require.NoError(t, s.CreateBucket(context.Background(), meta.Bucket{ID: id, Name: "b-" + id.String()}))
	return id
}

func TestObjects(t *testing.T) {
	alone(t)
	ctx := context.Background()
	s := openStore(t, clock.System{})
	id := makeBucketIn(t, s)
	v, err := s.PutObject(ctx, inline(id, "k", "one"))
	require.NoError(t, err)
	o, err := s.Object(ctx, id, "k")
	require.NoError(t, err)
	require.Equal(t, v, o.Version)
	require.Equal(t, "one", string(o.Inline))
	p := inline(id, "k", "two")
	p.Condition.IfNoneMatch = []string{"*"}
	_, err = s.PutObject(ctx, p)
	require.True(t, errors.Is(err, errors.PreconditionFailed), "%v", err)
	p.Condition = meta.Condition{IfMatch: []string{"etag-one"}}
	_, err = s.PutObject(ctx, p)
	require.NoError(t, err)
	got, err := s.DeleteObjects(ctx, id, []meta.Delete{{Key: "k"}, {Key: "none"}, {Key: "k"}})
	require.NoError(t, err)
	require.Equal(t, []meta.DeleteResult{{Existed: true}, {}, {}}, got)
	_, err = s.Object(ctx, id, "k")
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Object))
	u, err := s.Usage(ctx, id)
	require.NoError(t, err)
	require.Zero(t, u)
	require.NoError(t, s.DeleteBucket(ctx, id))
	_, err = s.PutObject(ctx, inline(id, "k", "one"))
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Bucket))
}

func TestOfConditionalWritersThroughTwoServicesOneWins(t *testing.T) {
	alone(t)
	ctx := context.Background()
	a := openStore(t, clock.System{})
	b := openWith(t, testConfig(t, clock.System{}))
	id := makeBucketIn(t, a)
	for round := range 10 {
		key := fmt.Sprint("k", round)
		errs := make([]error, 8)
		var work sync.WaitGroup
		for i := range errs {
			s := []*Store{a, b}[i%2]
			p := inline(id, key, fmt.Sprint(i))
			p.Condition.IfNoneMatch = []string{"*"}
			work.Go(func() { _, errs[i] = s.PutObject(ctx, p) })
		}
		work.Wait()
		won := -1
		for i, err := range errs {
			if err == nil {
				require.Equal(t, -1, won, "two won")
				won = i
				continue
			}
			require.True(t, errors.Is(err, errors.PreconditionFailed) || errors.Is(err, errors.Conflict), "%v", err)
		}
		o, err := b.Object(ctx, id, key)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(won), string(o.Inline))
	}
	for _, s := range []*Store{a, b} {
		require.NoError(t, s.flush(ctx))
	}
	u, err := a.Usage(ctx, id)
	require.NoError(t, err)
	require.Equal(t, meta.Usage{Objects: 10, Bytes: 10}, u)
}
