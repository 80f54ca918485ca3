package heal_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

func TestAnOwnerThatReturnsIsPaid(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(3, c.nodes...)
	c.fill(30)
	away := c.nodes[1]
	away.away = true
	for range 60 { // no deletes: they would wait for the node
		c.put(3000)
	}
	require.Zero(t, away.status().Owed)
	c.heal(2)
	owed := int64(0)
	for _, n := range c.nodes {
		owed += n.status().Owed
	}
	require.Positive(t, owed)
	away.away = false
	c.heal(1, chunk.Repair) // the debts, long before the comparison
	for _, n := range c.nodes {
		require.Zero(t, n.status().Owed)
	}
	c.heal(2)
	c.requireWhole()
}

func TestTheOwnersAgreeAfterAComparison(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(3, c.nodes...)
	c.fill(60)
	c.heal(2) // the first comparison is over
	h, _ := c.put(3000)
	ref := chunk.Ref{Offset: 5}
	outcome, err := c.nodes[0].store.PutRef(t.Context(), h, ref) // the two others did not get it
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, outcome)
	c.refs[h][ref] = true
	gone, goneRef := c.put(20_000)
	require.NoError(t, c.nodes[2].store.Delete(t.Context(), gone, goneRef)) // nor this
	delete(c.refs, gone)
	for _, n := range c.nodes {
		n.start(chunk.Repair)
	}
	c.heal(5)
	c.requireWhole()
}

func TestANodeThatLostItsDisksIsFilledAgain(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(3, c.nodes...)
	c.fill(90)
	c.nodes[1].restart(vfs.NewCrashableMem())
	require.Zero(t, c.nodes[1].status().Chunks)
	c.heal(5)
	c.requireWhole()
	calls := c.methods["BucketSums"]
	c.clock.Advance(25 * time.Hour)
	c.heal(2)
	require.Equal(t, calls, c.methods["BucketSums"], "what agrees is not looked at more closely")
}

func TestABadBlobAMissingFileAndALostIndexAreRepaired(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(3, c.nodes...)
	c.fill(60)
	c.heal(2)
	bad, _ := c.put(3000)
	missing, _ := c.put(3000)
	c.nodes[0].damage(bad)
	require.NoError(t, c.nodes[0].fs.Remove(c.nodes[0].blob(missing)))
	c.nodes[0].start(chunk.Scrub)
	c.heal(1, chunk.Scrub)
	require.EqualValues(t, 2, c.nodes[0].status().Wanted)
	require.EqualValues(t, 2, c.nodes[0].task(chunk.Scrub).Problems)
	c.heal(2)
	c.requireWhole()
}

func TestAChunkThatIsNowhereIsTriedLessAndLessOften(t *testing.T) {
	c := newCluster(t, 2)
	c.publish(2, c.nodes...)
	h, _ := c.put(3000)
	for _, n := range c.nodes {
		n.damage(h)
		n.start(chunk.Scrub)
	}
	c.heal(1, chunk.Scrub)
	c.heal(1, chunk.Repair)
	for _, n := range c.nodes {
		damaged, err := n.store.Damaged(t.Context(), chunk.Hash{}, 10)
		require.NoError(t, err)
		require.Len(t, damaged, 1)
		require.Equal(t, chunk.NoGoodCopy, damaged[0].Problem)
	}
	calls := c.methods["Get"]
	for range 24 * 60 {
		c.heal(1, chunk.Repair)
	}
	require.Less(t, c.methods["Get"]-calls, 150, "in a day")
	require.NoError(t, c.nodes[0].store.Repair(t.Context(), h, chunkOf(c.stored[h]))) // it turned up
	c.heal(130, chunk.Repair)
	c.requireWhole()
}

func TestANodeThatDoesNotAnswerIsNotAskedForEachChunk(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(3, c.nodes...)
	c.fill(90)
	c.heal(2)
	c.nodes[1].restart(vfs.NewCrashableMem())
	n := 0
	c.fault = func(from, to *node, method string) error {
		if from == c.nodes[1] && to == c.nodes[2] {
			n++
			return errors.Newf(errors.Deadline, "it hangs")
		}
		return nil
	}
	c.nodes[1].start(chunk.Repair)
	c.heal(1, chunk.Repair)
	require.Less(t, n, 200)
	require.Zero(t, c.nodes[1].status().Wanted)
	c.fault = nil
	c.heal(2)
	c.requireWhole()
}
