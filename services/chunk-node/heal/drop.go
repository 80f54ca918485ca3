package heal

import (
	"context"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

// changes is how often a chunk may change while it is handed over before it is left for later.
const changes = 3

// release hands a chunk that the node does not own to all owners and drops it: the node is rid of it, or an error says why not.
// What waits for collection is left to it.
func (e *Engine) release(ctx context.Context, p *tasks.Progress, a *layout.Active, h chunk.Hash) error {
	to := owners(a, h.Partition())
	for range changes {
		entry, err := e.local.Chunk(ctx, h)
		if errors.Is(err, errors.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(entry.Refs) == 0 {
			return nil
		}
		held, err := e.hand(ctx, p, a, entry, to)
		if err != nil {
			return err
		}
		if len(held) == 0 { // every reference was removed, here too
			return nil
		}
		// What the owners said holds for this layout: a node that owns the chunk in the next one may have taken references for it.
		dropped, err := e.local.Drop(ctx, h, held, func() bool { return e.current(a) })
		if err != nil {
			return err
		}
		if dropped {
			e.foreign.Add(-1)
			return nil
		}
		if !e.current(a) {
			return errMoved
		}
	}
	return errors.E(errors.Conflict, errors.Chunk, h.String(), "its references change all the time; it is handed over later")
}
