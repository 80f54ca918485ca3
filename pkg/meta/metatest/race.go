package metatest

import (
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// race runs the functions at the same time and returns their errors.
func race(fs ...func() error) []error {
	errs := make([]error, len(fs))
	var begin, done sync.WaitGroup
	begin.Add(1)
	for i, f := range fs {
		done.Go(func() {
			begin.Wait()
			errs[i] = f()
		})
	}
	begin.Done()
	done.Wait()
	return errs
}

// winner requires that exactly one succeeded, and returns which.
func (s *suite) winner(errs []error) int {
	s.Helper()
	won := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(s, -1, won, "two won")
			won = i
			continue
		}
		kind := errors.KindOf(err)
		require.Contains(s, []errors.Kind{errors.PreconditionFailed, errors.Conflict, errors.NotFound}, kind, "%v", err)
	}
	require.NotEqual(s, -1, won, "none won: %v", errs)
	return won
}

const rounds = 30

var raceTests = map[string]func(*suite){
	"Of writers that all want the key free one wins": func(s *suite) {
		for round := range rounds {
			key := fmt.Sprint("k", round)
			var fs []func() error
			for i := range 8 {
				p := put(s.bucket, key, fmt.Sprint(i))
				p.Condition.IfNoneMatch = []string{"*"}
				fs = append(fs, func() error { _, err := s.PutObject(s.ctx, p); return err })
			}
			won := s.winner(race(fs...))
			o, err := s.Object(s.ctx, s.bucket, key)
			require.NoError(s, err)
			require.Equal(s, fmt.Sprint(won), string(o.Inline))
		}
	},
	"Of writers and deleters that all want the same ETag one wins": func(s *suite) {
		for round := range rounds {
			key := fmt.Sprint("k", round)
			s.inline(key, "old")
			match := meta.Condition{IfMatch: []string{"etag-old"}}
			var fs []func() error
			for i := range 3 {
				p := put(s.bucket, key, fmt.Sprint(i))
				p.Condition = match
				fs = append(fs, func() error { _, err := s.PutObject(s.ctx, p); return err })
				fs = append(fs, func() error {
					got, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: key, Condition: match}})
					return errors.Join(err, got[0].Err)
				})
			}
			s.winner(race(fs...))
		}
	},
	"An abort and a completion that race end one way": func(s *suite) {
		for round := range rounds {
			ref := s.begin(fmt.Sprint("k", round), true)
			p := s.part(ref, 1, 1)
			errs := race(
				func() error { return s.AbortUpload(s.ctx, ref) },
				func() error {
					_, err := s.CompleteUpload(s.ctx, meta.Complete{UploadRef: ref, Parts: []meta.Part{p}})
					return err
				},
			)
			won := s.winner(errs)
			_, err := s.Object(s.ctx, s.bucket, ref.Key)
			require.Equal(s, won == 1, err == nil)
			_, aborted := s.garbage()[p.Attempt]
			require.Equal(s, won == 0, aborted)
		}
	},
	"A bucket's deletion and a commit that race leave no object without bucket": func(s *suite) {
		for round := range rounds {
			id := s.createBucket(fmt.Sprint("b", round))
			errs := race(
				func() error { _, err := s.PutObject(s.ctx, put(id, "k", "x")); return err },
				func() error { return s.DeleteBucket(s.ctx, id) },
			)
			if errs[0] == nil {
				s.is(errs[1], errors.NotEmpty, errors.Bucket)
				_, err := s.Object(s.ctx, id, "k")
				require.NoError(s, err)
			} else {
				s.is(errs[0], errors.NotFound, errors.Bucket)
				require.NoError(s, errs[1])
			}
		}
	},
	"Writers of one key leave one object and the others' chunks as garbage": func(s *suite) {
		want := make(map[uuid.UUID]string)
		var fs []func() error
		for range 16 {
			p := s.commit(s.begin("k", false), 2)
			want[p.Upload] = "k"
			fs = append(fs, func() error { _, err := s.PutObject(s.ctx, p); return err })
		}
		for range 4 {
			fs = append(fs, func() error {
				_, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "k"}})
				return err
			})
		}
		for _, err := range race(fs...) {
			require.NoError(s, err)
		}
		o, err := s.Object(s.ctx, s.bucket, "k")
		if err == nil {
			delete(want, o.Parts[0].Attempt)
		}
		require.Equal(s, want, s.garbage())
		s.recounted()
	},
	"Deletes of overlapping batches succeed": func(s *suite) {
		var forth, back []meta.Delete
		for i := range 100 {
			s.inline(fmt.Sprint(i), "x")
			forth, back = append(forth, meta.Delete{Key: fmt.Sprint(i)}), append(back, meta.Delete{Key: fmt.Sprint(99 - i)})
		}
		var existed [2]int
		run := func(i int, deletes []meta.Delete) func() error {
			return func() error {
				got, err := s.DeleteObjects(s.ctx, s.bucket, deletes)
				for _, r := range got {
					if err = errors.Join(err, r.Err); r.Existed {
						existed[i]++
					}
				}
				return err
			}
		}
		for _, err := range race(run(0, forth), run(1, back)) {
			require.NoError(s, err)
		}
		require.Equal(s, 100, existed[0]+existed[1])
		s.recounted()
	},
	"A reader sees what was acknowledged before it began, or something later": func(s *suite) {
		var mu sync.Mutex
		var acknowledged meta.Version
		newest := func() meta.Version {
			mu.Lock()
			defer mu.Unlock()
			return acknowledged
		}
		s.inline("k", "x")
		var fs []func() error
		for i := range 4 {
			fs = append(fs, func() error {
				for n := range 25 {
					v, err := s.PutObject(s.ctx, put(s.bucket, "k", fmt.Sprint(i, n)))
					if err != nil {
						return err
					}
					mu.Lock()
					if v.Timestamp > acknowledged.Timestamp {
						acknowledged = v
					}
					mu.Unlock()
				}
				return nil
			}, func() error {
				for range 25 {
					before := newest()
					o, err := s.Object(s.ctx, s.bucket, "k")
					if err == nil && o.Timestamp < before.Timestamp {
						err = errors.Newf(errors.Internal, "the object is of %d, %d was acknowledged", o.Timestamp, before.Timestamp)
					}
					if err != nil {
						return err
					}
					before = newest()
					page, err := s.List(s.ctx, meta.List{Bucket: s.bucket, Limit: 1})
					if err == nil && page.Objects[0].Timestamp < before.Timestamp {
						err = errors.Newf(errors.Internal, "the listing is of %d, %d was acknowledged", page.Objects[0].Timestamp, before.Timestamp)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
		for _, err := range race(fs...) {
			require.NoError(s, err)
		}
	},
	"A bucket's deletion and a begin of an upload that race leave no upload without bucket": func(s *suite) {
		want := make(map[uuid.UUID]bool)
		for round := range rounds {
			id := s.createBucket(fmt.Sprint("b", round))
			ref := meta.UploadRef{Bucket: id, Key: "k", ID: uuid.New()}
			multipart := round%2 == 0
			errs := race(
				func() error { return s.BeginUpload(s.ctx, meta.Upload{UploadRef: ref, Multipart: multipart}) },
				func() error { return s.DeleteBucket(s.ctx, id) },
			)
			require.NoError(s, errs[1])
			s.is(s.Progress(s.ctx, ref), errors.NotFound, errors.Upload)
			want[ref.ID] = errs[0] == nil && !multipart
		}
		garbage := s.garbage()
		for upload, held := range want {
			_, given := garbage[upload]
			require.Equal(s, held, given, "a multipart upload without attempts holds nothing")
		}
	},
	"Progress and the giving up of idle uploads that race end one way": func(s *suite) {
		for range rounds {
			ref := s.begin("k", false)
			p := s.commit(ref, 2)
			s.clock.Advance(time.Hour)
			now := s.clock.Now()
			errs := race(
				func() error { _, err := s.PutObject(s.ctx, p); return err },
				func() error { _, err := everyGarbage(s.ctx, s.Store, now); return err },
			)
			require.NoError(s, errs[1])
			_, given := s.garbage()[ref.ID]
			require.Equal(s, errs[0] != nil, given)
		}
	},
}

// recounted requires that Usage is what a recount finds.
func (s *suite) recounted() {
	s.Helper()
	want, err := recount(s.ctx, s.Store, s.bucket)
	require.NoError(s, err)
	got, err := s.Usage(s.ctx, s.bucket)
	require.NoError(s, err)
	require.Equal(s, want, got)
}
