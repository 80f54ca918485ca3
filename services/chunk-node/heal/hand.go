package heal

import (
	"context"
	"slices"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

// errNoCopy says that another node wants the bytes of a chunk of which there is no good copy here.
var errNoCopy = errors.Newf(errors.Corrupted, "there is no good copy of the chunk here")

// errNowhere says that every other node of the layouts in force has just answered that it has no good copy of a chunk, or was given up by the
// operator and did not answer.
var errNowhere = errors.Newf(errors.NotFound, chunk.NoGoodCopy)

// hand gives nodes a chunk with every reference of the entry, and returns those that each of the nodes says it holds with the chunk.
// A reference that one of them says was removed is removed here too. Kinds: those of chunk.Store; errNoCopy; errMoved.
func (e *Engine) hand(ctx context.Context, p *tasks.Progress, a *layout.Active, entry chunk.Entry, to []chunk.NodeID) (held []chunk.Ref, err error) {
	data := payload{engine: e, progress: p, hash: entry.Hash}
	defer data.release()
	held = slices.Clone(entry.Refs)
	for _, id := range to {
		for i := 0; i < len(held); {
			outcome, err := e.offer(ctx, a, id, &data, held[i])
			switch {
			case err != nil:
				return nil, err
			case outcome == chunk.Gone:
				if err := e.local.Delete(ctx, entry.Hash, held[i]); err != nil {
					return nil, err
				}
				held = slices.Delete(held, i, i+1)
			default:
				i++
			}
		}
	}
	return held, nil
}

// offer gives a node one reference, and the bytes if it asks for them. The outcome is Stored or Gone.
func (e *Engine) offer(ctx context.Context, a *layout.Active, id chunk.NodeID, data *payload, ref chunk.Ref) (outcome chunk.Outcome, err error) {
	err = e.ask(ctx, a, id, func(ctx context.Context, peer chunk.Peer) (err error) {
		outcome, err = peer.PutRef(ctx, data.hash, ref)
		return err
	})
	if err != nil || outcome != chunk.SendData {
		return outcome, err
	}
	bytes, err := data.load(ctx)
	if err != nil {
		return 0, err
	}
	if err := data.progress.Take(ctx, int64(bytes.Len())); err != nil {
		return 0, err
	}
	err = e.ask(ctx, a, id, func(ctx context.Context, peer chunk.Peer) (err error) {
		outcome, err = peer.Put(ctx, data.hash, bytes, ref)
		return err
	})
	if err == nil {
		data.progress.Add(0, int64(bytes.Len()))
	}
	return outcome, err
}

// payload is the bytes of a chunk, read when somebody wants them.
type payload struct {
	engine   *Engine
	progress *tasks.Progress
	hash     chunk.Hash
	bytes    *buffer.Buffer
}

func (l *payload) load(ctx context.Context) (*buffer.Buffer, error) {
	if l.bytes != nil {
		return l.bytes, nil
	}
	bytes, err := l.engine.local.Get(ctx, l.hash)
	if errors.Is(err, errors.NotFound) || errors.Is(err, errors.Corrupted) {
		return nil, errNoCopy
	}
	l.bytes = bytes
	return bytes, err
}

func (l *payload) release() {
	if l.bytes != nil {
		l.bytes.Release()
	}
}

// fetch gets a good copy from another node: an owner, one that was an owner before, or any. Kinds: NotFound if there is none to be had
// now; errNowhere; errMoved.
func (e *Engine) fetch(ctx context.Context, p *tasks.Progress, a *layout.Active, entry chunk.Entry) (b *buffer.Buffer, err error) {
	if err := p.Take(ctx, int64(entry.Length)); err != nil {
		return nil, err
	}
	var unknown error // why a node did not say whether it has one
	for _, id := range e.sources(a, entry.Hash.Partition()) {
		if !e.peers.Alive(id) {
			if a.Lost(id) {
				continue
			}
			unknown = errors.E(errors.Unavailable, errors.Node, id.String(), "it is away")
			continue
		}
		err := e.ask(ctx, a, id, func(ctx context.Context, peer chunk.Peer) (err error) {
			b, err = peer.Get(ctx, entry.Hash)
			return err
		})
		switch {
		case err == nil:
			p.Add(0, int64(b.Len()))
			return b, nil
		case final(ctx, err):
			return nil, err
		case !errors.Is(err, errors.NotFound) && !errors.Is(err, errors.Corrupted) && !a.Lost(id):
			unknown = err
		}
	}
	if unknown == nil {
		return nil, errNowhere
	}
	return nil, errors.Wrap(errors.NotFound, unknown, "no good copy is to be had now")
}

// sources are the other nodes that may have a chunk of the partition, in the order in which to ask them.
func (e *Engine) sources(a *layout.Active, p chunk.Partition) []chunk.NodeID {
	all := slices.Concat(ids(a, a.Owners(p)), ids(a, a.Former(p)))
	for _, n := range a.Nodes() {
		if !slices.Contains(all, n.ID) {
			all = append(all, n.ID)
		}
	}
	return e.others(all)
}

// restore gets a good copy of a chunk from another node and puts it in place here. Kinds: fetch's and those of chunk.Node.
func (e *Engine) restore(ctx context.Context, p *tasks.Progress, a *layout.Active, entry chunk.Entry) error {
	b, err := e.fetch(ctx, p, a, entry)
	if err != nil {
		return err
	}
	defer b.Release()
	return errors.Annotate(e.local.Repair(ctx, entry.Hash, b), "putting a good copy in place")
}
