package chunknode

import (
	"context"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/measured"
)

// What clients and other nodes call is measured; what the node's own tasks do with the store is not.

// Get implements chunk.Store.
func (n *Node) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	ctx, call := n.service.meter.Begin(ctx, measured.Get, h)
	b, err := n.Store.Get(ctx, h)
	call.End(measured.Length(b, err), err)
	return b, err
}

// Put implements chunk.Store.
func (n *Node) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	ctx, call := n.service.meter.Begin(ctx, measured.Put, h)
	outcome, err := n.Store.Put(ctx, h, data, ref)
	call.End(data.Len(), err)
	return outcome, err
}

// PutVerified implements chunk.VerifiedPutter.
func (n *Node) PutVerified(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	return n.PutVerifiedFor(ctx, h, data, ref, chunk.NodeID{})
}

// PutFor implements chunk.Node.
func (n *Node) PutFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	ctx, call := n.service.meter.Begin(ctx, measured.PutFor, h)
	outcome, err := n.Store.PutFor(ctx, h, data, ref, owner)
	call.End(data.Len(), err)
	return outcome, err
}

// PutVerifiedFor implements server.Node.
func (n *Node) PutVerifiedFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	operation := measured.PutFor
	if owner == (chunk.NodeID{}) {
		operation = measured.Put
	}
	ctx, call := n.service.meter.Begin(ctx, operation, h)
	outcome, err := n.Store.PutVerifiedFor(ctx, h, data, ref, owner)
	call.End(data.Len(), err)
	return outcome, err
}

// PutRef implements chunk.Store.
func (n *Node) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	ctx, call := n.service.meter.Begin(ctx, measured.PutRef, h)
	outcome, err := n.Store.PutRef(ctx, h, ref)
	call.End(0, err)
	return outcome, err
}

// Delete implements chunk.Store.
func (n *Node) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	ctx, call := n.service.meter.Begin(ctx, measured.Delete, h)
	err := n.Store.Delete(ctx, h, ref)
	call.End(0, err)
	return err
}

// Owe implements chunk.Node.
func (n *Node) Owe(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	ctx, call := n.service.meter.Begin(ctx, measured.Owe, h)
	err := n.Store.Owe(ctx, h, ref, owner)
	call.End(0, err)
	return err
}

// RepairVerified implements server.Node.
func (n *Node) RepairVerified(ctx context.Context, h chunk.Hash, data *buffer.Buffer) error {
	ctx, call := n.service.meter.Begin(ctx, measured.Repair, h)
	err := n.Store.RepairVerified(ctx, h, data)
	call.End(data.Len(), err)
	return err
}
