package heal_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

func TestANewNodeGetsItsShareAndTheOthersLetGoOfIt(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(3, c.nodes[:3]...)
	c.fill(90)
	c.publish(3, c.nodes...)
	c.heal(5)
	c.requireWhole()
	require.True(t, c.retire())
	share := c.nodes[3].status().Bytes
	require.Positive(t, share)
	require.EqualValues(t, share, c.moved, "nothing moves but the new node's share")
	require.Equal(t, chunk.Idle, c.nodes[0].task(chunk.Rebalance).State)
	require.EqualValues(t, 2, c.nodes[0].task(chunk.Rebalance).Layout)
}

func TestADrainedNodeIsEmptyInTheEnd(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(3, c.nodes...)
	c.fill(90)
	c.publish(3, c.nodes[:3]...)
	c.heal(5)
	c.requireWhole()
	require.True(t, c.retire())
	require.Zero(t, c.nodes[3].status().Chunks)
	require.Zero(t, c.nodes[3].status().StoredBytes)
}

func TestWhatOneOwnerIsAwayForIsNotDropped(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(2, c.nodes[:2]...)
	c.fill(60)
	c.publish(2, c.nodes[2:]...)
	c.nodes[3].away = true
	c.heal(5)
	require.Equal(t, chunk.Stuck, c.nodes[0].task(chunk.Rebalance).State)
	require.Contains(t, c.nodes[0].task(chunk.Rebalance).Note, c.nodes[3].id.String())
	require.Positive(t, c.nodes[0].engine.Foreign())
	require.False(t, c.retire())
	require.Equal(t, c.nodes[0].status().Chunks, c.nodes[2].status().Chunks, "who is there has got it already")
	calls := c.methods["PutRef"]
	c.heal(5)
	require.Equal(t, calls, c.methods["PutRef"], "and is not offered it again and again")
	c.nodes[3].away = false
	c.heal(5)
	c.requireWhole()
	require.True(t, c.retire())
}

func TestANodeThatIsGoneForGoodIsReplaced(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(3, c.nodes[:3]...)
	c.fill(90)
	lost := c.nodes[0]
	lost.away = true
	c.publish(3, c.nodes[1:]...)
	c.heal(5)
	c.requireWhole()
	require.False(t, c.retire(), "the operator has not declared it lost")
	require.True(t, c.retire(lost))
	c.heal(2)
	c.requireWhole()
}

func TestSeveralLayoutsAtOnce(t *testing.T) {
	c := newCluster(t, 6)
	c.publish(3, c.nodes[:3]...)
	c.fill(60)
	c.publish(3, c.nodes[1:4]...)
	c.fill(30)
	c.nodes[0].runner.Step(t.Context(), chunk.Rebalance)
	c.publish(3, c.nodes[2:5]...)
	c.fill(30)
	c.nodes[1].runner.Step(t.Context(), chunk.Rebalance)
	c.requireReadable()
	c.publish(3, c.nodes[:3]...) // who has let go of it gets it again
	c.heal(4)
	c.requireWhole()
	require.True(t, c.retire())
}

func TestALayoutAdoptedBetweenTheAnswersAndTheDropKeepsTheChunk(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(1, c.nodes[0])
	h, _ := c.put(3000)
	c.publish(1, c.nodes[1])
	c.fault = func(from, to *node, method string) error {
		if method != "Put" {
			return nil
		}
		c.fault = nil
		c.publish(1, c.nodes[0]) // the node learns of it while it hands over
		return nil
	}
	c.nodes[0].runner.Step(t.Context(), chunk.Rebalance)
	_, err := c.nodes[0].store.Chunk(t.Context(), h)
	require.NoError(t, err)
	c.heal(5)
	c.requireWhole()
}

func TestAReferenceAddedWhileAChunkIsHandedOverGoesToo(t *testing.T) {
	c := newCluster(t, 2)
	c.publish(1, c.nodes[0])
	h, _ := c.put(3000)
	c.publish(1, c.nodes[1])
	late := chunk.Ref{Offset: 77}
	c.fault = func(_, to *node, method string) error {
		if method == "Put" {
			c.fault = nil
			_, err := c.nodes[0].store.PutRef(t.Context(), h, late) // by a stand-in's write, say
			require.NoError(t, err)
			c.refs[h][late] = true
		}
		return nil
	}
	c.heal(2)
	c.requireWhole()
}

func TestAReferenceRemovedElsewhereIsRemovedHereToo(t *testing.T) {
	c := newCluster(t, 2)
	c.publish(1, c.nodes[0])
	h, ref := c.put(3000)
	other := c.write(h, chunkOf(c.stored[h]))
	c.publish(1, c.nodes[1])
	require.NoError(t, c.nodes[1].store.Delete(t.Context(), h, ref)) // its other half was lost
	c.heal(5)
	delete(c.refs[h], ref)
	require.Contains(t, c.refs[h], other)
	c.requireWhole()
}

func TestDeletesDuringAWalk(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(3, c.nodes[:3]...)
	c.fill(90)
	c.heal(1, chunk.Repair)
	c.clock.Advance(time.Minute)
	c.heal(1, chunk.Repair) // the first comparison is over
	c.publish(3, c.nodes[1:]...)
	n := 0
	c.fault = func(_, _ *node, method string) error {
		if n++; n%5 > 0 {
			return nil
		}
		for h, refs := range c.refs {
			for ref := range refs {
				c.remove(h, ref)
				return nil
			}
		}
		return nil
	}
	c.heal(1)
	c.fault = nil
	c.heal(5)
	require.NotEmpty(t, c.refs)
	c.requireWhole()
}

func TestACrashInTheMiddleOfAWalk(t *testing.T) {
	for _, at := range []int{1, 60, 150} {
		c := newCluster(t, 4)
		c.publish(2, c.nodes[:2]...)
		c.fill(60)
		c.publish(2, c.nodes[2:]...)
		ctx, cancel := context.WithCancel(t.Context())
		var left *vfs.MemFS
		n := 0
		c.fault = func(from, _ *node, _ string) error {
			if n++; n == at {
				left = from.fs.CrashClone(vfs.CrashCloneCfg{})
				cancel()
			}
			return nil
		}
		c.nodes[0].runner.Step(ctx, chunk.Rebalance)
		cancel()
		c.fault = nil
		require.NotNil(t, left)
		c.requireReadable()
		c.nodes[0].restart(left)
		c.requireReadable()
		c.heal(5)
		c.requireWhole()
	}
}

func TestAWalkGoesOnWhereItWasAfterARestart(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(2, c.nodes[:2]...)
	c.fill(90)
	c.publish(2, c.nodes[2:]...)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	c.fault = func(*node, *node, string) error {
		if n++; n == 200 {
			cancel()
		}
		return nil
	}
	c.nodes[0].runner.Step(ctx, chunk.Rebalance)
	cancel()
	before := c.nodes[0].task(chunk.Rebalance)
	require.Positive(t, before.Done)
	require.Less(t, before.Done, before.Total)
	c.nodes[0].crash()
	c.fault = func(*node, *node, string) error {
		return errors.Newf(errors.Unavailable, "the test wants to see the start only")
	}
	c.nodes[0].runner.Step(t.Context(), chunk.Rebalance)
	after := c.nodes[0].task(chunk.Rebalance)
	require.Equal(t, before.Done, after.Done)
	require.Equal(t, before.Total, after.Total)
	require.True(t, before.Began.Equal(after.Began))
}

func TestAChunkWithoutAGoodCopyAnywhereStaysAndIsReported(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(1, c.nodes[0])
	good, _ := c.put(3000)
	h, _ := c.put(3000)
	c.nodes[0].damage(h)
	c.publish(1, c.nodes[1])
	c.heal(2)
	require.EqualValues(t, 2, c.nodes[0].engine.Walked())
	damaged, err := c.nodes[0].store.Damaged(t.Context(), chunk.Hash{}, 10)
	require.NoError(t, err)
	require.Len(t, damaged, 1)
	require.Equal(t, h, damaged[0].Hash)
	require.Equal(t, chunk.NoGoodCopy, damaged[0].Problem)
	_, err = c.nodes[1].store.Chunk(t.Context(), good)
	require.NoError(t, err)
}

func TestMovesSideBySide(t *testing.T) {
	c := newCluster(t, 3)
	c.each = func(n int, do func(int)) {
		var work sync.WaitGroup
		next := make(chan int)
		for range 4 {
			work.Go(func() {
				for i := range next {
					do(i)
				}
			})
		}
		for i := range n {
			next <- i
		}
		close(next)
		work.Wait()
	}
	for _, n := range c.nodes {
		n.crash()
	}
	c.add()
	c.publish(3, c.nodes[:3]...)
	c.fill(150)
	c.publish(3, c.nodes[1:]...)
	c.heal(5)
	c.requireWhole()
}
