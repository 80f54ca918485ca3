package metatest

import (
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

var garbageTests = map[string]func(*suite){
	"What is replaced or deleted is garbage until it is dropped": func(s *suite) {
		a, _ := s.large("a", 3)
		b, _ := s.large("b", 2)
		s.inline("c", "x")
		require.Empty(s, s.garbage())
		s.inline("a", "x")
		s.inline("c", "y")
		_, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "b"}, {Key: "c"}})
		require.NoError(s, err)
		require.Equal(s, map[uuid.UUID]string{a.ID: "a", b.ID: "b"}, s.garbage())
		require.Equal(s, 3, s.rows(a.ID), "the rows say which references to remove")
		for _, g := range s.allGarbage(time.Time{}) {
			require.Equal(s, s.bucket, g.Bucket)
			if g.Key == "a" {
				require.NoError(s, s.DropGarbage(s.ctx, g.ID))
				require.NoError(s, s.DropGarbage(s.ctx, g.ID), "twice is no error")
			}
		}
		require.Zero(s, s.rows(a.ID))
		require.Equal(s, map[uuid.UUID]string{b.ID: "b"}, s.garbage())
		require.Equal(s, 2, s.rows(b.ID))
	},
	"Garbage of many chunks is dropped whole": func(s *suite) {
		ref := s.begin("k", false)
		for i := range 50 {
			var chunks []meta.Chunk
			for j := range 20 {
				chunks = append(chunks, chunkAt(ref.ID, i*20+j))
			}
			require.NoError(s, s.AddChunks(s.ctx, ref, ref.ID, chunks))
		}
		keep, _ := s.large("l", 9)
		require.NoError(s, s.AbortUpload(s.ctx, ref))
		require.Equal(s, 1000, s.rows(ref.ID))
		for _, g := range s.allGarbage(time.Time{}) {
			require.NoError(s, s.DropGarbage(s.ctx, g.ID))
		}
		require.Zero(s, s.rows(ref.ID))
		require.Equal(s, 9, s.rows(keep.ID))
		require.Empty(s, s.garbage())
	},
	"A single upload without progress is given up, a multipart one not": func(s *suite) {
		idle, alive, fed, multi := s.begin("idle", false), s.begin("alive", false), s.begin("fed", false), s.begin("multi", true)
		s.part(multi, 1, 1)
		s.clock.Advance(time.Hour)
		require.NoError(s, s.Progress(s.ctx, alive))
		require.NoError(s, s.AddChunks(s.ctx, fed, fed.ID, chunksOf(fed.ID, 1)))
		require.Empty(s, s.allGarbage(s.clock.Now().Add(-time.Hour)))
		got := s.allGarbage(s.clock.Now().Add(-time.Minute))
		require.Len(s, got, 1)
		require.Equal(s, []uuid.UUID{idle.ID}, got[0].Attempts)
		require.Equal(s, "idle", got[0].Key)
		s.noUpload(idle)
		for _, r := range []meta.UploadRef{alive, fed, multi} {
			require.NoError(s, s.Progress(s.ctx, r))
		}
		require.Equal(s, map[uuid.UUID]string{idle.ID: "idle"}, s.garbage(), "it stays garbage")
	},
	"Garbage is not listed before its time": func(s *suite) {
		a, _ := s.large("a", 2)
		b, _ := s.large("b", 2)
		s.inline("a", "x")
		s.clock.Advance(time.Minute)
		s.inline("b", "x")
		s.clock.Advance(time.Minute)
		for _, c := range []struct {
			ago  time.Duration
			want []uuid.UUID
		}{{3 * time.Minute, nil}, {90 * time.Second, []uuid.UUID{a.ID}}, {time.Second, []uuid.UUID{a.ID, b.ID}}} {
			var got []uuid.UUID
			for q := (meta.ListGarbage{Limit: 1, Before: s.clock.Now().Add(-c.ago)}); ; {
				page, next, err := s.ListGarbage(s.ctx, q)
				require.NoError(s, err)
				for _, g := range page {
					got = append(got, g.Attempts...)
				}
				if q.Cursor = next; next == nil {
					break
				}
			}
			require.ElementsMatch(s, c.want, got)
		}
	},
	"An ID that is none is refused": func(s *suite) {
		require.True(s, errors.Is(s.DropGarbage(s.ctx, []byte("x")), errors.Invalid))
		_, _, err := s.ListGarbage(s.ctx, meta.ListGarbage{Cursor: []byte("x"), Limit: 1})
		require.True(s, errors.Is(err, errors.Invalid))
		_, _, err = s.ListGarbage(s.ctx, meta.ListGarbage{Limit: 0})
		require.True(s, errors.Is(err, errors.Invalid))
	},
	"A walk goes on though what it listed was dropped": func(s *suite) {
		for range 8 {
			s.large("k", 2)
		}
		seen := make(map[uuid.UUID]bool)
		for cursor := []byte(nil); ; {
			page, next, err := s.ListGarbage(s.ctx, meta.ListGarbage{Cursor: cursor, Limit: 2})
			require.NoError(s, err)
			var ids [][]byte
			for _, g := range page {
				for _, a := range g.Attempts {
					seen[a] = true
				}
				ids = append(ids, g.ID)
			}
			require.NoError(s, s.DropGarbage(s.ctx, ids...))
			if cursor = next; next == nil {
				break
			}
		}
		require.Len(s, seen, 7)
		require.Empty(s, s.garbage())
	},
	"Garbage that cannot be dropped does not hide what comes behind it": func(s *suite) {
		for range 7 {
			s.large("k", 2)
		}
		require.Len(s, s.garbage(), 6)
		s.large("k", 2)
		require.Len(s, s.garbage(), 7)
	},
}
