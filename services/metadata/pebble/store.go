package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	cockroach "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Format is the version of the tables that this program writes. It brings format 1 up to it, and reads no other.
const Format = 2

// formatWithoutHolders is the first format, in which tableHolder is not there.
const formatWithoutHolders = 1

// Config is how to keep the store.
type Config struct {
	// Dir is the folder of the database; it is made if it is not there.
	Dir string
	// FS is where Dir is; nil is the machine's.
	FS vfs.FS
	// ClusterID is what the store must belong to; zero: whatever it belongs to, or a new one.
	ClusterID uuid.UUID
	// Cache and MemTable are bytes of memory for what is read, and for what is not yet
	// sorted to disk, which is held up to three times; zero is a default for small machines.
	Cache    int64
	MemTable int64
	// Reserve is how many free bytes of the disk are kept for deletions; with less, what adds
	// metadata is refused with kind Full.
	Reserve int64
	// OnGarbage, if not nil, is called when a write made garbage and is durable. It must not wait.
	OnGarbage func()
	// NoSync acknowledges writes before they are durable.
	NoSync bool
	Clock  clock.Clock
	Random clock.Random
	Logger *slog.Logger
}

const (
	defaultCache    = 16 << 20
	defaultMemTable = 8 << 20
	keyStripes      = 1 << 14
	never           = 1 << 16 // tables or files, which are never so many
	uploadStripes   = 1 << 10
)

// Store is a meta.Store in Pebble.
type Store struct {
	db      *cockroach.DB
	clock   clock.Clock
	hybrid  *clock.Hybrid
	random  clock.Random
	log     *slog.Logger
	sync    *cockroach.WriteOptions
	cluster uuid.UUID
	broken  atomic.Pointer[error]
	rows    atomic.Int64 // read by listings
	gate    gate
	room    *room
	garbage func() // called when there is new garbage

	// admin is held while a bucket or an access key is created, changed or deleted.
	admin    sync.Mutex
	keys     *stripes
	unsynced unsynced
	uploads  *stripes

	mu      sync.RWMutex
	names   map[string]*bucket
	buckets map[uuid.UUID]*bucket
}

// bucket mirrors a bucket's row. Writers into the bucket share the lock; its deletion takes it alone.
type bucket struct {
	sync.RWMutex
	record  atomic.Pointer[meta.Bucket]
	deleted bool
	usage   counters
}

var _ meta.Store = (*Store)(nil)

// Open opens the store, and makes it if it does not exist.
func Open(c Config) (*Store, error) {
	s := &Store{
		clock: c.Clock, hybrid: clock.NewHybrid(c.Clock), random: c.Random, log: c.Logger, garbage: c.OnGarbage, sync: cockroach.Sync,
		gate: gate{idle: make(chan struct{})}, keys: newStripes(keyStripes), uploads: newStripes(uploadStripes),
		unsynced: unsynced{keys: make([]atomic.Pointer[syncing], keyStripes)}, names: make(map[string]*bucket), buckets: make(map[uuid.UUID]*bucket),
	}
	if c.NoSync {
		s.sync = cockroach.NoSync
	}
	if s.garbage == nil {
		s.garbage = func() {}
	}
	if c.Logger == nil {
		s.log = slog.Default()
	}
	o := s.options(c)
	s.room = newRoom(c, o, s.log)
	o.EventListener = s.room.listener()
	if err := private(o.FS, c.Dir); err != nil {
		return nil, errors.Wrap(errors.Internal, err, "making the folder of the metadata %s", c.Dir)
	}
	db, err := cockroach.Open(c.Dir, o)
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "opening the metadata in %s", c.Dir)
	}
	s.db = db
	s.measure()
	if err := s.load(c.ClusterID); err != nil {
		return nil, errors.Annotate(errors.Join(err, db.Close()), "opening the metadata in %s", c.Dir)
	}
	return s, nil
}

// private makes the folder, where its parent is, for its owner alone: the secrets of access keys are in it.
func private(fs vfs.FS, dir string) error {
	parent, err := fs.OpenDir(fs.PathDir(dir))
	if err != nil {
		return nil // the database makes it, with its parents
	}
	if _, err = fs.Stat(dir); err != nil {
		if err = fs.MkdirAll(dir, 0o700); err == nil {
			err = parent.Sync()
		}
	}
	return errors.Join(err, parent.Close())
}

func (s *Store) options(c Config) *cockroach.Options {
	o := &cockroach.Options{
		FS: c.FS, Merger: usageMerger, Logger: logger{s}, CacheSize: c.Cache, MemTableSize: uint64(c.MemTable),
		FormatMajorVersion: cockroach.FormatTableFormatV6, MaxOpenFiles: 500,
		MemTableStopWritesThreshold: never, L0StopWritesThreshold: never, // room makes writes wait instead
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheSize == 0 {
		o.CacheSize = defaultCache
	}
	if o.MemTableSize == 0 {
		o.MemTableSize = defaultMemTable
	}
	// Pebble counts its tables in memory, full, current and to be used again, as part of the cache.
	o.CacheSize += (fullTables + 1) * int64(o.MemTableSize)
	for i := range o.Levels {
		// Most writes look for a row that is not there: the filter spares them the disk.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// load reads what is kept in memory, and writes the first rows of a new store.
func (s *Store) load(cluster uuid.UUID) error {
	old := false
	format, err := s.get(row(tableStore, []byte("format")))
	if err != nil {
		return err
	}
	if format == nil {
		return s.create(cluster)
	}
	known := len(format) == 8
	if known {
		n := binary.BigEndian.Uint64(format)
		known, old = n == Format || n == formatWithoutHolders, n == formatWithoutHolders
	}
	if !known {
		return errors.Newf(errors.Invalid, "its format is %x and this program knows format %d: start it with the version of Garage that wrote it", format, Format)
	}
	id, err := s.get(row(tableStore, []byte("cluster")))
	if err != nil {
		return err
	}
	if s.cluster, err = uuid.FromBytes(id); err != nil {
		return errors.Newf(errors.Corrupted, "the cluster ID is damaged; restore the folder from a backup")
	}
	if cluster != uuid.Nil && cluster != s.cluster {
		return errors.Newf(errors.Invalid, "it belongs to the cluster %v, not to %v: mixing clusters would lose data", s.cluster, cluster)
	}
	if old {
		if err := s.describeAll(); err != nil {
			return err
		}
	}
	return s.loadBuckets()
}

func (s *Store) create(cluster uuid.UUID) error {
	if cluster == uuid.Nil {
		var err error
		if cluster, err = clock.NewUUID(s.random); err != nil {
			return errors.Wrap(errors.Internal, err, "drawing a cluster ID")
		}
	}
	s.cluster = cluster
	b := s.db.NewBatch()
	err := errors.Join(
		b.Set(row(tableStore, []byte("cluster")), cluster[:], nil),
		b.Set(row(tableStore, []byte("format")), number64(Format), nil),
	)
	if err == nil {
		err = b.Commit(cockroach.Sync)
	}
	return errors.Join(err, b.Close())
}

// Close waits for the calls under way, then syncs and closes the database. Later
// calls fail with kind Unavailable. What a full disk keeps from being sorted stays in the log.
func (s *Store) Close() error {
	if !s.gate.close(s.room.stop) {
		return nil
	}
	if err := s.db.Close(); err != nil {
		return errors.Wrap(errors.Internal, err, "closing the metadata")
	}
	return nil
}

// Problem says why the store takes no writes, or is nil.
func (s *Store) Problem() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// Writable says why what adds metadata is refused, as far as is known without a look at the disk, or is nil.
func (s *Store) Writable() error {
	if err := s.Problem(); err != nil {
		return err
	}
	_, err := s.room.judge(adds)
	return err
}

// ListedRows is the number of rows that listings have stood at, for tests of their cost.
func (s *Store) ListedRows() int64 { return s.rows.Load() }

// CacheCounts are how often what was read was in memory, and how often not.
func (s *Store) CacheCounts() (hits, misses int64) {
	if s.gate.enter(context.Background()) != nil {
		return 0, 0 // it is closed
	}
	defer s.gate.leave()
	cache := s.db.Metrics().BlockCache
	return cache.Hits, cache.Misses
}

// Info implements meta.Store.
func (s *Store) Info(ctx context.Context) (meta.Info, error) {
	if err := s.gate.enter(ctx); err != nil {
		return meta.Info{}, err
	}
	defer s.gate.leave()
	s.mu.RLock()
	defer s.mu.RUnlock()
	info := meta.Info{ClusterID: s.cluster, Kind: "pebble", Buckets: int64(len(s.buckets))}
	for _, b := range s.buckets {
		info.Usage = add(info.Usage, b.usage.load())
	}
	return info, nil
}

func (s *Store) now() time.Time { return s.clock.Now().UTC().Truncate(time.Microsecond) }

// fail takes the store out of service for writes.
func (s *Store) fail(err error) error {
	problem := errors.Wrap(errors.Unavailable, err, "the metadata could not be written and takes no more writes: check the disk, then restart")
	if s.broken.CompareAndSwap(nil, &problem) {
		s.log.Error("the metadata could not be written; it takes no more writes until the program is restarted", "error", err)
	}
	return *s.broken.Load()
}

// logger hands Pebble's messages on.
type logger struct{ s *Store }

func (l logger) Infof(format string, args ...any) {
	l.s.log.Debug("metadata database", "event", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.s.log.Warn("metadata database", "event", fmt.Sprintf(format, args...))
}

// Fatalf is called where the database cannot go on, such as when its manifest
// cannot be written; going on would lose data, so the process ends.
func (l logger) Fatalf(format string, args ...any) {
	l.s.log.Error("the metadata database cannot go on", "event", fmt.Sprintf(format, args...))
	os.Exit(1)
}
