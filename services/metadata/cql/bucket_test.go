//go:build stack

package cql

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

func TestBucketsAndKeys(t *testing.T) {
	alone(t)
	ctx := context.Background()
	s := openStore(t, clock.System{})
	id := uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: id, Name: "photos"}))
	require.True(t, errors.Is(s.CreateBucket(ctx, meta.Bucket{ID: uuid.New(), Name: "photos"}), errors.AlreadyExists))
	require.True(t, errors.Is(s.CreateBucket(ctx, meta.Bucket{ID: id, Name: "other"}), errors.AlreadyExists))
	require.NoError(t, s.CreateKey(ctx, meta.Key{AccessKey: "ann", Secret: "x"}))
	require.NoError(t, s.SetGrant(ctx, id, meta.Grant{Grantee: "ann", Rights: identity.Read}))
	b, err := s.Bucket(ctx, "photos")
	require.NoError(t, err)
	require.Equal(t, identity.Read, b.Rights("ann"))
	page, err := s.ListBuckets(ctx, meta.ListBuckets{Limit: 10, Grantees: []string{"ann"}})
	require.NoError(t, err)
	require.Len(t, page.Buckets, 1)
	require.NoError(t, s.DeleteKey(ctx, "ann"))
	b, err = s.Bucket(ctx, "photos")
	require.NoError(t, err)
	require.Empty(t, b.Grants)
	require.NoError(t, s.DeleteBucket(ctx, b.ID))
	require.True(t, errors.Is(s.DeleteBucket(ctx, b.ID), errors.NotFound))
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: uuid.New(), Name: "photos"}))
	info, err := s.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, info.Buckets)
}

func TestACreationThatCrashedGoesOnWhenItIsRepeated(t *testing.T) {
	alone(t)
	ctx := context.Background()
	s := openStore(t, clock.System{})
	for _, named := range []bool{false, true} {
		b := meta.Bucket{ID: uuid.New(), Name: fmt.Sprint("named-", named)}
		_, _, err := s.cas(ctx, makeID, b.ID, b.Name, shardsOfNew, stateCreating)
		require.NoError(t, err)
		_, err = s.PutObject(ctx, inline(b.ID, "k", "x"))
		require.True(t, errors.IsEntity(err, errors.NotFound, errors.Bucket), "%v", err)
		if named {
			done, err := s.takeName(ctx, b)
			require.NoError(t, err)
			require.True(t, done)
			_, err = s.PutObject(ctx, inline(b.ID, "k", "x"))
			require.NoError(t, err, "whoever meets it finishes it")
			continue
		}
		require.NoError(t, s.CreateBucket(ctx, b))
		_, err = s.PutObject(ctx, inline(b.ID, "k", "x"))
		require.NoError(t, err)
	}
}

func TestADeletionThatCrashedIsTakenOver(t *testing.T) {
	alone(t)
	ctx := context.Background()
	s := openStore(t, clock.System{})
	long := time.Now().Add(-time.Hour)
	for _, empty := range []bool{false, true} {
		id, name := uuid.New(), fmt.Sprint("empty-", empty)
		require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: id, Name: name}))
		if !empty {
			_, err := s.PutObject(ctx, inline(id, "k", "x"))
			require.NoError(t, err)
		}
		_, _, err := s.cas(ctx, startDelete, stateDeleting, uuid.New(), at(long), id, stateLive)
		require.NoError(t, err)
		s.buckets.forget(id)
		_, err = s.PutObject(ctx, inline(id, "l", "x"))
		// The row that the writer left lets the deletion find the bucket in use.
		require.NoError(t, err)
		require.True(t, errors.Is(s.DeleteBucket(ctx, id), errors.NotEmpty))
	}
	// One that decided and did not get to free the name.
	id := uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: id, Name: "gone"}))
	_, _, err := s.cas(ctx, setState, stateDeleted, id, stateLive)
	require.NoError(t, err)
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: uuid.New(), Name: "gone"}))
	b, err := s.Bucket(ctx, "gone")
	require.NoError(t, err)
	require.NotEqual(t, id, b.ID)
}
