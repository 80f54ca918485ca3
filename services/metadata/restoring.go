package metadata

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/metadata/snapshot"
)

// markKept is how long a service serves without another look at the mark of a restore, which another service may have made.
const markKept = 2 * time.Second

// guarded is a store that answers clients, and those who ask why chunks are kept, only while its metadata is whole: not from the
// begin of a restore to its end, across crashes. The restore itself passes (asRestore).
type guarded struct {
	meta.Store
	marks  snapshot.Marks
	shared bool // several services have the store
	clock  clock.Clock

	looking chan struct{} // of one place, for who looks on behalf of all

	mu     sync.Mutex
	taken  time.Time // of the snapshot whose restore has begun, or zero, as seen last
	looked time.Time // when that look began; zero: never
}

func newGuarded(store meta.Store, marks snapshot.Marks, shared bool, c clock.Clock) *guarded {
	return &guarded{Store: store, marks: marks, shared: shared, clock: c, looking: make(chan struct{}, 1)}
}

type restoreKey struct{}

// asRestore makes a context with which calls of a guarded store pass.
func asRestore(ctx context.Context) context.Context {
	return context.WithValue(ctx, restoreKey{}, true)
}

func unwhole(taken time.Time) error {
	return errors.Newf(errors.Unavailable, "the metadata is being restored from the snapshot of %s, and is not whole: wait until that has ended or, if it was broken off, "+
		"begin it again with garage metadata restore", taken.Format(time.RFC3339))
}

// Restoring implements snapshot.Marks: it looks.
func (g *guarded) Restoring(ctx context.Context) (time.Time, error) {
	began := g.clock.Now()
	taken, err := g.marks.Restoring(ctx)
	if err != nil {
		return taken, errors.Annotate(err, "looking whether the metadata is being restored")
	}
	g.saw(taken, began)
	return taken, nil
}

// saw takes note of what a look showed that began then.
func (g *guarded) saw(taken, began time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !began.Before(g.looked) {
		g.taken, g.looked = taken, began
	}
}

// last is what was seen last, and whether it counts still.
func (g *guarded) last() (taken time.Time, fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.taken, !g.looked.IsZero() && (!g.shared || g.clock.Now().Sub(g.looked) <= markKept)
}

// SetRestoring implements snapshot.Marks. When it has returned, every service knows of a restore that begins.
func (g *guarded) SetRestoring(ctx context.Context, taken time.Time) error {
	if err := g.marks.SetRestoring(ctx, taken); err != nil {
		return err
	}
	g.saw(taken, g.clock.Now())
	if g.shared && !taken.IsZero() {
		return clock.Sleep(ctx, g.clock, markKept)
	}
	return nil
}

// whole is an error if the metadata is not whole, as seen a short time ago.
func (g *guarded) whole(ctx context.Context) error {
	if ctx.Value(restoreKey{}) != nil {
		return nil
	}
	taken, fresh := g.last()
	if !fresh {
		select {
		case g.looking <- struct{}{}:
			defer func() { <-g.looking }()
		case <-ctx.Done():
			return errors.Wrap(errors.Deadline, ctx.Err(), "waiting for a look whether the metadata is being restored")
		}
		if taken, fresh = g.last(); !fresh {
			var err error
			if taken, err = g.Restoring(ctx); err != nil {
				return err
			}
		}
	}
	if !taken.IsZero() {
		return unwhole(taken)
	}
	return nil
}

// Bucket implements meta.Buckets: each request of a client begins with it.
func (g *guarded) Bucket(ctx context.Context, name string) (meta.Bucket, error) {
	if err := g.whole(ctx); err != nil {
		return meta.Bucket{}, err
	}
	return g.Store.Bucket(ctx, name)
}

// ListBuckets implements meta.Buckets. A list of all is the operator's.
func (g *guarded) ListBuckets(ctx context.Context, r meta.ListBuckets) (meta.BucketPage, error) {
	if len(r.Grantees)+len(r.Names) > 0 {
		if err := g.whole(ctx); err != nil {
			return meta.BucketPage{}, err
		}
	}
	return g.Store.ListBuckets(ctx, r)
}

// CreateBucket implements meta.Buckets.
func (g *guarded) CreateBucket(ctx context.Context, b meta.Bucket) error {
	if err := g.whole(ctx); err != nil {
		return err
	}
	return g.Store.CreateBucket(ctx, b)
}

// DeleteBucket implements meta.Buckets.
func (g *guarded) DeleteBucket(ctx context.Context, bucket uuid.UUID) error {
	if err := g.whole(ctx); err != nil {
		return err
	}
	return g.Store.DeleteBucket(ctx, bucket)
}

// SetGrant implements meta.Buckets.
func (g *guarded) SetGrant(ctx context.Context, bucket uuid.UUID, grant meta.Grant) error {
	if err := g.whole(ctx); err != nil {
		return err
	}
	return g.Store.SetGrant(ctx, bucket, grant)
}

// Key implements meta.Keys: one that is not there may not be there yet.
func (g *guarded) Key(ctx context.Context, accessKey string) (meta.Key, error) {
	k, err := g.Store.Key(ctx, accessKey)
	if errors.Is(err, errors.NotFound) {
		if unwhole := g.whole(ctx); unwhole != nil {
			return k, unwhole
		}
	}
	return k, err
}

// Attempts implements meta.Attempts. What is unknown may be deleted, so it looks at the mark itself, before and after.
func (g *guarded) Attempts(ctx context.Context, r meta.FindAttempts) ([]meta.Attempt, error) {
	if err := g.surely(ctx); err != nil {
		return nil, err
	}
	attempts, err := g.Store.Attempts(ctx, r)
	if err == nil {
		err = g.surely(ctx)
	}
	if err != nil {
		return nil, err
	}
	return attempts, nil
}

// surely is an error if the metadata is not whole now.
func (g *guarded) surely(ctx context.Context) error {
	taken, err := g.Restoring(ctx)
	if err == nil && !taken.IsZero() {
		err = unwhole(taken)
	}
	return err
}
