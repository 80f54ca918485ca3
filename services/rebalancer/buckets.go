package rebalancer

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/unfinished"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// CreateBucket makes a bucket on which nobody has rights yet.
func (s *Service) CreateBucket(ctx context.Context, r *adminv1.CreateBucketRequest) (*adminv1.CreateBucketResponse, error) {
	if err := meta.CheckBucketName(r.GetName()); err != nil {
		return nil, err
	}
	id, err := clock.NewUUID(s.deps.Random)
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "drawing a bucket's id")
	}
	b := meta.Bucket{ID: id, Name: r.GetName(), Created: s.deps.Clock.Now().UTC()}
	if err := s.deps.Store.CreateBucket(ctx, b); err != nil {
		return nil, err
	}
	s.deps.Logger.InfoContext(ctx, "bucket made", "bucket", b.Name, "id", b.ID)
	return &adminv1.CreateBucketResponse{Bucket: bucketMessage(b)}, nil
}

// ListBuckets lists buckets in the order of their names, without what they hold.
func (s *Service) ListBuckets(ctx context.Context, r *adminv1.ListBucketsRequest) (*adminv1.ListBucketsResponse, error) {
	page, err := s.deps.Store.ListBuckets(ctx, meta.ListBuckets{After: r.GetAfter(), Limit: pageSize(r.GetLimit())})
	if err != nil {
		return nil, err
	}
	answer := &adminv1.ListBucketsResponse{More: page.More}
	for _, b := range page.Buckets {
		answer.Buckets = append(answer.Buckets, bucketMessage(b))
	}
	return answer, nil
}

// GetBucket tells about one bucket: who may use it, with the names of keys, and how much it holds.
func (s *Service) GetBucket(ctx context.Context, r *adminv1.GetBucketRequest) (*adminv1.GetBucketResponse, error) {
	b, err := s.deps.Store.Bucket(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	m := bucketMessage(b)
	for _, g := range m.GetGrants() {
		if g.GetAccessKey() == "" {
			continue
		}
		key, err := s.deps.Store.Key(ctx, g.GetAccessKey())
		if err == nil {
			g.Name = key.Name
		} else if !errors.Is(err, errors.NotFound) {
			return nil, err
		}
	}
	usage, err := s.deps.Store.Usage(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	m.Objects, m.Bytes, m.Uploads = usage.Objects, usage.Bytes, usage.Uploads
	return &adminv1.GetBucketResponse{Bucket: m}, nil
}

// DeleteBucket removes an empty bucket, or one with the notes of a migration of which no closed copy is left.
func (s *Service) DeleteBucket(ctx context.Context, r *adminv1.DeleteBucketRequest) (*adminv1.DeleteBucketResponse, error) {
	b, err := s.deps.Store.Bucket(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(b.Name, unfinished.BucketPrefix) {
		err = unfinished.RemoveNotes(ctx, s.deps.Store, s.deps.Clock, s.deps.Random, b)
	} else {
		err = s.deps.Store.DeleteBucket(ctx, b.ID)
	}
	if err != nil {
		return nil, err
	}
	s.deps.Logger.InfoContext(ctx, "bucket deleted", "bucket", r.GetName())
	return &adminv1.DeleteBucketResponse{}, nil
}

// OpenBucket lets clients into a bucket that is closed to them, unless the migration that fills it is at work: it will not go on, and refuses what
// clients may have changed.
func (s *Service) OpenBucket(ctx context.Context, r *adminv1.OpenBucketRequest) (*adminv1.OpenBucketResponse, error) {
	b, err := s.deps.Store.Bucket(ctx, r.GetName())
	if err != nil {
		return nil, err
	}
	if meta.CheckBucketName(b.Name) != nil {
		return nil, errors.E(errors.Invalid, errors.Bucket, b.Name, "the bucket is Garage's own, and not for clients")
	}
	opened, err := unfinished.Open(ctx, s.deps.Store, s.deps.Clock, s.deps.Random, b)
	if err != nil {
		return nil, err
	}
	s.deps.Logger.WarnContext(ctx, "a bucket that a migration had not finished was opened to clients", "bucket", b.Name, "in doubt", opened.InDoubt)
	answer := &adminv1.OpenBucketResponse{Bucket: bucketMessage(b), InDoubt: opened.InDoubt}
	if opened.Left != nil {
		answer.Problem = fmt.Sprintf("the bucket is open, but notes of its migration are left (%v): run \"garage bucket open %s\" again; until then no migration from the same standalone goes on", opened.Left, b.Name)
		s.deps.Logger.WarnContext(ctx, answer.GetProblem())
	}
	answer.Bucket.Closed = false
	for _, key := range opened.Keys {
		answer.KeysInDoubt = append(answer.KeysInDoubt, []byte(key))
	}
	return answer, nil
}

// AllowBucket adds rights to what a key, person or group has on a bucket.
func (s *Service) AllowBucket(ctx context.Context, r *adminv1.AllowBucketRequest) (*adminv1.AllowBucketResponse, error) {
	g, err := s.changeGrant(ctx, r.GetBucket(), r, r.GetRights(), func(has, change identity.Rights) identity.Rights { return has | change })
	if err != nil {
		return nil, err
	}
	return &adminv1.AllowBucketResponse{Grant: g}, nil
}

// DenyBucket takes rights away from what a key, person or group has on a bucket.
func (s *Service) DenyBucket(ctx context.Context, r *adminv1.DenyBucketRequest) (*adminv1.DenyBucketResponse, error) {
	g, err := s.changeGrant(ctx, r.GetBucket(), r, r.GetRights(), func(has, change identity.Rights) identity.Rights { return has &^ change })
	if err != nil {
		return nil, err
	}
	return &adminv1.DenyBucketResponse{Grant: g}, nil
}

func (s *Service) changeGrant(ctx context.Context, bucket string, to to, rights *adminv1.Rights, combine func(has, change identity.Rights) identity.Rights) (*adminv1.Grant, error) {
	change := rightsOf(rights)
	if change == 0 {
		return nil, errors.E(errors.Invalid, errors.Bucket, bucket, "say which rights: read, write or owner")
	}
	grantee, name, err := s.grantee(ctx, to)
	if err != nil {
		return nil, err
	}
	b, err := s.deps.Store.Bucket(ctx, bucket)
	if err != nil {
		return nil, err
	}
	after := combine(b.Rights(grantee), change)
	if err := s.deps.Store.SetGrant(ctx, b.ID, meta.Grant{Grantee: grantee, Rights: after}); err != nil {
		return nil, err
	}
	s.deps.Logger.InfoContext(ctx, "rights changed", "bucket", bucket, "grantee", grantee, "rights", after.String())
	m := grantMessage(meta.Grant{Grantee: grantee, Rights: after})
	m.Name = name
	return m, nil
}

// to is who gets or loses rights.
type to interface {
	GetKey() string
	GetPerson() string
	GetGroup() string
}

// grantee finds who gets or loses rights, and the name of a key. People and groups are in LDAP, which is not asked here.
func (s *Service) grantee(ctx context.Context, to to) (grantee, name string, err error) {
	key, person, group := to.GetKey(), to.GetPerson(), to.GetGroup()
	switch {
	case key != "" && person == "" && group == "":
		k, err := s.findKey(ctx, key)
		return k.AccessKey, k.Name, err
	case person != "" && key == "" && group == "":
		return identity.Person(person), "", nil
	case group != "" && key == "" && person == "":
		return identity.Group(group), "", nil
	}
	return "", "", errors.Newf(errors.Invalid, "say who: a key, a person or a group, one of them")
}

func bucketMessage(b meta.Bucket) *adminv1.Bucket {
	m := &adminv1.Bucket{Name: b.Name, Id: b.ID.String(), Created: timestamppb.New(b.Created), Closed: b.Closed()}
	for _, g := range b.Grants {
		if g.Grantee != identity.Closed {
			m.Grants = append(m.Grants, grantMessage(g))
		}
	}
	return m
}

func grantMessage(g meta.Grant) *adminv1.Grant {
	m := &adminv1.Grant{Rights: rightsMessage(g.Rights)}
	if name, ok := identity.PersonOf(g.Grantee); ok {
		m.Person = name
	} else if name, ok := identity.GroupOf(g.Grantee); ok {
		m.Group = name
	} else {
		m.AccessKey = g.Grantee
	}
	return m
}

func rightsMessage(r identity.Rights) *adminv1.Rights {
	return &adminv1.Rights{Read: r.Has(identity.Read), Write: r.Has(identity.Write), Owner: r.Has(identity.Owner)}
}

func rightsOf(m *adminv1.Rights) identity.Rights {
	var r identity.Rights
	if m.GetRead() {
		r |= identity.Read
	}
	if m.GetWrite() {
		r |= identity.Write
	}
	if m.GetOwner() {
		r |= identity.Owner
	}
	return r
}
