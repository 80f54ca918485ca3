package metatest

import (
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// named gives a write a name, by which it is repeated.
func (s *suite) named() meta.Commit {
	s.Helper()
	id, err := meta.NewCommitID(s.clock.Now(), clock.SystemRandom)
	require.NoError(s, err)
	return meta.Commit{ID: id}
}

// again is the same write once more.
func again(c meta.Commit) meta.Commit { return meta.Commit{ID: c.ID, Again: true} }

// conditions under which a write of a key without object takes place.
var absentConditions = []meta.Condition{{}, {IfNoneMatch: []string{"*"}}}

var commitTests = map[string]func(*suite){
	"A commit without upload that is repeated answers the same version": func(s *suite) {
		for i, condition := range absentConditions {
			p := put(s.bucket, string(rune('a'+i)), "x")
			p.Condition, p.Commit = condition, s.named()
			v, err := s.PutObject(s.ctx, p)
			require.NoError(s, err)
			require.Equal(s, p.Commit.ID, v.ID)
			s.clock.Advance(time.Second)
			p.Commit = again(p.Commit)
			for range 2 {
				repeated, err := s.PutObject(s.ctx, p)
				require.NoError(s, err)
				require.Equal(s, v, repeated)
			}
			o, err := s.Object(s.ctx, s.bucket, p.Key)
			require.NoError(s, err)
			require.Equal(s, v, o.Version)
			require.Equal(s, "x", string(o.Inline))
		}
		u, err := s.Usage(s.ctx, s.bucket)
		require.NoError(s, err)
		require.Equal(s, meta.Usage{Objects: 2, Bytes: 2}, u)
	},
	"A commit that is repeated and has not happened takes place": func(s *suite) {
		for i, condition := range absentConditions {
			p := put(s.bucket, string(rune('a'+i)), "x")
			p.Condition, p.Commit = condition, again(s.named())
			v, err := s.PutObject(s.ctx, p)
			require.NoError(s, err)
			require.Equal(s, p.Commit.ID, v.ID)
			d := meta.Delete{Key: p.Key, Commit: again(s.named())}
			require.True(s, s.remove(d))
			_, err = s.Object(s.ctx, s.bucket, p.Key)
			s.is(err, errors.NotFound, errors.Object)
		}
	},
	"A repetition never undoes what came after the write": func(s *suite) {
		p := put(s.bucket, "k", "first")
		p.Commit = s.named()
		v, err := s.PutObject(s.ctx, p)
		require.NoError(s, err)
		p.Commit = again(p.Commit)
		d := meta.Delete{Key: "k", Commit: s.named()}
		s.clock.Advance(time.Second)
		newer := s.inline("k", "second")
		s.neverUndoes(p, v)
		o, err := s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, newer, o.Version)
		require.True(s, s.remove(d))
		s.neverUndoes(p, v)
		_, err = s.Object(s.ctx, s.bucket, "k")
		s.is(err, errors.NotFound, errors.Object)
		d.Commit = again(d.Commit)
		require.True(s, s.remove(d), "it existed when it was deleted")
		third := s.inline("k", "third")
		if results, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{d}); err != nil {
			require.True(s, errors.Is(err, errors.Unavailable), "%v", err)
		} else {
			require.Equal(s, []meta.DeleteResult{{Existed: true}}, results)
		}
		o, err = s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, third, o.Version)
	},
	"A deletion with a condition is repeated too": func(s *suite) {
		s.inline("k", "x")
		d := meta.Delete{Key: "k", Condition: meta.Condition{IfMatch: []string{"etag-x"}}, Commit: s.named()}
		require.True(s, s.remove(d))
		d.Commit = again(d.Commit)
		require.True(s, s.remove(d))
	},
	"A commit is known by an ID that says when it was drawn, and an upload by its own": func(s *suite) {
		p := put(s.bucket, "k", "x")
		p.Commit.ID = s.bucket
		_, err := s.PutObject(s.ctx, p)
		require.True(s, errors.Is(err, errors.Invalid), "%v", err)
		_, err = s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "k", Commit: meta.Commit{Again: true}}})
		require.True(s, errors.Is(err, errors.Invalid), "%v", err)
		ref := s.begin("k", false)
		_, err = s.PutObject(s.ctx, meta.Put{Bucket: s.bucket, Key: "k", Upload: ref.ID, Commit: s.named()})
		require.True(s, errors.Is(err, errors.Invalid), "%v", err)
	},
}

// remove deletes a key and says whether it existed.
func (s *suite) remove(d meta.Delete) bool {
	s.Helper()
	results, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{d})
	require.NoError(s, err)
	require.NoError(s, results[0].Err)
	return results[0].Existed
}

// neverUndoes repeats a commit that made a version which was replaced.
func (s *suite) neverUndoes(p meta.Put, made meta.Version) {
	s.Helper()
	v, err := s.PutObject(s.ctx, p)
	if err != nil {
		require.True(s, errors.Is(err, errors.Unavailable), "%v", err)
		return
	}
	require.Equal(s, made, v)
}
