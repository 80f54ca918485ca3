package unfinished

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// Prefix is of the names of buckets with notes; the cluster ID of the standalone follows.
const Prefix = ".migration-"

const (
	copyPrefix    = "copy/"
	doubtPrefix   = "doubt/"
	beatPrefix    = "at-work/"
	openingPrefix = "opening/"
	pageSize      = 500
)

// Closed are the grants of a copy: also rights that come by its name, from groups in LDAP, are none.
var Closed = []meta.Grant{{Grantee: identity.Closed, Rights: identity.All}}

// Notes are those of one migration.
type Notes struct {
	Store  meta.Store
	Bucket meta.Bucket // that they are in
	// Try does a call of the store, perhaps several times; nil: once.
	Try func(ctx context.Context, call func(context.Context) error) error
}

func (n *Notes) try(ctx context.Context, call func(context.Context) error) error {
	if n.Try == nil {
		return call(ctx)
	}
	return n.Try(ctx, call)
}

// Each does something with each note whose key has the prefix.
func (n *Notes) Each(ctx context.Context, prefix string, do func(meta.Object) error) error {
	for r := (meta.List{Bucket: n.Bucket.ID, Prefix: prefix, Limit: pageSize}); ; {
		var page meta.Page
		if err := n.try(ctx, func(ctx context.Context) (err error) { page, err = n.Store.List(ctx, r); return err }); err != nil {
			return err
		}
		for _, listed := range page.Objects {
			var o meta.Object
			err := n.try(ctx, func(ctx context.Context) (err error) { o, err = n.Store.Object(ctx, r.Bucket, listed.Key); return err })
			if errors.IsEntity(err, errors.NotFound, errors.Object) {
				continue
			}
			if err == nil {
				err = do(o)
			}
			if err != nil {
				return err
			}
		}
		if !page.More {
			return nil
		}
		r.After = page.Next
	}
}

// Put keeps a note.
func (n *Notes) Put(ctx context.Context, key string, body []byte) error {
	p := meta.Put{Bucket: n.Bucket.ID, Key: key, Inline: body, Size: int64(len(body))}
	err := n.try(ctx, func(ctx context.Context) error { _, err := n.Store.PutObject(ctx, p); return err })
	return errors.Annotate(err, "keeping a note of the migration")
}

// Drop removes a note.
func (n *Notes) Drop(ctx context.Context, key string) error {
	err := n.try(ctx, func(ctx context.Context) error {
		results, err := n.Store.DeleteObjects(ctx, n.Bucket.ID, []meta.Delete{{Key: key}})
		for _, r := range results {
			err = errors.Join(err, r.Err)
		}
		return err
	})
	return errors.Annotate(err, "removing a note of the migration")
}

func (n *Notes) dropEach(ctx context.Context, prefix string) error {
	return n.Each(ctx, prefix, func(o meta.Object) error { return n.Drop(ctx, o.Key) })
}

// Close removes all notes and their bucket, when nothing is left to note.
func (n *Notes) Close(ctx context.Context) error {
	err := n.dropEach(ctx, "")
	if err == nil {
		err = n.try(ctx, func(ctx context.Context) error { return n.Store.DeleteBucket(ctx, n.Bucket.ID) })
	}
	if errors.IsEntity(err, errors.NotFound, errors.Bucket) {
		err = nil
	}
	return errors.Annotate(err, "removing the bucket %s, which nothing needs any more", n.Bucket.Name)
}

// PutCopy notes that a bucket is a copy, before it is made.
func (n *Notes) PutCopy(ctx context.Context, b meta.Bucket) error {
	return n.Put(ctx, copyPrefix+b.ID.String(), []byte(b.Name))
}

// Copies are the buckets that the migration made, as far as they are known: ID and name.
func (n *Notes) Copies(ctx context.Context) (copies []meta.Bucket, err error) {
	err = n.Each(ctx, copyPrefix, func(o meta.Object) error {
		id, err := uuid.Parse(strings.TrimPrefix(o.Key, copyPrefix))
		if err != nil {
			return errors.E(errors.Corrupted, errors.Object, o.Key, "the note of a migration has no bucket ID: %v", err)
		}
		copies = append(copies, meta.Bucket{ID: id, Name: string(o.Inline)})
		return nil
	})
	return copies, err
}

// ForgetCopy drops the notes of a bucket that is none, or no copy any more.
func (n *Notes) ForgetCopy(ctx context.Context, b meta.Bucket) error {
	if err := n.dropEach(ctx, DoubtsOf(b)); err != nil {
		return err
	}
	return n.Drop(ctx, copyPrefix+b.ID.String())
}

// DoubtsOf is the prefix of the notes of keys in a copy that are being written, or of which a write failed.
func DoubtsOf(b meta.Bucket) string { return doubtPrefix + b.ID.String() + "/" }

// EachDoubt does something with each note of keys in a copy.
func (n *Notes) EachDoubt(ctx context.Context, b meta.Bucket, do func(key string, p *metadatav1.MigrationDoubt) error) error {
	return n.Each(ctx, DoubtsOf(b), func(o meta.Object) error {
		p := &metadatav1.MigrationDoubt{}
		if err := proto.Unmarshal(o.Inline, p); err != nil {
			return errors.E(errors.Corrupted, errors.Object, o.Key, "a note of a migration is damaged: %v", err)
		}
		return do(o.Key, p)
	})
}

// PutDoubt notes keys in a copy.
func (n *Notes) PutDoubt(ctx context.Context, key string, p *metadatav1.MigrationDoubt) error {
	body, err := proto.Marshal(p)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "writing a note")
	}
	return n.Put(ctx, key, body)
}

// here looks for the bucket that a note names. One that is gone, or has another ID by now, is not found.
func (n *Notes) here(ctx context.Context, b meta.Bucket) (t meta.Bucket, found bool, err error) {
	err = n.try(ctx, func(ctx context.Context) (err error) { t, err = n.Store.Bucket(ctx, b.Name); return err })
	if errors.Is(err, errors.NotFound) {
		return t, false, nil
	}
	return t, err == nil && t.ID == b.ID, err
}

// Beat says that a migration is at work at a time.
func (n *Notes) Beat(ctx context.Context, migration uuid.UUID, at time.Time) error {
	return n.Put(ctx, beatPrefix+migration.String(), []byte(at.UTC().Format(time.RFC3339Nano)))
}

// EndBeat says that a migration is not at work any more.
func (n *Notes) EndBeat(ctx context.Context, migration uuid.UUID) error {
	return n.Drop(ctx, beatPrefix+migration.String())
}

// Opening looks whether somebody is opening a copy, or removing the notes. It is asked after a [Notes.Beat]. Kinds: Conflict if so.
func (n *Notes) Opening(ctx context.Context) error {
	return n.Each(ctx, openingPrefix, func(o meta.Object) error {
		of, _, _ := strings.Cut(strings.TrimPrefix(o.Key, openingPrefix), "/")
		id, err := uuid.Parse(of)
		if err != nil {
			return errors.E(errors.Corrupted, errors.Object, o.Key, "the note of a migration has no bucket ID: %v", err)
		}
		b := meta.Bucket{ID: id, Name: string(o.Inline)}
		_, found, err := n.here(ctx, b)
		switch {
		case err != nil:
			return err
		case !found:
			return n.Drop(ctx, o.Key) // it was opened, emptied and deleted since
		case b.ID == n.Bucket.ID:
			return errors.Newf(errors.Conflict, "somebody is removing the notes of the migration, or was interrupted at it: run \"garage bucket delete %s\" again, then the migration", b.Name)
		}
		return errors.Newf(errors.Conflict, "somebody is opening the cluster's copy of the bucket %s to clients, or was interrupted at it: run \"garage bucket open %s\" again. "+
			"Until then no migration works on it, nor after it: what clients write there is theirs", b.Name, b.Name)
	})
}

// all are the notes of all migrations.
func all(ctx context.Context, store meta.Store) (found []Notes, err error) {
	for r := (meta.ListBuckets{Prefix: Prefix, Limit: pageSize}); ; {
		page, err := store.ListBuckets(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, b := range page.Buckets {
			r.After = b.Name
			found = append(found, Notes{Store: store, Bucket: b})
		}
		if !page.More {
			return found, nil
		}
	}
}

// naming are the notes that name a copy, or all of them if none does.
func naming(ctx context.Context, store meta.Store, b meta.Bucket) ([]Notes, error) {
	found, err := all(ctx, store)
	if err != nil {
		return nil, err
	}
	var named []Notes
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
