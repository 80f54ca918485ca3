package metatest

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

func (r *Random) keys() Op {
	key := pick(r, []string{"k1", "k2", "k3"})
	grantee := pick(r, []string{key, identity.Person(key), identity.Group("g")})
	bucket, rights := r.bucket().ID, identity.Rights(r.rng.IntN(8))
	switch r.rng.IntN(4) {
	case 0:
		return Op{"create key", func(ctx context.Context, s *Subject) (any, error) {
			return nil, s.CreateKey(ctx, meta.Key{AccessKey: key, Secret: "s", Name: key})
		}}
	case 1:
		return Op{"delete key", func(ctx context.Context, s *Subject) (any, error) { return nil, s.DeleteKey(ctx, key) }}
	case 2:
		names := pick(r, [][]string{nil, {"missing"}, {r.bucket().Name}})
		return Op{"list buckets", func(ctx context.Context, s *Subject) (any, error) {
			page, err := s.ListBuckets(ctx, meta.ListBuckets{Grantees: []string{key, grantee}, Names: names, Limit: 2})
			for i := range page.Buckets {
				page.Buckets[i].Created = time.Time{}
			}
			return page, err
		}}
	default:
		return Op{"set grant", func(ctx context.Context, s *Subject) (any, error) {
			return nil, s.SetGrant(ctx, bucket, meta.Grant{Grantee: grantee, Rights: rights})
		}}
	}
}

func (r *Random) read() Op {
	bucket, key, u, limit := r.bucket().ID, pick(r, words), r.upload(), 1+r.rng.IntN(6)
	prefix, delimiter, after := pick(r, []string{"", "", "a", "a/", "b"}), pick(r, []string{"", "/", "b", "//"}), pick(r, append(words, "", "", ""))
	switch r.rng.IntN(8) {
	case 0:
		return Op{"object " + key, func(ctx context.Context, s *Subject) (any, error) {
			o, err := s.Object(ctx, bucket, key)
			return s.object(o), err
		}}
	case 1:
		return Op{"list", func(ctx context.Context, s *Subject) (any, error) {
			page, err := s.List(ctx, meta.List{Bucket: bucket, Prefix: prefix, Delimiter: delimiter, After: after, Limit: limit})
			var versions []int
			for i, o := range page.Objects {
				versions = append(versions, s.version(o.Version))
				page.Objects[i].Version = meta.Version{}
			}
			return fmt.Sprint(versions, page), err
		}}
	case 2:
		return Op{"list uploads", func(ctx context.Context, s *Subject) (any, error) {
			page, err := s.ListUploads(ctx, meta.ListUploads{Bucket: bucket, Prefix: prefix, Delimiter: delimiter, After: after, Limit: limit})
			for i := range page.Uploads {
				page.Uploads[i].Begun = time.Time{}
			}
			return page, err
		}}
	case 3:
		return Op{"list parts", func(ctx context.Context, s *Subject) (any, error) {
			page, err := s.ListParts(ctx, u.UploadRef, limit-3, limit)
			for i := range page.Parts {
				page.Parts[i].Modified = time.Time{}
			}
			return page, err
		}}
	case 4:
		return Op{"upload", func(ctx context.Context, s *Subject) (any, error) {
			got, err := s.Upload(ctx, u.UploadRef)
			got.Begun = time.Time{}
			return got, err
		}}
	case 5:
		from := uint64(r.rng.IntN(6000))
		return Op{"chunks", func(ctx context.Context, s *Subject) (any, error) { return s.Chunks(ctx, u.ID, from, limit) }}
	case 6:
		ids := []uuid.UUID{u.ID, r.upload().ID}
		for _, p := range r.parts[r.multipart().ID] {
			ids = append(ids, p.Attempt)
		}
		return Op{"attempts", func(ctx context.Context, s *Subject) (any, error) {
			found, err := s.Attempts(ctx, meta.FindAttempts{IDs: ids, Everywhere: limit%2 == 0})
			var answer []string
			for _, a := range found {
				n := 0
				if a.State == meta.AttemptComplete {
					n = s.version(a.Version)
				}
				a.Version = meta.Version{}
				answer = append(answer, fmt.Sprintf("%+v %d", a, n))
			}
			return answer, err
		}}
	default:
		return Op{"usage", func(ctx context.Context, s *Subject) (any, error) { return s.Usage(ctx, bucket) }}
	}
}

// garbage lists garbage, drops some of it, or gives up idle uploads.
func (r *Random) garbage() Op {
	u := r.upload()
	switch r.rng.IntN(4) {
	case 0:
		return Op{"progress", func(ctx context.Context, s *Subject) (any, error) { return nil, s.Progress(ctx, u.UploadRef) }}
	case 1:
		before := r.clock.Now().Add(-time.Duration(r.rng.IntN(100)) * time.Millisecond)
		return Op{"give up idle uploads", func(ctx context.Context, s *Subject) (any, error) {
			all, err := everyGarbage(ctx, s.Store, before)
			if err != nil {
				return nil, err
			}
			// A store may keep the answer of a completion as long as what it left out is not dropped.
			var ids [][]byte
			for _, g := range all {
				ids = append(ids, g.ID)
			}
			if err := s.DropGarbage(ctx, ids...); err != nil {
				return nil, err
			}
			left, err := everyGarbage(ctx, s.Store, before)
			return append(describe(all), describe(left)...), err
		}}
	default:
		which := byte(r.rng.IntN(256))
		return Op{"drop garbage", func(ctx context.Context, s *Subject) (any, error) {
			all, err := everyGarbage(ctx, s.Store, time.Time{})
			if err != nil {
				return nil, err
			}
			var ids [][]byte
			for _, g := range all {
				if of := crc32.ChecksumIEEE([]byte(g.Key)); byte(of) <= which {
					ids = append(ids, g.ID)
				}
			}
			return describe(all), s.DropGarbage(ctx, ids...)
		}}
	}
}

// describe is garbage in an order of its own, without IDs, and without how it is put together in entries.
func describe(all []meta.Garbage) []string {
	var lines []string
	for _, g := range all {
		for _, a := range g.Attempts {
			lines = append(lines, fmt.Sprint(g.Bucket, g.Key, a))
		}
	}
	slices.Sort(lines)
	return lines
}
