package cql

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	startDelete = `UPDATE bucket_ids SET state = ?, deleter = ?, since = ? WHERE id = ? IF state = ?`
	takeDelete  = `UPDATE bucket_ids SET deleter = ?, since = ? WHERE id = ? IF state = ? AND deleter = ?`
	endDelete   = `UPDATE bucket_ids SET state = ?, since = ? WHERE id = ? IF state = ? AND deleter = ?`
	readName    = `SELECT name FROM bucket_ids WHERE id = ?`
	readDelete  = `SELECT state, deleter, since FROM bucket_ids WHERE id = ?`
	shardKinds  = `SELECT key, kind FROM objects WHERE bucket_id = ? AND shard = ?`
)

// DeleteBucket implements meta.Buckets. The state says deleting first; when every
// lease on the bucket has ended, each commit either left its row where this finds it, or
// will ask for the state before it is acknowledged. Then this looks, and decides
// by a transaction on its own name as deleter, so that one that was thought
// dead changes nothing. The name goes last; whoever finds it with an ID that is deleted removes it.
func (s *Store) DeleteBucket(ctx context.Context, id uuid.UUID) error {
	me, err := s.newID()
	if err != nil {
		return err
	}
	for {
		b, err := s.awaitLive(ctx, id)
		if errors.Is(err, errors.NotFound) {
			return s.deletedBefore(ctx, id, err)
		}
		if err != nil {
			return err
		}
		empty, err := s.empty(ctx, b)
		if err != nil {
			return err
		}
		if !empty {
			return notEmpty(b.name)
		}
		s.buckets.forget(b.id)
		// Begun by this or by another call: only one of them decides it.
		started, err := s.casTo(ctx, stateDeleting, startDelete, stateDeleting, me, at(time.Now()), b.id, stateLive)
		if err != nil {
			return err
		}
		if !started {
			continue
		}
		return s.decideDeletion(ctx, b, me)
	}
}

// deletedBefore frees the name of a bucket that is deleted, should a crash have left it, and answers that there is no such bucket.
func (s *Store) deletedBefore(ctx context.Context, id uuid.UUID, noBucket error) error {
	var name string
	found, err := s.one(ctx, []any{&name}, readName, id)
	if err != nil {
		return err
	}
	if found {
		if err := s.dropName(ctx, name, id); err != nil {
			return err
		}
	}
	return noBucket
}

func notEmpty(name string) error {
	return errors.E(errors.NotEmpty, errors.Bucket, name, "it holds objects; delete them first")
}

// decideDeletion waits, looks and decides. If it fails, another who meets the bucket takes over.
func (s *Store) decideDeletion(ctx context.Context, b liveBucket, me uuid.UUID) error {
	if err := clock.Sleep(ctx, clock.System{}, s.leaseMargin()); err != nil {
		return errors.Wrap(errors.KindOf(err), err, "waiting for the writers into the bucket %s", b.name)
	}
	empty, err := s.empty(ctx, b)
	if err != nil {
		return err
	}
	state := stateLive
	if empty {
		state = stateDeleted
	}
	// Who took it over meanwhile may have found the same.
	mine, err := s.casTo(ctx, state, endDelete, state, at(time.Now()), b.id, stateDeleting, me)
	if err != nil {
		return err
	}
	s.buckets.forget(b.id)
	switch {
	case !mine:
		return errors.E(errors.Unavailable, errors.Bucket, b.name, "another service took the deletion over; try again")
	case !empty:
		return notEmpty(b.name)
	}
	s.garbage()
	return s.dropName(ctx, b.name, b.id)
}

// dropName frees the name of a bucket that is deleted.
func (s *Store) dropName(ctx context.Context, name string, id uuid.UUID) error {
	_, there, err := s.cas(ctx, dropBucket, name, id)
	if there != nil {
		err = nil // another try did it, or it has the name no more
	}
	return err
}

// abandonedAfter is how long a deletion may take until another takes it over, beyond the lease.
const abandonedAfter = 10 * time.Second

// resolveDeletion takes over the deletion of a bucket whose deleter seems to have crashed.
func (s *Store) resolveDeletion(ctx context.Context, b liveBucket) error {
	var state int
	var deleter uuid.UUID
	var since int64
	if _, err := s.one(ctx, []any{&state, &deleter, &since}, readDelete, b.id); err != nil {
		return err
	}
	if state != stateDeleting || time.Since(timeAt(since)) < abandonedAfter+s.leaseMargin() {
		return nil
	}
	me, err := s.newID()
	if err != nil {
		return err
	}
	mine, _, err := s.cas(ctx, takeDelete, me, at(time.Now()), b.id, stateDeleting, deleter)
	if err != nil || !mine {
		return err
	}
	if err := s.decideDeletion(ctx, b, me); !errors.Is(err, errors.NotEmpty) {
		return err
	}
	return nil
}

// empty looks through all shards for an object. Rows whose commit is under way count.
func (s *Store) empty(ctx context.Context, b liveBucket) (bool, error) {
	var found atomic.Bool
	err := inParallel(ctx, b.shards, wide, func(ctx context.Context, shard int) error {
		var last string
		return s.each(ctx, bucketPage, func(scan func(...any) error) (bool, error) {
			var key []byte
			var kind int
			if err := scan(&key, &kind); err != nil {
				return false, err
			}
			// The newest row of a key comes first.
			if string(key) != last {
				if last = string(key); kind == kindObject {
					found.Store(true)
				}
			}
			return !found.Load(), nil
		}, shardKinds, b.id, shard)
	})
	return !found.Load(), err
}
