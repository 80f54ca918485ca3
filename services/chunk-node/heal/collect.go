package heal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

const (
	collectName = "longcollect" // of its note; those of partitions have the partition behind it
	// keepEvery is after how many partitions that change nothing it is noted how far a round is.
	keepEvery = 16
)

// collectNote is how far the long collection is. Durations of it are times for which the node has run.
type collectNote struct {
	Ran     time.Duration   `json:"ran"`  // now, as far as it was noted
	Next    time.Duration   `json:"next"` // when the next round begins
	Phase   collectPhase    `json:"phase,omitempty"`
	At      chunk.Partition `json:"at"`    // where to go on
	Start   time.Duration   `json:"start"` // when the round began: what is due then is due in all of it
	Began   time.Time       `json:"began"`
	Ended   time.Time       `json:"ended"`
	Total   int64           `json:"total"`      // chunks, when the round began
	Chunks  int64           `json:"chunks"`     // looked at
	Refs    int64           `json:"references"` // of these
	Unknown int64           `json:"unknown"`    // references of attempts that metadata does not know
	Due     int64           `json:"due"`        // of these, since long enough
	Removed int64           `json:"removed"`    // of these
	Back    int64           `json:"back"`       // references had back from the trash
	Over    int64           `json:"over"`       // references that have been in the trash for long enough
	Purged  int64           `json:"purged"`     // of these
	Refused bool            `json:"too_many,omitempty"`
	Round   uint64          `json:"round"`
}

type collectPhase uint8

const (
	resting collectPhase = iota
	looking
	removing
)

// collection is the task that removes references of attempts that metadata does not know (long collection). A round first looks at all
// references, notes which attempts are not known, and has back from the trash what is known after all; then it removes the references of those that
// were not known for long enough when it began, and purges the trash of what has been there for long enough, unless so many are not known that metadata
// is more likely wrong than they. See the package's documentation for why that is safe.
//
// It measures by the time for which the node has run (Ran), which it adds up itself from the monotonic clock: a clock that is set, or that was wrong
// after a start, makes nothing older than it is.
type collection struct {
	*Engine
	turn  turn
	note  collectNote
	seen  time.Time          // when Ran was last added to
	known map[uuid.UUID]bool // attempts that are known, in this round
	kept  chunk.Partition    // At in the note on disk
}

// Pass implements tasks.Job.
func (c *collection) Pass(ctx context.Context, p *tasks.Progress) (time.Duration, error) {
	answers := p.Asked()
	c.run()
	if c.note.Phase == resting {
		if c.note.Next == 0 {
			c.note.Next = c.note.Ran + c.config.CollectInterval
		}
		if wait := c.note.Next - c.note.Ran; answers == 0 && (wait > 0 || c.config.CollectInterval == 0) {
			p.Idle()
			c.tell(p)
			if c.config.CollectInterval == 0 {
				wait = time.Hour
			}
			return min(wait, time.Hour), c.keep(ctx)
		}
		if err := c.begin(ctx); err != nil {
			return 0, err
		}
	}
	p.Begin(c.note.Began, 0, c.note.Chunks, max(c.note.Total, c.note.Chunks))
	if err := c.rightMetadata(ctx); err != nil {
		return 0, err
	}
	clear(c.known)
	if c.note.Phase == looking {
		if err := c.each(ctx, p, c.look); err != nil {
			return 0, err
		}
		c.note.Phase, c.note.At, c.kept = removing, 0, 0
	}
	switch {
	case tooMany(c.note.Refs, c.note.Unknown) && c.note.Unknown > p.Confirmed():
		c.note.Refused = c.note.Due > 0
	case c.note.Due > 0 || c.note.Over > 0:
		if err := c.each(ctx, p, c.remove); err != nil {
			return 0, err
		}
	}
	return c.end(ctx, p, answers)
}

// run adds to the time for which the node has run.
func (c *collection) run() {
	now := c.deps.Clock.Now()
	if passed := now.Sub(c.seen); !c.seen.IsZero() && passed > 0 {
		c.note.Ran += passed
	}
	c.seen = now
}

func (c *collection) keep(ctx context.Context) error {
	c.kept = c.note.At
	return c.writeNote(ctx, collectName, c.note)
}

func (c *collection) begin(ctx context.Context) error {
	status, err := c.local.Status(ctx)
	if err != nil {
		return err
	}
	c.note = collectNote{Ran: c.note.Ran, Next: c.note.Next, Start: c.note.Ran, Phase: looking, Began: c.deps.Clock.Now(), Total: status.Chunks, Round: c.note.Round + 1}
	return c.keep(ctx)
}

func (c *collection) end(ctx context.Context, p *tasks.Progress, answers uint64) (time.Duration, error) {
	c.run()
	c.note.Phase, c.note.At, c.note.Ended, c.note.Next = resting, 0, c.deps.Clock.Now(), c.note.Ran+c.config.CollectInterval
	if err := c.keep(ctx); err != nil {
		return 0, err
	}
	p.End(c.note.Ended, answers)
	c.tell(p)
	log := c.deps.Logger.With("references", c.note.Refs, "unknown", c.note.Unknown, "removed", c.note.Removed, "had_back", c.note.Back, "purged", c.note.Purged)
	if c.note.Refused {
		log.Warn("so many references belong to nothing that metadata knows that none is removed until an operator says so")
	} else {
		log.Info("metadata was asked about every reference here")
	}
	return 0, nil
}

// tell says what the last round has left.
func (c *collection) tell(p *tasks.Progress) {
	switch left := c.note.Unknown - c.note.Removed; {
	case c.note.Refused:
		p.Stuck("%d of %d references belong to nothing that metadata knows, %d of them for %v and longer: if it is whole, and no snapshot is to be "+
			"restored, say so with garage collect --long --confirm %d", c.note.Unknown, c.note.Refs, c.note.Due, c.config.CollectWait, c.note.Unknown)
	case left > 0:
		p.Note("%d references belong to nothing that metadata knows; each is removed when that was so for %v", left, c.config.CollectWait)
	}
}

// each calls do for each partition that is held, from where the round is. What is wrong with one partition is counted, and the others
// are looked at all the same.
func (c *collection) each(ctx context.Context, p *tasks.Progress, do func(context.Context, *tasks.Progress, chunk.Partition) error) error {
	held, unreadable, err := c.local.Held(ctx)
	if err != nil {
		return err
	}
	if c.note.Phase == looking && len(unreadable) > 0 {
		p.Problem("not looked at: %s", unreadableNote(len(unreadable)))
	}
	for _, partition := range held {
		if partition < c.note.At {
			continue
		}
		var asking *metadataError
		switch err := do(ctx, p, partition); {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &asking):
			return err
		case err != nil:
			p.Problem("partition %v: %v", partition, err)
		}
		c.note.At = partition + 1
		c.run()
		if c.note.At-c.kept >= keepEvery {
			if err := c.keep(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// look finds out which attempts of a partition metadata does not know, and has back from the trash what it knows.
func (c *collection) look(ctx context.Context, p *tasks.Progress, partition chunk.Partition) error {
	before, err := c.suspectsOf(ctx, partition)
	if err != nil {
		return err
	}
	refs := make(map[uuid.UUID]int64)
	chunks := int64(0)
	err = c.chunks(ctx, partition, func(h chunk.Hash) error {
		entry, err := c.local.Chunk(ctx, h)
		if errors.Is(err, errors.NotFound) {
			return nil
		}
		for _, ref := range entry.Refs {
			refs[ref.Attempt]++
		}
		chunks++
		return err
	})
	if err != nil {
		return err
	}
	unknown, err := c.ask(ctx, slices.Collect(maps.Keys(refs)))
	if err != nil {
		return err
	}
	over, err := c.haveBack(ctx, p, partition)
	if err != nil { // nothing is counted: the partition is looked at again, in this round or the next
		return err
	}
	c.run()
	now := before.judge(unknown, c.note.Round, c.note.Ran)
	if len(now.first)+len(before.first) > 0 {
		if err := c.local.SetNote(ctx, suspectsNote(partition), now.encode()); err != nil {
			return errors.Annotate(err, "noting what metadata does not know")
		}
	}
	for id, n := range refs {
		c.note.Refs += n
		if unknown[id] {
			c.note.Unknown += n
			if now.due(id, c.note.Start, c.config.CollectWait) {
				c.note.Due += n
			}
		}
	}
	c.note.Over += over
	c.note.Chunks += chunks
	p.Add(chunks, 0)
	return nil
}

func suspectsNote(partition chunk.Partition) string {
	return fmt.Sprintf("%s/%v", collectName, partition)
}

func (c *collection) suspectsOf(ctx context.Context, partition chunk.Partition) (suspects, error) {
	value, err := c.local.Note(ctx, suspectsNote(partition))
	if err != nil {
		return suspects{}, errors.Annotate(err, "reading what metadata did not know")
	}
	known, err := decodeSuspects(value)
	if err != nil {
		c.deps.Logger.Warn("a note about what metadata does not know is damaged: its waits begin anew", "partition", partition, "error", err)
		return suspects{}, nil
	}
	return known, nil
}

// remove removes the references in a partition of attempts that were not known for long enough when the round began, and are not now; and purges
// the trash of those of which the same is true.
func (c *collection) remove(ctx context.Context, p *tasks.Progress, partition chunk.Partition) error {
	clear(c.known) // nothing may be taken from memory
	if err := c.purge(ctx, p, partition); err != nil {
		return err
	}
	before, err := c.suspectsOf(ctx, partition)
	if err != nil {
		return err
	}
	due := before.allDue(c.note.Start, c.config.CollectWait)
	if len(due) == 0 || before.round != c.note.Round { // not looked at, and not counted, in this round
		return nil
	}
	unknown, err := c.ask(ctx, due)
	if err != nil || len(unknown) == 0 {
		return err
	}
	return c.chunks(ctx, partition, func(h chunk.Hash) error {
		return c.yield(ctx, c.turn, func() error { return c.trash(ctx, h, unknown) })
	})
}

// trash removes the references of a chunk that are of these attempts.
func (c *collection) trash(ctx context.Context, h chunk.Hash, unknown map[uuid.UUID]bool) error {
	entry, err := c.local.Chunk(ctx, h)
	if errors.Is(err, errors.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	refs := slices.DeleteFunc(entry.Refs, func(ref chunk.Ref) bool { return !unknown[ref.Attempt] })
	if len(refs) == 0 {
		return nil
	}
	if c.note.Removed+int64(len(refs)) > c.note.Due {
		return nil // some came since they were counted: the next round counts them
	}
	c.note.Removed += int64(len(refs))
	c.deps.Logger.Info("references belong to nothing that metadata knows, and go to the trash", "chunk", h, "references", len(refs), "first", refs[0])
	c.run()
	return errors.Annotate(c.local.Trash(ctx, h, refs, c.note.Ran), "removing references of the chunk %v", h)
}
