package cluster

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/chunk/faults"
	"deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/layout"
)

// zones is a store over two nodes in each of three zones, of which the first may be away.
type zones struct {
	*Store
	active  *layout.Active
	ledgers map[chunk.NodeID]*ledger
	nodes   map[chunk.NodeID]*faults.Node
	away    atomic.Bool
}

func (z *zones) zoneOf(id chunk.NodeID) string { return z.active.Nodes()[z.active.Index(id)].Zone }

func threeZones(t *testing.T, told bool) *zones {
	t.Helper()
	z := &zones{ledgers: map[chunk.NodeID]*ledger{}, nodes: map[chunk.NodeID]*faults.Node{}}
	list := make([]layout.Node, 6)
	members := make(map[chunk.NodeID]Member)
	for i := range list {
		id := nodeID(i)
		list[i] = layout.Node{ID: id, Zone: "zone " + string(rune('0'+i/2)), Tokens: 10}
		z.ledgers[id] = &ledger{Store: memory.New(id), debts: map[debt]bool{}, refs: map[debt]bool{}}
		z.nodes[id] = faults.New(z.ledgers[id])
		members[id] = Member{Node: z.nodes[id]}
	}
	z.active = inForce(t, 1, 3, list)
	c := Config{Layouts: z.active, Members: members, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Settings: Defaults}
	if told {
		c.Alive = func(id chunk.NodeID) bool { return !z.away.Load() || z.zoneOf(id) != "zone 0" }
	}
	var err error
	z.Store, err = New(c)
	require.NoError(t, err)
	t.Cleanup(func() { z.Close(time.Minute) })
	return z
}

// setAway cuts the first zone off, or brings it back.
func (z *zones) setAway(away bool) {
	z.away.Store(away)
	for id, n := range z.nodes {
		if away && z.zoneOf(id) == "zone 0" {
			n.Set(faults.Away)
		} else {
			n.Set(nil)
		}
	}
}

// settled waits for what follows the answers.
func (z *zones) settled(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return z.Counts().Late == 0 }, time.Minute, 50*time.Microsecond)
}

// holders are the nodes that have the chunk with the reference.
func (z *zones) holders(h chunk.Hash, ref chunk.Ref) (all []chunk.NodeID) {
	for id, l := range z.ledgers {
		if l.has(debt{hash: h, ref: ref}, l.refs) {
			all = append(all, id)
		}
	}
	return all
}

// A home's internet is out: what is written meanwhile has all its copies at once, whether somebody watches the nodes or only calls
// show that they do not answer; and what stood in knows to whom it owes what.
func TestEveryPutKeepsAllCopiesWhileAZoneIsAway(t *testing.T) {
	for name, told := range map[string]bool{"somebody watches": true, "calls fail": false} {
		t.Run(name, func(t *testing.T) {
			z := threeZones(t, told)
			z.setAway(true)
			const chunks = 60
			hashOf := make(map[chunk.Ref]chunk.Hash)
			for i := range chunks {
				h, data := chunktest.Chunk(int64(i), 3000)
				chunktest.RequirePut(t, z.Store, h, data, chunktest.Ref(i))
				z.settled(t)
				o, err := z.PutRef(ctx, h, chunktest.Ref(chunks+i))
				require.NoError(t, err)
				require.Equal(t, chunk.Stored, o)
				hashOf[chunktest.Ref(i)], hashOf[chunktest.Ref(chunks+i)] = h, h
			}
			z.settled(t)
			for ref, h := range hashOf {
				holders := z.holders(h, ref)
				require.Len(t, holders, 3, "%v of %v", ref, h)
				for _, id := range holders {
					require.NotEqual(t, "zone 0", z.zoneOf(id))
				}
				for _, o := range z.active.Owners(h.Partition()) {
					owner := z.active.Nodes()[o].ID
					owed := slices.ContainsFunc(holders, func(id chunk.NodeID) bool {
						return !z.active.Owns(id, h.Partition()) && z.ledgers[id].has(debt{h, ref, owner}, z.ledgers[id].debts)
					})
					require.Equal(t, z.zoneOf(owner) == "zone 0", owed, "who stands in owes to who is away, and to nobody else")
				}
			}
			require.Zero(t, z.Counts().Forgotten)
			if told {
				for id, n := range z.nodes {
					if z.zoneOf(id) == "zone 0" {
						require.Zero(t, n.Calls(faults.Put)+n.Calls(faults.PutRef), "who is known to be away is not waited for")
					}
				}
			}

			z.setAway(false)
			for _, l := range z.ledgers { // what was owed is paid
				for d := range l.debts {
					data, err := l.Get(ctx, d.hash)
					require.NoError(t, err)
					o, err := z.ledgers[d.owner].Put(ctx, d.hash, data, d.ref)
					require.NoError(t, err)
					require.Equal(t, chunk.Stored, o)
					data.Release()
				}
			}
			for ref, h := range hashOf {
				holders := z.holders(h, ref)
				for _, o := range z.active.Owners(h.Partition()) {
					require.Contains(t, holders, z.active.Nodes()[o].ID)
				}
			}
		})
	}
}

// Where all owners are there, nobody stands in, and a write costs as much as before.
func TestNobodyStandsInForOwnersThatAreThere(t *testing.T) {
	z := threeZones(t, true)
	for i := range 30 {
		h, data := chunktest.Chunk(int64(i), 3000)
		chunktest.RequirePut(t, z.Store, h, data, chunktest.Ref(i))
	}
	z.Close(time.Minute)
	require.Zero(t, z.Counts().StoodIn)
	require.Zero(t, z.Counts().Owed)
}

// An owner falls silent when its write is answered already and the caller has let go of the bytes: who stands in gets them nevertheless.
func TestAStandInGetsTheBytesAfterTheAnswer(t *testing.T) {
	z := threeZones(t, false)
	silent := make(chan struct{})
	for id, n := range z.nodes {
		if z.zoneOf(id) == "zone 0" {
			n.Set(func(ctx context.Context, op faults.Op, h chunk.Hash) error {
				select {
				case <-silent:
				case <-ctx.Done():
				}
				return faults.Away(ctx, op, h)
			})
		}
	}
	h, plain := chunktest.Chunk(1, 3000)
	released := make(chan struct{})
	data := buffer.FromSegments(plain.Segments(), func() { close(released) })
	o, err := z.Put(ctx, h, data, chunktest.Ref(1))
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, o)
	data.Release()
	close(silent)
	z.settled(t)
	require.Len(t, z.holders(h, chunktest.Ref(1)), 3)
	<-released
}
