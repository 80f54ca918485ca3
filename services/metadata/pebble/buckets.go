package pebble

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

func (s *Store) loadBuckets() error {
	prefix := row(tableBucket)
	return s.scan(prefix, nil, func(_, value []byte) (bool, error) {
		var p metadatav1.Bucket
		if err := unmarshal(value, &p); err != nil {
			return false, err
		}
		record, err := convert.BucketFrom(&p)
		if err != nil {
			return false, err
		}
		b := &bucket{}
		b.record.Store(&record)
		total, err := s.get(row(tableUsage, record.ID[:]))
		if err != nil {
			return false, err
		}
		if total != nil {
			u, err := parseUsage(total)
			if err != nil {
				return false, err
			}
			b.usage.add(u)
		}
		s.names[record.Name], s.buckets[record.ID] = b, b
		return true, nil
	})
}

// find is the bucket with an ID, or nil.
func (s *Store) find(id uuid.UUID) *bucket {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.buckets[id]
}

func (s *Store) named(name string) (*bucket, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if b := s.names[name]; b != nil {
		return b, nil
	}
	return nil, errors.E(errors.NotFound, errors.Bucket, name, "there is no bucket with this name")
}

func noBucket(id uuid.UUID) error {
	return errors.E(errors.NotFound, errors.Bucket, id.String(), "there is no bucket with this ID")
}

// administer starts a write that creates, changes or deletes a bucket or a key.
// Such writes are durable before they are visible: they come one after the other.
func (s *Store) administer(ctx context.Context, e effect) (*txn, error) {
	t, err := s.begin(ctx, e) // may wait, so without the lock
	if err == nil {
		s.admin.Lock()
	}
	return t, err
}

// CreateBucket implements meta.Buckets.
func (s *Store) CreateBucket(ctx context.Context, b meta.Bucket) error {
	if err := b.Check(); err != nil {
		return err
	}
	t, err := s.administer(ctx, adds)
	if err != nil {
		return err
	}
	defer s.admin.Unlock()
	if _, err := s.named(b.Name); err == nil || s.find(b.ID) != nil {
		return t.decided(errors.E(errors.AlreadyExists, errors.Bucket, b.Name, "the name is taken"))
	}
	if b.Created.IsZero() {
		b.Created = s.now()
	}
	t.put(row(tableBucket, []byte(b.Name)), convert.Bucket(b))
	if err := t.commit(); err != nil {
		return err
	}
	made := &bucket{}
	made.record.Store(&b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[b.Name], s.buckets[b.ID] = made, made
	return nil
}

// Bucket implements meta.Buckets.
func (s *Store) Bucket(ctx context.Context, name string) (meta.Bucket, error) {
	if err := s.gate.enter(ctx); err != nil {
		return meta.Bucket{}, err
	}
	defer s.gate.leave()
	b, err := s.named(name)
	if err != nil {
		return meta.Bucket{}, err
	}
	return *b.record.Load(), nil
}

// ListBuckets implements meta.Buckets.
func (s *Store) ListBuckets(ctx context.Context, r meta.ListBuckets) (meta.BucketPage, error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return meta.BucketPage{}, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return meta.BucketPage{}, err
	}
	defer s.gate.leave()
	var page meta.BucketPage
	prefix := row(tableBucket, []byte(r.Prefix))
	after := row(tableBucket, []byte(r.After), []byte{0})
	err := s.scan(prefix, after, func(key, _ []byte) (bool, error) {
		b, err := s.named(string(key[1:]))
		if err != nil || !r.Shows(*b.record.Load()) {
			return true, nil // it is being created or deleted, or not asked for
		}
		if page.More = len(page.Buckets) == r.Limit; page.More {
			return false, nil
		}
		page.Buckets = append(page.Buckets, *b.record.Load())
		return true, nil
	})
	return page, err
}

// DeleteBucket implements meta.Buckets.
func (s *Store) DeleteBucket(ctx context.Context, id uuid.UUID) error {
	t, err := s.administer(ctx, frees)
	if err != nil {
		return err
	}
	defer s.admin.Unlock()
	b := s.find(id)
	if b == nil {
		return t.decided(noBucket(id))
	}
	b.Lock()
	// The lock is held until the deletion is durable: no commit may find the bucket after it.
	defer b.Unlock()
	name := b.record.Load().Name
	empty := true
	objects := row(tableListed, id[:])
	if err := s.scan(objects, nil, func(_, _ []byte) (bool, error) { empty = false; return false, nil }); err != nil {
		return t.abandon(err)
	}
	if !empty {
		return t.decided(errors.E(errors.NotEmpty, errors.Bucket, name, "it holds objects; delete them first"))
	}
	if err := t.endUploads(id); err != nil {
		return t.abandon(err)
	}
	t.delete(row(tableBucket, []byte(name)))
	t.delete(row(tableUsage, id[:]))
	t.usage = meta.Usage{} // goes with the bucket
	if err := t.commit(); err != nil {
		return err
	}
	b.deleted = true
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
	delete(s.buckets, id)
	return nil
}

// SetGrant implements meta.Buckets.
func (s *Store) SetGrant(ctx context.Context, id uuid.UUID, g meta.Grant) error {
	if err := g.Check(); err != nil {
		return err
	}
	e := adds
	if g.Rights == 0 {
		e = frees
	}
	t, err := s.administer(ctx, e)
	if err != nil {
		return err
	}
	defer s.admin.Unlock()
	b := s.find(id)
	if b == nil {
		return t.decided(noBucket(id))
	}
	if g.Rights != 0 && identity.IsAccessKey(g.Grantee) {
		known, err := s.has(row(tableKey, []byte(g.Grantee)))
		if err != nil {
			return t.abandon(err)
		}
		if !known {
			return t.decided(noKey(g.Grantee))
		}
	}
	changed := *b.record.Load()
	changed.Grants = changed.Granted(g)
	t.put(row(tableBucket, []byte(changed.Name)), convert.Bucket(changed))
	if err := t.commit(); err != nil {
		return err
	}
	b.record.Store(&changed)
	return nil
}

// Usage implements meta.Buckets.
func (s *Store) Usage(ctx context.Context, id uuid.UUID) (meta.Usage, error) {
	if err := s.gate.enter(ctx); err != nil {
		return meta.Usage{}, err
	}
	defer s.gate.leave()
	b := s.find(id)
	if b == nil {
		return meta.Usage{}, noBucket(id)
	}
	return b.usage.load(), nil
}

func noKey(accessKey string) error {
	return errors.E(errors.NotFound, errors.AccessKey, accessKey, "there is no such access key")
}

// CreateKey implements meta.Keys.
func (s *Store) CreateKey(ctx context.Context, k meta.Key) error {
	if err := k.Check(); err != nil {
		return err
	}
	t, err := s.administer(ctx, adds)
	if err != nil {
		return err
	}
	defer s.admin.Unlock()
	at := row(tableKey, []byte(k.AccessKey))
	known, err := s.has(at)
	if err != nil {
		return t.abandon(err)
	}
	if known {
		return t.decided(errors.E(errors.AlreadyExists, errors.AccessKey, k.AccessKey, "the access key exists"))
	}
	if k.Created.IsZero() {
		k.Created = s.now()
	}
	t.put(at, convert.Key(k))
	return t.commit()
}

// Key implements meta.Keys.
func (s *Store) Key(ctx context.Context, accessKey string) (meta.Key, error) {
	if err := s.gate.enter(ctx); err != nil {
		return meta.Key{}, err
	}
	defer s.gate.leave()
	var p metadatav1.Key
	found, err := s.read(row(tableKey, []byte(accessKey)), &p)
	if err != nil {
		return meta.Key{}, err
	}
	if !found {
		return meta.Key{}, noKey(accessKey)
	}
	return convert.KeyFrom(&p)
}

// ListKeys implements meta.Keys.
func (s *Store) ListKeys(ctx context.Context, after string, limit int) (meta.KeyPage, error) {
	if err := meta.CheckLimit(limit); err != nil {
		return meta.KeyPage{}, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return meta.KeyPage{}, err
	}
	defer s.gate.leave()
	var page meta.KeyPage
	err := s.scan(row(tableKey), row(tableKey, []byte(after), []byte{0}), func(_, value []byte) (bool, error) {
		if page.More = len(page.Keys) == limit; page.More {
			return false, nil
		}
		var p metadatav1.Key
		if err := unmarshal(value, &p); err != nil {
			return false, err
		}
		k, err := convert.KeyFrom(&p)
		page.Keys = append(page.Keys, k)
		return true, err
	})
	return page, err
}

// DeleteKey implements meta.Keys.
func (s *Store) DeleteKey(ctx context.Context, accessKey string) error {
	t, err := s.administer(ctx, frees)
	if err != nil {
		return err
	}
	defer s.admin.Unlock()
	at := row(tableKey, []byte(accessKey))
	known, err := s.has(at)
	if err != nil {
		return t.abandon(err)
	}
	if !known {
		return t.decided(noKey(accessKey))
	}
	t.delete(at)
	changed := make(map[*bucket]*meta.Bucket)
	s.mu.RLock()
	for _, b := range s.buckets {
		record := *b.record.Load()
		if record.Rights(accessKey) == 0 {
			continue
		}
		record.Grants = record.Granted(meta.Grant{Grantee: accessKey})
		t.put(row(tableBucket, []byte(record.Name)), convert.Bucket(record))
		changed[b] = &record
	}
	s.mu.RUnlock()
	if err := t.commit(); err != nil {
		return err
	}
	for b, record := range changed {
		b.record.Store(record)
	}
	return nil
}
