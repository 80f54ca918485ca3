package rebalancer

import (
	"context"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	"deuxfleurs.fr/garage/pkg/errors"
)

// beginAgain is the pause before a term that could not begin is tried again.
const beginAgain = time.Second

// newTerm begins a term.
func (s *Service) newTerm(ctx context.Context, held leader.Held) (*term, error) {
	b, err := leader.ReadBase(ctx, s.cluster.consul, held.Key)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	return &term{number: b.Number + held.Term, base: b, held: held, began: s.deps.Clock.Now(), ctx: ctx, end: end, roster: newRoster()}, nil
}

// outrank ends a term that is not higher than one that a node has obeyed: the next is. Only who holds the lock can do that, so a node that obeys who
// has it now makes nobody else's term higher. Kinds: Unavailable: the node comes again in the next term.
func (s *Service) outrank(ctx context.Context, t *term, node chunk.NodeID, obeyed uint64) error {
	if obeyed <= t.number {
		return nil
	}
	if obeyed > leader.HighestTerm-t.held.Term {
		return errors.E(errors.Invalid, errors.Node, node.String(), "it has obeyed the term %d, which there cannot have been", obeyed)
	}
	// Whatever comes of it: the next term reads the base, which may have been raised also where no answer came.
	defer t.end()
	raised, err := t.base.Raise(context.WithoutCancel(ctx), s.cluster.consul, t.held, obeyed) // the node may not wait for as long
	if err != nil {
		return err
	}
	if !raised {
		// Another node's word has raised it already, and the term is about to end, or the lock is lost.
		s.deps.Logger.Debug("the base of terms was not raised", "term", t.number, "obeyed", obeyed)
		return errors.Newf(errors.Unavailable, "the node has obeyed the term %d, and this one is %d, which is about to end", obeyed, t.number)
	}
	s.deps.Logger.Warn("a chunk-node has obeyed a higher term than this one, as when Consul has lost its data; a higher one begins", "node", node, "obeyed", obeyed, "term", t.number)
	return errors.Newf(errors.Unavailable, "the node has obeyed the term %d: a higher one than %d begins", obeyed, t.number)
}
