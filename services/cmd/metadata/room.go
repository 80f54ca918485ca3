package main

import (
	"context"
	"fmt"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/services/metadata/migrate"
)

// roomOf asks the chunk-nodes of the layout what they have left.
func roomOf(nodes *membership.Members) func(context.Context) (migrate.Room, error) {
	return func(ctx context.Context) (room migrate.Room, err error) {
		view, known := nodes.Current()
		if !known {
			return room, errors.E(errors.Unavailable, errors.Layout, "", "the cluster has none, so there is no place for chunks: see \"garage layout assign\"")
		}
		current := view.Layouts.Current().Layout
		room.Copies = current.Replication
		for _, n := range current.Nodes {
			status, err := view.Nodes[n.ID].Status(ctx)
			switch {
			case err != nil:
				room.Problems = append(room.Problems, fmt.Sprintf("the chunk-node %v does not answer: %v", n.ID, err))
			case status.ReadOnly:
				room.Problems = append(room.Problems, fmt.Sprintf("the chunk-node %v takes nothing: %s", n.ID, status.Problem))
			default:
				room.Free += status.Free
			}
		}
		return room, nil
	}
}
