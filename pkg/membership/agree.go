package membership

import (
	"context"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Layouts are those in force; nil before the first.
func (m *Members) Layouts() *layout.Active {
	view, _ := m.Current()
	return view.Layouts
}

// Client is that of a node of the layouts in force; its requests carry the number of the current one. Kinds: NotFound.
func (m *Members) Client(id chunk.NodeID) (*remote.Client, error) {
	view, _ := m.Current()
	client, known := view.Nodes[id]
	if !known {
		return nil, errors.E(errors.NotFound, errors.Node, id.String(), "it is in no layout that is in force")
	}
	return client, nil
}

// Alive reports whether a node is believed to answer: as those say who watch it or, where nobody does, as calls to it show.
func (m *Members) Alive(id chunk.NodeID) bool {
	if m.deps.Alive != nil {
		return m.deps.Alive(id)
	}
	client, err := m.Client(id)
	return err == nil && client.Answers()
}

// LayoutsOf asks a node for the layouts that it has adopted; nil: none yet.
func (m *Members) LayoutsOf(ctx context.Context, id chunk.NodeID) (*layout.Active, error) {
	client, err := m.Client(id)
	if err != nil {
		return nil, err
	}
	return client.Layouts(ctx)
}

// CatchUp puts the layouts of a node in force, if they are newer, after a request to it failed with layout.Differs. It returns any
// other error as it is.
func (m *Members) CatchUp(ctx context.Context, id chunk.NodeID, err error) error {
	number, differs := layout.Differing(err)
	if !differs {
		return err
	}
	if now := m.Layouts(); now != nil && now.Number() >= number {
		return nil // another request has learned of it
	}
	newer, err := m.LayoutsOf(ctx, id)
	if err != nil || newer == nil {
		return err
	}
	return m.Apply(newer)
}
