package body

import (
	"context"
	"log/slog"
	"time"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunker"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Defaults of Config.
const (
	DefaultInline      = 4 << 10
	DefaultWindow      = 4 << 20
	DefaultReadAhead   = 4 << 20
	DefaultProgress    = 30 * time.Second
	DefaultStepTimeout = 30 * time.Second
	DefaultBatch       = 128
)

// StagesHold is how many chunks of a body Stages may hold at most after See returned.
const StagesHold = 3

// MinPool is the smallest pool, in bytes, with which bodies cut by c can be moved.
func MinPool(c chunker.Chunker) int { return 4 * (2 + StagesHold) * c.MaxSize() }

// Config says how bodies are moved. Zero fields are the defaults.
type Config struct {
	Chunker     chunker.Chunker // default: fixed chunks of 1 MiB
	Inline      int             // bodies up to this many bytes are kept in the metadata; negative: none
	Window      int             // bytes of one body that are sent to the chunk store at the same time; at least one chunk
	ReadAhead   int             // bytes of one body that are read ahead; at least one chunk
	Progress    time.Duration   // how often a write that lasts says that it is alive
	StepTimeout time.Duration   // how long one call of the chunk or metadata store may take
	Batch       int             // chunk rows recorded in one step
}

// Deps is what a Store works with.
type Deps struct {
	Meta   meta.Store
	Chunks chunk.Store
	Pool   *buffer.Pool // of the bytes that arrive
	Clock  clock.Clock
	Random clock.Random
	Log    *slog.Logger // nil: nothing is logged
}

// Store moves bodies. It is safe for concurrent use.
type Store struct {
	Deps
	cfg       Config
	window    int // chunks
	readAhead int // chunks
	// put is Put, without hashing once more where the chunk store can do without.
	put func(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error)
}

// New makes a Store.
func New(cfg Config, d Deps) *Store {
	if cfg.Chunker == nil {
		cfg.Chunker, _ = chunker.Fixed(chunker.DefaultSize) // a size that is allowed
	}
	setDefault(&cfg.Inline, DefaultInline)
	setDefault(&cfg.Window, DefaultWindow)
	setDefault(&cfg.ReadAhead, DefaultReadAhead)
	setDefault(&cfg.Progress, DefaultProgress)
	setDefault(&cfg.StepTimeout, DefaultStepTimeout)
	setDefault(&cfg.Batch, DefaultBatch)
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{Deps: d, cfg: cfg, put: d.Chunks.Put}
	if v, ok := d.Chunks.(chunk.VerifiedPutter); ok {
		s.put = v.PutVerified
	}
	// One body holds the window, the chunk that is read and what the hash stages
	// have not seen yet: together at most the quarter of the pool that it may take.
	size := cfg.Chunker.MaxSize()
	s.window = max(min(cfg.Window/size, d.Pool.Limit()/4/size-1-StagesHold), 1)
	s.readAhead = max(cfg.ReadAhead/size, 1)
	return s
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// step bounds one call of a store.
func (s *Store) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.cfg.StepTimeout)
}

// short reports whether memory is short, so that windows should be as small as they can be.
func (s *Store) short() bool { return s.Pool.Used() > s.Pool.Limit()/2 }
