//go:build stack

package cql

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

// A service that has not seen an attempt may get its begin once more, when the upload has long ended.
func TestABeginThatComesLateTakesNothingFromWhatTheAttemptBecame(t *testing.T) {
	alone(t)
	f := twoServices(t)
	known := func(attempt uuid.UUID) {
		t.Helper()
		found, err := f.b.Attempts(f.ctx, meta.FindAttempts{IDs: []uuid.UUID{attempt}, Everywhere: true})
		require.NoError(t, err)
		require.NotEqual(t, meta.AttemptUnknown, found[0].State)
		rows, err := f.b.Chunks(f.ctx, attempt, 0, 10)
		require.NoError(t, err)
		require.Len(t, rows, 2)
	}
	for _, complete := range []bool{true, false} {
		r := f.begin("k", true)
		require.NoError(t, f.b.BeginPart(f.ctx, r, 2, uuid.New())) // it sees that the upload is open
		p := f.part(f.a, r, 1)
		if complete {
			_, err := f.a.CompleteUpload(f.ctx, meta.Complete{UploadRef: r, Parts: []meta.Part{p}})
			require.NoError(t, err)
		} else {
			require.NoError(t, f.a.AbortUpload(f.ctx, r))
		}
		known(p.Attempt)
		f.noUpload(f.b.BeginPart(f.ctx, r, 1, p.Attempt))
		known(p.Attempt)

		f.b.begun.opened(r) // as if it had seen that before
		refused := uuid.New()
		f.noUpload(f.b.BeginPart(f.ctx, r, 1, refused))
		found, err := f.b.Attempts(f.ctx, meta.FindAttempts{IDs: []uuid.UUID{refused}, Everywhere: true})
		require.NoError(t, err)
		require.Equal(t, meta.AttemptUnknown, found[0].State)
	}
}

func TestAnAttemptThatWasDescribedAndNeverBegunIsUnknownAfterADay(t *testing.T) {
	alone(t)
	f := twoServices(t)
	begun := func(ago time.Duration) meta.UploadRef {
		id, err := meta.NewUploadID(time.Now().Add(-ago), clock.SystemRandom)
		require.NoError(t, err)
		return meta.UploadRef{Bucket: f.bucket, Key: "k", ID: id}
	}
	is := func(want meta.AttemptState, attempt uuid.UUID, everywhere bool) {
		t.Helper()
		found, err := f.b.Attempts(f.ctx, meta.FindAttempts{IDs: []uuid.UUID{attempt}, Everywhere: everywhere})
		require.NoError(t, err)
		require.Equal(t, want, found[0].State)
	}
	const unknown, open, complete, garbage = meta.AttemptUnknown, meta.AttemptOpen, meta.AttemptComplete, meta.AttemptGarbage
	young, single, multi := begun(24*time.Hour), begun(26*time.Hour), begun(26*time.Hour)
	described := uuid.New()
	require.NoError(t, f.a.describe(f.ctx, young, young.ID, 0))
	require.NoError(t, f.a.describe(f.ctx, single, single.ID, 0))
	require.NoError(t, f.a.describe(f.ctx, multi, described, 3))
	is(garbage, young.ID, true)
	is(garbage, single.ID, false)
	is(unknown, single.ID, true)
	is(unknown, described, true)

	// A begin that comes to light is one, and what came of it is no less garbage than that of others until it is swept.
	require.NoError(t, f.a.BeginUpload(f.ctx, meta.Upload{UploadRef: single}))
	is(open, single.ID, true)
	require.NoError(t, f.a.AddChunks(f.ctx, single, single.ID, chunksOf(2)))
	_, err := f.put(f.a, single, 2)
	require.NoError(t, err)
	is(complete, single.ID, true)
	require.NoError(t, f.a.BeginUpload(f.ctx, meta.Upload{UploadRef: multi, Multipart: true}))
	is(garbage, described, true)
	p := f.part(f.a, multi, 1)
	is(open, p.Attempt, true)
	_, err = f.a.CompleteUpload(f.ctx, meta.Complete{UploadRef: multi, Parts: []meta.Part{p}})
	require.NoError(t, err)
	is(complete, p.Attempt, true)
	is(garbage, single.ID, true)
	is(garbage, described, true)
	_, err = f.a.PutObject(f.ctx, inline(f.bucket, "k", "newest"))
	require.NoError(t, err)
	b, err := f.a.shards(f.ctx, f.bucket)
	require.NoError(t, err)
	pl := b.place("k")
	for _, u := range []*uploadRow{{place: pl, id: single.ID}, {place: pl, id: multi.ID, multipart: true}} {
		require.NoError(t, f.a.run(f.ctx, f.a.drop(u)), "as when all that it left is swept")
	}
	is(garbage, single.ID, true)
	is(garbage, p.Attempt, true)
	is(unknown, described, true)
	_, err = f.a.DeleteObjects(f.ctx, f.bucket, []meta.Delete{{Key: "k"}})
	require.NoError(t, err)
	require.NoError(t, f.a.DeleteBucket(f.ctx, f.bucket))
	is(garbage, single.ID, true)
	is(garbage, p.Attempt, true)
}

func TestRestoredObjectsKeepTheirTimestamps(t *testing.T) {
	metatest.RunRestored(t, func(t *testing.T, c clock.Clock) meta.Store { return openStore(t, c) })
}
