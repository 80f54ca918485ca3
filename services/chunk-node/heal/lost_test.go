package heal_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
)

// wedged is a cluster with a chunk whose one owner has a bad copy and whose other one is dead and out of the layout.
func wedged(t *testing.T) (c *cluster, h chunk.Hash, x, dead *node) {
	c = newCluster(t, 4)
	c.publish(2, c.nodes[:3]...)
	c.fill(12)
	h, _ = c.put(20_000)
	a := c.active()
	owners := a.Owners(h.Partition())
	x, dead = c.node(a.Nodes()[owners[0]].ID), c.node(a.Nodes()[owners[1]].ID)
	c.heal(2)
	dead.away = true
	x.damage(h)
	c.publish(2, slices.DeleteFunc(slices.Clone(c.nodes), func(n *node) bool { return n == dead })...)
	c.heal(6)
	require.EqualValues(t, 1, x.engine.Walked(), "the dead node may have a copy")
	require.Equal(t, chunk.Stuck, x.task(chunk.Rebalance).State)
	require.False(t, c.retire(dead))
	return c, h, x, dead
}

func TestAWalkDoesNotWaitForANodeThatIsGivenUp(t *testing.T) {
	c, h, x, dead := wedged(t)
	c.declareLost(dead)
	x.crash() // it is known after a restart too
	require.True(t, x.gate.Current().Lost(dead.id))
	c.healFor(100 * time.Minute)
	require.EqualValues(t, 2, x.engine.Walked())
	require.True(t, c.retire(dead))
	c.healFor(100*time.Minute, chunk.Repair)
	e, err := x.store.Chunk(t.Context(), h)
	require.NoError(t, err, "the chunk and its references stay")
	require.Len(t, e.Refs, 1)
	damaged, err := x.store.Damaged(t.Context(), chunk.Hash{}, 10)
	require.NoError(t, err)
	require.Len(t, damaged, 1)
	require.Equal(t, chunk.NoGoodCopy, damaged[0].Problem)
}

func TestANodeThatWasGivenUpAndReturnsMendsWhatOnlyItHas(t *testing.T) {
	for name, retired := range map[string]bool{"before the layout is retired": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			c, h, x, dead := wedged(t)
			c.declareLost(dead)
			c.heal(6)
			if retired {
				require.True(t, c.retire(dead))
			}
			dead.away = false
			c.adopt()
			c.healFor(130 * time.Minute)
			if !retired {
				require.True(t, c.retire())
			}
			c.heal(5)
			c.requireWhole()
			chunktest.RequireGet(t, c.node(c.active().Nodes()[c.active().Owners(h.Partition())[0]].ID).store, h, chunkOf(c.stored[h]))
			require.Zero(t, x.status().Wanted)
		})
	}
}

func TestNothingIsDroppedForAnOwnerThatIsGivenUp(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(2, c.nodes[:2]...)
	c.fill(30)
	c.heal(2)
	dead := c.nodes[2]
	dead.away = true
	c.publish(2, c.nodes[1:]...) // it is to have everything
	c.declareLost(dead)
	c.heal(10)
	from := c.nodes[0]
	require.EqualValues(t, 1, from.engine.Walked())
	require.Contains(t, from.task(chunk.Rebalance).Note, "declared lost")
	for h := range c.refs {
		_, err := from.store.Chunk(t.Context(), h)
		require.NoError(t, err)
	}
	dead.away = false
	c.adopt()
	c.heal(10)
	require.True(t, c.retire())
	c.heal(5)
	c.requireWhole()
}
