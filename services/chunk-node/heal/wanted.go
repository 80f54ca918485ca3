package heal

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

const (
	// firstTry is the pause after the first try to get a chunk; each further try doubles it, up to lastTry.
	firstTry = time.Second
	lastTry  = time.Hour
	// LatestTry is how far ahead the next try of a chunk can be: a round sets it from the latest that it takes.
	LatestTry = 2 * lastTry
)

// wanted tries to get the chunks of which there is no good copy here and whose time has come; all: whose time has not, too. It tells how many
// it did not get.
func (r *repair) wanted(ctx context.Context, p *tasks.Progress, a *layout.Active, all bool) (missing int64, err error) {
	began := r.deps.Clock.Now()
	due := began
	if all { // every chunk once: its next try comes later than that of those not tried yet
		due = began.Add(lastTry)
	}
	for {
		list, err := r.local.Wanted(ctx, due, page)
		if len(list) == 0 {
			return missing, err
		}
		p.Working()
		failed := make([]error, len(list))
		got := make([]bool, len(list))
		r.deps.Each(len(list), func(i int) {
			if failed[i] = ctx.Err(); failed[i] == nil {
				failed[i] = r.yield(ctx, r.turn, func() (err error) {
					got[i], err = r.get(ctx, p, a, list[i], due)
					return err
				})
			}
		})
		for i, one := range failed {
			if final(ctx, one) {
				return missing, one
			}
			if one != nil { // it is the next one for ever
				err = one
			}
			if !got[i] {
				missing++
			}
		}
		if err != nil {
			return missing, err
		}
	}
}

// get tries to get one chunk. If it fails, the next try comes after the moment after.
func (r *repair) get(ctx context.Context, p *tasks.Progress, a *layout.Active, d chunk.Damage, after time.Time) (got bool, err error) {
	entry, err := r.local.Chunk(ctx, d.Hash)
	if errors.Is(err, errors.NotFound) || err == nil && (entry.Good || len(entry.Refs) == 0) {
		return true, r.local.Tried(ctx, d.Hash, "", after.Add(lastTry)) // it went, or came, meanwhile
	}
	if err != nil {
		return false, err
	}
	way := ""
	if err = r.obtain(ctx, p, a, entry); err != nil {
		if final(ctx, err) {
			return false, err
		}
		way = err.Error()
	}
	return err == nil, r.local.Tried(ctx, d.Hash, way, after.Add(min(firstTry<<min(d.Tries, 20), lastTry)))
}

// obtain gets a good copy; or it finds that the owners have one, and that this node, which is none of them, need not.
func (r *repair) obtain(ctx context.Context, p *tasks.Progress, a *layout.Active, entry chunk.Entry) error {
	foreign := !a.Owns(r.deps.ID, entry.Hash.Partition())
	if foreign {
		if err := r.release(ctx, p, a, entry.Hash); err == nil || final(ctx, err) {
			return err
		}
	}
	if err := r.restore(ctx, p, a, entry); err != nil || !foreign {
		return err
	}
	return r.release(ctx, p, a, entry.Hash)
}
