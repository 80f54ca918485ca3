package cql

import (
	"context"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	firstBucket  = `SELECT id, name, shards, state, since FROM bucket_ids LIMIT 1`
	nextBucket   = `SELECT id, name, shards, state, since FROM bucket_ids WHERE token(id) > token(?) LIMIT 1`
	thisBucket   = `SELECT id, name, shards, state, since FROM bucket_ids WHERE id = ?`
	forgetBucket = `DELETE FROM bucket_ids WHERE id = ? IF state = ?`
	forgetUsage  = `DELETE FROM usage USING TIMESTAMP ? WHERE bucket_id = ?`
	anyObject    = `SELECT key FROM objects WHERE bucket_id = ? AND shard = ? LIMIT 1`
	anyUpload    = `SELECT key FROM uploads WHERE bucket_id = ? AND shard = ? LIMIT 1`
	anySingle    = `SELECT key FROM singles WHERE bucket_id = ? AND shard = ? LIMIT 1`
)

const (
	walkPage      = 1000 // rows read at a time
	walkRows      = 2000 // rows after which a page of garbage ends, full or not
	sweptAtOnce   = 8    // entries dropped at the same time
	settledAtOnce = 64   // single uploads that end in a page: they wait for one lease
)

// walk looks for garbage from a place on. There is no list of garbage: what is below the newest version of a
// key is garbage, and what belongs to an upload that has ended otherwise than
// by an object. So a walk reads all keys, versions and uploads, but no more than their keys and states.
type walk struct {
	s      *Store
	r      meta.ListGarbage
	at     cursor
	bucket walkedBucket
	filled map[phase][]bool // shards that hold something; nil: each may
	page   []meta.Garbage
	rows   int
}

type walkedBucket struct {
	id     uuid.UUID
	name   string
	shards int
	state  int
	since  int64
}

func (b walkedBucket) deleted() bool { return b.state == stateDeleted }

// ListGarbage implements meta.Garbages. What it lists was read at a quorum, whose reads repair what
// they read: it is as durable as what was acknowledged. Before should lie at least as far back as clocks differ and
// writes take: see doc.go.
func (s *Store) ListGarbage(ctx context.Context, r meta.ListGarbage) (_ []meta.Garbage, _ []byte, err error) {
	if err := meta.CheckLimit(r.Limit); err != nil {
		return nil, nil, err
	}
	at, err := parseCursor(r.Cursor)
	if err != nil {
		return nil, nil, err
	}
	w := &walk{s: s, r: r, at: at}
	if more, err := w.enter(ctx, at.bucket == uuid.Nil); err != nil || !more {
		return nil, nil, err
	}
	for len(w.page) < r.Limit && w.rows < walkRows {
		more, err := w.step(ctx)
		if err != nil {
			return nil, nil, err
		}
		if !more {
			return w.page, nil, nil
		}
	}
	return w.page, w.at.encode(), nil
}

// due says whether what happened then is long enough ago.
func (w *walk) due(us int64) bool { return w.r.Before.IsZero() || timeAt(us).Before(w.r.Before) }

// past is due where time must really have passed, because something could come late.
func (w *walk) past(us int64) bool { return !w.r.Before.IsZero() && w.due(us) }

func (w *walk) idle(us int64) bool {
	return !w.r.IdleBefore.IsZero() && timeAt(us).Before(w.r.IdleBefore)
}

// enter begins with the bucket of the cursor, the first, or, if it is not there any more, the next; false: there is none.
func (w *walk) enter(ctx context.Context, first bool) (bool, error) {
	var found bool
	var err error
	if first {
		found, err = w.load(ctx, firstBucket)
	} else if found, err = w.load(ctx, thisBucket, w.at.bucket); err == nil && !found {
		return w.next(ctx)
	}
	if err != nil || !found {
		return false, err
	}
	if w.at.bucket = w.bucket.id; w.at.shard >= w.bucket.shards {
		w.at.shard = 0
	}
	if w.at != (cursor{bucket: w.bucket.id}) {
		return true, nil // in the middle of a bucket, a look would read over all that earlier pages have removed
	}
	return true, w.look(ctx)
}

func (w *walk) next(ctx context.Context) (bool, error) {
	found, err := w.load(ctx, nextBucket, w.at.bucket)
	if err != nil || !found {
		return false, err
	}
	w.at = cursor{bucket: w.bucket.id}
	return true, w.look(ctx)
}

func (w *walk) load(ctx context.Context, cql string, args ...any) (bool, error) {
	w.bucket = walkedBucket{}
	return w.s.one(ctx, []any{&w.bucket.id, &w.bucket.name, &w.bucket.shards, &w.bucket.state, &w.bucket.since}, cql, args...)
}

// look finds the shards that hold something, so that a walk over many small buckets is fast.
func (w *walk) look(ctx context.Context) error {
	queries := [walkPhases]string{walkObjects: anyObject, walkUploads: anyUpload, walkSingles: anySingle}
	w.filled = make(map[phase][]bool)
	for p := range walkPhases {
		w.filled[p] = make([]bool, w.bucket.shards)
	}
	return inParallel(ctx, int(walkPhases)*w.bucket.shards, wide, func(ctx context.Context, i int) error {
		p, shard := phase(i/w.bucket.shards), i%w.bucket.shards
		var key []byte
		found, err := w.s.one(ctx, []any{&key}, queries[p], w.bucket.id, shard)
		w.filled[p][shard] = found
		return err
	})
}

// step reads one page of a shard, and goes on to the next shard at its end; false: the walk is over.
func (w *walk) step(ctx context.Context) (bool, error) {
	if w.at.phase == walkPhases {
		if err := w.leave(ctx); err != nil {
			return false, err
		}
		return w.next(ctx)
	}
	over := true
	var err error
	if w.filled == nil || w.filled[w.at.phase][w.at.shard] {
		w.at.found = true
		switch w.at.phase {
		case walkObjects:
			over, err = w.objects(ctx)
		case walkUploads:
			over, err = w.uploads(ctx)
		case walkSingles:
			over, err = w.singles(ctx)
		}
	}
	if err != nil || !over {
		return true, err
	}
	w.at.key, w.at.upload = "", uuid.Nil
	if w.at.shard++; w.at.shard == w.bucket.shards {
		w.at.shard = 0
		w.at.phase++
	}
	return true, nil
}

// leave forgets a bucket that was deleted and holds nothing any more.
func (w *walk) leave(ctx context.Context) error {
	if !w.bucket.deleted() || w.at.found || !w.past(w.bucket.since) {
		return nil
	}
	if err := w.s.dropName(ctx, w.bucket.name, w.bucket.id); err != nil {
		return err
	}
	if err := w.s.exec(ctx, forgetUsage, w.s.ahead(dropAhead), w.bucket.id); err != nil {
		return err
	}
	_, _, err := w.s.cas(ctx, forgetBucket, w.bucket.id, stateDeleted)
	return err
}

// place is where a key of the shard at hand is.
func (w *walk) place(key string) place { return place{w.bucket.id, w.at.shard, key} }

// add lists an entry.
func (w *walk) add(id garbageID, attempts []uuid.UUID) {
	w.page = append(w.page, meta.Garbage{ID: id.encode(), Bucket: w.bucket.id, Key: id.at.key, Attempts: attempts})
}

func (w *walk) full() bool { return len(w.page) >= w.r.Limit }

// DropGarbage implements meta.Garbages.
func (s *Store) DropGarbage(ctx context.Context, ids ...[]byte) (err error) {
	entries := make([]garbageID, len(ids))
	for i, id := range ids {
		if entries[i], err = parseGarbageID(id); err != nil {
			return err
		}
	}
	return inParallel(ctx, len(entries), sweptAtOnce, func(ctx context.Context, i int) error {
		switch g := entries[i]; g.kind {
		case garbageVersions:
			return s.dropVersions(ctx, g)
		case garbageSingle:
			return s.dropSingleUpload(ctx, g)
		case garbageMultipart:
			return s.dropMultipart(ctx, g)
		default:
			return s.dropReplaced(ctx, g)
		}
	})
}

// dropAttempts removes the chunk rows of attempts, those too that come late.
func (s *Store) dropAttempts(ctx context.Context, attempts []uuid.UUID) error {
	return inParallel(ctx, len(attempts), wide, func(ctx context.Context, i int) error {
		return s.exec(ctx, dropChunks, attempts[i][:])
	})
}

// keptAborted is how long the row of an aborted upload stays after its chunks are
// gone: an insert of its commit that comes late is recognized by it, and hides nothing for good.
const keptAborted = 24 * time.Hour

// Lease takes, or keeps, a lease of that name for a time; false: another service has it. Nothing
// depends on it but that work is not done twice.
func (s *Store) Lease(ctx context.Context, name string, d time.Duration) (bool, error) {
	me := s.config.Writer
	until := at(time.Now().Add(d))
	mine, _, err := s.cas(ctx, renewLease, until, name, me)
	if err != nil || mine {
		return mine, err
	}
	mine, there, err := s.cas(ctx, makeLease, name, me, until)
	if err != nil || mine {
		return mine, err
	}
	ends, _ := there["until"].(int64)
	if time.Now().Before(timeAt(ends)) {
		return false, nil
	}
	mine, _, err = s.cas(ctx, takeLease, me, until, name, ends)
	return mine, err
}

const (
	renewLease = `UPDATE leases SET until = ? WHERE name = ? IF holder = ?`
	makeLease  = `INSERT INTO leases (name, holder, until) VALUES (?, ?, ?) IF NOT EXISTS`
	takeLease  = `UPDATE leases SET holder = ?, until = ? WHERE name = ? IF until = ?`
)

// sinceOf is when a version came about.
func sinceOf(ts clock.Timestamp) int64 { return int64(ts) }
