package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Store is a meta.Store in memory.
type Store struct {
	clock   clock.Clock
	hybrid  *clock.Hybrid
	random  clock.Random
	cluster uuid.UUID

	mu        sync.Mutex
	names     map[string]uuid.UUID
	buckets   map[uuid.UUID]*bucket
	keys      map[string]meta.Key
	uploads   map[uuid.UUID]*upload
	completed map[uuid.UUID]*completion
	commits   map[uuid.UUID]meta.Version // made by writes without upload; that of a deletion is empty
	chunks    map[uuid.UUID][]meta.Chunk // by attempt, in order
	garbage   map[uint64]garbage         // by what its ID says, which rises with the time
	garbages  uint64                     // the last of these
}

type bucket struct {
	meta.Bucket
	objects map[string]meta.Object
	keys    []string // of objects, in order
}

// upload is a write that is open.
type upload struct {
	meta.Upload
	progress time.Time
	begun    map[uuid.UUID]int // the number of each attempt that is not finished
	parts    map[int]meta.Part
}

// completion is the answer of a multipart upload that was completed.
type completion struct {
	upload  meta.Upload
	parts   []meta.Part
	version meta.Version
	at      time.Time
}

// garbage is what an entry is, and since when.
type garbage struct {
	meta.Garbage
	since clock.Timestamp
}

var _ meta.Store = (*Store)(nil)

// New makes an empty store of a new cluster.
func New(c clock.Clock, random clock.Random) (*Store, error) {
	cluster, err := clock.NewUUID(random)
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "drawing a cluster ID")
	}
	return &Store{
		clock: c, hybrid: clock.NewHybrid(c), random: random, cluster: cluster,
		names: make(map[string]uuid.UUID), buckets: make(map[uuid.UUID]*bucket), keys: make(map[string]meta.Key),
		uploads: make(map[uuid.UUID]*upload), completed: make(map[uuid.UUID]*completion), commits: make(map[uuid.UUID]meta.Version),
		chunks: make(map[uuid.UUID][]meta.Chunk), garbage: make(map[uint64]garbage),
	}, nil
}

// begin takes the lock, if the context still runs. The caller unlocks when it got no error.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	return nil
}

func (s *Store) now() time.Time { return s.clock.Now().UTC().Truncate(time.Microsecond) }

// Info implements meta.Store.
func (s *Store) Info(ctx context.Context) (meta.Info, error) {
	if err := s.begin(ctx); err != nil {
		return meta.Info{}, err
	}
	defer s.mu.Unlock()
	info := meta.Info{ClusterID: s.cluster, Kind: "memory", Buckets: int64(len(s.buckets))}
	for id := range s.buckets {
		u := s.usage(id)
		info.Usage.Objects += u.Objects
		info.Usage.Bytes += u.Bytes
		info.Usage.Uploads += u.Uploads
	}
	return info, nil
}

func (s *Store) usage(id uuid.UUID) meta.Usage {
	var u meta.Usage
	for _, o := range s.buckets[id].objects {
		u.Objects++
		u.Bytes += o.Size
	}
	for _, up := range s.uploads {
		if up.Bucket == id && up.Multipart {
			u.Uploads++
		}
	}
	return u
}

func (s *Store) find(id uuid.UUID) (*bucket, error) {
	b := s.buckets[id]
	if b == nil {
		return nil, errors.E(errors.NotFound, errors.Bucket, id.String(), "there is no bucket with this ID")
	}
	return b, nil
}

func (s *Store) discard(bucket uuid.UUID, key string, attempts []uuid.UUID) {
	if len(attempts) == 0 {
		return
	}
	s.garbages++
	s.garbage[s.garbages] = garbage{meta.Garbage{ID: garbageID(s.garbages), Bucket: bucket, Key: key, Attempts: attempts}, s.hybrid.Now()}
}

// addChunks inserts rows; a row that is there stays as it is.
func (s *Store) addChunks(attempt uuid.UUID, chunks []meta.Chunk) {
	for _, c := range chunks {
		i, found := slices.BinarySearchFunc(s.chunks[attempt], c.Offset, compareOffset)
		if !found {
			s.chunks[attempt] = slices.Insert(s.chunks[attempt], i, c)
		}
	}
}

func compareOffset(c meta.Chunk, offset uint64) int {
	switch {
	case c.Offset < offset:
		return -1
	case c.Offset > offset:
		return 1
	}
	return 0
}
