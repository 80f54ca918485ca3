package pebble

import (
	"context"
	"log/slog"
	"sync"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// effect is what a write does with the room on the disk.
type effect int

const (
	adds  effect = iota // refused within the reserve
	frees               // served within the reserve, nearly to its end
)

const (
	// measureEvery is the least time between two looks at the disk.
	measureEvery = time.Second
	// retryAfter is how long the database waits before it tries again what failed.
	retryAfter = time.Second
	// failureHolds is how long a failure counts that is not reported again: more than
	// retryAfter, so that one that lasts is not forgotten between two attempts.
	failureHolds = 5 * time.Second
	// patience is how long a write waits for the disk to keep up.
	patience = 10 * time.Second
	// fullTables is how many full tables in memory make writes wait.
	fullTables = 2
	// manySublevels of files not yet merged make writes wait.
	manySublevels = 20
)

// room knows whether the disk can take a write, and says so before the write
// begins: one that Pebble has begun could not be given up, and would wait as
// long as the disk is full. So Pebble's own limits are out of reach, and writes wait here.
type room struct {
	fs      vfs.FS
	dir     string
	reserve int64 // with less room only writes that free some are served
	floor   int64 // with less room none is: what is in memory must still find a place
	memory  int64 // bytes of one table in memory
	clock   clock.Clock
	log     *slog.Logger
	stop    chan struct{} // closed when the store is being closed

	mu       sync.Mutex
	changed  chan struct{} // closed, and made anew, when a waiting write should look again
	failure  error         // of the last flush or compaction
	failed   time.Time     // when, by the machine's clock, as are Pebble's attempts
	measured time.Time
	free     int64 // bytes
	problem  error // of measuring
	unmerged int64 // sublevels of files not yet merged
	scarce   bool  // it was logged that free is less than reserve

	// Bytes of batches, counted since the store was opened: all; those that were in full tables
	// when the last one became full, when the last flush began, and when the last one succeeded.
	applied, full, flushing, flushed int64
}

func newRoom(c Config, o *cockroach.Options, log *slog.Logger) *room {
	memory := int64(o.MemTableSize)
	return &room{
		fs: o.FS, dir: c.Dir, reserve: c.Reserve, floor: min(4*memory, c.Reserve/2), memory: memory,
		clock: c.Clock, log: log, stop: make(chan struct{}), changed: make(chan struct{}),
	}
}

// listener lets the room hear of what the database does. Pebble holds its lock while it calls.
func (r *room) listener() *cockroach.EventListener {
	return &cockroach.EventListener{
		BackgroundError: r.backgroundError,
		WALCreated:      func(cockroach.WALCreateInfo) { r.mu.Lock(); r.full = r.applied; r.mu.Unlock() },
		FlushBegin:      func(cockroach.FlushInfo) { r.mu.Lock(); r.flushing = r.full; r.mu.Unlock() },
		FlushEnd:        r.flushEnd,
	}
}

// backgroundError hears of failed flushes and compactions. Pebble tries again as
// soon as it returns, so it waits: else a full disk would cost a processor.
func (r *room) backgroundError(err error) {
	problem := errors.Wrap(errors.Unavailable, err, "the metadata takes no writes, because the database could not write its files in %s; it tries again: check the disk", r.dir)
	if vfs.IsNoSpaceError(err) {
		problem = errors.Wrap(errors.Full, err, "the metadata takes no writes, because no space is left in %s; it tries again: make room on the disk", r.dir)
	}
	r.mu.Lock()
	if r.failure == nil {
		r.log.Error("THE METADATA TAKES NO WRITES until the database can write its files again", "folder", r.dir, "error", err)
	}
	r.failure, r.failed = problem, time.Now()
	r.wake()
	r.mu.Unlock()
	select {
	case <-time.After(retryAfter):
	case <-r.stop:
	}
}

func (r *room) flushEnd(info cockroach.FlushInfo) {
	if info.Err != nil {
		return // backgroundError follows
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushed = r.flushing
	r.recovered()
	r.wake()
}

// recovered forgets the failure. The caller holds mu, as for wake.
func (r *room) recovered() {
	if r.failure != nil {
		r.failure = nil
		r.log.Info("the metadata takes writes again")
	}
}

func (r *room) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// writing counts the bytes of a batch that is about to be applied.
func (r *room) writing(b *cockroach.Batch) {
	if b.Count() == 0 {
		return // it goes only to the log
	}
	r.mu.Lock()
	r.applied += int64(b.Len())
	r.mu.Unlock()
}

// judge says why a write is refused, or what it must wait for, or neither if it may begin.
func (r *room) judge(e effect) (wait <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.failed) > failureHolds {
		r.recovered()
	}
	switch {
	case r.failure != nil:
		return nil, r.failure
	case r.problem != nil:
		return nil, r.problem
	case r.free < r.floor:
		return nil, errors.E(errors.Full, errors.Folder, r.dir, "the disk of the metadata is full: %d bytes are free; make room on the disk", r.free)
	case e == adds && r.free < r.reserve:
		return nil, errors.E(errors.Full, errors.Folder, r.dir, "the disk of the metadata is nearly full: %d bytes are free, %d are kept in reserve; delete objects or make room on the disk", r.free, r.reserve)
	case r.applied-r.flushed > fullTables*r.memory || r.unmerged >= manySublevels:
		return r.changed, nil
	}
	return nil, nil
}

// admit lets a write begin, after a while if the disk does not keep up. Kinds:
// Full; Unavailable; Overloaded if the disk does not catch up.
func (s *Store) admit(ctx context.Context, e effect) error {
	r := s.room
	s.measure()
	wait, err := r.judge(e)
	if wait == nil {
		return err
	}
	limit, again := time.NewTimer(patience), time.NewTicker(measureEvery)
	defer limit.Stop()
	defer again.Stop()
	for wait != nil {
		select {
		case <-wait:
		case <-again.C:
		case <-limit.C:
			return errors.E(errors.Overloaded, errors.Folder, r.dir, "the disk of the metadata does not keep up with the writes; try again later")
		case <-ctx.Done():
			return ctx.Err()
		case <-r.stop:
			return closed()
		}
		s.measure()
		wait, err = r.judge(e)
	}
	return err
}

// measure looks at the disk, if the last look is long enough ago. It does not hold the room's lock
// while it calls the database, whose events take that lock.
func (s *Store) measure() {
	r := s.room
	now := r.clock.Now()
	r.mu.Lock()
	first, since := r.measured.IsZero(), now.Sub(r.measured)
	if !first && (r.failure != nil || since >= 0 && since < measureEvery) {
		r.mu.Unlock()
		return
	}
	if !first {
		r.measured = now // the others go on with the last figures meanwhile
	}
	r.mu.Unlock()

	usage, err := r.fs.GetDiskUsage(r.dir)
	if errors.IsTarget(err, vfs.ErrUnsupported) {
		usage, err = vfs.DiskUsage{AvailBytes: 1 << 50}, nil
	}
	unmerged := int64(s.db.Metrics().Levels[0].Sublevels)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.measured, r.unmerged = now, unmerged
	r.problem = errors.Wrap(errors.Unavailable, err, "measuring the room in %s, for the metadata", r.dir)
	if err != nil {
		return
	}
	r.free = int64(min(usage.AvailBytes, 1<<62))
	if scarce := r.free < r.reserve; scarce != r.scarce {
		r.scarce = scarce
		if scarce {
			r.log.Error("THE DISK OF THE METADATA IS NEARLY FULL and takes no new objects: make room, or delete objects", "folder", r.dir, "free", r.free, "reserve", r.reserve)
		} else {
			r.log.Info("the disk of the metadata has room again", "folder", r.dir, "free", r.free)
		}
	}
}
