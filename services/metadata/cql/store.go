package cql

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"
	"github.com/google/uuid"
	"github.com/scylladb/gocqlx/v2"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Store is a meta.Store in a CQL database.
type Store struct {
	config      Config
	db          gocqlx.Session
	serialReads gocql.Consistency
	clock       clock.Clock
	hybrid      *clock.Hybrid
	random      clock.Random
	log         *slog.Logger
	cluster     uuid.UUID
	garbage     func()
	observer    *observer
	// keys orders the writers of a key in this service, so that each sees the one before it.
	keys    *stripes
	buckets bucketCache
	usage   totals
	problem atomic.Pointer[error]
	skew    skew
	ended   endings
	begun   begunCache

	// background is what runs beside calls: it ends when the context does, which Close ends.
	background sync.WaitGroup
	running    context.Context
	stop       context.CancelFunc
	closed     sync.Once
}

// Open connects to the database, makes or migrates its tables, and returns the store. Kinds:
// Unavailable if the database cannot be reached, Invalid if a setting is wrong, the
// keyspace is of another cluster, or its schema is newer than this program.
func Open(ctx context.Context, c Config) (*Store, error) {
	c.fill()
	if err := c.prepare(ctx); err != nil {
		return nil, err
	}
	s := newStore(c)
	db, err := c.connect(c.Keyspace, s.observers)
	if err != nil {
		s.stop()
		return nil, err
	}
	s.db = db
	if c.local() {
		s.serialReads = gocql.LocalSerial
	}
	if err := s.begin(ctx); err != nil {
		s.stop()
		db.Close()
		return nil, errors.Annotate(err, "opening the metadata in the keyspace %s", c.Keyspace)
	}
	s.observer.register(c.Registry, &s.skew)
	s.background.Go(s.flushUsage)
	s.background.Go(s.watch)
	s.background.Go(s.removeEnded)
	return s, nil
}

// newStore is a store without session.
func newStore(c Config) *Store {
	s := &Store{
		config: c, clock: c.Clock, hybrid: clock.NewHybrid(c.Clock), random: c.Random, log: c.Logger, garbage: c.OnGarbage,
		keys: newStripes(keyStripes), ended: endings{queue: make(chan endedUpload, endedQueue)}, serialReads: gocql.Serial, observer: newObserver(),
		skew: skew{clock: c.Clock, most: c.MaxSkew},
	}
	s.running, s.stop = context.WithCancel(context.Background())
	return s
}

const keyStripes = 1 << 14

func (c *Config) fill() {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	if c.Replication == "" {
		c.Replication = defaultReplication
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.OnGarbage == nil {
		c.OnGarbage = func() {}
	}
	if c.Step == nil {
		c.Step = func(context.Context, string) {}
	}
}

// Close waits for what runs beside calls, writes the last totals and ends the session. Later
// calls fail with kind Unavailable.
func (s *Store) Close() error {
	var err error
	s.closed.Do(func() {
		s.stop()
		s.background.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
		defer cancel()
		err = s.flush(ctx)
		s.db.Close()
	})
	return err
}

// Problem says why the store cannot serve, as far as the last look at the database and its clock shows, or is nil.
func (s *Store) Problem() error {
	if p := s.problem.Load(); p != nil {
		return *p
	}
	return s.skew.problem()
}

// Writable says why what adds metadata is refused, or is nil.
func (s *Store) Writable() error { return s.Problem() }

// lookEvery is the time between two looks whether the database serves.
const lookEvery = time.Second

// watch keeps Problem in step with the database until the store is closed.
func (s *Store) watch() {
	for clock.Sleep(s.running, clock.System{}, lookEvery) == nil {
		ctx, cancel := context.WithTimeout(s.running, s.config.Timeout)
		err := s.lookAround(ctx)
		cancel()
		if s.running.Err() != nil {
			return
		}
		if before := s.problem.Load(); (before == nil) != (err == nil) {
			if err != nil {
				s.log.Error("metadata cannot be served; it is tried again all the time", "error", err)
			} else {
				s.log.Info("metadata is served again")
			}
		}
		if err == nil {
			s.problem.Store(nil)
		} else {
			s.problem.Store(&err)
		}
	}
}

// lookAround sees whether the database answers and its clock and the one here are near enough.
func (s *Store) lookAround(ctx context.Context) error {
	if _, err := s.readCluster(ctx); err != nil {
		return err
	}
	if s.skew.due() || s.skew.problem() != nil {
		if err := s.measureSkew(ctx); err != nil {
			return err
		}
	}
	return s.skew.problem()
}

func (s *Store) now() time.Time { return s.clock.Now().UTC().Truncate(time.Microsecond) }

// monotonic is the machine's time: leases are measured on it.
func monotonic() time.Time { return time.Now() }

// newID draws a random ID.
func (s *Store) newID() (uuid.UUID, error) {
	id, err := clock.NewUUID(s.random)
	return id, errors.Wrap(errors.Internal, err, "drawing an ID")
}

// Info implements meta.Store.
func (s *Store) Info(ctx context.Context) (meta.Info, error) {
	info := meta.Info{ClusterID: s.cluster, Kind: "cql"}
	ids, err := s.liveBuckets(ctx)
	if err != nil {
		return meta.Info{}, err
	}
	info.Buckets = int64(len(ids))
	usages := make([]meta.Usage, len(ids))
	err = inParallel(ctx, len(ids), wide, func(ctx context.Context, i int) error {
		var err error
		usages[i], err = s.total(ctx, ids[i])
		return err
	})
	for _, u := range usages {
		info.Usage = sum(info.Usage, u)
	}
	return info, err
}
