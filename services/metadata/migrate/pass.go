package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/unfinished"
)

const (
	objectsAtOnce = 16
	listPage      = 1000
)

// differences are what a pass found, and made equal as far as it may.
type differences struct {
	mu      sync.Mutex
	objects int64 // copied, or gone again
	bytes   int64 // of these
	deleted int64 // keys
	uploads int64 // uploads and parts
	first   string
}

func (d *differences) none() bool { return d.objects == 0 && d.deleted == 0 && d.uploads == 0 }

func (d *differences) text(pass int) string {
	text := fmt.Sprintf("copied %d objects of %d bytes, deleted %d, and %d uploads or parts", d.objects, d.bytes, d.deleted, d.uploads)
	if pass > 0 {
		return fmt.Sprintf("pass %d: %s", pass, text)
	}
	return text
}

// found counts a difference.
func (d *differences) found(count *int64, b meta.Bucket, key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*count++
	if d.first == "" {
		d.first = name(b, key)
	}
}

// name is how people read an object.
func name(b meta.Bucket, key string) string { return b.Name + "/" + key }

// pass makes the cluster's copy equal to the standalone. Only while writes are held back does it delete keys.
func (m *migration) pass(ctx context.Context, frozen bool) (*differences, error) {
	m.beginPass()
	m.mu.Lock()
	clear(m.damaged)
	m.mu.Unlock()
	buckets, err := m.allBuckets(ctx)
	if err != nil {
		return nil, err
	}
	d := &differences{}
	if err := m.forgetBuckets(ctx, buckets, d); err != nil {
		return nil, err
	}
	for _, b := range buckets {
		if err := m.bucket(ctx, b); err != nil {
			return nil, err
		}
		var err error
		if frozen {
			err = m.settle(ctx, b, true)
		}
		if err == nil {
			err = m.compareObjects(ctx, b, frozen, d)
		}
		if err == nil {
			err = m.uploads(ctx, b, d)
		}
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return nil, errors.Annotate(err, "copying the bucket %s", b.Name)
		}
	}
	return d, nil
}

// bucket makes a bucket, closed to all clients. Kinds: Conflict if something is in its way.
func (m *migration) bucket(ctx context.Context, b meta.Bucket) error {
	m.target.Store(&b)
	there, problem, err := m.there(ctx, b)
	if err == nil && problem != "" {
		err = refuse([]string{problem})
	}
	if _, noted := m.notes.copies[b.ID]; err == nil && !noted {
		err = m.noteCopy(ctx, b)
	}
	if err == nil && !there {
		made := b
		made.Grants = unfinished.ClosedGrants
		err = m.retrySure(ctx, func(ctx context.Context) error { return m.Store.CreateBucket(ctx, made) })
		if errors.Is(err, errors.AlreadyExists) { // an earlier try has made it, or another was faster
			there, problem, err = m.there(ctx, b)
			if err == nil && !there {
				problem = "the cluster has not yet removed all of an earlier copy of the bucket " + b.Name + ", which was abandoned or deleted: two days later at most nothing is left of it; try again then"
			}
			if err == nil && problem != "" {
				err = refuse([]string{problem})
			}
		}
	}
	if err != nil {
		return errors.Annotate(err, "making the bucket %s", b.Name)
	}
	return nil
}

// forgetBuckets deletes what the migration brought, now or in an earlier call, and the standalone has no more.
func (m *migration) forgetBuckets(ctx context.Context, now []meta.Bucket, d *differences) error {
	for id, b := range m.notes.copies {
		if slices.ContainsFunc(now, func(b meta.Bucket) bool { return b.ID == id }) {
			continue
		}
		if err := m.removeCopy(ctx, b, d); err != nil {
			return errors.Annotate(err, "deleting the bucket %s, as at the standalone", b.Name)
		}
	}
	return nil
}

// removeCopy removes a copy with all that is in it. Kinds: Conflict if clients may have used it.
func (m *migration) removeCopy(ctx context.Context, b meta.Bucket, d *differences) error {
	m.target.Store(&b)
	defer m.target.Store(nil)
	var t meta.Bucket
	err := once(ctx, func(ctx context.Context) (err error) { t, err = m.Store.Bucket(ctx, b.Name); return err })
	if errors.Is(err, errors.NotFound) || err == nil && t.ID != b.ID {
		return m.forgetCopy(ctx, b)
	}
	if err != nil {
		return err
	}
	if problem := inTheWay(b, t); problem != "" {
		return refuse([]string{problem})
	}
	here, more := m.walk(m.Store, b), true
	for more {
		var keys []string
		for len(keys) < meta.MaxDeletes && more {
			o, err := here.peek(ctx)
			if err != nil {
				return err
			}
			if more = o != nil; more {
				keys = append(keys, o.Key)
				here.next()
			}
		}
		if err := m.delete(ctx, b, keys, d); err != nil {
			return err
		}
	}
	// The bucket may come back with its ID, when it is migrated again.
	if err := m.settle(ctx, b, false); err != nil {
		return err
	}
	err = m.retrySure(ctx, func(ctx context.Context) error { return m.Store.DeleteBucket(ctx, b.ID) })
	if err != nil && !errors.Is(err, errors.NotFound) {
		return err
	}
	return m.forgetCopy(ctx, b)
}

// compareObjects compares the objects of a bucket in the order of their keys.
func (m *migration) compareObjects(ctx context.Context, b meta.Bucket, frozen bool, d *differences) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(objectsAtOnce)
	var found []meta.Listed
	copyFound := func() error {
		var keys []string
		var newest clock.Timestamp
		for _, o := range found {
			keys, newest = append(keys, o.Key), max(newest, o.Timestamp)
		}
		if len(keys) == 0 {
			return nil
		}
		noted, err := m.noteDoubt(ctx, b, keys, newest)
		if err != nil {
			return err
		}
		for _, o := range found {
			g.Go(func() error {
				err := m.differs(ctx, b, o, frozen, d)
				if e := noted.wrote(ctx, o.Key); err == nil {
					err = e
				}
				return err
			})
		}
		found = nil
		return nil
	}
	err := m.compare(ctx, m.walk(m.source, b), m.walk(m.Store, b), func(o meta.Listed) error {
		if found = append(found, o); len(found) < doubtKeys {
			return nil
		}
		return copyFound()
	}, func(keys []string) error {
		if !frozen {
			return nil
		}
		return m.delete(ctx, b, keys, d)
	})
	if err == nil {
		err = copyFound()
	}
	return errors.Join(g.Wait(), err)
}

// compare walks both sides, and names what is to be copied and what is to be deleted.
func (m *migration) compare(ctx context.Context, from, to *walk, differs func(meta.Listed) error, gone func([]string) error) error {
	var more []string
	for {
		s, err := from.peek(ctx)
		if errors.IsEntity(err, errors.NotFound, errors.Bucket) {
			return nil // the bucket was deleted meanwhile
		}
		if err != nil {
			return err
		}
		t, err := to.peek(ctx)
		if err != nil {
			return err
		}
		if s == nil && t == nil || len(more) == meta.MaxDeletes {
			if len(more) > 0 {
				if err := gone(more); err != nil {
					return err
				}
				more = nil
			}
			if s == nil && t == nil {
				return nil
			}
		}
		var order int
		switch {
		case s == nil:
			order = 1
		case t == nil:
			order = -1
		default:
			order = strings.Compare(s.Key, t.Key)
		}
		switch {
		case order > 0:
			more = append(more, t.Key)
			to.next()
		case order < 0:
			err = differs(*s)
			from.next()
		default:
			if s.Timestamp == t.Timestamp && s.Size == t.Size && s.ETag == t.ETag && s.StorageClass == t.StorageClass && s.Checksum == t.Checksum {
				m.sawObject(s.Size)
			} else {
				err = differs(*s)
			}
			from.next()
			to.next()
		}
		if err != nil {
			return err
		}
	}
}

// differs copies an object that listings show differently.
func (m *migration) differs(ctx context.Context, b meta.Bucket, o meta.Listed, frozen bool, d *differences) error {
	copied, err := m.object(ctx, b, o.Key)
	if err != nil {
		return errors.Annotate(err, "copying the object %q", o.Key)
	}
	switch copied {
	case isDamaged:
		if !frozen {
			break
		}
		// What was copied before is not what clients wrote last.
		err := m.retry(ctx, func(ctx context.Context) error { _, err := m.Store.Object(ctx, b.ID, o.Key); return err })
		if err == nil {
			err = m.delete(ctx, b, []string{o.Key}, d)
		}
		if err != nil && !errors.Is(err, errors.NotFound) {
			return err
		}
	case isCopied:
		d.found(&d.objects, b, o.Key)
		d.mu.Lock()
		d.bytes += o.Size
		d.mu.Unlock()
		m.objects.Add(1)
	}
	m.sawObject(o.Size)
	return nil
}

// delete deletes keys here that are not at the standalone.
func (m *migration) delete(ctx context.Context, b meta.Bucket, keys []string, d *differences) error {
	for some := range slices.Chunk(keys, doubtKeys) {
		noted, err := m.noteDoubt(ctx, b, some, 0)
		if err != nil {
			return err
		}
		err = m.retrySteps(ctx, func() error { return m.deleteOnce(ctx, b, some) })
		for _, key := range some {
			if e := noted.wrote(ctx, key); err == nil {
				err = e
			}
			d.found(&d.deleted, b, key)
		}
		if err != nil {
			return errors.Annotate(err, "deleting in the bucket %s, as at the standalone", b.Name)
		}
		m.deleted.Add(int64(len(some)))
	}
	return nil
}

func (m *migration) deleteOnce(ctx context.Context, b meta.Bucket, keys []string) error {
	var deletes []meta.Delete
	for _, key := range keys {
		deletes = append(deletes, meta.Delete{Key: key})
	}
	return m.write(ctx, b.ID, func(ctx context.Context) error {
		results, err := m.Store.DeleteObjects(ctx, b.ID, deletes)
		for _, r := range results {
			if r.Err != nil && !errors.Is(r.Err, errors.NotFound) {
				return r.Err
			}
		}
		return err
	}, keys...)
}

// walk is the listing of a bucket, an object at a time.
type walk struct {
	m      *migration
	store  meta.Objects
	query  meta.List
	listed []meta.Listed
	ended  bool
}

func (m *migration) walk(s meta.Objects, b meta.Bucket) *walk {
	return &walk{m: m, store: s, query: meta.List{Bucket: b.ID, Limit: listPage}}
}

// peek is the next object, or nil at the end.
func (w *walk) peek(ctx context.Context) (*meta.Listed, error) {
	for len(w.listed) == 0 {
		if w.ended {
			return nil, nil
		}
		var page meta.Page
		err := w.m.retry(ctx, func(ctx context.Context) (err error) { page, err = w.store.List(ctx, w.query); return err })
		if err != nil {
			return nil, err
		}
		w.listed, w.ended, w.query.After = page.Objects, !page.More, page.Next
	}
	return &w.listed[0], nil
}

func (w *walk) next() { w.listed = w.listed[1:] }
