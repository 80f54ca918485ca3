package metatest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

// RunRestored tests that stores which objects are restored into give them the timestamps that they had.
func RunRestored(t *testing.T, open Open) { run(t, open, restoredTests) }

// restored commits an object of an upload that has a timestamp.
func (s *suite) restored(key string, written clock.Timestamp) meta.Version {
	s.Helper()
	p := s.commit(s.begin(key, false), 2)
	p.Written = written
	v, err := s.PutObject(s.ctx, p)
	require.NoError(s, err)
	o, err := s.Object(s.ctx, s.bucket, key)
	require.NoError(s, err)
	require.Equal(s, v, o.Version)
	return v
}

var restoredTests = map[string]func(*suite){
	"What is restored has the timestamp that it had": func(s *suite) {
		old := clock.TimestampOf(s.clock.Now().Add(-1000 * time.Hour))
		require.Equal(s, old, s.restored("single", old).Timestamp)
		p := put(s.bucket, "inline", "x")
		p.Written = old + 1
		v, err := s.PutObject(s.ctx, p)
		require.NoError(s, err)
		require.Equal(s, old+1, v.Timestamp)
		multi := s.begin("multi", true)
		part := s.part(multi, 1, 2)
		v, err = s.CompleteUpload(s.ctx, meta.Complete{UploadRef: multi, Parts: []meta.Part{part}, ETag: "e-1", Written: old + 2})
		require.NoError(s, err)
		require.Equal(s, old+2, v.Timestamp)
		keys, _ := s.listAll(meta.List{Bucket: s.bucket, Limit: 10})
		require.Equal(s, []string{"inline", "multi", "single"}, keys)
		require.Empty(s, s.allGarbage(s.clock.Now().Add(time.Hour)))
		for _, key := range keys {
			o, err := s.Object(s.ctx, s.bucket, key)
			require.NoError(s, err)
			for _, a := range o.Attempts() {
				require.Equal(s, meta.AttemptComplete, s.attempt(a).State)
				require.Equal(s, 2, s.rows(a))
			}
		}
		u, err := s.Usage(s.ctx, s.bucket)
		require.NoError(s, err)
		require.EqualValues(s, 3, u.Objects)
		_, err = s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "single"}, {Key: "inline"}, {Key: "multi"}})
		require.NoError(s, err)
		require.Len(s, s.garbage(), 2)
	},
	"What is restored comes above what is there": func(s *suite) {
		above := s.inline("k", "x")
		require.Greater(s, s.restored("k", above.Timestamp-1000).Timestamp, above.Timestamp)
		require.NotEqual(s, uuid.Nil, above.ID)
	},
}
