//go:build stack

package cql

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

func TestBucketsAndKeys(t *testing.T) {
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
	require.NoError(t, s.DeleteBucket(ctx, "photos"))
	require.True(t, errors.Is(s.DeleteBucket(ctx, "photos"), errors.NotFound))
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: uuid.New(), Name: "photos"}))
	info, err := s.Info(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, info.Buckets)
}
