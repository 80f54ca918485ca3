package simulation

import (
	"bytes"
	"context"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// remote is a node as another machine sees it, which has adopted layouts.
type remote struct {
	w        *World
	from, to chunk.NodeID
	layouts  *layout.Active // nil: none
}

var _ chunk.Peer = (*remote)(nil)

func (r *remote) number() uint64 {
	if r.layouts == nil {
		return 0
	}
	return r.layouts.Number()
}

// ask makes a request that is only let in with the right layout. A node that is behind is handed the layouts, and asked again.
func (r *remote) ask(handle func(n *node) (any, error)) (any, error) {
	for again := false; ; again = true {
		value, err := r.w.call(r.from, r.to, func(n *node) (any, error) {
			adopted, err := n.enter(r.number())
			if err != nil {
				return nil, err
			}
			value, err := handle(n)
			n.leave(adopted)
			return value, err
		})
		number, differs := layout.Differing(err)
		if !differs || again || number >= r.number() {
			return value, err
		}
		if _, err := r.w.call(r.from, r.to, func(n *node) (any, error) { return nil, n.adopt(r.layouts) }); err != nil {
			return nil, err
		}
	}
}

// Get implements chunk.Store: only that there is no chunk depends on the layouts.
func (r *remote) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	value, err := r.w.call(r.from, r.to, func(n *node) (any, error) {
		b, err := n.disk.Get(ctx, h)
		if number := n.number(); errors.Is(err, errors.NotFound) && number != r.number() {
			return nil, layout.Differs(number)
		}
		return b, err
	})
	if number, differs := layout.Differing(err); differs && number < r.number() {
		value, err = r.ask(func(n *node) (any, error) { return n.disk.Get(ctx, h) })
	}
	if err != nil {
		return nil, err
	}
	return value.(*buffer.Buffer), chunk.Verify(h, value.(*buffer.Buffer))
}

func outcome(value any, err error) (chunk.Outcome, error) {
	if err != nil {
		return 0, err
	}
	return value.(chunk.Outcome), nil
}

// Put implements chunk.Store.
func (r *remote) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	return r.PutFor(ctx, h, data, ref, chunk.NodeID{})
}

// PutFor implements chunk.Node.
func (r *remote) PutFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	sent := bytes.Clone(data.Bytes())
	return outcome(r.ask(func(n *node) (any, error) { return n.disk.PutFor(ctx, h, buffer.FromBytes(sent), ref, owner) }))
}

// PutRef implements chunk.Store.
func (r *remote) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	if r.w.Broken.Drop && r.w.nodes[r.from] != nil {
		return chunk.Stored, nil
	}
	return outcome(r.ask(func(n *node) (any, error) { return n.disk.PutRef(ctx, h, ref) }))
}

// Delete implements chunk.Store.
func (r *remote) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	_, err := r.ask(func(n *node) (any, error) { return nil, n.disk.Delete(ctx, h, ref) })
	return err
}

// Owe implements chunk.Node. It is taken whatever the layout.
func (r *remote) Owe(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	_, err := r.w.call(r.from, r.to, func(n *node) (any, error) { return nil, n.disk.Owe(ctx, h, ref, owner) })
	return err
}

// Repair implements chunk.Node. It is taken whatever the layout.
func (r *remote) Repair(ctx context.Context, h chunk.Hash, data *buffer.Buffer) error {
	sent := bytes.Clone(data.Bytes())
	_, err := r.w.call(r.from, r.to, func(n *node) (any, error) { return nil, n.disk.Repair(ctx, h, buffer.FromBytes(sent)) })
	return err
}

// Status implements chunk.Node.
func (r *remote) Status(ctx context.Context) (chunk.NodeStatus, error) {
	value, err := r.w.call(r.from, r.to, func(n *node) (any, error) { return n.status(ctx) })
	if err != nil {
		return chunk.NodeStatus{}, err
	}
	return value.(chunk.NodeStatus), nil
}

// PartitionSums implements chunk.Inventory.
func (r *remote) PartitionSums(ctx context.Context, partitions []chunk.Partition) ([]chunk.Sum, error) {
	value, err := r.ask(func(n *node) (any, error) { return n.disk.PartitionSums(ctx, partitions) })
	if err != nil {
		return nil, err
	}
	return value.([]chunk.Sum), nil
}

// BucketSums implements chunk.Inventory.
func (r *remote) BucketSums(ctx context.Context, p chunk.Partition) (*[chunk.Buckets]chunk.Sum, error) {
	value, err := r.ask(func(n *node) (any, error) { return n.disk.BucketSums(ctx, p) })
	if err != nil {
		return nil, err
	}
	return value.(*[chunk.Buckets]chunk.Sum), nil
}

// Entries implements chunk.Inventory.
func (r *remote) Entries(ctx context.Context, p chunk.Partition, bucket uint8, after chunk.Hash, limit int) ([]chunk.Entry, error) {
	value, err := r.ask(func(n *node) (any, error) { return n.disk.Entries(ctx, p, bucket, after, limit) })
	if err != nil {
		return nil, err
	}
	return value.([]chunk.Entry), nil
}

// current asks a node for the layouts that it has adopted.
func (r *remote) current() (*layout.Active, error) {
	value, err := r.w.call(r.from, r.to, func(n *node) (any, error) { return n.layouts(), nil })
	if err != nil {
		return nil, err
	}
	return value.(*layout.Active), nil
}
