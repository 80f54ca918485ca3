package cluster

import (
	"context"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/quorum"
)

// Put implements chunk.Store: it returns when a majority of the owners has the
// chunk. It fails with kind Unavailable when that is not to be had. Whether
// data has the hash h is for the owners to find out.
func (s *Store) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	return s.put(ctx, h, data, ref, false)
}

// PutVerified implements chunk.VerifiedPutter: owners in this process need not
// hash the bytes. Those elsewhere do in any case.
func (s *Store) PutVerified(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	return s.put(ctx, h, data, ref, true)
}

func (s *Store) put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, verified bool) (chunk.Outcome, error) {
	if n := data.Len(); n == 0 || n > chunk.MaxSize {
		return 0, errors.E(errors.Invalid, errors.Chunk, h.String(), "a chunk has 1 to %d bytes, not %d", chunk.MaxSize, n)
	}
	w := &write{hash: h, ref: ref, verb: "storing a chunk", data: data, owners: s.owners(h)}
	w.send = func(ctx context.Context, p *peer) result { return p.put(ctx, h, data, ref, verified) }
	return s.write(ctx, w, quorum.Majority(len(w.owners)))
}

// PutRef implements chunk.Store like Put. When some owners have the bytes, but
// too few, they are copied from one to another.
func (s *Store) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	w := &write{hash: h, ref: ref, verb: "referring to a chunk", owners: s.owners(h)}
	w.send = func(ctx context.Context, p *peer) result { return stored(p.node.PutRef(ctx, h, ref)) }
	w.feed = func(ctx context.Context, p *peer) result {
		return s.feed(ctx, h, func(data *buffer.Buffer) result { return p.put(ctx, h, data, ref, true) }) // read has verified them
	}
	return s.write(ctx, w, quorum.Majority(len(w.owners)))
}

// feed reads a chunk from any node that has it, for put.
func (s *Store) feed(ctx context.Context, h chunk.Hash, put func(*buffer.Buffer) result) result {
	data, err := s.read(ctx, h)
	if err != nil {
		return result{outcome: quorum.Refused, err: errors.Annotate(err, "reading the chunk from another owner")}
	}
	defer data.Release()
	s.counts.fed.Add(1)
	return put(data)
}

// standIn has a node take the chunk for an owner that is away.
func (w *write) standIn(ctx context.Context, p *peer, owner chunk.NodeID) result {
	put := func(data *buffer.Buffer) result { return sent(stored(p.node.PutFor(ctx, w.hash, data, w.ref, owner))) }
	if w.data == nil {
		return w.s.feed(ctx, w.hash, put)
	}
	return put(w.data)
}

// Delete implements chunk.Store: it returns nil only when every owner, in all
// layouts in force, has removed the reference, so that none can bring it back.
func (s *Store) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	w := &write{hash: h, ref: ref, verb: "removing a reference", all: true, owners: s.holders(h)}
	w.send = func(ctx context.Context, p *peer) result {
		err := p.node.Delete(ctx, h, ref)
		return result{outcome: outcomeOfWrite(err), err: err}
	}
	_, err := s.write(ctx, w, len(w.owners))
	return err
}

func (p *peer) put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, verified bool) result {
	do := p.node.Put
	if v, can := p.node.(chunk.VerifiedPutter); can && verified {
		do = v.PutVerified
	}
	return sent(stored(do(ctx, h, data, ref)))
}

// sent is the result of a call that sent the bytes.
func sent(r result) result {
	if r.outcome == quorum.Missing {
		return result{outcome: quorum.Refused, err: errors.Newf(errors.Internal, "the node asks for the bytes that it was sent")}
	}
	return r
}

// stored is the result of a Put or PutRef.
func stored(o chunk.Outcome, err error) result {
	if err != nil {
		return result{outcome: outcomeOfWrite(err), err: err}
	}
	switch o {
	case chunk.Stored:
		return result{outcome: quorum.OK}
	case chunk.Gone:
		return result{outcome: quorum.Removed}
	case chunk.SendData:
		return result{outcome: quorum.Missing}
	}
	return result{outcome: quorum.Refused, err: errors.Newf(errors.Internal, "the node answered %v", o)}
}

func outcomeOfWrite(err error) quorum.Outcome {
	switch {
	case err == nil:
		return quorum.OK
	case errors.Is(err, errors.Unavailable) || errors.Is(err, errors.Deadline):
		return quorum.Silent
	case errors.Is(err, errors.Overloaded) || !answered(err):
		return quorum.Failed
	}
	return quorum.Refused
}
