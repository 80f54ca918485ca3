package heal_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
)

const secondDisk = "/second"

// breakDisk has the node start with a disk that cannot be opened.
func (n *node) breakDisk() {
	t := n.cluster.t
	n.close()
	require.NoError(t, n.fs.RemoveAll(secondDisk))
	f, err := n.fs.Create(secondDisk, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	n.open()
	st := n.status()
	require.Contains(t, st.Problem, secondDisk)
	require.NotEmpty(t, st.Disks[len(st.Disks)-1].Failed)
	require.Equal(t, secondDisk, st.Disks[len(st.Disks)-1].Path)
}

// replaceDisk has it start with an empty disk in the place of the broken one.
func (n *node) replaceDisk() {
	n.close()
	require.NoError(n.cluster.t, n.fs.RemoveAll(secondDisk))
	n.open()
}

// takeDisk has the node start without its second disk, and giveDisk with it again.
func (n *node) takeDisk() {
	require.NoError(n.cluster.t, n.store.Close())
	require.NoError(n.cluster.t, n.fs.Rename(secondDisk, "/drawer"))
	n.breakDisk()
}

func (n *node) giveDisk() {
	n.close()
	require.NoError(n.cluster.t, n.fs.RemoveAll(secondDisk))
	require.NoError(n.cluster.t, n.fs.Rename("/drawer", secondDisk))
	n.open()
}

// serves reports whether the disk of a chunk is in use.
func (n *node) serves(h chunk.Hash) bool {
	_, err := n.store.Hashes(n.cluster.t.Context(), h.Partition(), chunk.Hash{}, 1)
	return err == nil
}

// putServed stores a chunk in a partition that the node serves.
func (c *cluster) putServed(n *node, size int) (chunk.Hash, chunk.Ref) {
	for {
		if h, b := chunktest.Chunk(c.serial+1, size); n.serves(h) {
			return h, c.write(h, b)
		}
		c.serial++
	}
}

func TestADiskThatCannotBeOpenedStopsNothingElse(t *testing.T) {
	c := newCluster(t, 2)
	x := c.add("/disk", secondDisk)
	c.publish(3, c.nodes...)
	c.fill(60)
	c.heal(2)
	x.breakDisk()

	bad, _ := c.putServed(x, 3000)
	x.damage(bad)
	x.start(chunk.Scrub)
	c.heal(1, chunk.Scrub)
	require.EqualValues(t, 1, x.status().Wanted, "what works is read")
	scrub := x.task(chunk.Scrub)
	require.False(t, scrub.Ended.IsZero(), scrub.Note)
	require.Contains(t, scrub.Note, "cannot be used")

	var late []chunk.Hash
	for i := range 4 { // references that only one node has
		h, _ := c.putServed(x, 3000)
		ref := chunk.Ref{Offset: uint64(i + 5)}
		outcome, err := c.nodes[0].store.PutRef(t.Context(), h, ref)
		require.NoError(t, err)
		require.Equal(t, chunk.Stored, outcome)
		c.refs[h][ref] = true
		late = append(late, h)
	}
	c.nodes[1].away = true
	owed, b := chunktest.Chunk(1_000_000, 3000)
	for serial := int64(1_000_001); !x.serves(owed); serial++ {
		owed, b = chunktest.Chunk(serial, 3000)
	}
	ref := c.write(owed, b)
	require.NoError(t, x.store.Owe(t.Context(), owed, ref, c.nodes[1].id))
	c.nodes[1].away = false
	for _, n := range c.nodes {
		n.start(chunk.Repair)
	}
	c.heal(2, chunk.Repair)
	require.Zero(t, x.status().Wanted, "the bad copy was replaced")
	require.Zero(t, x.status().Owed, "the debt was paid")
	for _, h := range late {
		for _, n := range []*node{x, c.nodes[1]} {
			e, err := n.store.Chunk(t.Context(), h)
			require.NoError(t, err)
			require.Len(t, e.Refs, 2, "node %d compared what it can", n.id[0])
		}
	}
	require.Contains(t, x.task(chunk.Repair).Note, "cannot be used")
	require.Contains(t, c.nodes[1].task(chunk.Repair).Note, "cannot read the partition")

	c.add()
	c.publish(3, c.nodes...)
	c.heal(4)
	require.EqualValues(t, 1, x.engine.Walked(), "the last copy of something may be on the disk")
	require.Equal(t, chunk.Stuck, x.task(chunk.Rebalance).State)
	require.Contains(t, x.task(chunk.Rebalance).Note, "cannot be used")
	a := c.active()
	for h := range c.refs {
		if x.serves(h) && !a.Owns(x.id, h.Partition()) {
			_, err := x.store.Chunk(t.Context(), h)
			require.Error(t, err, "what is on the other disk was handed over")
		}
	}
	x.replaceDisk()
	c.healFor(30 * time.Minute)
	require.True(t, c.retire())
	for _, n := range c.nodes {
		n.start(chunk.Repair)
	}
	c.heal(4)
	c.requireWhole()
}

func TestAnOwnerWithABrokenDiskGetsWhatItsOthersTake(t *testing.T) {
	c := newCluster(t, 2)
	c.publish(2, c.nodes...)
	c.fill(90)
	c.heal(2)
	y, z := c.add("/disk", secondDisk), c.add()
	y.breakDisk()
	c.publish(3, c.nodes[0], y, z)
	c.heal(4)
	served := 0
	a := c.active()
	for h := range c.refs {
		if a.Owns(y.id, h.Partition()) && y.serves(h) {
			_, err := y.store.Chunk(t.Context(), h)
			require.NoError(t, err)
			served++
		}
		if a.Owns(z.id, h.Partition()) {
			_, err := z.store.Chunk(t.Context(), h)
			require.NoError(t, err)
		}
	}
	require.Positive(t, served)
	require.Equal(t, chunk.Stuck, c.nodes[0].task(chunk.Rebalance).State)
	require.Contains(t, c.nodes[0].task(chunk.Rebalance).Note, secondDisk)
	c.requireReadable()
	y.replaceDisk()
	c.healFor(30 * time.Minute)
	require.True(t, c.retire())
	c.heal(4)
	c.requireWhole()
}
