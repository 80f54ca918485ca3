package heal_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// trashed is collected, and the reference is in the trash.
func trashed(t *testing.T) (c *cluster, n *node, h chunk.Hash, ref chunk.Ref) {
	c, n, h, ref = collected(t)
	c.longCollect(n)
	c.clock.Advance(25 * time.Hour)
	c.longCollect(n)
	require.True(t, n.trashes(h, ref))
	return c, n, h, ref
}

// trashes reports whether a reference is in the trash of a node.
func (n *node) trashes(h chunk.Hash, ref chunk.Ref) bool {
	in, err := n.store.InTrash(n.cluster.t.Context(), h, ref)
	require.NoError(n.cluster.t, err)
	return in
}

// trash has a node remove a reference as a long collection does whose metadata is wrong.
func (n *node) trash(h chunk.Hash, refs ...chunk.Ref) {
	require.NoError(n.cluster.t, n.store.Trash(n.cluster.t.Context(), h, refs, 0))
	for _, ref := range refs {
		require.True(n.cluster.t, n.trashes(h, ref))
	}
}

// forget has a node do what it does when time passes.
func (n *node) forget() {
	_, err := n.store.Collect(n.cluster.t.Context())
	require.NoError(n.cluster.t, err)
	_, err = n.store.Expire(n.cluster.t.Context())
	require.NoError(n.cluster.t, err)
}

func TestAClockThatJumpsAheadDoesNotEmptyTheTrash(t *testing.T) {
	for _, known := range []bool{true, false} {
		c, n, h, ref := trashed(t)
		n.close()
		c.clock.Advance(10 * 365 * 24 * time.Hour)
		n.restart(n.fs)
		for range 6 {
			c.longCollect(n)
			n.forget()
			require.True(t, n.trashes(h, ref), "the node has not run for a week")
			c.clock.Advance(24 * time.Hour)
		}
		if known {
			c.metadata.others = map[uuid.UUID]meta.AttemptState{ref.Attempt: meta.AttemptComplete}
		}
		c.clock.Advance(2 * 24 * time.Hour)
		n.forget()
		require.True(t, n.trashes(h, ref), "no round was made")
		c.longCollect(n)
		n.forget()
		require.False(t, n.trashes(h, ref))
		_, err := n.store.Get(t.Context(), h)
		require.Equal(t, known, err == nil, "%v", err)
		require.Equal(t, known, len(n.has(h)) > 0)
		c.requireReadable()
	}
}

// What a node had noted of its time was lost, so that it is less than what is noted in the trash.
func TestTheTrashWaitsAnewWhenItIsNotKnownForHowLongTheNodeHasRun(t *testing.T) {
	c, n, h, ref := trashed(t)
	require.NoError(t, n.store.SetNote(t.Context(), "longcollect", []byte("damaged")))
	n.restart(n.fs)
	c.longCollect(n)
	c.clock.Advance(week - 24*time.Hour)
	c.longCollect(n)
	require.True(t, n.trashes(h, ref))
	c.clock.Advance(24 * time.Hour)
	c.longCollect(n)
	require.False(t, n.trashes(h, ref))
	require.Empty(t, n.has(h))
}

func TestOnlyARoundThatTrustsMetadataEmptiesTheTrash(t *testing.T) {
	for what, wrong := range map[string]func(*cluster){
		"it is away": func(c *cluster) {
			c.metadata.missing = func() error { return errors.Newf(errors.Unavailable, "it is away") }
		},
		"it is of another cluster":  func(c *cluster) { c.metadata.of = uuid.New() },
		"it knows nothing any more": func(c *cluster) { c.refs = nil },
	} {
		c, n, h, ref := trashed(t)
		known := c.refs
		wrong(c)
		for range 30 {
			c.clock.Advance(24 * time.Hour)
			n.start(chunk.LongCollection)
			c.heal(1, chunk.LongCollection)
			n.forget()
			require.True(t, n.trashes(h, ref), what)
		}
		require.Equal(t, chunk.Stuck, n.task(chunk.LongCollection).State, what)
		c.refs, c.metadata.missing, c.metadata.of = known, nil, uuid.Nil
		c.longCollect(n) // this one may have begun before the week was over
		c.longCollect(n)
		require.False(t, n.trashes(h, ref), "%s: it is over when metadata is right again", what)
		n.forget()
		require.EqualValues(t, 200, n.status().Chunks)
		c.requireReadable()
	}
}

func TestMetadataIsAskedOnceMoreBeforeTheTrashIsEmptied(t *testing.T) {
	c, n, h, ref := trashed(t)
	c.clock.Advance(week)
	asked := 0
	c.metadata.answer = func(answers []meta.Attempt) []meta.Attempt {
		if i := slices.IndexFunc(answers, func(a meta.Attempt) bool { return a.ID == ref.Attempt }); i >= 0 {
			if asked++; asked == 2 {
				answers[i].State = meta.AttemptComplete
			}
		}
		return answers
	}
	c.longCollect(n)
	require.Equal(t, 2, asked)
	require.Equal(t, []chunk.Ref{ref}, n.has(h))
}

func TestWhatCannotBeHadBackStaysInTheTrashUntilItCan(t *testing.T) {
	c, n, h, ref := trashed(t)
	c.metadata.others = map[uuid.UUID]meta.AttemptState{ref.Attempt: meta.AttemptComplete}
	n.untrash = func() error { return errors.Newf(errors.Unavailable, "it cannot be written") }
	for range 20 {
		c.longCollect(n)
		require.Contains(t, n.task(chunk.LongCollection).Note, "it cannot be written")
		require.Positive(t, n.task(chunk.LongCollection).Problems)
		c.clock.Advance(25 * time.Hour)
		n.forget()
		require.True(t, n.trashes(h, ref))
	}
	n.untrash = nil
	c.longCollect(n)
	require.Equal(t, []chunk.Ref{ref}, n.has(h))
	require.EqualValues(t, 201, n.status().Chunks)
	require.Empty(t, n.task(chunk.LongCollection).Note)
}

// The walk of a layout left in the trash what was there, and the owners have it from nobody else.
func TestWhatIsHadBackGoesToTheOwnersOfALaterLayout(t *testing.T) {
	c := newCluster(t, 2)
	x, y := c.nodes[0], c.nodes[1]
	c.publish(1, x)
	h, ref := c.put(3000)
	x.trash(h, ref)
	other := c.write(h, chunkOf(c.stored[h]))
	damaged, lost := c.put(3000)
	x.trash(damaged, lost)
	c.publish(1, y)
	c.heal(3)
	require.True(t, c.retire())
	require.Equal(t, []chunk.Ref{other}, y.has(h))
	require.Empty(t, x.has(h))
	y.away = true
	for range 10 {
		c.longCollect(x)
		require.Contains(t, x.task(chunk.LongCollection).Note, "connection refused")
		c.clock.Advance(25 * time.Hour)
		x.forget()
		require.True(t, x.trashes(h, ref) && x.trashes(damaged, lost), "it stays until the owner has it")
	}
	y.away = false
	x.damage(damaged)
	_, good, err := x.store.Verify(t.Context(), damaged)
	require.NoError(t, err)
	require.False(t, good)
	c.longCollect(x)
	require.Len(t, y.has(h), 2)
	require.Equal(t, []chunk.Ref{lost}, x.has(damaged), "a good copy is looked for")
	require.EqualValues(t, 1, x.status().Wanted)
	chunktest.RequirePut(t, y.store, damaged, chunkOf(c.stored[damaged]), lost)
	c.healFor(2 * time.Hour)
	x.forget()
	c.requireWhole()
}

// Whoever brings a reference that is in the trash takes it out, so the one who hands it over may drop it.
func TestAReferenceThatIsHandedOverLeavesTheTrashOfWhoGetsIt(t *testing.T) {
	for what, owes := range map[string]bool{"a walk": false, "a debt": true} {
		c := newCluster(t, 2)
		x, y := c.nodes[0], c.nodes[1]
		h, b := chunktest.Chunk(1, 3000)
		var ref chunk.Ref
		if owes {
			c.publish(1, y)
			ref = c.write(h, b)
			outcome, err := x.store.PutFor(t.Context(), h, b, ref, y.id)
			require.NoError(t, err)
			require.Equal(t, chunk.Stored, outcome)
			require.NoError(t, x.gate.Adopt(c.active()))
		} else {
			c.publish(1, x)
			ref = c.write(h, b)
			chunktest.RequirePut(t, y.store, h, b, ref)
			c.publish(1, y)
		}
		y.trash(h, ref)
		c.heal(3)
		require.Equal(t, []chunk.Ref{ref}, y.has(h), what)
		require.False(t, y.trashes(h, ref), what)
		require.Empty(t, x.has(h), what)
		c.clock.Advance(2 * week)
		c.longCollect(y)
		y.forget()
		c.requireReadable()
		c.remove(h, ref)
		y.forget()
		c.clock.Advance(time.Hour)
		y.forget()
		_, err := y.store.Get(t.Context(), h)
		require.True(t, errors.Is(err, errors.NotFound), "it goes as others do: %v", err)
	}
}

// A comparison meets a reference that a long collection has back in the same moment.
func TestAReferenceThatIsHadBackDuringAComparisonStaysAtBoth(t *testing.T) {
	for _, first := range []bool{true, false} {
		c := newCluster(t, 2)
		c.publish(2, c.nodes...)
		x := c.nodes[0]
		h, ref := c.put(3000)
		x.trash(h, ref)
		met := 0
		x.inTrash = func(look func() (bool, error)) (bool, error) {
			met++
			back := func() { require.NoError(t, x.store.Untrash(t.Context(), h, []chunk.Ref{ref})) }
			if first {
				back()
				return look()
			}
			defer back()
			return look()
		}
		x.start(chunk.Repair)
		c.heal(1, chunk.Repair)
		require.Positive(t, met)
		for _, n := range c.nodes {
			require.Equal(t, []chunk.Ref{ref}, n.has(h))
		}
		require.Zero(t, c.methods["Delete"])
		c.requireWhole()
	}
}

// strays gives a node chunks with references that metadata does not know, each in a partition of its own.
func (n *node) strays(count int) map[chunk.Hash]chunk.Ref {
	all := make(map[chunk.Hash]chunk.Ref)
	partitions := make(map[chunk.Partition]bool)
	for i := int64(3_000_000); len(all) < count; i++ {
		h, b := chunktest.Chunk(i, 3000)
		if partitions[h.Partition()] {
			continue
		}
		partitions[h.Partition()] = true
		all[h] = chunk.Ref{Attempt: uuid.New()}
		chunktest.RequirePut(n.cluster.t, n.store, h, b, all[h])
	}
	return all
}

func TestACrashInTheMiddleOfRemovingCostsNothingAndTheRestIsRemoved(t *testing.T) {
	c := newCluster(t, 1)
	c.publish(1, c.nodes...)
	n := c.nodes[0]
	for range 400 {
		c.put(100)
	}
	strays := n.strays(4)
	in := func() (in int) {
		for h, ref := range strays {
			if n.trashes(h, ref) {
				in++
			}
		}
		return in
	}
	// interrupted makes a round in which metadata is away from its fourth answer about a stray on, and the node crashes then.
	interrupted := func() {
		answers := 0
		c.metadata.answer = func(all []meta.Attempt) []meta.Attempt {
			for _, a := range all {
				if a.State == meta.AttemptUnknown {
					answers++
				}
			}
			return all
		}
		c.metadata.missing = func() error {
			if answers >= 4+2 {
				return errors.Newf(errors.Unavailable, "it is away")
			}
			return nil
		}
		n.start(chunk.LongCollection)
		n.runner.Step(t.Context(), chunk.LongCollection)
		require.Equal(t, chunk.Stuck, n.task(chunk.LongCollection).State)
		c.metadata.answer, c.metadata.missing = nil, nil
		n.crash()
	}
	c.longCollect(n)
	c.clock.Advance(25 * time.Hour)
	interrupted()
	require.Equal(t, 2, in())
	c.heal(1, chunk.LongCollection)
	require.Equal(t, 4, in(), "it goes on")
	require.EqualValues(t, 400, n.status().Chunks)

	c.clock.Advance(week + 25*time.Hour)
	interrupted()
	require.Equal(t, 2, in())
	known := slices.Collect(maps.Keys(strays))
	known = slices.DeleteFunc(known, func(h chunk.Hash) bool { return !n.trashes(h, strays[h]) })
	c.metadata.others = map[uuid.UUID]meta.AttemptState{strays[known[0]].Attempt: meta.AttemptComplete}
	c.heal(1, chunk.LongCollection)
	require.Zero(t, in())
	require.EqualValues(t, 401, n.status().Chunks)
	require.Equal(t, []chunk.Ref{strays[known[0]]}, n.has(known[0]))
	n.forget()
	require.Zero(t, n.status().Trashed)
	c.requireReadable()
}

func TestNothingGoesThatARoundCouldNotLookAt(t *testing.T) {
	c := newCluster(t, 0)
	n := c.add("/disk", secondDisk)
	c.publish(1, n)
	for range 800 {
		c.put(100)
	}
	strays := n.strays(8)
	n.takeDisk()
	away := make(map[chunk.Hash]chunk.Ref)
	for h, ref := range strays {
		if !n.serves(h) {
			away[h] = ref
		}
	}
	require.True(t, len(away) > 0 && len(away) < len(strays))
	n.giveDisk()
	c.longCollect(n)
	c.clock.Advance(23 * time.Hour)
	c.heal(1, chunk.LongCollection) // it notes for how long it has run
	n.takeDisk()
	c.heal(1, chunk.LongCollection)
	c.clock.Advance(2 * time.Hour)
	answers := 0
	c.metadata.answer = func(all []meta.Attempt) []meta.Attempt { answers += len(all); return all }
	there := len(strays) - len(away)
	for h := range c.refs {
		if n.serves(h) {
			there++
		}
	}
	c.metadata.missing = func() error { // when all that is there was looked at
		if answers >= there {
			return errors.Newf(errors.Unavailable, "it is away")
		}
		return nil
	}
	_, err := n.runner.Command(t.Context(), chunk.Command{Task: chunk.LongCollection, Start: true, Confirm: 100})
	require.NoError(t, err)
	n.runner.Step(t.Context(), chunk.LongCollection)
	require.Equal(t, chunk.Stuck, n.task(chunk.LongCollection).State)
	n.giveDisk() // it goes on with removing
	c.metadata.missing, c.metadata.answer = nil, nil
	c.heal(1, chunk.LongCollection)
	for h, ref := range strays {
		_, was := away[h]
		require.Equal(t, !was, n.trashes(h, ref))
	}
	c.clock.Advance(23 * time.Hour)
	c.longCollect(n)
	for h, ref := range away {
		require.Equal(t, []chunk.Ref{ref}, n.has(h), "a round has missed it: the wait begins anew")
	}
	c.clock.Advance(25 * time.Hour)
	c.longCollect(n)
	for h, ref := range away {
		require.True(t, n.trashes(h, ref))
	}
	c.requireReadable()
}
