package adopt

import (
	"context"
	"log/slog"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/membership"
)

// Peers are the other nodes of the layouts that the node has adopted, and what it adopts others by.
type Peers struct {
	*Gate
	members *membership.Members // nil: it is alone
	log     *slog.Logger
}

// NewPeers reaches the nodes of the layouts by members, which are nil where there is no other node; they stay the caller's.
func NewPeers(g *Gate, m *membership.Members, log *slog.Logger) *Peers {
	p := &Peers{Gate: g, members: m, log: log}
	if a := g.Current(); a != nil {
		p.reach(a)
	}
	return p
}

// reach has the members follow. What a node serves does not depend on that: its own work waits for other nodes then.
func (p *Peers) reach(a *layout.Active) {
	if p.members == nil {
		return
	}
	if err := p.members.Apply(a); err != nil {
		p.log.Error("the nodes of the adopted layout cannot be reached: nothing is handed over or repaired", "layout", a.Number(), "error", err)
	}
}

// Layouts are those that the node has adopted; nil before the first.
func (p *Peers) Layouts() *layout.Active { return p.Current() }

// Adopt makes layouts those of the node, if they are newer than its own; they are on disk when it returns nil. Kinds: Conflict if
// others have the same number; Internal.
func (p *Peers) Adopt(a *layout.Active) error {
	if err := p.Gate.Adopt(a); err != nil {
		return err
	}
	p.reach(p.Current())
	return nil
}

// Peer is another node of the layouts in force; its requests carry the number of the layout that the node has adopted now.
// Kinds: NotFound.
func (p *Peers) Peer(id chunk.NodeID) (chunk.Peer, error) {
	if p.members == nil {
		return nil, errors.E(errors.NotFound, errors.Node, id.String(), "this node is alone")
	}
	client, err := p.members.Client(id)
	if err != nil {
		return nil, err
	}
	// The members follow a moment after the gate: an answer must be one of the layout that the node has adopted.
	return client.At(p.Current()), nil
}

// Alive reports whether a node is believed to answer.
func (p *Peers) Alive(id chunk.NodeID) bool { return p.members != nil && p.members.Alive(id) }

// CatchUp makes the two sides agree about the layouts after a request to a node failed with layout.Differs: if that node's are newer,
// they are adopted here. It returns any other error as it is.
func (p *Peers) CatchUp(ctx context.Context, id chunk.NodeID, err error) error {
	number, differs := layout.Differing(err)
	if !differs || p.members == nil {
		return err
	}
	if now := p.Layouts(); now != nil && now.Number() >= number {
		return nil // another request has learned of it
	}
	newer, err := p.members.LayoutsOf(ctx, id)
	if err != nil || newer == nil {
		return err
	}
	return p.Adopt(newer)
}
