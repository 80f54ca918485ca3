package chunknode

import (
	"context"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/services/chunk-node/disk"
)

// Node is the node as who is in the same process calls it: the store, with what its tasks do.
type Node struct {
	*disk.Store
	service *Service
}

var (
	_ chunk.Peer       = (*Node)(nil)
	_ chunk.Controlled = (*Node)(nil)
)

// Status implements chunk.Node.
func (n *Node) Status(ctx context.Context) (chunk.NodeStatus, error) {
	status, err := n.Store.Status(ctx)
	if err != nil {
		return status, err
	}
	s := n.service
	if a := s.peers.Layouts(); a != nil {
		status.Layout = a.Number()
	}
	status.Walked, status.Foreign, status.Tasks = s.healing.Walked(), s.healing.Foreign(), s.tasks.Status()
	status.Uncompared = s.healing.Uncompared()
	return status, nil
}

// Command implements chunk.Controlled.
func (n *Node) Command(ctx context.Context, c chunk.Command) (chunk.TaskStatus, error) {
	return n.service.tasks.Command(ctx, c)
}
