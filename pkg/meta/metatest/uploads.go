package metatest

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

var uploadTests = map[string]func(*suite){
	"An upload is kept as it was begun": func(s *suite) {
		u := meta.Upload{
			UploadRef: meta.UploadRef{Bucket: s.bucket, Key: "k", ID: uuid.New()}, Multipart: true, Initiator: "ann",
			Attributes: meta.Attributes{ContentType: "text/plain", User: map[string]string{"a": "b"}},
			Checksum:   meta.Checksum{Algorithm: "SHA256", Type: "COMPOSITE"},
		}
		require.NoError(s, s.BeginUpload(s.ctx, u))
		s.is(s.BeginUpload(s.ctx, u), errors.AlreadyExists, errors.Upload)
		got, err := s.Upload(s.ctx, u.UploadRef)
		require.NoError(s, err)
		u.Begun = s.clock.Now()
		require.Equal(s, u, got)
	},
	"An upload is of its bucket and key only": func(s *suite) {
		other := s.createBucket("other")
		for _, multipart := range []bool{true, false} {
			ref := s.begin("k", multipart)
			wrongKey, wrongBucket := ref, ref
			wrongKey.Key, wrongBucket.Bucket = "kk", other
			for _, r := range []meta.UploadRef{wrongKey, wrongBucket, {Bucket: s.bucket, Key: "k", ID: uuid.New()}} {
				s.noUpload(r)
			}
			_, err := s.Upload(s.ctx, ref)
			require.NoError(s, err)
		}
	},
	"An aborted upload takes nothing and all it held is garbage": func(s *suite) {
		single := s.begin("single", false)
		require.NoError(s, s.AddChunks(s.ctx, single, single.ID, chunksOf(single.ID, 2)))
		multi := s.begin("multi", true)
		part, replaced, begun := s.part(multi, 1, 2), s.part(multi, 2, 1), uuid.New()
		part2 := s.part(multi, 2, 1)
		require.NoError(s, s.BeginPart(s.ctx, multi, 3, begun))
		require.NoError(s, s.AddChunks(s.ctx, multi, begun, chunksOf(begun, 1)))
		for _, r := range []meta.UploadRef{single, multi} {
			require.NoError(s, s.AbortUpload(s.ctx, r))
			s.noUpload(r)
		}
		require.Equal(s, map[uuid.UUID]string{
			single.ID: "single", part.Attempt: "multi", replaced.Attempt: "multi", part2.Attempt: "multi", begun: "multi",
		}, s.garbage())
	},
	"A multipart upload is not committed as a single one, nor the reverse": func(s *suite) {
		multi, single := s.begin("k", true), s.begin("k", false)
		_, err := s.PutObject(s.ctx, meta.Put{Bucket: s.bucket, Key: "k", Upload: multi.ID})
		s.is(err, errors.NotFound, errors.Upload)
		_, err = s.CompleteUpload(s.ctx, meta.Complete{UploadRef: single, Parts: []meta.Part{{Number: 1}}})
		s.is(err, errors.NotFound, errors.Upload)
		s.is(s.BeginPart(s.ctx, single, 1, uuid.New()), errors.NotFound, errors.Upload)
		_, err = s.ListParts(s.ctx, single, 0, 1)
		s.is(err, errors.NotFound, errors.Upload)
	},
	"Adding a chunk again changes nothing": func(s *suite) {
		ref := s.begin("k", false)
		for range 3 {
			require.NoError(s, s.AddChunks(s.ctx, ref, ref.ID, chunksOf(ref.ID, 3)))
			require.NoError(s, s.AddChunks(s.ctx, ref, ref.ID, chunksOf(ref.ID, 3)[1:2]))
		}
		require.Equal(s, 3, s.rows(ref.ID))
	},
	"Chunks are added to begun attempts only": func(s *suite) {
		ref := s.begin("k", true)
		s.is(s.AddChunks(s.ctx, ref, uuid.New(), chunksOf(ref.ID, 1)), errors.NotFound, errors.Part)
		p := s.part(ref, 1, 2)
		s.is(s.AddChunks(s.ctx, ref, p.Attempt, chunksOf(p.Attempt, 3)), errors.NotFound, errors.Part)
		require.Equal(s, 2, s.rows(p.Attempt))
		_, err := s.FinishPart(s.ctx, ref, meta.Part{Number: 2, Attempt: uuid.New()}, nil)
		s.is(err, errors.NotFound, errors.Part)
		other := uuid.New()
		require.NoError(s, s.BeginPart(s.ctx, ref, 3, other))
		_, err = s.FinishPart(s.ctx, ref, meta.Part{Number: 4, Attempt: other}, nil)
		s.is(err, errors.NotFound, errors.Part)
		single := s.begin("k", false)
		s.is(s.AddChunks(s.ctx, single, uuid.New(), nil), errors.NotFound, errors.Part)
	},
	"Of the attempts of a part the last finished wins": func(s *suite) {
		ref := s.begin("k", true)
		a, b := meta.Part{Number: 1, Attempt: uuid.New()}, meta.Part{Number: 1, Attempt: uuid.New()}
		require.NoError(s, s.BeginPart(s.ctx, ref, 1, a.Attempt))
		require.NoError(s, s.BeginPart(s.ctx, ref, 1, b.Attempt))
		b = s.finish(ref, b, 1)
		require.Equal(s, s.clock.Now(), b.Modified)
		s.clock.Advance(time.Second)
		a = s.finish(ref, a, 2)
		page, err := s.ListParts(s.ctx, ref, 0, 10)
		require.NoError(s, err)
		require.Equal(s, []meta.Part{a}, page.Parts)
		require.Equal(s, map[uuid.UUID]string{b.Attempt: "k"}, s.garbage())
		_, err = s.FinishPart(s.ctx, ref, b, nil)
		s.is(err, errors.NotFound, errors.Part)
		again, err := s.FinishPart(s.ctx, ref, meta.Part{Number: 1, Attempt: a.Attempt, ETag: "late"}, nil)
		require.NoError(s, err)
		require.Equal(s, a, again)
	},
	"Parts are listed in order on pages": func(s *suite) {
		ref := s.begin("k", true)
		for _, n := range []int{5, 10000, 1, 300, 2} {
			s.part(ref, n, 1)
		}
		var got []int
		for after := 0; ; {
			page, err := s.ListParts(s.ctx, ref, after, 2)
			require.NoError(s, err)
			for _, p := range page.Parts {
				got, after = append(got, p.Number), p.Number
			}
			if !page.More {
				break
			}
		}
		require.Equal(s, []int{1, 2, 5, 300, 10000}, got)
		for _, n := range []int{0, -1, 10001} {
			require.True(s, errors.Is(s.BeginPart(s.ctx, ref, n, uuid.New()), errors.Invalid))
		}
	},
	"Open multipart uploads are listed by key, then by begin": func(s *suite) {
		var want []meta.UploadRef
		for _, k := range []string{"a", "a/b", "a/c", "ab", "b/x/y", "\xff"} {
			for range 3 {
				s.clock.Advance(time.Millisecond)
				want = append(want, s.begin(k, true))
			}
			s.begin(k, false)
		}
		all := func(r meta.ListUploads) (refs []meta.UploadRef, prefixes []string) {
			for r.Bucket = s.bucket; ; {
				page, err := s.ListUploads(s.ctx, r)
				require.NoError(s, err)
				for _, u := range page.Uploads {
					refs = append(refs, u.UploadRef)
				}
				if prefixes = append(prefixes, page.Prefixes...); !page.More {
					return refs, prefixes
				}
				r.After, r.AfterID = page.Next, page.NextID
			}
		}
		for limit := 1; limit < 20; limit += 3 {
			refs, _ := all(meta.ListUploads{Limit: limit})
			require.Equal(s, want, refs)
			refs, prefixes := all(meta.ListUploads{Limit: limit, Delimiter: "/"})
			require.Equal(s, []string{"a/", "b/"}, prefixes)
			require.Len(s, refs, 9)
			refs, prefixes = all(meta.ListUploads{Limit: limit, Prefix: "a/", Delimiter: "/"})
			require.Equal(s, want[3:9], refs)
			require.Empty(s, prefixes)
			refs, _ = all(meta.ListUploads{Limit: limit, After: "a/b"})
			require.Equal(s, want[6:], refs)
			refs, _ = all(meta.ListUploads{Limit: limit, After: "a/b", AfterID: want[3].ID})
			require.Equal(s, want[4:], refs)
			refs, _ = all(meta.ListUploads{Limit: limit, After: "a/b", AfterID: want[3].ID, Delimiter: "/"})
			require.Equal(s, want[9].Key, refs[0].Key)
		}
	},
	"Usage is what a recount finds": func(s *suite) {
		for i := range 10 {
			s.inline(fmt.Sprint("k", i%4), string(make([]byte, i*7)))
			s.large(fmt.Sprint("l", i%3), 2+i)
		}
		s.begin("m", true)
		done := s.begin("n", true)
		_, err := s.CompleteUpload(s.ctx, meta.Complete{UploadRef: done, Parts: []meta.Part{s.part(done, 1, 3)}})
		require.NoError(s, err)
		_, err = s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "k0"}, {Key: "l0"}, {Key: "nothing"}})
		require.NoError(s, err)
		s.begin("o", false)
		gone := s.begin("p", true)
		require.NoError(s, s.AbortUpload(s.ctx, gone))
		want, err := recount(s.ctx, s.Store, s.bucket)
		require.NoError(s, err)
		require.EqualValues(s, 1, want.Uploads)
		got, err := s.Usage(s.ctx, s.bucket)
		require.NoError(s, err)
		require.Equal(s, want, got)
	},
}

// noUpload requires that no method takes the upload.
func (s *suite) noUpload(r meta.UploadRef) {
	s.Helper()
	_, err := s.Upload(s.ctx, r)
	s.is(err, errors.NotFound, errors.Upload)
	s.is(s.BeginPart(s.ctx, r, 1, uuid.New()), errors.NotFound, errors.Upload)
	s.is(s.AddChunks(s.ctx, r, r.ID, chunksOf(r.ID, 1)), errors.NotFound, errors.Upload)
	s.is(s.Progress(s.ctx, r), errors.NotFound, errors.Upload)
	_, err = s.FinishPart(s.ctx, r, meta.Part{Number: 1}, nil)
	s.is(err, errors.NotFound, errors.Upload)
	_, err = s.ListParts(s.ctx, r, 0, 1)
	s.is(err, errors.NotFound, errors.Upload)
	s.is(s.AbortUpload(s.ctx, r), errors.NotFound, errors.Upload)
	_, err = s.PutObject(s.ctx, meta.Put{Bucket: r.Bucket, Key: r.Key, Upload: r.ID})
	s.is(err, errors.NotFound, errors.Upload)
	_, err = s.CompleteUpload(s.ctx, meta.Complete{UploadRef: r, Parts: []meta.Part{{Number: 1}}})
	s.is(err, errors.NotFound, errors.Upload)
}
