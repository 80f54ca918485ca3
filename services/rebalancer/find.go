package rebalancer

import (
	"strings"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// find resolves how an operator names a node: its ID, the beginning of one that no other has, or the name of its machine.
func find(nodes []*nodeView, name string) (*nodeView, error) {
	if name == "" {
		return nil, errors.E(errors.Invalid, errors.Node, "", "give an ID, the beginning of one, or the name of a machine")
	}
	if id, err := uuid.Parse(name); err == nil && len(name) == 36 {
		for _, n := range nodes {
			if n.id == id {
				return n, nil
			}
		}
	}
	named := matching(nodes, func(n *nodeView) bool { return n.machine == name })
	if len(named) == 0 {
		named = matching(nodes, func(n *nodeView) bool { return strings.HasPrefix(n.id.String(), strings.ToLower(name)) })
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return nil, errors.E(errors.NotFound, errors.Node, name, "no chunk-node has this ID or name; list them with: garage layout show")
	}
	var ids []string
	for _, n := range named {
		ids = append(ids, n.id.String())
	}
	return nil, errors.E(errors.Invalid, errors.Node, name, "%d nodes are called so: give more of the ID (%s)", len(ids), strings.Join(ids, ", "))
}

func matching(nodes []*nodeView, matches func(*nodeView) bool) []*nodeView {
	var found []*nodeView
	for _, n := range nodes {
		if matches(n) {
			found = append(found, n)
		}
	}
	return found
}

// byID finds a node's view; nil if there is none.
func byID(nodes []*nodeView, id chunk.NodeID) *nodeView {
	for _, n := range nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}
