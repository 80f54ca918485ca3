package metadata

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/metadata/sweep"
)

// sweeper carries out what package sweep decides.
type sweeper struct {
	config  Sweep
	store   meta.Store
	chunks  chunk.Store
	clock   clock.Clock
	log     *slog.Logger
	metrics sweepMetrics
	leaser  leaser // nil: the store is this service's alone

	warned atomic.Int64  // when, in nanoseconds
	poked  chan struct{} // holds one
	events chan sweep.Event
	slots  chan struct{} // one per reference being deleted
}

// leaser is what a store is that several services share: Lease takes, or keeps, a lease for a time; false: another
// service has it.
type leaser interface {
	Lease(ctx context.Context, name string, d time.Duration) (bool, error)
}

// leaseBeyond is how much longer than the time between two walks one service is the one that sweeps, without word of it.
const leaseBeyond = time.Minute

// mine says whether this service is the one that sweeps. Should two think so, work is done twice, and nothing is wrong.
func (s *sweeper) mine(ctx context.Context) (bool, error) {
	if s.leaser == nil {
		return true, nil
	}
	return s.leaser.Lease(ctx, "sweep", s.config.Interval+leaseBeyond)
}

// storeTimeout bounds one call of the metadata store.
const storeTimeout = 30 * time.Second

func newSweeper(c Sweep, d Deps) *sweeper {
	return &sweeper{
		config: c, chunks: d.Chunks, clock: d.Clock, log: d.Logger, metrics: newSweepMetrics(),
		poked: make(chan struct{}, 1), slots: make(chan struct{}, c.Parallel),
		// As many as there are actions at the same time, so that no worker waits.
		events: make(chan sweep.Event, sweepCleaning+2),
	}
}

// poke says that there is new garbage. It never waits.
func (s *sweeper) poke() {
	select {
	case s.poked <- struct{}{}:
	default:
	}
}

// run sweeps until ctx ends and all work has returned.
func (s *sweeper) run(ctx context.Context) {
	machine := sweep.New(s.config.rules())
	timer := s.clock.NewTimer(0)
	defer timer.Stop()
	var work sync.WaitGroup
	defer work.Wait()
	for {
		var event sweep.Event
		select {
		case <-ctx.Done():
			return
		case event = <-s.events:
		case <-s.poked:
			event = sweep.Poke{}
		case <-timer.C():
			event = sweep.Tick{}
		}
		for _, action := range machine.Step(s.clock.Now(), event) {
			work.Go(func() { s.events <- s.do(ctx, action) })
		}
		s.metrics.pending.Set(float64(machine.Busy()))
		timer.Stop()
		if at, ok := machine.Wake(); ok {
			timer.Reset(at.Sub(s.clock.Now()))
		}
	}
}

// do carries out an action and says what came of it.
func (s *sweeper) do(ctx context.Context, action sweep.Action) sweep.Event {
	switch a := action.(type) {
	case sweep.List:
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		mine, err := s.mine(ctx)
		if !mine {
			s.note(err, "asking whether another service sweeps")
			return sweep.Listed{Err: err}
		}
		garbage, next, err := s.store.ListGarbage(ctx, a.ListGarbage)
		s.note(err, "listing what is to be swept")
		return sweep.Listed{Garbage: garbage, Next: next, Err: err}
	case sweep.Clean:
		err := s.clean(ctx, a.Garbage)
		s.note(err, "deleting the references of "+a.Garbage.Key)
		return sweep.Cleaned{ID: a.Garbage.ID, Err: err}
	case sweep.Drop:
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		err := s.store.DropGarbage(ctx, a.IDs...)
		if err == nil {
			s.metrics.dropped.Add(float64(len(a.IDs)))
		}
		s.note(err, "dropping what was swept")
		return sweep.Dropped{Err: err}
	}
	return sweep.Tick{}
}

// quiet is the least time between two warnings: when a node is away everything fails.
const quiet = 10 * time.Second

func (s *sweeper) note(err error, what string) {
	if err == nil || errors.Is(err, errors.Canceled) {
		return
	}
	s.metrics.failures.Inc()
	now := s.clock.Now().UnixNano()
	if last := s.warned.Load(); now-last < int64(quiet) || !s.warned.CompareAndSwap(last, now) {
		return
	}
	s.log.Warn(what+" failed; it will be tried again", "error", err)
}

// chunkPage is how many chunk rows are read at a time, and about how many references are deleted at a time.
const chunkPage = 256

// reference is a chunk and why it was kept.
type reference struct {
	hash chunk.Hash
	ref  chunk.Ref
}

// clean deletes all references of an entry.
func (s *sweeper) clean(ctx context.Context, g meta.Garbage) error {
	var references []reference
	for _, attempt := range g.Attempts {
		for from := uint64(0); ; {
			chunks, err := s.chunkRows(ctx, attempt, from)
			if err != nil {
				return err
			}
			if len(chunks) == 0 {
				break
			}
			for _, c := range chunks {
				references = append(references, reference{c.Hash, chunk.Ref{Attempt: attempt, Offset: c.Offset}})
				from = c.Offset + max(1, uint64(c.Length))
			}
			if len(references) >= chunkPage {
				if err := s.release(ctx, references); err != nil {
					return err
				}
				references = references[:0]
			}
		}
	}
	return s.release(ctx, references)
}

func (s *sweeper) chunkRows(ctx context.Context, attempt uuid.UUID, from uint64) ([]meta.Chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.store.Chunks(ctx, attempt, from, chunkPage)
}

// release deletes references. What fails is tried again as long
// as something else succeeds: a store that is away is left to the next sweep,
// one that fails now and then is not.
func (s *sweeper) release(ctx context.Context, references []reference) error {
	for {
		failed, err := s.deleteAll(ctx, references)
		if err == nil || len(failed) == len(references) || ctx.Err() != nil {
			return err
		}
		references = failed
	}
}

// deleteAll tries to delete each reference once, several at a time, bounded over all entries.
func (s *sweeper) deleteAll(ctx context.Context, references []reference) (failed []reference, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	for _, r := range references {
		s.slots <- struct{}{} // given back within the time of one deletion
		work.Go(func() {
			defer func() { <-s.slots }()
			ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
			defer cancel()
			problem := s.chunks.Delete(ctx, r.hash, r.ref)
			if problem == nil {
				s.metrics.references.Inc()
				return
			}
			mu.Lock()
			defer mu.Unlock()
			failed, err = append(failed, r), problem
		})
	}
	work.Wait()
	return failed, err
}
