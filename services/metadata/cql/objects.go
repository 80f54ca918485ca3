package cql

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const readObject = `SELECT version_ts, version_id, kind, object, inline FROM objects WHERE bucket_id = ? AND shard = ? AND key = ? LIMIT 1`

func noObject(key string) error {
	return errors.E(errors.NotFound, errors.Object, key, "there is no such object")
}

// Object implements meta.Objects.
func (s *Store) Object(ctx context.Context, bucket uuid.UUID, key string) (meta.Object, error) {
	b, err := s.shards(ctx, bucket)
	if errors.Is(err, errors.NotFound) || key == "" {
		return meta.Object{}, noObject(key)
	}
	if err != nil {
		return meta.Object{}, err
	}
	var ts int64
	var id, object, inline []byte
	var kind int
	found, err := s.one(ctx, []any{&ts, &id, &kind, &object, &inline}, readObject, b.place(key).values()...)
	if err != nil {
		return meta.Object{}, err
	}
	if !found || kind != kindObject {
		return meta.Object{}, noObject(key)
	}
	return objectOf(key, meta.Version{Timestamp: clock.Timestamp(ts), ID: idOf(id)}, object, inline)
}

// lockKey orders the writers of a key in this service; the function ends it.
func (s *Store) lockKey(ctx context.Context, p place) (func(), error) {
	return s.keys.lock(ctx, append(p.bucket[:], p.key...))
}

// PutObject implements meta.Objects.
func (s *Store) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	if err := p.Check(); err != nil {
		return meta.Version{}, err
	}
	b, err := s.shards(ctx, p.Bucket)
	if err != nil {
		return meta.Version{}, err
	}
	r, err := rowOf(p.Object(), p.Upload, p.Chunks)
	if err != nil {
		return meta.Version{}, err
	}
	r.written = p.Written
	unlock, err := s.lockKey(ctx, b.place(p.Key))
	if err != nil {
		return meta.Version{}, err
	}
	defer unlock()
	ctx, cancel := whole(ctx)
	defer cancel()
	if v, err := s.happened(ctx, b, p.Key, p.Commit, p.Condition); err != nil || v.ID != uuid.Nil {
		return v, err
	}
	if !p.Condition.Unconditional() {
		return s.putConditional(ctx, b, p, r)
	}
	if p.Upload != uuid.Nil {
		return s.putUpload(ctx, b, p, r)
	}
	_, err = s.commit(ctx, b, p.Key, r, nil, nil)
	return r.version, err
}

// DeleteObjects implements meta.Objects. Keys are independent of each other; a key
// named twice is deleted in the order of the request.
func (s *Store) DeleteObjects(ctx context.Context, bucket uuid.UUID, deletes []meta.Delete) ([]meta.DeleteResult, error) {
	if err := meta.CheckDeletes(deletes); err != nil {
		return nil, err
	}
	b, err := s.live(ctx, bucket)
	if err != nil {
		return nil, err
	}
	var keys []string
	of := make(map[string][]int, len(deletes))
	for i, d := range deletes {
		if of[d.Key] == nil {
			keys = append(keys, d.Key)
		}
		of[d.Key] = append(of[d.Key], i)
	}
	results := make([]meta.DeleteResult, len(deletes))
	err = inParallel(ctx, len(keys), wide, func(ctx context.Context, k int) error {
		for _, i := range of[keys[k]] {
			existed, err := s.deleteKey(ctx, b, deletes[i])
			switch errors.KindOf(err) {
			case errors.NotFound, errors.PreconditionFailed, errors.Conflict:
				if errors.EntityOf(err) == errors.Bucket {
					return err
				}
			default:
				if err != nil {
					return err
				}
			}
			results[i] = meta.DeleteResult{Existed: existed, Err: err}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// deleteKey reads the newest version and, if there is an object, commits a marker above it.
func (s *Store) deleteKey(ctx context.Context, b liveBucket, d meta.Delete) (bool, error) {
	p := b.place(d.Key)
	unlock, err := s.lockKey(ctx, p)
	if err != nil {
		return false, err
	}
	defer unlock()
	if v, err := s.happened(ctx, b, d.Key, d.Commit, d.Condition); err != nil || v.ID != uuid.Nil {
		return v.ID != uuid.Nil, err
	}
	if !d.Condition.Unconditional() {
		return s.deleteConditional(ctx, b, d)
	}
	heads, err := s.heads(ctx, p, 1)
	if err != nil {
		return false, err
	}
	newest := below(heads, meta.Version{})
	if !newest.exists() {
		return false, nil
	}
	r := markerRow(d.Commit)
	r.version.Timestamp = newest.Timestamp
	under, err := s.commit(ctx, b, d.Key, r, nil, nil)
	return under.exists(), err
}
