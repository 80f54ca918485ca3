package unfinished

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
)

// BucketPrefix is of the names of buckets with notes; the cluster ID of the standalone follows.
const BucketPrefix = ".migration-"

const (
	pageSize = 500
	// readsAtOnce is how many notes are read at the same time.
	readsAtOnce = 16
	callTime    = 30 * time.Second // of a call of the store
)

// ClosedGrants are those of a copy: also rights that come by its name, from groups in LDAP, are none.
var ClosedGrants = []meta.Grant{{Grantee: identity.Closed, Rights: identity.All}}

// Notes are those of one migration.
type Notes struct {
	Store  meta.Store
	Bucket meta.Bucket // that they are in
	// Try does a call of the store, perhaps several times, each with a deadline; nil: once.
	Try func(ctx context.Context, call func(context.Context) error) error
}

func (n *Notes) try(ctx context.Context, call func(context.Context) error) error {
	if n.Try != nil {
		return n.Try(ctx, call)
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return call(ctx)
}

// pages does something with the keys of the notes that have the prefix, page by page.
func (n *Notes) pages(ctx context.Context, prefix string, do func(keys []string) error) error {
	for r := (meta.List{Bucket: n.Bucket.ID, Prefix: prefix, Limit: pageSize}); ; {
		var page meta.Page
		if err := n.try(ctx, func(ctx context.Context) (err error) { page, err = n.Store.List(ctx, r); return err }); err != nil {
			return err
		}
		keys := make([]string, len(page.Objects))
		for i, o := range page.Objects {
			keys[i] = o.Key
		}
		if err := do(keys); err != nil {
			return err
		}
		if !page.More {
			return nil
		}
		r.After = page.Next
	}
}

// each does something with each note whose key has the prefix, in their order.
func (n *Notes) each(ctx context.Context, prefix string, do func(meta.Object) error) error {
	return n.pages(ctx, prefix, func(keys []string) error {
		found := make([]*meta.Object, len(keys)) // nil: it is gone
		g, reading := errgroup.WithContext(ctx)
		g.SetLimit(readsAtOnce)
		for i, key := range keys {
			g.Go(func() error {
				var o meta.Object
				err := n.try(reading, func(ctx context.Context) (err error) { o, err = n.Store.Object(ctx, n.Bucket.ID, key); return err })
				if errors.IsEntity(err, errors.NotFound, errors.Object) {
					return nil
				}
				found[i] = &o
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for _, o := range found {
			if o != nil {
				if err := do(*o); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (n *Notes) put(ctx context.Context, key string, body []byte) error {
	p := meta.Put{Bucket: n.Bucket.ID, Key: key, Inline: body, Size: int64(len(body))}
	err := n.try(ctx, func(ctx context.Context) error { _, err := n.Store.PutObject(ctx, p); return err })
	return errors.Annotate(err, "keeping a note of the migration")
}

// Drop removes notes, as many as a page has.
func (n *Notes) Drop(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	deletes := make([]meta.Delete, len(keys))
	for i, key := range keys {
		deletes[i].Key = key
	}
	err := n.try(ctx, func(ctx context.Context) error {
		results, err := n.Store.DeleteObjects(ctx, n.Bucket.ID, deletes)
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		return err
	})
	return errors.Annotate(err, "removing a note of the migration")
}

func (n *Notes) dropEach(ctx context.Context, prefix string) error {
	return n.pages(ctx, prefix, func(keys []string) error { return n.Drop(ctx, keys...) })
}

// DeleteAll removes all notes and their bucket, when nothing is left to note. Marks are the last to go.
func (n *Notes) DeleteAll(ctx context.Context) error {
	var err error
	for _, prefix := range []string{copyPrefix, doubtPrefix, heartbeatPrefix, markPrefix} {
		if err == nil {
			err = n.dropEach(ctx, prefix)
		}
	}
	if err == nil {
		err = n.try(ctx, func(ctx context.Context) error { return n.Store.DeleteBucket(ctx, n.Bucket.ID) })
	}
	if errors.IsEntity(err, errors.NotFound, errors.Bucket) {
		err = nil
	}
	return errors.Annotate(err, "removing the bucket %s, which nothing needs any more", n.Bucket.Name)
}

// find looks for the bucket that a note names. One that is gone, or has another ID by now, is not found.
func (n *Notes) find(ctx context.Context, b meta.Bucket) (t meta.Bucket, found bool, err error) {
	err = n.try(ctx, func(ctx context.Context) (err error) { t, err = n.Store.Bucket(ctx, b.Name); return err })
	if errors.Is(err, errors.NotFound) {
		return t, false, nil
	}
	return t, err == nil && t.ID == b.ID, err
}

// named is the bucket that a note is about: the prefix of its key is followed by the ID, its body is the name.
func (n *Notes) named(o meta.Object, prefix string) (meta.Bucket, error) {
	id, _, _ := strings.Cut(strings.TrimPrefix(o.Key, prefix), "/")
	parsed, err := uuid.Parse(id)
	if err != nil {
		return meta.Bucket{}, n.damaged(o, err)
	}
	return meta.Bucket{ID: parsed, Name: string(o.Inline)}, nil
}

// damaged is the error of a note that cannot be read.
func (n *Notes) damaged(o meta.Object, err error) error {
	return errors.E(errors.Corrupted, errors.Object, o.Key, "the note in the bucket %s, which only Garage writes, cannot be read (%v): "+
		"something else has changed it, or the database has damaged it; restore the metadata from a snapshot of before", n.Bucket.Name, err)
}

// all are the notes of all migrations.
func all(ctx context.Context, store meta.Store) (found []*Notes, err error) {
	for r := (meta.ListBuckets{Prefix: BucketPrefix, Limit: pageSize}); ; {
		page, err := store.ListBuckets(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, b := range page.Buckets {
			r.After = b.Name
			found = append(found, &Notes{Store: store, Bucket: b})
		}
		if !page.More {
			return found, nil
		}
	}
}

// naming are the notes that name a copy. If none does, all: an opening that is resumed may have dropped the name and left its mark, and nobody knows
// whose a copy is that no note names.
func naming(ctx context.Context, store meta.Store, b meta.Bucket) ([]*Notes, error) {
	found, err := all(ctx, store)
	if err != nil {
		return nil, err
	}
	var named []*Notes
	for _, n := range found {
		copies, err := n.Copies(ctx)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(copies, func(c meta.Bucket) bool { return c.ID == b.ID }) {
			named = append(named, n)
		}
	}
	if named == nil {
		return found, nil
	}
	return named, nil
}
