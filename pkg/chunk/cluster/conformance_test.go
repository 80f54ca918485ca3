package cluster

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/chunk/faults"
	"deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// The store keeps the contract of chunk.Store with any number of copies, and
// with a node that fails in any way. Deletes, and reads of what is nowhere, need
// all owners, so faults spare them.
func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name          string
		copies, nodes int
		fault         faults.Fault // of the second node
		corrupt       bool
		long          bool // left out of short runs
	}{
		{"three copies", 3, 3, nil, false, false},
		{"three copies on five nodes", 3, 5, nil, false, true},
		{"two copies on four nodes", 2, 4, nil, false, false},
		{"one copy on three nodes", 1, 3, nil, false, true},
		{"one node", 1, 1, nil, false, true},
		{"a node away", 3, 3, faults.Away, false, false},
		{"a node that hangs", 3, 3, faults.Hang, false, true},
		{"a full node", 3, 3, faults.Fail(errors.Full), false, true},
		{"a node that finds nothing", 3, 3, faults.Only(faults.Fail(errors.NotFound), faults.Get), false, true},
		{"a node that corrupts", 3, 3, nil, true, false},
	} {
		if testing.Short() && c.long {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			chunktest.Run(t, func(t *testing.T) chunk.Store {
				list := make([]layout.Node, c.nodes)
				members := make(map[chunk.NodeID]Member)
				for i := range list {
					list[i] = layout.Node{ID: nodeID(i), Zone: "here", Tokens: 10}
					store := memory.New(nodeID(i))
					node := faults.New(store)
					if i == 1 && c.fault != nil {
						node.Set(sparing(c.fault, store))
					}
					node.Corrupt(i == 1 && c.corrupt)
					members[nodeID(i)] = Member{Node: node}
				}
				settings := Defaults
				settings.Grace = 5 * time.Millisecond // shorter than in service, as a node may hang
				settings.Health.Guess = time.Millisecond
				settings.Health.MinHedge = time.Millisecond
				s, err := New(Config{Layouts: inForce(t, 1, c.copies, list), Members: members, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Settings: settings})
				require.NoError(t, err)
				t.Cleanup(func() { s.Close(time.Minute) })
				return s
			})
		})
	}
}

// sparing spares deletes, and reads of what the store does not have.
func sparing(f faults.Fault, store *memory.Store) faults.Fault {
	return func(ctx context.Context, op faults.Op, h chunk.Hash) error {
		switch op {
		case faults.Delete:
			return nil
		case faults.Get:
			b, err := store.Get(ctx, h)
			if err != nil {
				return nil
			}
			b.Release()
		}
		return f(ctx, op, h)
	}
}
