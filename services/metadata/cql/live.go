package cql

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// liveBucket is what a read of a bucket's state showed.
type liveBucket struct {
	id     uuid.UUID
	name   string
	shards int
	state  int
	seen   time.Time // when the read began, on the machine's clock
}

// place is where the rows of a key of the bucket are.
func (b liveBucket) place(key string) place { return place{b.id, shardOf(key, b.shards), key} }

// bucketCache keeps, of each bucket, the last read of its state. How many shards it has never changes.
type bucketCache struct {
	mu   sync.Mutex
	seen map[uuid.UUID]liveBucket
}

// maxCached bounds the buckets that are remembered; beyond, the cache begins anew.
const maxCached = 100_000

func (c *bucketCache) get(id uuid.UUID) (liveBucket, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.seen[id]
	return b, ok
}

func (c *bucketCache) put(b liveBucket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil || len(c.seen) >= maxCached {
		c.seen = make(map[uuid.UUID]liveBucket)
	}
	if old, ok := c.seen[b.id]; !ok || old.seen.Before(b.seen) {
		c.seen[b.id] = b
	}
}

func (c *bucketCache) forget(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, id)
}

const readState = `SELECT name, shards, state, since FROM bucket_ids WHERE id = ?`

// bucket reads a bucket's state. It answers one that is live or being looked at for
// deletion. Kinds: NotFound (Bucket).
func (s *Store) bucket(ctx context.Context, id uuid.UUID) (liveBucket, error) {
	b := liveBucket{id: id, seen: monotonic()}
	var since *int64
	found, err := s.one(ctx, []any{&b.name, &b.shards, &b.state, &since}, readState, id)
	switch {
	case err != nil:
		return liveBucket{}, err
	case !found || b.state == stateDeleted:
		s.buckets.forget(id)
		return liveBucket{}, noBucket(id)
	case b.state == stateCreating:
		return s.created(ctx, b)
	case b.state == stateDeleting:
		s.buckets.forget(id)
		return b, nil
	}
	s.buckets.put(b)
	return b, nil
}

// live is a bucket that was seen live less than a lease ago, or a moment ago by reading it. A
// deletion that is looking at the bucket is waited for. A commit that began with what
// this answers is acknowledged if stillLive says so after its row is durable. Kinds: NotFound (Bucket).
func (s *Store) live(ctx context.Context, id uuid.UUID) (liveBucket, error) {
	if b, ok := s.buckets.get(id); ok && s.leased(b.seen) {
		return b, nil
	}
	return s.awaitLive(ctx, id)
}

// leased says whether what was seen by a read that began then still holds.
func (s *Store) leased(seen time.Time) bool { return monotonic().Sub(seen) < s.config.Lease }

// stillLive is asked after a row was made durable in a bucket that live answered: nil if the row
// counts, NotFound (Bucket) if it must be taken back. Whoever deletes the bucket
// sees the row otherwise: it waits until every lease has ended before it looks.
func (s *Store) stillLive(ctx context.Context, b liveBucket) error {
	if s.leased(b.seen) {
		return nil
	}
	_, err := s.awaitLive(ctx, b.id)
	return err
}

func (s *Store) awaitLive(ctx context.Context, id uuid.UUID) (liveBucket, error) {
	for {
		b, err := s.bucket(ctx, id)
		if err != nil || b.state == stateLive {
			return b, err
		}
		if err := s.resolveDeletion(ctx, b); err != nil {
			return liveBucket{}, err
		}
		if err := clock.Sleep(ctx, clock.System{}, s.config.Lease/10); err != nil {
			return liveBucket{}, errors.Wrap(errors.KindOf(err), err, "waiting for a deletion of the bucket %s that looks whether it is empty", b.name)
		}
	}
}

// shards is a bucket whose shards are known, without asking whether it is still there: for reads of keys, of
// which a deleted bucket has none. Kinds: NotFound (Bucket).
func (s *Store) shards(ctx context.Context, id uuid.UUID) (liveBucket, error) {
	if b, ok := s.buckets.get(id); ok {
		return b, nil
	}
	return s.bucket(ctx, id)
}

func noBucket(id uuid.UUID) error {
	return errors.E(errors.NotFound, errors.Bucket, id.String(), "there is no bucket with this ID")
}
