package heal

import (
	"context"
	"slices"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

const (
	// firstRetry and longestRetry bound the pause before a creditor that did not take everything is tried again.
	firstRetry   = 5 * time.Second
	longestRetry = 10 * time.Minute
)

// creditor is what is known of a node to which something is owed.
type creditor struct {
	fails int
	next  time.Time // not before
}

// debts pays what is owed to nodes that are alive and whose time has come; all: whose time has not, too. left says what was in the way.
func (r *repair) debts(ctx context.Context, p *tasks.Progress, a *layout.Active, all bool) (left string, err error) {
	ids, unread := r.local.Creditors(ctx)
	for _, id := range ids {
		c := r.creditors[id]
		if c == nil {
			c = &creditor{}
			r.creditors[id] = c
		}
		if a.Index(id) >= 0 && !r.peers.Alive(id) {
			left = "it owes chunks to node " + id.String() + ", which is away"
			continue
		}
		if !all && r.deps.Clock.Now().Before(c.next) {
			continue
		}
		p.Working()
		failed := r.pay(ctx, p, a, id)
		switch {
		case final(ctx, failed):
			return "", failed
		case failed != nil:
			left = "it owes chunks to node " + id.String() + ": " + failed.Error()
			c.next = r.deps.Clock.Now().Add(min(firstRetry<<min(c.fails, 10), longestRetry))
			c.fails++
		default:
			delete(r.creditors, id)
		}
	}
	return left, unread
}

// pay goes over all debts to one node once, and returns why some are left.
func (r *repair) pay(ctx context.Context, p *tasks.Progress, a *layout.Active, id chunk.NodeID) (left error) {
	var after Debt
	for {
		debts, err := r.local.Debts(ctx, id, after, page)
		if err != nil {
			left = err
		}
		groups := byHash(debts)
		failed := make([]error, len(groups))
		var out outage
		r.deps.Each(len(groups), func(i int) {
			if failed[i] = ctx.Err(); failed[i] != nil || out.away(r.peers, id) && a.Index(id) >= 0 {
				return
			}
			failed[i] = r.yield(ctx, r.turn, func() error { return r.settle(ctx, p, a, id, groups[i]) })
			out.note(failed[i])
		})
		for _, err := range failed {
			if final(ctx, err) {
				return err
			}
			if err != nil {
				left = err
			}
		}
		if len(debts) < page || a.Index(id) >= 0 && out.away(r.peers, id) {
			return left
		}
		after = debts[len(debts)-1]
	}
}

// byHash puts debts of the same chunk together; they follow each other.
func byHash(debts []Debt) (groups [][]Debt) {
	for len(debts) > 0 {
		n := slices.IndexFunc(debts, func(d Debt) bool { return d.Hash != debts[0].Hash })
		if n < 0 {
			n = len(debts)
		}
		groups, debts = append(groups, debts[:n]), debts[n:]
	}
	return groups
}

// settle gives one chunk to the node to which it is owed, if that owns it, and strikes out the debts. A chunk that is here only because this
// node stood in for the other is handed to every owner and dropped; until that is done the debts are kept, since nothing else would remind of it.
func (r *repair) settle(ctx context.Context, p *tasks.Progress, a *layout.Active, id chunk.NodeID, debts []Debt) error {
	h := debts[0].Hash
	entry, err := r.local.Chunk(ctx, h)
	switch {
	case errors.Is(err, errors.NotFound):
	case err != nil:
		return err
	default:
		if a.Owns(id, h.Partition()) {
			if _, err := r.hand(ctx, p, a, entry, []chunk.NodeID{id}); err != nil {
				return err
			}
		}
		if !a.Owns(r.deps.ID, h.Partition()) {
			if err := r.release(ctx, p, a, h); err != nil {
				return err
			}
		}
	}
	for _, d := range debts {
		if err := r.local.Paid(ctx, d.Hash, d.Ref, id); err != nil {
			return err
		}
	}
	return nil
}
