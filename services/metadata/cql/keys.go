package cql

import (
	"context"
	"slices"
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	makeKey = `INSERT INTO keys (access_key, secret, name, create_buckets, created) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS`
	readKey = `SELECT secret, name, create_buckets, created FROM keys WHERE access_key = ?`
	allKeys = `SELECT access_key, secret, name, create_buckets, created FROM keys`
	dropKey = `DELETE FROM keys WHERE access_key = ? IF EXISTS`
)

func noKey(accessKey string) error {
	return errors.E(errors.NotFound, errors.AccessKey, accessKey, "there is no such access key")
}

// CreateKey implements meta.Keys.
func (s *Store) CreateKey(ctx context.Context, k meta.Key) error {
	if err := k.Check(); err != nil {
		return err
	}
	if k.Created.IsZero() {
		k.Created = s.now()
	}
	made, there, err := s.cas(ctx, makeKey, k.AccessKey, k.Secret, k.Name, k.CreateBuckets, at(k.Created))
	if err != nil && there["secret"] == k.Secret && k.Secret != "" {
		made, err = true, nil
	}
	if err == nil && !made {
		err = errors.E(errors.AlreadyExists, errors.AccessKey, k.AccessKey, "the access key exists")
	}
	return err
}

// Key implements meta.Keys.
func (s *Store) Key(ctx context.Context, accessKey string) (meta.Key, error) {
	k := meta.Key{AccessKey: accessKey}
	var created int64
	if accessKey == "" {
		return meta.Key{}, noKey(accessKey) // no row has an empty key
	}
	found, err := s.one(ctx, []any{&k.Secret, &k.Name, &k.CreateBuckets, &created}, readKey, accessKey)
	if err != nil {
		return meta.Key{}, err
	}
	if !found {
		return meta.Key{}, noKey(accessKey)
	}
	k.Created = timeAt(created)
	return k, nil
}

// ListKeys implements meta.Keys. Keys are few, so that all are read and sorted.
func (s *Store) ListKeys(ctx context.Context, after string, limit int) (meta.KeyPage, error) {
	if err := meta.CheckLimit(limit); err != nil {
		return meta.KeyPage{}, err
	}
	var all []meta.Key
	err := s.each(ctx, bucketPage, func(scan func(...any) error) (bool, error) {
		var k meta.Key
		var created int64
		if err := scan(&k.AccessKey, &k.Secret, &k.Name, &k.CreateBuckets, &created); err != nil {
			return false, err
		}
		k.Created = timeAt(created)
		if k.AccessKey > after {
			all = append(all, k)
		}
		return true, nil
	}, allKeys)
	if err != nil {
		return meta.KeyPage{}, err
	}
	slices.SortFunc(all, func(a, b meta.Key) int { return strings.Compare(a.AccessKey, b.AccessKey) })
	if len(all) <= limit {
		return meta.KeyPage{Keys: all}, nil
	}
	return meta.KeyPage{Keys: all[:limit], More: true}, nil
}

// DeleteKey implements meta.Keys. Grants go before the key, so that a deletion that
// crashed is repeated, and after it, for one that was given meanwhile.
func (s *Store) DeleteKey(ctx context.Context, accessKey string) error {
	if _, err := s.Key(ctx, accessKey); err != nil {
		return err
	}
	all, err := s.everyBucket(ctx)
	if err != nil {
		return err
	}
	if err := s.revoke(ctx, all, accessKey); err != nil {
		return err
	}
	gone, there, err := s.cas(ctx, dropKey, accessKey)
	if err != nil && there != nil {
		gone, err = true, nil // by this, or by another that deletes it: the same to both
	}
	if err != nil {
		return err
	}
	if !gone {
		return noKey(accessKey)
	}
	if all, err = s.everyBucket(ctx); err != nil {
		return err
	}
	return s.revoke(ctx, all, accessKey)
}

// revoke takes a key's rights away on those of the buckets where it has any.
func (s *Store) revoke(ctx context.Context, all []meta.Bucket, accessKey string) error {
	for _, b := range all {
		if b.Rights(accessKey) == 0 {
			continue
		}
		if err := s.grant(ctx, b.Name, b.ID, meta.Grant{Grantee: accessKey}); err != nil && !errors.Is(err, errors.NotFound) {
			return err
		}
	}
	return nil
}
