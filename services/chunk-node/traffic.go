package chunknode

import (
	"context"
	"sync/atomic"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

// traffic counts the calls of other machines since the start.
type traffic struct {
	reads, writes, references, deletes atomic.Int64
	bytesRead, bytesWritten            atomic.Int64
	errors                             atomic.Int64
	lastRead                           atomic.Int64 // nanoseconds since the Unix epoch
}

func (t *traffic) message() *clusterv1.Traffic {
	return &clusterv1.Traffic{Reads: t.reads.Load(), Writes: t.writes.Load(), References: t.references.Load(), Deletes: t.deletes.Load(),
		BytesRead: t.bytesRead.Load(), BytesWritten: t.bytesWritten.Load(), Errors: t.errors.Load()}
}

// done counts a call. That there is no such chunk, or that the caller went away, is no error of the node.
func (t *traffic) done(calls *atomic.Int64, err error) {
	calls.Add(1)
	if err != nil && !errors.Is(err, errors.NotFound) && !errors.Is(err, errors.Canceled) {
		t.errors.Add(1)
	}
}

// counted is the node as it is served to other machines.
type counted struct {
	*Node
	traffic *traffic
}

// Get implements chunk.Store.
func (c *counted) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	c.traffic.lastRead.Store(c.service.deps.Clock.Now().UnixNano())
	b, err := c.Node.Get(ctx, h)
	if c.traffic.done(&c.traffic.reads, err); err == nil {
		c.traffic.bytesRead.Add(int64(b.Len()))
	}
	return b, err
}

// Put implements chunk.Store.
func (c *counted) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	outcome, err := c.Node.Put(ctx, h, data, ref)
	c.written(data, err)
	return outcome, err
}

// PutVerifiedFor implements server.Node.
func (c *counted) PutVerifiedFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	outcome, err := c.Node.PutVerifiedFor(ctx, h, data, ref, owner)
	c.written(data, err)
	return outcome, err
}

func (c *counted) written(data *buffer.Buffer, err error) {
	if c.traffic.done(&c.traffic.writes, err); err == nil {
		c.traffic.bytesWritten.Add(int64(data.Len()))
	}
}

// PutRef implements chunk.Store.
func (c *counted) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	outcome, err := c.Node.PutRef(ctx, h, ref)
	c.traffic.done(&c.traffic.references, err)
	return outcome, err
}

// Delete implements chunk.Store.
func (c *counted) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	err := c.Node.Delete(ctx, h, ref)
	c.traffic.done(&c.traffic.deletes, err)
	return err
}
