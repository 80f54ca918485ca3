package heal_test

import (
	"context"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/disk"
)

// link is how one node calls another: past the gate for layouts, and past the faults of a test.
type link struct {
	*disk.Store
	from, to *node
}

// pass makes a call. gated calls are refused when the layouts differ; a node that is behind is handed the caller's first, as a client does.
func (l *link) pass(ctx context.Context, method string, gated bool, call func() error) error {
	c := l.to.cluster
	c.mu.Lock()
	c.methods[method]++
	fault := c.fault
	c.mu.Unlock()
	if fault != nil {
		if err := fault(l.from, l.to, method); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.to.away {
		return errors.E(errors.Unavailable, errors.Node, l.to.id.String(), "connection refused")
	}
	if !gated {
		return call()
	}
	mine := l.from.gate.Current()
	adopted, err := l.to.gate.Enter(mine.Number())
	if number, differs := layout.Differing(err); differs && number < mine.Number() {
		if err := l.to.gate.Adopt(mine); err != nil {
			return err
		}
		adopted, err = l.to.gate.Enter(mine.Number())
	}
	if err != nil {
		return err
	}
	defer l.to.gate.Leave(adopted)
	return call()
}

func (l *link) bytes(b *buffer.Buffer) {
	l.to.cluster.mu.Lock()
	defer l.to.cluster.mu.Unlock()
	l.to.cluster.moved += int64(b.Len())
}

func (l *link) Get(ctx context.Context, h chunk.Hash) (b *buffer.Buffer, err error) {
	err = l.pass(ctx, "Get", false, func() error {
		b, err = l.Store.Get(ctx, h)
		return err
	})
	if err == nil {
		l.bytes(b)
	}
	return b, err
}

func (l *link) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (o chunk.Outcome, err error) {
	err = l.pass(ctx, "Put", true, func() error {
		o, err = l.Store.Put(ctx, h, data, ref)
		return err
	})
	l.bytes(data)
	return o, err
}

func (l *link) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (o chunk.Outcome, err error) {
	err = l.pass(ctx, "PutRef", true, func() error {
		o, err = l.Store.PutRef(ctx, h, ref)
		return err
	})
	return o, err
}

func (l *link) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	return l.pass(ctx, "Delete", true, func() error { return l.Store.Delete(ctx, h, ref) })
}

func (l *link) PartitionSums(ctx context.Context, partitions []chunk.Partition) (s []chunk.Sum, err error) {
	err = l.pass(ctx, "PartitionSums", true, func() error {
		s, err = l.Store.PartitionSums(ctx, partitions)
		return err
	})
	return s, err
}

func (l *link) BucketSums(ctx context.Context, p chunk.Partition) (s *[chunk.Buckets]chunk.Sum, err error) {
	err = l.pass(ctx, "BucketSums", true, func() error {
		s, err = l.Store.BucketSums(ctx, p)
		return err
	})
	return s, err
}

func (l *link) Entries(ctx context.Context, p chunk.Partition, bucket uint8, after chunk.Hash, limit int) (all []chunk.Entry, err error) {
	err = l.pass(ctx, "Entries", true, func() error {
		all, err = l.Store.Entries(ctx, p, bucket, after, limit)
		return err
	})
	return all, err
}

// local is what a node holds, with the faults of a test.
type local struct {
	*disk.Store
	node *node
}

func (l local) Verify(ctx context.Context, h chunk.Hash) (int64, bool, error) {
	if l.node.verify != nil {
		l.node.verify()
	}
	return l.Store.Verify(ctx, h)
}

func (l local) InTrash(ctx context.Context, h chunk.Hash, ref chunk.Ref) (bool, error) {
	look := func() (bool, error) { return l.Store.InTrash(ctx, h, ref) }
	if l.node.inTrash != nil {
		return l.node.inTrash(look)
	}
	return look()
}

func (l local) Untrash(ctx context.Context, h chunk.Hash, refs []chunk.Ref) error {
	if l.node.untrash != nil {
		if err := l.node.untrash(); err != nil {
			return err
		}
	}
	return l.Store.Untrash(ctx, h, refs)
}
