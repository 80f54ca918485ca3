package heal_test

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
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

func TestANodeWithAnEmptyDiskSaysSoUntilItHasComparedWithAllOwners(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(3, c.nodes[:3]...)
	c.fill(90)
	c.heal(2)
	for _, n := range c.nodes[:3] {
		require.False(t, n.engine.Uncompared(), "all have compared")
	}
	empty, away := c.nodes[1], c.nodes[2]
	away.away = true
	empty.restart(vfs.NewCrashableMem())
	require.True(t, empty.engine.Uncompared())
	c.heal(2)
	require.True(t, empty.engine.Uncompared(), "only the one that is away may have some of its chunks")
	empty.crash()
	require.True(t, empty.engine.Uncompared(), "nor does a restart change anything")
	away.away = false
	c.heal(1, chunk.Repair)
	c.clock.Advance(time.Minute)
	c.heal(1, chunk.Repair)
	require.False(t, empty.engine.Uncompared())
	empty.crash()
	require.False(t, empty.engine.Uncompared(), "its disks are the same")
	c.heal(3)
	c.requireWhole()

	c.publish(3, c.nodes...)
	c.heal(1, chunk.Repair)
	require.False(t, c.nodes[3].engine.Uncompared(), "a new node is filled by the walks of others")
}

func TestANodeLacksNothingThatBeginsWithTheFirstLayout(t *testing.T) {
	c := newCluster(t, 3)
	never := c.nodes[2]
	never.away = true
	c.publish(2, c.nodes...)
	c.heal(1, chunk.Repair)
	require.False(t, c.nodes[0].engine.Uncompared(), "nothing was stored before, also where one has never started")
	c.fill(30)
	c.nodes[0].restart(vfs.NewCrashableMem())
	c.heal(1, chunk.Repair)
	require.True(t, c.nodes[0].engine.Uncompared(), "it is not new any more")
}

func TestWhatANodeOwnsByALaterLayoutIsComparedToo(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(2, c.nodes...)
	c.fill(90)
	c.heal(2)
	empty, away := c.nodes[1], c.nodes[2]
	away.away = true
	empty.restart(vfs.NewCrashableMem())
	c.heal(1, chunk.Repair)
	require.True(t, empty.engine.Uncompared(), "it has compared with all but one")
	c.publish(2, c.nodes[:3]...)
	c.layouts = c.layouts[1:]
	c.adopt()
	away.away = false
	c.heal(2, chunk.Repair)
	require.False(t, empty.engine.Uncompared())
	empty.requireAllOf(c.nodes[0])
}

func TestWhatWalksHadBroughtBeforeADiskWasEmptiedIsComparedToo(t *testing.T) {
	for name, in := range map[string][2][]int{"it has had a part of it before": {{0, 1, 2, 3}, {0, 1, 2}}, "it was new": {{0, 2, 3}, {0, 1, 2, 3}}} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 4)
			publish := func(of []int) {
				var nodes []*node
				for _, i := range of {
					nodes = append(nodes, c.nodes[i])
				}
				c.publish(2, nodes...)
			}
			publish(in[0])
			c.fill(90)
			publish(in[1])
			c.heal(3)
			empty := c.nodes[1]
			require.EqualValues(t, 2, empty.engine.Walked())
			empty.restart(vfs.NewCrashableMem())
			c.heal(2)
			require.True(t, empty.engine.Uncompared(), "no walk comes again")
			require.True(t, c.retire())
			c.heal(2, chunk.Repair)
			require.False(t, empty.engine.Uncompared())
			empty.requireAllOf(c.nodes[0])
			c.heal(3)
			c.requireWhole()
		})
	}
}

// requireAllOf requires that a node has what another one has of the partitions that both own.
func (n *node) requireAllOf(other *node) {
	t, a := n.cluster.t, n.cluster.active()
	t.Helper()
	found := 0
	for h := range n.cluster.refs {
		theirs, err := other.store.Chunk(t.Context(), h)
		if errors.Is(err, errors.NotFound) || !a.Owns(n.id, h.Partition()) || !a.Owns(other.id, h.Partition()) {
			continue
		}
		require.NoError(t, err)
		mine, err := n.store.Chunk(t.Context(), h)
		require.NoError(t, err)
		require.Equal(t, theirs.Refs, mine.Refs)
		found++
	}
	require.Positive(t, found)
}

func TestANodeThatNobodyWillHaveBackIsNotComparedWith(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(3, c.nodes...)
	c.fill(30)
	c.nodes[2].away = true
	c.nodes[1].restart(vfs.NewCrashableMem())
	c.heal(2)
	require.True(t, c.nodes[1].engine.Uncompared())
	c.declareLost(c.nodes[2])
	c.heal(1, chunk.Repair)
	require.False(t, c.nodes[1].engine.Uncompared())
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

func TestAMissingCopyDoesNotWaitForAScrubWhileClientsRead(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(3, c.nodes...)
	c.fill(30)
	c.heal(2)
	c.busy = true
	n := c.nodes[0]
	bad, _ := c.put(3000)
	n.damage(bad)
	n.start(chunk.Scrub)
	c.heal(1, chunk.Scrub)
	require.EqualValues(t, 1, n.status().Wanted)
	amid := 0
	n.verify = func() {
		if amid++; amid > 1 {
			return
		}
		ctx, end := context.WithTimeout(t.Context(), 30*time.Second) // it waits for nothing unless it waits for this scrub
		defer end()
		n.runner.Step(ctx, chunk.Repair)
		require.Zero(t, n.status().Wanted, "it is fetched amid the scrub")
	}
	n.start(chunk.Scrub)
	c.heal(1, chunk.Scrub)
	require.Greater(t, amid, 1)
	c.requireWhole()
}

func TestARoundThatMendsEverythingHasNoProblems(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(3, c.nodes...)
	c.fill(30)
	c.heal(2)
	c.nodes[1].restart(vfs.NewCrashableMem())
	c.nodes[1].start(chunk.Repair)
	c.heal(1, chunk.Repair)
	st := c.nodes[1].task(chunk.Repair)
	require.False(t, st.Ended.IsZero())
	require.Zero(t, st.Problems, st.Note)
	require.Contains(t, st.Note, "was missing here")
	require.Zero(t, c.nodes[1].status().Wanted)
}

func TestARoundThatLeavesAnythingHasProblems(t *testing.T) {
	requireProblem := func(n *node, note string) {
		t.Helper()
		st := n.task(chunk.Repair)
		require.False(t, st.Ended.IsZero())
		require.EqualValues(t, 1, st.Problems)
		require.Contains(t, st.Note, note)
	}
	c := newCluster(t, 3)
	c.publish(2, c.nodes...)
	c.fill(30)
	c.heal(2)
	c.nodes[2].away = true
	c.nodes[0].start(chunk.Repair)
	c.heal(1, chunk.Repair)
	requireProblem(c.nodes[0], "not compared with node "+c.nodes[2].id.String())
	for range 12 { // who stands in owes them
		c.put(3000)
	}
	require.Positive(t, c.nodes[0].status().Owed)
	c.fault = func(from, to *node, _ string) error {
		if to == c.nodes[2] {
			return errors.Newf(errors.Unavailable, "its disks are gone")
		}
		return nil
	}
	c.nodes[2].away = false
	for range 3 { // its return is taken note of, then compared and paid as asked
		c.nodes[0].start(chunk.Repair)
		c.heal(1, chunk.Repair)
	}
	st := c.nodes[0].task(chunk.Repair)
	require.EqualValues(t, 2, st.Problems, "neither compared nor paid")
	require.Contains(t, st.Note, "it owes chunks to node "+c.nodes[2].id.String())
	c.fault = nil
	c.nodes[0].start(chunk.Repair)
	c.heal(1, chunk.Repair)
	require.Zero(t, c.nodes[0].task(chunk.Repair).Problems)

	alone := newCluster(t, 1)
	alone.publish(1, alone.nodes...)
	h, _ := alone.put(3000)
	alone.nodes[0].damage(h)
	alone.nodes[0].start(chunk.Scrub)
	alone.heal(1, chunk.Scrub)
	for range 12 { // also when it was tried so often that it is not tried in each round
		alone.nodes[0].start(chunk.Repair)
		alone.heal(1, chunk.Repair)
		requireProblem(alone.nodes[0], "1 chunks have no good copy here")
	}
}

func TestWithoutALayoutNobodyIsSaidToLackAChunk(t *testing.T) {
	c := newCluster(t, 2)
	n := c.nodes[0]
	h, b := chunktest.Chunk(1, 3000)
	chunktest.RequirePut(t, n.store, h, b, chunktest.Ref(1))
	n.damage(h)
	n.start(chunk.Scrub)
	c.heal(1, chunk.Scrub)
	n.start(chunk.Repair)
	c.heal(1, chunk.Repair)
	require.Equal(t, chunk.Stuck, n.task(chunk.Repair).State)
	require.Contains(t, n.task(chunk.Repair).Note, "no layout")
	damaged, err := n.store.Damaged(t.Context(), chunk.Hash{}, 10)
	require.NoError(t, err)
	require.Len(t, damaged, 1)
	require.Empty(t, damaged[0].Problem, "nobody was asked")
	chunktest.RequirePut(t, c.nodes[1].store, h, b, chunktest.Ref(1))
	c.publish(2, c.nodes...)
	c.heal(1, chunk.Repair)
	require.Zero(t, n.status().Wanted)
	require.Zero(t, n.task(chunk.Repair).Problems)
	chunktest.RequireGet(t, n.store, h, b)
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
	c.healFor(130*time.Minute, chunk.Repair)
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
