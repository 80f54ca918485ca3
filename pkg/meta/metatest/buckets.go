package metatest

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

var bucketTests = map[string]func(*suite){
	"A bucket is found by its name": func(s *suite) {
		b, err := s.Bucket(s.ctx, "photos")
		require.NoError(s, err)
		require.Equal(s, s.bucket, b.ID)
		require.Equal(s, s.clock.Now(), b.Created)
		_, err = s.Bucket(s.ctx, "phot")
		s.is(err, errors.NotFound, errors.Bucket)
	},
	"A name is taken once": func(s *suite) {
		s.is(s.CreateBucket(s.ctx, meta.Bucket{ID: uuid.New(), Name: "photos"}), errors.AlreadyExists, errors.Bucket)
		s.is(s.CreateBucket(s.ctx, meta.Bucket{ID: s.bucket, Name: "other"}), errors.AlreadyExists, errors.Bucket)
		require.NoError(s, s.DeleteBucket(s.ctx, s.bucket))
		s.createBucket("photos")
	},
	"Buckets are listed in order and by key": func(s *suite) {
		require.NoError(s, s.CreateKey(s.ctx, meta.Key{AccessKey: "ann", Secret: "x"}))
		for i := range 5 {
			b := meta.Bucket{ID: uuid.New(), Name: fmt.Sprintf("b%d", 4-i), Owner: "ann"}
			if i%2 == 0 {
				b.Grants = []meta.Grant{{Grantee: "ann", Rights: identity.All}}
			}
			require.NoError(s, s.CreateBucket(s.ctx, b))
		}
		require.Equal(s, []string{"b0", "b1", "b2", "b3", "b4", "photos"}, s.bucketNames(meta.ListBuckets{Limit: 2}))
		require.Equal(s, []string{"b0", "b2", "b4"}, s.bucketNames(meta.ListBuckets{Limit: 1, Grantees: []string{"ann"}}))
		require.Equal(s, []string{"b2", "b3", "b4"}, s.bucketNames(meta.ListBuckets{Limit: 9, Prefix: "b", After: "b1"}))
		_, err := s.ListBuckets(s.ctx, meta.ListBuckets{})
		require.True(s, errors.Is(err, errors.Invalid), "%v", err)
	},
	"Buckets are listed by several grantees and by name": func(s *suite) {
		require.NoError(s, s.CreateKey(s.ctx, meta.Key{AccessKey: "ann", Secret: "x"}))
		for i, grantees := range [][]string{{"ann"}, {identity.Person("ann")}, {identity.Group("staff")}, {"ann", identity.Group("staff")}, {}, {identity.Group("ann")}} {
			b := meta.Bucket{ID: uuid.New(), Name: fmt.Sprintf("b%d", i)}
			for _, g := range grantees {
				b.Grants = append(b.Grants, meta.Grant{Grantee: g, Rights: identity.Write})
			}
			require.NoError(s, s.CreateBucket(s.ctx, b))
		}
		for _, c := range []struct {
			want            []string
			grantees, names []string
		}{
			{[]string{"b1"}, []string{identity.Person("ann")}, nil},
			{[]string{"b1", "b2", "b3"}, []string{identity.Person("ann"), identity.Group("staff")}, nil},
			{[]string{"b0", "b3", "b4"}, []string{"ann"}, []string{"b4", "b3", "missing"}},
			{[]string{"b4", "photos"}, nil, []string{"photos", "b4"}},
			{nil, []string{"staff"}, []string{"missing"}},
			{nil, []string{""}, nil},
			{nil, nil, []string{""}},
		} {
			for _, limit := range []int{1, 2, 100} {
				require.Equal(s, c.want, s.bucketNames(meta.ListBuckets{Limit: limit, Grantees: c.grantees, Names: c.names}), "%v", c)
			}
		}
		require.Equal(s, []string{"b3"}, s.bucketNames(meta.ListBuckets{Limit: 9, Grantees: []string{identity.Group("staff")}, Names: []string{"photos", "b0"}, Prefix: "b", After: "b2"}))
	},
	"A bucket with an object stays": func(s *suite) {
		s.inline("k", "x")
		s.is(s.DeleteBucket(s.ctx, s.bucket), errors.NotEmpty, errors.Bucket)
		_, err := s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "k"}})
		require.NoError(s, err)
		require.NoError(s, s.DeleteBucket(s.ctx, s.bucket))
		s.is(s.DeleteBucket(s.ctx, s.bucket), errors.NotFound, errors.Bucket)
	},
	"A deletion that is repeated leaves another bucket of the name alone": func(s *suite) {
		require.NoError(s, s.DeleteBucket(s.ctx, s.bucket))
		other := s.createBucket("photos")
		s.is(s.DeleteBucket(s.ctx, s.bucket), errors.NotFound, errors.Bucket)
		b, err := s.Bucket(s.ctx, "photos")
		require.NoError(s, err)
		require.Equal(s, other, b.ID)
	},
	"A deleted bucket takes nothing and its uploads are garbage": func(s *suite) {
		single, multi := s.begin("single", false), s.begin("multi", true)
		p := s.commit(single, 3)
		part := s.part(multi, 1, 1)
		require.NoError(s, s.DeleteBucket(s.ctx, s.bucket))
		_, err := s.PutObject(s.ctx, p)
		s.is(err, errors.NotFound, errors.Bucket)
		_, err = s.PutObject(s.ctx, put(s.bucket, "k", "x"))
		s.is(err, errors.NotFound, errors.Bucket)
		_, err = s.CompleteUpload(s.ctx, meta.Complete{UploadRef: multi, Parts: []meta.Part{part}})
		s.is(err, errors.NotFound, errors.Bucket)
		s.is(s.AddChunks(s.ctx, single, single.ID, chunksOf(single.ID, 4)), errors.NotFound, errors.Upload)
		s.is(s.BeginUpload(s.ctx, meta.Upload{UploadRef: meta.UploadRef{Bucket: s.bucket, Key: "k", ID: uuid.New()}}), errors.NotFound, errors.Bucket)
		_, err = s.List(s.ctx, meta.List{Bucket: s.bucket, Limit: 1})
		s.is(err, errors.NotFound, errors.Bucket)
		_, err = s.ListUploads(s.ctx, meta.ListUploads{Bucket: s.bucket, Limit: 1})
		s.is(err, errors.NotFound, errors.Bucket)
		_, err = s.DeleteObjects(s.ctx, s.bucket, []meta.Delete{{Key: "k"}})
		s.is(err, errors.NotFound, errors.Bucket)
		_, err = s.Object(s.ctx, s.bucket, "k")
		s.is(err, errors.NotFound, errors.Object)
		_, err = s.Usage(s.ctx, s.bucket)
		s.is(err, errors.NotFound, errors.Bucket)
		require.Equal(s, map[uuid.UUID]string{single.ID: "single", part.Attempt: "multi"}, s.garbage())
		require.Equal(s, 2, s.rows(single.ID), "chunk rows go after the references")
	},
	"A key has exactly the rights that were set last": func(s *suite) {
		s.is(s.SetGrant(s.ctx, s.bucket, meta.Grant{Grantee: "ann", Rights: identity.Read}), errors.NotFound, errors.AccessKey)
		require.NoError(s, s.CreateKey(s.ctx, meta.Key{AccessKey: "ann", Secret: "x"}))
		s.is(s.SetGrant(s.ctx, uuid.New(), meta.Grant{Grantee: "ann", Rights: identity.Read}), errors.NotFound, errors.Bucket)
		for _, r := range []identity.Rights{identity.Read, identity.All, identity.Write, 0, 0} {
			require.NoError(s, s.SetGrant(s.ctx, s.bucket, meta.Grant{Grantee: "ann", Rights: r}))
			b, err := s.Bucket(s.ctx, "photos")
			require.NoError(s, err)
			require.Equal(s, r, b.Rights("ann"))
			if r == 0 {
				require.Empty(s, b.Grants)
			}
		}
	},
	"People and groups have rights without being known": func(s *suite) {
		for _, g := range []string{identity.Person("ann"), identity.Group("ann"), identity.Person("Zoë, *)(\\ \x00"), identity.Closed} {
			for _, r := range []identity.Rights{identity.Read, identity.All, identity.Write, 0, 0} {
				require.NoError(s, s.SetGrant(s.ctx, s.bucket, meta.Grant{Grantee: g, Rights: r}))
				b, err := s.Bucket(s.ctx, "photos")
				require.NoError(s, err)
				require.Equal(s, r, b.Rights(g))
				require.Zero(s, b.Rights("ann", ""))
			}
		}
		s.is(s.SetGrant(s.ctx, uuid.New(), meta.Grant{Grantee: identity.Group("ann"), Rights: identity.Read}), errors.NotFound, errors.Bucket)
	},
	"Rights are given to somebody": func(s *suite) {
		for _, g := range []string{"", identity.Person(""), identity.Group("")} {
			s.is(s.SetGrant(s.ctx, s.bucket, meta.Grant{Grantee: g, Rights: identity.Read}), errors.Invalid, errors.AccessKey)
		}
		for _, g := range []string{identity.Person("ann"), identity.Group("ann"), identity.Closed} {
			s.is(s.CreateKey(s.ctx, meta.Key{AccessKey: g, Secret: "x"}), errors.Invalid, errors.AccessKey)
		}
	},
	"The rights of several grantees add up": func(s *suite) {
		require.NoError(s, s.CreateKey(s.ctx, meta.Key{AccessKey: "ann", Secret: "x"}))
		for g, r := range map[string]identity.Rights{"ann": identity.Read, identity.Person("ann"): identity.Write, identity.Group("staff"): identity.Owner} {
			require.NoError(s, s.SetGrant(s.ctx, s.bucket, meta.Grant{Grantee: g, Rights: r}))
		}
		b, err := s.Bucket(s.ctx, "photos")
		require.NoError(s, err)
		require.Equal(s, identity.Read|identity.Owner, b.Rights("ann", identity.Group("staff"), identity.Group("other")))
		require.NoError(s, s.DeleteKey(s.ctx, "ann"))
		b, err = s.Bucket(s.ctx, "photos")
		require.NoError(s, err)
		require.Zero(s, b.Rights("ann"), "a deleted key has no rights")
		require.Equal(s, identity.Write|identity.Owner, b.Rights(identity.Person("ann"), identity.Group("staff")), "people and groups keep theirs")
	},
	"A deleted key has no grants": func(s *suite) {
		k := meta.Key{AccessKey: "ann", Secret: "x", Name: "Ann", CreateBuckets: true, Created: s.clock.Now()}
		require.NoError(s, s.CreateKey(s.ctx, k))
		s.is(s.CreateKey(s.ctx, k), errors.AlreadyExists, errors.AccessKey)
		got, err := s.Key(s.ctx, "ann")
		require.NoError(s, err)
		require.Equal(s, k, got)
		require.NoError(s, s.SetGrant(s.ctx, s.bucket, meta.Grant{Grantee: "ann", Rights: identity.Read}))
		require.NoError(s, s.DeleteKey(s.ctx, "ann"))
		s.is(s.DeleteKey(s.ctx, "ann"), errors.NotFound, errors.AccessKey)
		_, err = s.Key(s.ctx, "ann")
		s.is(err, errors.NotFound, errors.AccessKey)
		require.NoError(s, s.CreateKey(s.ctx, k))
		b, err := s.Bucket(s.ctx, "photos")
		require.NoError(s, err)
		require.Zero(s, b.Rights("ann"))
	},
	"Keys are listed in order": func(s *suite) {
		for _, k := range []string{"c", "a", "b"} {
			require.NoError(s, s.CreateKey(s.ctx, meta.Key{AccessKey: k, Secret: "x"}))
		}
		page, err := s.ListKeys(s.ctx, "", 2)
		require.NoError(s, err)
		require.True(s, page.More)
		require.Equal(s, "a", page.Keys[0].AccessKey)
		require.Equal(s, "b", page.Keys[1].AccessKey)
		require.Equal(s, s.clock.Now(), page.Keys[0].Created)
		page, err = s.ListKeys(s.ctx, "b", 2)
		require.NoError(s, err)
		require.False(s, page.More)
		require.Equal(s, "c", page.Keys[0].AccessKey)
	},
	"Info counts what there is": func(s *suite) {
		s.inline("k", "four")
		s.begin("m", true)
		info, err := s.Info(s.ctx)
		require.NoError(s, err)
		require.NotEqual(s, uuid.Nil, info.ClusterID)
		require.EqualValues(s, 1, info.Buckets)
		require.Equal(s, meta.Usage{Objects: 1, Bytes: 4, Uploads: 1}, info.Usage)
	},
}

// bucketNames lists page by page.
func (s *suite) bucketNames(r meta.ListBuckets) (all []string) {
	for {
		page, err := s.ListBuckets(s.ctx, r)
		require.NoError(s, err)
		for _, b := range page.Buckets {
			all = append(all, b.Name)
		}
		if !page.More {
			return all
		}
		require.NotEmpty(s, all)
		r.After = all[len(all)-1]
	}
}
