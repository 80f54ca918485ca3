package heal

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

// haveBack takes those references of a partition out of the trash of which metadata knows the attempt: it was wrong when they went. It returns how
// many of the others have been there for long enough.
func (c *collection) haveBack(ctx context.Context, p *tasks.Progress, partition chunk.Partition) (over int64, err error) {
	err = c.sortTrash(ctx, p, partition, func(Trashed) bool { return true }, func(h chunk.Hash, unknown []Trashed) error {
		for _, t := range unknown {
			switch {
			case t.At > c.note.Ran: // a crash, or a damaged note, took of the time that the node has run
				c.run()
				if err := c.local.Trash(ctx, h, []chunk.Ref{t.Ref}, c.note.Ran); err != nil {
					return errors.Annotate(err, "keeping a reference of the chunk %v in the trash", h)
				}
			case c.over(t):
				over++
			}
		}
		return nil
	})
	return over, err
}

// over reports whether a reference had been in the trash for long enough when the round began.
func (c *collection) over(t Trashed) bool { return c.note.Start-t.At >= c.config.Trash }

// purge forgets the references of a partition that have been in the trash for long enough, of attempts that metadata does not know now, either.
func (c *collection) purge(ctx context.Context, p *tasks.Progress, partition chunk.Partition) error {
	return c.sortTrash(ctx, p, partition, c.over, func(h chunk.Hash, unknown []Trashed) error {
		if c.note.Purged+int64(len(unknown)) > c.note.Over {
			return nil // the partition could not be looked at: the next round does
		}
		c.note.Purged += int64(len(unknown))
		c.deps.Logger.Info("references leave the trash for good", "chunk", h, "references", len(unknown), "first", unknown[0].Ref)
		return c.yield(ctx, c.turn, func() error {
			return errors.Annotate(c.local.Purge(ctx, h, references(unknown)), "purging references of the chunk %v from the trash", h)
		})
	})
}

// sortTrash asks metadata about those references of a partition in the trash that which says. It has those back of which the attempt is known, and calls
// do with the others, by chunk.
func (c *collection) sortTrash(ctx context.Context, p *tasks.Progress, partition chunk.Partition, which func(Trashed) bool, do func(chunk.Hash, []Trashed) error) error {
	for after := (Trashed{}); ; {
		all, err := c.local.Trashed(ctx, partition, after, page)
		if err != nil || len(all) == 0 {
			return err
		}
		last, whole := all[len(all)-1], len(all) < page
		all = slices.DeleteFunc(all, func(t Trashed) bool { return !which(t) })
		var attempts []uuid.UUID
		for _, t := range all {
			attempts = append(attempts, t.Ref.Attempt)
		}
		unknown, err := c.ask(ctx, attempts)
		if err != nil {
			return err
		}
		for len(all) > 0 {
			h := all[0].Hash
			end := slices.IndexFunc(all, func(t Trashed) bool { return t.Hash != h })
			if end < 0 {
				end = len(all)
			}
			var known, others []Trashed
			for _, t := range all[:end] {
				if unknown[t.Ref.Attempt] {
					others = append(others, t)
				} else {
					known = append(known, t)
				}
			}
			if len(known) > 0 {
				err = c.untrash(ctx, p, h, references(known))
			}
			if err == nil && len(others) > 0 {
				err = do(h, others)
			}
			if err != nil {
				return err
			}
			all = all[end:]
		}
		if whole {
			return nil
		}
		after = last
	}
}

func references(all []Trashed) []chunk.Ref {
	refs := make([]chunk.Ref, len(all))
	for i, t := range all {
		refs[i] = t.Ref
	}
	return refs
}

// untrash takes references of a chunk out of the trash. What the node does not own any more goes to the owners first: a walk that passed here left it to
// the trash, and none may come again. What cannot be handed over stays in the trash, and the next round tries again.
func (c *collection) untrash(ctx context.Context, p *tasks.Progress, h chunk.Hash, refs []chunk.Ref) error {
	c.deps.Logger.Warn("references in the trash belong to something that metadata knows after all, and are had back", "chunk", h, "references", len(refs), "first", refs[0])
	back := c.local.Untrash
	if a := c.peers.Layouts(); a != nil && !a.Owns(c.deps.ID, h.Partition()) {
		_, err := c.hand(ctx, p, a, chunk.Entry{Hash: h, Refs: refs}, owners(a, h.Partition()))
		switch {
		case err == nil:
			back = c.local.Purge
		case !errors.IsTarget(err, errNoCopy): // then the repair looks for one, and hands it over
			return errors.Annotate(err, "handing over the chunk %v, which was in the trash", h)
		}
	}
	if err := back(ctx, h, refs); err != nil {
		return errors.Annotate(err, "having the chunk %v back from the trash", h)
	}
	c.note.Back += int64(len(refs))
	return nil
}
