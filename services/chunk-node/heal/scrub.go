package heal

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

const scrubName = "scrub"

// scrubNote is how far the scrub is.
type scrubNote struct {
	Seed      uint64          `json:"seed"` // of the order
	Began     time.Time       `json:"began"`
	Total     int64           `json:"total"` // chunks, when it began
	Read      int64           `json:"read"`  // chunks
	Bytes     int64           `json:"bytes"` // read from the disks
	Bad       int64           `json:"bad"`   // copies
	Done      set             `json:"done,omitempty"`
	Partition chunk.Partition `json:"partition"` // the one under way
	After     chunk.Hash      `json:"after"`     // the last one read of it
	Ended     time.Time       `json:"ended"`
}

// scrub is the task that reads every copy once in its interval and finds those that went bad. A round is spread over the interval; one that the
// operator asks for goes as fast as the rate allows.
type scrub struct {
	*Engine
	turn turn
	note scrubNote
}

// Pass implements tasks.Job.
func (s *scrub) Pass(ctx context.Context, p *tasks.Progress) (time.Duration, error) {
	answers, now := p.Asked(), s.deps.Clock.Now()
	if s.note.Began.After(now) { // the clock was ahead
		next := s.note
		next.Began = now
		if err := s.writeNote(ctx, scrubName, next); err != nil {
			return 0, err
		}
		s.note = next
	}
	if over := !s.note.Ended.IsZero() || s.note.Began.IsZero(); over {
		if next := s.note.Began.Add(s.config.ScrubInterval); !s.note.Began.IsZero() && now.Before(next) && answers == 0 {
			p.Idle()
			return min(next.Sub(now), time.Hour), nil
		}
		if err := s.start(ctx, now); err != nil {
			return 0, err
		}
	}
	held, unreadable, err := s.local.Held(ctx)
	if err != nil {
		return 0, err
	}
	p.Begin(s.note.Began, 0, s.note.Read, max(s.note.Total, s.note.Read))
	done := 0
	failed := ""
	for _, partition := range inOrder(s.note.Seed, held) {
		if s.note.Done.has(partition) {
			done++
			continue
		}
		due := s.note.Began.Add(time.Duration(float64(s.config.ScrubInterval) * float64(done) / float64(len(held))))
		if wait := due.Sub(s.deps.Clock.Now()); wait > 0 && answers == 0 {
			p.Note("spread over %v: the next part is due at %s", s.config.ScrubInterval, due.UTC().Format(time.DateTime))
			return min(wait, time.Hour), nil
		}
		switch err := s.partition(ctx, p, partition); {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err != nil: // of its disk: the others are read all the same
			failed = err.Error()
			p.Problem("partition %v: %v", partition, err)
		}
		done++
	}
	if over := !s.deps.Clock.Now().Before(s.note.Began.Add(s.config.ScrubInterval)); failed != "" && !over && answers == 0 {
		p.Stuck("%s", failed)
		return time.Minute, nil
	}
	if len(unreadable) > 0 {
		p.Problem("not read: %s", unreadableNote(len(unreadable)))
	}
	return s.end(ctx, p, answers)
}

func (s *scrub) start(ctx context.Context, now time.Time) error {
	seed, err := s.seed()
	if err != nil {
		return err
	}
	status, err := s.local.Status(ctx)
	if err != nil {
		return err
	}
	next := scrubNote{Seed: seed, Began: now, Total: status.Chunks}
	if err := s.writeNote(ctx, scrubName, next); err != nil {
		return err
	}
	s.note = next
	return nil
}

func (s *scrub) end(ctx context.Context, p *tasks.Progress, answers uint64) (time.Duration, error) {
	s.note.Ended, s.note.Done = s.deps.Clock.Now(), nil
	if err := s.writeNote(ctx, scrubName, s.note); err != nil {
		return 0, err
	}
	p.End(s.note.Ended, answers)
	s.deps.Logger.Info("every chunk here was read", "chunks", s.note.Read, "bytes", s.note.Bytes, "bad", s.note.Bad, "took", s.note.Ended.Sub(s.note.Began).Round(time.Second))
	return 0, nil
}

// partition reads what is left of a partition.
func (s *scrub) partition(ctx context.Context, p *tasks.Progress, partition chunk.Partition) error {
	if s.note.Partition != partition {
		s.note.Partition, s.note.After = partition, chunk.Hash{}
	}
	for {
		hashes, err := s.local.Hashes(ctx, partition, s.note.After, page)
		if err != nil {
			return err
		}
		for _, h := range hashes {
			if err := s.yield(ctx, s.turn, func() error { return s.verify(ctx, p, h) }); err != nil {
				return err
			}
			s.note.After = h
		}
		if len(hashes) < page {
			s.note.Done.add(partition)
		}
		if err := s.writeNote(ctx, scrubName, s.note); err != nil {
			return err
		}
		if len(hashes) < page {
			return nil
		}
	}
}

func (s *scrub) verify(ctx context.Context, p *tasks.Progress, h chunk.Hash) error {
	n, good, err := s.local.Verify(ctx, h)
	if errors.Is(err, errors.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.note.Read++
	s.note.Bytes += n
	p.Add(1, n)
	if !good {
		s.note.Bad++
		p.Problem("chunk %v was found bad", h)
		s.deps.Logger.Warn("a chunk was found bad; a good copy is looked for", "chunk", h)
	}
	return p.Take(ctx, n)
}
