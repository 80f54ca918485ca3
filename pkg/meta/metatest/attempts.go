package metatest

import (
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// attempt looks for one attempt, in every copy of the metadata.
func (s *suite) attempt(id uuid.UUID) meta.Attempt {
	s.Helper()
	found, err := s.Attempts(s.ctx, meta.FindAttempts{IDs: []uuid.UUID{id}, Everywhere: true})
	require.NoError(s, err)
	require.Len(s, found, 1)
	require.Equal(s, id, found[0].ID)
	return found[0]
}

var attemptTests = map[string]func(*suite){
	"An attempt is known from its begin until its chunk rows are dropped": func(s *suite) {
		ref := s.begin("a/é\xff", false)
		in := meta.Attempt{ID: ref.ID, Bucket: s.bucket, BucketName: "photos", Key: ref.Key}
		open, complete, garbage := in, in, in
		open.State, open.Upload = meta.AttemptOpen, ref.ID
		require.Equal(s, open, s.attempt(ref.ID))
		v, err := s.PutObject(s.ctx, s.commit(ref, 3))
		require.NoError(s, err)
		complete.State, complete.Version = meta.AttemptComplete, v
		require.Equal(s, complete, s.attempt(ref.ID))
		s.inline(ref.Key, "x")
		garbage.State = meta.AttemptGarbage
		require.Equal(s, garbage, s.attempt(ref.ID))
		for _, g := range s.allGarbage(time.Time{}) {
			require.NoError(s, s.DropGarbage(s.ctx, g.ID))
		}
		require.Equal(s, meta.Attempt{ID: ref.ID}, s.attempt(ref.ID))
	},
	"Attempts of parts are open, then the object's or garbage": func(s *suite) {
		ref := s.begin("k", true)
		replaced, first, left := s.part(ref, 1, 1), s.part(ref, 1, 2), s.part(ref, 2, 1)
		begun := uuid.New()
		require.NoError(s, s.BeginPart(s.ctx, ref, 3, begun))
		states := func() []meta.AttemptState {
			ids := []uuid.UUID{replaced.Attempt, first.Attempt, left.Attempt, begun, uuid.New(), ref.ID}
			found, err := s.Attempts(s.ctx, meta.FindAttempts{IDs: ids})
			require.NoError(s, err)
			var states []meta.AttemptState
			for i, a := range found {
				require.Equal(s, ids[i], a.ID)
				states = append(states, a.State)
			}
			return states
		}
		const unknown, open, complete, garbage = meta.AttemptUnknown, meta.AttemptOpen, meta.AttemptComplete, meta.AttemptGarbage
		require.Equal(s, []meta.AttemptState{garbage, open, open, open, unknown, unknown}, states())
		v, err := s.CompleteUpload(s.ctx, meta.Complete{UploadRef: ref, Parts: []meta.Part{first}, ETag: "e-1"})
		require.NoError(s, err)
		require.Equal(s, []meta.AttemptState{garbage, complete, garbage, garbage, unknown, unknown}, states())
		require.Equal(s, v, s.attempt(first.Attempt).Version)
		for _, g := range s.allGarbage(time.Time{}) {
			require.NoError(s, s.DropGarbage(s.ctx, g.ID))
		}
		require.Equal(s, []meta.AttemptState{unknown, complete, unknown, unknown, unknown, unknown}, states())
	},
	"Attempts of a bucket that was deleted are garbage without a name": func(s *suite) {
		ref := s.begin("k", false)
		require.NoError(s, s.AddChunks(s.ctx, ref, ref.ID, chunksOf(ref.ID, 1)))
		require.NoError(s, s.DeleteBucket(s.ctx, s.bucket))
		require.Equal(s, meta.Attempt{ID: ref.ID, State: meta.AttemptGarbage, Bucket: s.bucket, Key: "k"}, s.attempt(ref.ID))
	},
	"An attempt whose begin was refused is unknown": func(s *suite) {
		unknown := func(id uuid.UUID) { s.Helper(); require.Equal(s, meta.Attempt{ID: id}, s.attempt(id)) }
		single, multi := s.begin("single", false), s.begin("multi", true)
		for _, ref := range []meta.UploadRef{single, {Bucket: s.bucket, Key: "multi", ID: uuid.New()}, {Bucket: uuid.New(), Key: "multi", ID: multi.ID}} {
			attempt := uuid.New()
			s.is(s.BeginPart(s.ctx, ref, 1, attempt), errors.NotFound, errors.Upload)
			unknown(attempt)
		}
		require.NoError(s, s.AbortUpload(s.ctx, multi))
		attempt := uuid.New()
		s.is(s.BeginPart(s.ctx, multi, 1, attempt), errors.NotFound, errors.Upload)
		unknown(attempt)
		refused := uuid.New()
		require.True(s, errors.Is(s.BeginPart(s.ctx, single, 0, refused), errors.Invalid))
		unknown(refused)

		for _, multipart := range []bool{false, true} {
			u := meta.Upload{UploadRef: meta.UploadRef{Bucket: uuid.New(), Key: "k", ID: uuid.New()}, Multipart: multipart}
			s.is(s.BeginUpload(s.ctx, u), errors.NotFound, errors.Bucket)
			unknown(u.ID)
		}
		require.NoError(s, s.DeleteBucket(s.ctx, s.bucket))
		u := meta.Upload{UploadRef: meta.UploadRef{Bucket: s.bucket, Key: "k", ID: uuid.New()}}
		s.is(s.BeginUpload(s.ctx, u), errors.NotFound, errors.Bucket)
		unknown(u.ID)
	},
	"Too many attempts are refused": func(s *suite) {
		_, err := s.Attempts(s.ctx, meta.FindAttempts{IDs: make([]uuid.UUID, meta.MaxAttempts+1)})
		require.True(s, errors.Is(err, errors.Invalid))
		found, err := s.Attempts(s.ctx, meta.FindAttempts{})
		require.NoError(s, err)
		require.Empty(s, found)
	},
}
