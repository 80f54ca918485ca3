package rebalancer

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/consul/leader"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// beginAgain is the pause before a term that could not begin is tried again.
	beginAgain = time.Second
	// termTimeout bounds a question to Consul about the term.
	termTimeout = 10 * time.Second
	// highestTerm is more than any term: what a node says beyond it is wrong.
	highestTerm = math.MaxInt64
)

// base is what is added to the index of the lock, and when Consul has changed it; 0: it has none.
type base struct{ number, index uint64 }

func (c *cluster) baseKey() string { return c.consul.Key(leader.RebalancerKey + "-base") }

// newTerm begins a term.
func (s *Service) newTerm(ctx context.Context, held leader.Held) (*term, error) {
	b, err := s.cluster.readBase(ctx)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	return &term{number: b.number + held.Term, base: b, held: held, began: s.deps.Clock.Now(), ctx: ctx, end: end, roster: newRoster()}, nil
}

func (c *cluster) readBase(ctx context.Context) (base, error) {
	ctx, cancel := context.WithTimeout(ctx, termTimeout)
	defer cancel()
	pair, _, err := c.consul.API().KV().Get(c.baseKey(), (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	if err != nil {
		return base{}, errors.Wrap(errors.Unavailable, err, "reading the base of terms")
	}
	if pair == nil {
		return base{}, nil
	}
	number, err := strconv.ParseUint(string(pair.Value), 10, 64)
	if err != nil || number > highestTerm {
		return base{}, errors.Newf(errors.Corrupted, "Consul's key %s holds %q instead of a number: delete it", pair.Key, pair.Value)
	}
	return base{number: number, index: pair.ModifyIndex}, nil
}

// outrank ends a term that is not higher than one that a node has obeyed: the next is. Only who holds the lock can do that, so a node that obeys who
// has it now makes nobody else's term higher. Kinds: Unavailable: the node comes again in the next term.
func (s *Service) outrank(ctx context.Context, t *term, node chunk.NodeID, obeyed uint64) error {
	if obeyed <= t.number {
		return nil
	}
	if obeyed > highestTerm-t.held.Term {
		return errors.E(errors.Invalid, errors.Node, node.String(), "it has obeyed the term %d, which there cannot have been", obeyed)
	}
	// Whatever comes of it: the next term reads the base, which may have been raised also where no answer came.
	defer t.end()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), termTimeout) // the node may not wait for as long
	defer cancel()
	ok, answer, _, err := s.cluster.consul.API().KV().Txn(api.KVTxnOps{
		{Verb: api.KVCheckSession, Key: t.held.Key, Session: t.held.Session},
		{Verb: api.KVCAS, Key: s.cluster.baseKey(), Value: strconv.AppendUint(nil, obeyed, 10), Index: t.base.index},
	}, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return errors.Wrap(errors.Unavailable, err, "raising the base of terms")
	}
	if !ok {
		// Another node's word has raised it already, and the term is about to end, or the lock is lost.
		s.deps.Logger.Debug("the base of terms was not raised", "term", t.number, "answer", answer)
		return errors.Newf(errors.Unavailable, "the node has obeyed the term %d, and this one is %d, which is about to end", obeyed, t.number)
	}
	s.deps.Logger.Warn("a chunk-node has obeyed a higher term than this one, as when Consul has lost its data; a higher one begins", "node", node, "obeyed", obeyed, "term", t.number)
	return errors.Newf(errors.Unavailable, "the node has obeyed the term %d: a higher one than %d begins", obeyed, t.number)
}
