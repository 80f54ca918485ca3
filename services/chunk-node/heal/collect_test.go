package heal_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// metadata knows the attempts of the references that the cluster's test put, except those that it is told to forget.
type metadata struct {
	cluster *cluster
	others  map[uuid.UUID]meta.AttemptState // of attempts that are none of these
	asked   int                             // attempts
	missing func() error                    // why it does not answer; nil: it does
	answer  func([]meta.Attempt) []meta.Attempt
	of      uuid.UUID // cluster; zero: the right one
}

func (m *metadata) Info(context.Context) (meta.Info, error) {
	if m.of != uuid.Nil {
		return meta.Info{ClusterID: m.of}, nil
	}
	return meta.Info{ClusterID: m.cluster.clusterID}, nil
}

func (m *metadata) Attempts(_ context.Context, r meta.FindAttempts) ([]meta.Attempt, error) {
	require.True(m.cluster.t, r.Everywhere, "every copy of the metadata is asked")
	require.NoError(m.cluster.t, r.Check())
	m.asked += len(r.IDs)
	if m.missing != nil {
		if err := m.missing(); err != nil {
			return nil, err
		}
	}
	known := make(map[uuid.UUID]bool)
	for _, refs := range m.cluster.refs {
		for ref := range refs {
			known[ref.Attempt] = true
		}
	}
	answers := make([]meta.Attempt, len(r.IDs))
	for i, id := range r.IDs {
		answers[i] = meta.Attempt{ID: id, State: m.others[id]}
		if known[id] {
			answers[i].State = meta.AttemptComplete
		}
	}
	if m.answer != nil {
		return m.answer(answers), nil
	}
	return answers, nil
}

// collected is a cluster of one node that has references of 200 known attempts and one of an attempt that metadata does not know.
func collected(t *testing.T) (c *cluster, n *node, h chunk.Hash, ref chunk.Ref) {
	c = newCluster(t, 1)
	c.publish(1, c.nodes...)
	for range 200 {
		c.put(100)
	}
	h, b := chunktest.Chunk(1_000_000, 3000)
	ref = chunk.Ref{Attempt: uuid.New()}
	n = c.nodes[0]
	chunktest.RequirePut(t, n.store, h, b, ref)
	return c, n, h, ref
}

// longCollect has the nodes make a round, which must end.
func (c *cluster) longCollect(nodes ...*node) {
	c.t.Helper()
	for _, n := range nodes {
		n.start(chunk.LongCollection)
		c.heal(1, chunk.LongCollection)
		require.False(c.t, n.task(chunk.LongCollection).Ended.IsZero(), "it goes on: %+v", n.task(chunk.LongCollection))
	}
}

func (n *node) has(h chunk.Hash) []chunk.Ref {
	e, err := n.store.Chunk(n.cluster.t.Context(), h)
	if errors.Is(err, errors.NotFound) {
		return nil
	}
	require.NoError(n.cluster.t, err)
	return e.Refs
}

func TestAReferenceGoesWhoseAttemptWasNotKnownForTheWholeWait(t *testing.T) {
	c, n, h, ref := collected(t)
	before := n.status()
	c.longCollect(n)
	require.Equal(t, []chunk.Ref{ref}, n.has(h))
	require.Contains(t, n.task(chunk.LongCollection).Note, "1 references belong to nothing")
	c.clock.Advance(23 * time.Hour)
	c.longCollect(n)
	require.Equal(t, []chunk.Ref{ref}, n.has(h), "the wait is not over")
	c.clock.Advance(time.Hour)
	c.longCollect(n)
	require.Empty(t, n.has(h))
	require.Positive(t, n.status().Trashed, "what is removed so can be had back for a while")
	trashed, err := n.store.InTrash(t.Context(), h, ref)
	require.NoError(t, err)
	require.True(t, trashed, "it can be had back")
	c.clock.Advance(week)
	c.heal(1, chunk.LongCollection)
	require.Zero(t, n.status().Trashed)
	require.Equal(t, before.Chunks-1, n.status().Chunks)
	c.requireReadable()
}

func TestLongCollectionComesByItself(t *testing.T) {
	c, n, h, _ := collected(t)
	c.heal(1, chunk.LongCollection)
	for range 4 * 24 {
		c.clock.Advance(time.Hour)
		c.heal(1, chunk.LongCollection)
	}
	require.Empty(t, n.has(h))
	c.requireReadable()
}

func TestWhatIsKnownStaysWhateverItBelongsTo(t *testing.T) {
	for _, s := range []meta.AttemptState{meta.AttemptOpen, meta.AttemptComplete, meta.AttemptGarbage} {
		c, n, h, ref := collected(t)
		c.metadata.others = map[uuid.UUID]meta.AttemptState{ref.Attempt: s}
		for range 4 {
			c.longCollect(n)
			c.clock.Advance(48 * time.Hour)
		}
		require.Equal(t, []chunk.Ref{ref}, n.has(h))
		require.Empty(t, n.task(chunk.LongCollection).Note)
	}
}

func TestAnAttemptThatIsKnownAgainIsNoSuspectAnyMore(t *testing.T) {
	c, n, h, ref := collected(t)
	c.longCollect(n)
	c.clock.Advance(25 * time.Hour)
	c.metadata.others = map[uuid.UUID]meta.AttemptState{ref.Attempt: meta.AttemptOpen}
	c.longCollect(n)
	c.metadata.others = nil
	c.clock.Advance(time.Hour)
	c.longCollect(n)
	require.Equal(t, []chunk.Ref{ref}, n.has(h), "the wait begins anew")
	c.clock.Advance(24 * time.Hour)
	c.longCollect(n)
	require.Empty(t, n.has(h))
}

func TestMetadataIsAskedOnceMoreBeforeAReferenceGoes(t *testing.T) {
	c, n, h, ref := collected(t)
	c.longCollect(n)
	c.clock.Advance(25 * time.Hour)
	c.metadata.answer = func(answers []meta.Attempt) []meta.Attempt {
		if len(answers) == 1 && answers[0].ID == ref.Attempt { // its chunk is alone in its partition: first the look, then this
			if answers[0].State = meta.AttemptUnknown; c.metadata.asked > 2*201 {
				answers[0].State = meta.AttemptOpen
			}
		}
		return answers
	}
	c.longCollect(n)
	require.Equal(t, []chunk.Ref{ref}, n.has(h))
	require.Equal(t, 2*201+1, c.metadata.asked)
}

func TestNothingGoesWithoutAWholeAnswer(t *testing.T) {
	for what, wrong := range map[string]func(*metadata){
		"an error":         func(m *metadata) { m.missing = func() error { return errors.Newf(errors.Unavailable, "it is away") } },
		"too few attempts": func(m *metadata) { m.answer = func(a []meta.Attempt) []meta.Attempt { return a[:len(a)-1] } },
		"other attempts": func(m *metadata) {
			m.answer = func(a []meta.Attempt) []meta.Attempt { a[0].ID = uuid.New(); return a }
		},
		"another cluster": func(m *metadata) { m.of = uuid.New() },
	} {
		c, n, h, ref := collected(t)
		c.longCollect(n)
		c.clock.Advance(48 * time.Hour)
		wrong(c.metadata)
		n.start(chunk.LongCollection)
		c.heal(3, chunk.LongCollection)
		require.Equal(t, []chunk.Ref{ref}, n.has(h), what)
		st := n.task(chunk.LongCollection)
		require.Equal(t, chunk.Stuck, st.State, what)
		require.Contains(t, st.Note, "metadata", what)
		c.metadata.missing, c.metadata.answer, c.metadata.of = nil, nil, uuid.Nil
		c.heal(1, chunk.LongCollection)
		require.Empty(t, n.has(h), "it goes on after %s", what)
	}
}

func TestTooManyReferencesGoOnlyWhenTheOperatorSaysSo(t *testing.T) {
	c := newCluster(t, 1)
	c.publish(1, c.nodes...)
	n := c.nodes[0]
	for range 30 {
		c.put(100)
	}
	kept := c.refs
	c.refs = nil // as if the metadata was lost
	for range 3 {
		c.longCollect(n)
		c.clock.Advance(25 * time.Hour)
	}
	require.EqualValues(t, 30, n.status().Chunks)
	st := n.task(chunk.LongCollection)
	require.Equal(t, chunk.Stuck, st.State)
	require.Contains(t, st.Note, "30 of 30 references")
	require.Contains(t, st.Note, "--confirm 30")
	n.crash()
	n.runner.Step(t.Context(), chunk.LongCollection)
	require.Equal(t, chunk.Stuck, n.task(chunk.LongCollection).State, "it is said after a start, too")
	for h := range kept { // one comes back
		c.refs = map[chunk.Hash]map[chunk.Ref]bool{h: kept[h]}
	}
	_, err := n.runner.Command(t.Context(), chunk.Command{Task: chunk.LongCollection, Start: true, Confirm: 30})
	require.NoError(t, err)
	c.heal(1, chunk.LongCollection)
	require.EqualValues(t, 1, n.status().Chunks)
	c.requireReadable()
	c.put(100)
	c.clock.Advance(25 * time.Hour)
	c.longCollect(n)
	require.Equal(t, chunk.Idle, n.task(chunk.LongCollection).State)
}

// A confirmation is about what the operator was told, not about what comes later.
func TestAConfirmationIsForWhatWasTold(t *testing.T) {
	confirmed := func(change func(c *cluster, n *node)) (kept int64) {
		c := newCluster(t, 1)
		c.publish(1, c.nodes...)
		n := c.nodes[0]
		for range 100 {
			c.put(100)
		}
		known := c.refs
		c.refs = make(map[chunk.Hash]map[chunk.Ref]bool)
		for h, refs := range known {
			if c.refs[h] = refs; len(c.refs) == 90 {
				break
			}
		}
		for range 2 {
			c.longCollect(n)
			c.clock.Advance(25 * time.Hour)
		}
		c.longCollect(n)
		require.Contains(t, n.task(chunk.LongCollection).Note, "10 of 100 references")
		change(c, n)
		_, err := n.runner.Command(t.Context(), chunk.Command{Task: chunk.LongCollection, Start: true, Confirm: 10})
		require.NoError(t, err)
		c.heal(1, chunk.LongCollection)
		return n.status().Chunks
	}
	require.EqualValues(t, 90, confirmed(func(*cluster, *node) {}))
	require.EqualValues(t, 100, confirmed(func(c *cluster, n *node) { c.refs = nil }), "now it knows nothing at all")
	require.EqualValues(t, 100, confirmed(func(c *cluster, n *node) {
		c.refs = nil
		for range 3 {
			c.clock.Advance(25 * time.Hour)
			c.longCollect(n)
		}
		require.Contains(t, n.task(chunk.LongCollection).Note, "100 of 100 references")
	}), "a later round told of more")
}

// The metadata was wrong, and an operator confirmed what it said: it can be put right within the week.
func TestWhatMetadataKnowsAfterAllIsHadBackFromTheTrash(t *testing.T) {
	c := newCluster(t, 3)
	c.publish(3, c.nodes...)
	for range 50 {
		c.put(100)
	}
	known := c.refs
	c.refs = nil
	wrong := c.nodes[:2]
	for range 2 {
		c.longCollect(wrong...)
		c.clock.Advance(25 * time.Hour)
	}
	c.longCollect(wrong...)
	for _, n := range wrong {
		_, err := n.runner.Command(t.Context(), chunk.Command{Task: chunk.LongCollection, Start: true, Confirm: 1000})
		require.NoError(t, err)
		c.heal(1, chunk.LongCollection)
		require.Zero(t, n.status().Chunks)
	}
	c.heal(3) // they compare what they hold with the third
	require.EqualValues(t, 50, c.nodes[2].status().Chunks, "what is in the trash of one node is not taken from another")
	c.refs = known
	c.clock.Advance(5 * 24 * time.Hour)
	c.longCollect(c.nodes...)
	for _, n := range c.nodes {
		require.EqualValues(t, 50, n.status().Chunks)
		require.Zero(t, n.status().Trashed)
	}
	c.clock.Advance(30 * 24 * time.Hour)
	c.heal(3)
	c.requireWhole()
}

func TestARestartGoesOnWithALongCollectionAndCountsNoTimeInWhichTheNodeWasOff(t *testing.T) {
	c, n, h, ref := collected(t)
	c.longCollect(n)
	n.close()
	c.clock.Advance(100 * 24 * time.Hour) // or the clock was set
	n.restart(n.fs)
	c.longCollect(n)
	require.Equal(t, []chunk.Ref{ref}, n.has(h))
	c.clock.Advance(25 * time.Hour)
	asked := c.metadata.asked
	c.metadata.missing = func() error {
		if c.metadata.asked > asked+100 {
			return errors.Newf(errors.Unavailable, "it is away")
		}
		return nil
	}
	n.start(chunk.LongCollection)
	n.runner.Step(t.Context(), chunk.LongCollection)
	require.Equal(t, chunk.Stuck, n.task(chunk.LongCollection).State)
	n.crash()
	c.metadata.missing, c.metadata.asked = nil, 0
	c.heal(1, chunk.LongCollection)
	require.Less(t, c.metadata.asked, 150, "what was looked at before the crash is not looked at again")
	require.Positive(t, c.metadata.asked)
	c.clock.Advance(25 * time.Hour) // what the crash took of the time was lost
	c.longCollect(n)
	require.Empty(t, n.has(h))
	c.requireReadable()
}

// A reference was removed everywhere, and that was forgotten, before the node came back that had stood in for an owner.
func TestAReferenceThatAStandInBringsBackLateGoesInTheEnd(t *testing.T) {
	c := newCluster(t, 4)
	c.publish(3, c.nodes...)
	for range 300 {
		c.put(100)
	}
	h, b := chunktest.Chunk(2_000_000, 20_000)
	a := c.active()
	own := a.Owners(h.Partition())
	owner, standIn := c.node(a.Nodes()[own[2]].ID), c.node(a.Nodes()[a.StandIns(h.Partition())[0]].ID)
	owner.away = true
	ref := c.write(h, b)
	standIn.away, owner.away = true, false
	c.heal(3)
	c.remove(h, ref)
	for range 26 {
		c.clock.Advance(time.Hour)
		for _, n := range c.nodes {
			_, err := n.store.Collect(t.Context())
			require.NoError(t, err)
			_, err = n.store.Expire(t.Context())
			require.NoError(t, err)
		}
	}
	standIn.away = false
	c.heal(40)
	back := 0
	for _, n := range c.nodes {
		back += len(n.has(h))
	}
	require.Equal(t, 3, back, "the stand-in has handed it over to the owners")
	c.longCollect(c.nodes...)
	c.clock.Advance(25 * time.Hour)
	c.longCollect(c.nodes...)
	c.clock.Advance(week)
	c.longCollect(c.nodes...)
	c.heal(2)
	c.requireWhole()
}
