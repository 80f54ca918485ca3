package metatest

import (
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

var completeTests = map[string]func(*suite){
	"A completion is the object of its parts": func(s *suite) {
		u := meta.Upload{
			UploadRef: meta.UploadRef{Bucket: s.bucket, Key: "k", ID: uuid.New()}, Multipart: true,
			Attributes: meta.Attributes{ContentType: "image/png", User: map[string]string{"a": "b"}},
		}
		require.NoError(s, s.BeginUpload(s.ctx, u))
		a, b := s.part(u.UploadRef, 2, 3), s.part(u.UploadRef, 7, 1)
		sum := meta.Checksum{Algorithm: "SHA1", Type: "COMPOSITE", Value: "x-2"}
		v, err := s.CompleteUpload(s.ctx, meta.Complete{UploadRef: u.UploadRef, Parts: []meta.Part{a, b}, ETag: "e-2", Checksum: sum})
		require.NoError(s, err)
		o, err := s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, meta.Object{
			Key: "k", Version: v, Size: 4000, ETag: "e-2", Attributes: u.Attributes, Checksum: sum, Multipart: true, First: a.First,
			Parts: []meta.ObjectPart{{Number: 2, Attempt: a.Attempt, Size: 3000, ETag: a.ETag}, {Number: 7, Attempt: b.Attempt, Size: 1000, ETag: b.ETag}},
		}, o)
		require.Equal(s, 3, s.rows(a.Attempt))
		require.Empty(s, s.garbage())
		page, err := s.ListUploads(s.ctx, meta.ListUploads{Bucket: s.bucket, Limit: 1})
		require.NoError(s, err)
		require.Empty(s, page.Uploads)
	},
	"What a completion leaves out is garbage, and what it replaces": func(s *suite) {
		old, _ := s.large("k", 2)
		ref := s.begin("k", true)
		a, b, begun := s.part(ref, 1, 1), s.part(ref, 2, 1), uuid.New()
		require.NoError(s, s.BeginPart(s.ctx, ref, 3, begun))
		_, err := s.CompleteUpload(s.ctx, meta.Complete{UploadRef: ref, Parts: []meta.Part{b}})
		require.NoError(s, err)
		require.Equal(s, map[uuid.UUID]string{old.ID: "k", a.Attempt: "k", begun: "k"}, s.garbage())
		require.Equal(s, 1, s.rows(b.Attempt))
	},
	"A part must be there with its attempt": func(s *suite) {
		ref := s.begin("k", true)
		a := s.part(ref, 1, 1)
		other, etag := a, a
		other.Attempt, etag.ETag = uuid.New(), "other"
		for _, parts := range [][]meta.Part{{a, {Number: 2}}, {other}, {etag}} {
			_, err := s.CompleteUpload(s.ctx, meta.Complete{UploadRef: ref, Parts: parts, Condition: meta.Condition{IfMatch: []string{"*"}}})
			s.is(err, errors.NotFound, errors.Part)
		}
		for _, parts := range [][]meta.Part{nil, {a, a}, {{Number: 0}}, {{Number: 10001}}, {{Number: 2}, {Number: 1}}} {
			_, err := s.CompleteUpload(s.ctx, meta.Complete{UploadRef: ref, Parts: parts})
			require.True(s, errors.Is(err, errors.Invalid), "%v", err)
		}
		_, err := s.CompleteUpload(s.ctx, meta.Complete{UploadRef: ref, Parts: []meta.Part{a}})
		require.NoError(s, err)
	},
	"A completion is conditional and leaves the upload when it fails": func(s *suite) {
		ref := s.begin("k", true)
		c := meta.Complete{UploadRef: ref, Parts: []meta.Part{s.part(ref, 1, 1)}, Condition: meta.Condition{IfMatch: []string{"*"}}}
		_, err := s.CompleteUpload(s.ctx, c)
		s.is(err, errors.NotFound, errors.Object)
		s.inline("k", "x")
		c.Condition = meta.Condition{IfNoneMatch: []string{"*"}}
		_, err = s.CompleteUpload(s.ctx, c)
		s.is(err, errors.PreconditionFailed, errors.Object)
		u, err := s.Upload(s.ctx, ref)
		require.NoError(s, err)
		require.Equal(s, meta.Open, u.State)
		c.Condition = meta.Condition{IfMatch: []string{"etag-x"}}
		_, err = s.CompleteUpload(s.ctx, c)
		require.NoError(s, err)
	},
	"Repeating a completion answers the same version": func(s *suite) {
		ref := s.begin("k", true)
		c := meta.Complete{UploadRef: ref, Parts: []meta.Part{s.part(ref, 1, 1), s.part(ref, 2, 1)}}
		v, err := s.CompleteUpload(s.ctx, c)
		require.NoError(s, err)
		u, err := s.Upload(s.ctx, ref)
		require.NoError(s, err)
		require.Equal(s, meta.Completed, u.State)
		s.clock.Advance(time.Minute)
		s.inline("k", "newer")
		named := c
		named.Parts = []meta.Part{{Number: 1, ETag: c.Parts[0].ETag}, {Number: 2, ETag: c.Parts[1].ETag}}
		named.Condition.IfNoneMatch = []string{"*"}
		for _, again := range []meta.Complete{c, named} {
			w, err := s.CompleteUpload(s.ctx, again)
			require.NoError(s, err)
			require.Equal(s, v, w)
		}
		c.Parts = c.Parts[:1]
		_, err = s.CompleteUpload(s.ctx, c)
		s.is(err, errors.NotFound, errors.Upload)
		s.is(s.AbortUpload(s.ctx, ref), errors.NotFound, errors.Upload)
		s.is(s.AddChunks(s.ctx, ref, named.Parts[0].Attempt, nil), errors.NotFound, errors.Upload)
		o, err := s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, "newer", string(o.Inline))
	},
	"A completion's answer is forgotten in the end": func(s *suite) {
		ref := s.begin("k", true)
		c := meta.Complete{UploadRef: ref, Parts: []meta.Part{s.part(ref, 1, 1)}}
		_, err := s.CompleteUpload(s.ctx, c)
		require.NoError(s, err)
		require.Empty(s, s.allGarbage(s.clock.Now()))
		_, err = s.CompleteUpload(s.ctx, c)
		require.NoError(s, err)
		require.Empty(s, s.allGarbage(s.clock.Now().Add(time.Second)))
		_, err = s.CompleteUpload(s.ctx, c)
		s.is(err, errors.NotFound, errors.Upload)
		_, err = s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, 1, s.rows(c.Parts[0].Attempt))
	},
	"A completion's answer is forgotten when what it left out was dropped": func(s *suite) {
		ref := s.begin("k", true)
		left, c := s.part(ref, 1, 1), meta.Complete{UploadRef: ref, Parts: []meta.Part{s.part(ref, 2, 2)}}
		_, err := s.CompleteUpload(s.ctx, c)
		require.NoError(s, err)
		later := s.clock.Now().Add(time.Second)
		got := s.allGarbage(later)
		require.Len(s, got, 1)
		require.Equal(s, []uuid.UUID{left.Attempt}, got[0].Attempts)
		require.NoError(s, s.DropGarbage(s.ctx, got[0].ID))
		require.Empty(s, s.allGarbage(later))
		_, err = s.CompleteUpload(s.ctx, c)
		s.is(err, errors.NotFound, errors.Upload)
		require.Zero(s, s.rows(left.Attempt))
		require.Equal(s, 2, s.rows(c.Parts[0].Attempt), "the object keeps its chunks")
	},
}
