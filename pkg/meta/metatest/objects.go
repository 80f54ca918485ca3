package metatest

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

var objectTests = map[string]func(*suite){
	"An object is kept as it was put": func(s *suite) {
		p := put(s.bucket, "k", "body")
		p.Attributes = meta.Attributes{
			ContentType: "text/plain", StorageClass: "REDUCED_REDUNDANCY", Headers: map[string]string{"Cache-Control": "no-store"},
			User: map[string]string{"colour": "bleu pâle"}, Tags: map[string]string{"a": ""},
		}
		p.Checksum = meta.Checksum{Algorithm: "CRC32C", Type: "FULL_OBJECT", Value: "AAAAAA=="}
		v, err := s.PutObject(s.ctx, p)
		require.NoError(s, err)
		want := p.Object()
		want.Version = v
		got, err := s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, want, got)
		require.Equal(s, s.clock.Now(), v.Modified())
		page, err := s.List(s.ctx, meta.List{Bucket: s.bucket, Limit: 1})
		require.NoError(s, err)
		require.Equal(s, []meta.Listed{want.Listed()}, page.Objects)
	},
	"An object in chunks is found with its first chunk and all others": func(s *suite) {
		ref, v := s.large("k", 5)
		o, err := s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, v, o.Version)
		require.Nil(s, o.Inline)
		require.Equal(s, chunkAt(ref.ID, 0), o.First)
		require.Equal(s, []meta.ObjectPart{{Number: 1, Attempt: ref.ID, Size: 5000, ETag: o.ETag}}, o.Parts)
		require.False(s, o.Multipart)
		_, err = s.Upload(s.ctx, ref)
		s.is(err, errors.NotFound, errors.Upload)
	},
	"Chunks begin with the one that holds the byte": func(s *suite) {
		ref, _ := s.large("k", 4)
		for from, first := range map[uint64]int{0: 0, 1: 0, 999: 0, 1000: 1, 3999: 3, 4000: 4, 9999: 4} {
			got, err := s.Chunks(s.ctx, ref.ID, from, 2)
			require.NoError(s, err)
			require.Empty(s, got[min(len(got), 2):])
			for i, c := range got {
				require.Equal(s, chunkAt(ref.ID, first+i), c, "from %d", from)
			}
			require.Len(s, got, min(2, 4-first))
		}
		got, err := s.Chunks(s.ctx, uuid.New(), 0, 1)
		require.NoError(s, err)
		require.Empty(s, got)
	},
	"An empty object and a large inline one": func(s *suite) {
		s.inline("empty", "")
		big := make([]byte, meta.MaxInline)
		for i := range big {
			big[i] = byte(rand.Uint32())
		}
		_, err := s.PutObject(s.ctx, meta.Put{Bucket: s.bucket, Key: "big", Size: int64(len(big)), Inline: big})
		require.NoError(s, err)
		o, err := s.Object(s.ctx, s.bucket, "big")
		require.NoError(s, err)
		require.True(s, bytes.Equal(big, o.Inline))
		o, err = s.Object(s.ctx, s.bucket, "empty")
		require.NoError(s, err)
		require.Empty(s, o.Inline)
		_, err = s.PutObject(s.ctx, meta.Put{Bucket: s.bucket, Key: "big", Size: int64(len(big)) + 1, Inline: append(big, 1)})
		require.True(s, errors.Is(err, errors.Invalid), "%v", err)
	},
	"Requests that cannot be right are refused": func(s *suite) {
		for _, p := range []meta.Put{
			{Bucket: s.bucket}, {Bucket: s.bucket, Key: string(make([]byte, meta.MaxKey+1))}, {Bucket: s.bucket, Key: "k", Size: 1},
			{Bucket: s.bucket, Key: "k", Size: -1, Upload: uuid.New()}, {Bucket: s.bucket, Key: "k", Size: 1, Upload: uuid.New(), Inline: []byte{1}},
		} {
			_, err := s.PutObject(s.ctx, p)
			require.True(s, errors.Is(err, errors.Invalid), "%v", err)
		}
		_, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{}})
		require.True(s, errors.Is(err, errors.Invalid), "%v", err)
		_, err = s.DeleteObjects(s.ctx, s.bucket, make([]meta.Delete, meta.MaxDeletes+1))
		require.True(s, errors.Is(err, errors.Invalid), "%v", err)
	},
	"A deleted object is gone, and deleting it again succeeds": func(s *suite) {
		s.inline("a", "x")
		ref, _ := s.large("b", 2)
		got, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "b"}, {Key: "none"}, {Key: "a"}, {Key: "b"}})
		require.NoError(s, err)
		require.Equal(s, []meta.DeleteResult{{Existed: true}, {}, {Existed: true}, {}}, got)
		keys, _ := s.listAll(meta.List{Bucket: s.bucket, Limit: 10})
		require.Empty(s, keys)
		_, err = s.Object(s.ctx, s.bucket, "b")
		s.is(err, errors.NotFound, errors.Object)
		require.Equal(s, map[uuid.UUID]string{ref.ID: "b"}, s.garbage())
	},
	"A put is conditional": func(s *suite) {
		attempt := func(c meta.Condition) error {
			p := put(s.bucket, "k", "new")
			p.Condition = c
			_, err := s.PutObject(s.ctx, p)
			return err
		}
		s.is(attempt(meta.Condition{IfMatch: []string{"*"}}), errors.NotFound, errors.Object)
		require.NoError(s, attempt(meta.Condition{IfNoneMatch: []string{"*"}}))
		s.is(attempt(meta.Condition{IfNoneMatch: []string{"*"}}), errors.PreconditionFailed, errors.Object)
		s.is(attempt(meta.Condition{IfNoneMatch: []string{"x", "etag-new"}}), errors.PreconditionFailed, errors.Object)
		s.is(attempt(meta.Condition{IfMatch: []string{"x"}}), errors.PreconditionFailed, errors.Object)
		s.is(attempt(meta.Condition{IfMatch: []string{}}), errors.PreconditionFailed, errors.Object)
		require.NoError(s, attempt(meta.Condition{IfMatch: []string{"x", "etag-new"}}))
		require.NoError(s, attempt(meta.Condition{IfMatch: []string{"*"}, IfNoneMatch: []string{"x"}}))
	},
	"A condition that fails leaves the object and the upload": func(s *suite) {
		before := s.inline("k", "old")
		p := s.commit(s.begin("k", false), 2)
		p.Condition.IfNoneMatch = []string{"*"}
		_, err := s.PutObject(s.ctx, p)
		s.is(err, errors.PreconditionFailed, errors.Object)
		o, err := s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, before, o.Version)
		p.Condition = meta.Condition{IfMatch: []string{o.ETag}}
		_, err = s.PutObject(s.ctx, p)
		require.NoError(s, err)
	},
	"A delete is conditional": func(s *suite) {
		s.inline("k", "a")
		got, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{
			{Key: "none", Condition: meta.Condition{IfMatch: []string{"*"}}}, {Key: "k", Condition: meta.Condition{IfMatch: []string{"x"}}},
			{Key: "k", Condition: meta.Condition{IfMatch: []string{"etag-a"}}}, {Key: "k", Condition: meta.Condition{IfMatch: []string{"etag-a"}}},
		})
		require.NoError(s, err)
		s.is(got[0].Err, errors.NotFound, errors.Object)
		s.is(got[1].Err, errors.PreconditionFailed, errors.Object)
		require.NoError(s, got[2].Err)
		s.is(got[3].Err, errors.NotFound, errors.Object)
		require.Equal(s, []bool{false, true, true, false}, []bool{got[0].Existed, got[1].Existed, got[2].Existed, got[3].Existed})
	},
	"Repeating the commit of an upload answers the same version": func(s *suite) {
		p := s.commit(s.begin("k", false), 2)
		v, err := s.PutObject(s.ctx, p)
		require.NoError(s, err)
		p.Condition.IfNoneMatch = []string{"*"}
		again, err := s.PutObject(s.ctx, p)
		require.NoError(s, err)
		require.Equal(s, v, again)
		require.Empty(s, s.garbage())
		s.inline("k", "new")
		_, err = s.PutObject(s.ctx, p)
		s.is(err, errors.NotFound, errors.Upload)
	},
}

var orderTests = map[string]func(*suite){
	"A later write wins whatever the clock says": func(s *suite) {
		var last meta.Version
		for i, step := range []time.Duration{0, time.Hour, -2 * time.Hour, 0, -24 * time.Hour, time.Microsecond, 48 * time.Hour, -time.Second} {
			s.clock.Advance(step)
			v := s.inline("k", string(rune('a'+i)))
			require.Greater(s, v.Timestamp, last.Timestamp)
			o, err := s.Object(s.ctx, s.bucket, "k")
			require.NoError(s, err)
			require.Equal(s, v, o.Version)
			require.Equal(s, string(rune('a'+i)), string(o.Inline))
			last = v
		}
	},
	"A write after a delete is seen though the clock jumped back": func(s *suite) {
		s.inline("k", "a")
		_, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "k"}})
		require.NoError(s, err)
		s.clock.Advance(-time.Hour)
		v := s.inline("k", "b")
		o, err := s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, v, o.Version)
		got, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "k"}})
		require.NoError(s, err)
		require.True(s, got[0].Existed)
		_, err = s.Object(s.ctx, s.bucket, "k")
		s.is(err, errors.NotFound, errors.Object)
	},
	"The timestamp is given at commit": func(s *suite) {
		p := s.commit(s.begin("k", false), 2)
		s.clock.Advance(time.Second)
		small := s.inline("k", "between")
		s.clock.Advance(time.Second)
		v, err := s.PutObject(s.ctx, p)
		require.NoError(s, err)
		require.Greater(s, v.Timestamp, small.Timestamp)
	},
	"What is not committed is not visible and hides nothing": func(s *suite) {
		before := s.inline("k", "a")
		s.commit(s.begin("k", false), 3)
		m := s.begin("k", true)
		s.part(m, 1, 2)
		s.commit(s.begin("l", false), 3)
		o, err := s.Object(s.ctx, s.bucket, "k")
		require.NoError(s, err)
		require.Equal(s, before, o.Version)
		keys, _ := s.listAll(meta.List{Bucket: s.bucket, Limit: 10})
		require.Equal(s, []string{"k"}, keys)
	},
}
