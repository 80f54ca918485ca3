//go:build stack

package cql

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Chunk-nodes remove what metadata does not know: who cannot ask every copy of it must not say that it does not.
func TestNoAttemptIsUnknownWhileANodeIsAway(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	n := third(t)
	s := empty(t, clock.System{})
	bucket := uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "attempts"}))
	begin := func() uuid.UUID {
		u := meta.Upload{UploadRef: meta.UploadRef{Bucket: bucket, Key: "k", ID: uuid.New()}}
		require.NoError(t, s.BeginUpload(ctx, u))
		return u.ID
	}
	states := func(everywhere bool, ids ...uuid.UUID) (states []meta.AttemptState, err error) {
		found, err := s.Attempts(ctx, meta.FindAttempts{IDs: ids, Everywhere: everywhere})
		for _, a := range found {
			states = append(states, a.State)
		}
		return states, err
	}
	known, unknown := begin(), uuid.New()
	got, err := states(true, known, unknown)
	require.NoError(t, err)
	require.Equal(t, []meta.AttemptState{meta.AttemptOpen, meta.AttemptUnknown}, got)

	n.stop()
	late := begin()
	for _, ids := range [][]uuid.UUID{{unknown}, {known}, {late}, {known, late, unknown}} {
		_, err := states(true, ids...)
		require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	}
	got, err = states(false, known, late, unknown)
	require.NoError(t, err)
	require.Equal(t, []meta.AttemptState{meta.AttemptOpen, meta.AttemptOpen, meta.AttemptUnknown}, got)

	n.ready()
	require.Eventually(t, func() bool { // the store finds the node again
		got, err = states(true, known, late, unknown)
		return err == nil
	}, 3*time.Minute, 200*time.Millisecond, "%v", err)
	require.Equal(t, []meta.AttemptState{meta.AttemptOpen, meta.AttemptOpen, meta.AttemptUnknown}, got, "one node that knows is enough")
}
