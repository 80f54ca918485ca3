package cluster

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/faults"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/quorum"
)

func TestGetAsksOneNodeWhenAllIsWell(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, data, _ := w.put()
	for range 10 {
		w.requireGets(h, data)
	}
	calls := 0
	for _, n := range w.nodes {
		calls += n.Calls(faults.Get)
	}
	require.Equal(t, 10, calls)
}

func TestGetPassesOverNodesThatFail(t *testing.T) {
	for name, fault := range map[string]faults.Fault{
		"away": faults.Away, "overloaded": faults.Fail(errors.Overloaded), "not found": faults.Fail(errors.NotFound),
		"corrupted": faults.Fail(errors.Corrupted), "internal": faults.Fail(errors.Internal),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3, 3, nil)
			h, data, _ := w.put()
			for i := range w.nodes {
				w.nodes[i].Set(fault)
				w.nodes[(i+1)%3].Set(fault)
				w.nodes[(i+2)%3].Set(nil)
				w.requireGets(h, data)
			}
		})
	}
}

func TestGetAsksAnotherWhenTheFirstHangs(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, data, _ := w.put()
	first := w.newGet(ctx, h).nodes[0]
	w.nodes[first].Set(faults.Hang)
	var b *buffer.Buffer
	var err error
	ended := in(func() { b, err = w.Get(ctx, h) })
	w.eventually(func() bool { return w.clock.Timers() == 1 }, "the wait for the hedge")
	w.clock.Advance(Defaults.Health.Guess)
	<-ended
	require.NoError(t, err)
	require.Equal(t, data.Bytes(), b.Bytes())
	require.EqualValues(t, 1, w.Counts().SecondAsked)
	w.eventually(func() bool { return w.nodes[first].Running(faults.Get) == 0 }, "the end of the call that lost")

	// From now on another is asked first, so that the one that hangs costs nothing.
	for range 5 {
		w.requireGets(h, data)
	}
	require.EqualValues(t, 1, w.Counts().SecondAsked)
}

func TestGetNeverReturnsWrongBytesAndRepairsThem(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, data, _ := w.put()
	for i := range w.nodes {
		w.prefer(i)
		w.nodes[i].Corrupt(true) // on the wire: the node does not notice
		w.requireGets(h, data)
		w.eventually(func() bool { return w.Counts().Repaired == int64(2*i+1) }, "the repair that was not needed")
		w.nodes[i].Corrupt(false)

		w.prefer(i)
		require.True(t, w.memory[i].Corrupt(h)) // on the disk
		w.requireGets(h, data)
		w.eventually(func() bool { return w.Counts().Repaired == int64(2*i+2) }, "the repair")
		require.True(t, w.has(i, h))
	}
	require.EqualValues(t, 6, w.Counts().BadCopies)
}

func TestRepairsAreBounded(t *testing.T) {
	w := newWorld(t, 3, 3, func(s *Settings) { s.Repairs = 1 })
	h, data, _ := w.put()
	w.nodes[0].Set(faults.Only(faults.Hang, faults.Repair))
	w.nodes[0].Corrupt(true)
	for range 3 {
		w.prefer(0)
		w.requireGets(h, data)
	}
	w.eventually(func() bool { return w.nodes[0].Running(faults.Repair) == 1 && w.clock.Timers() == 1 }, "the repair")
	w.clock.Advance(Defaults.SideTimeout)
	w.eventually(func() bool { return w.nodes[0].Running(faults.Repair) == 0 }, "the end of the repair")
	require.Equal(t, 1, w.nodes[0].Calls(faults.Repair))
	require.Zero(t, w.Counts().Repaired)
}

// prefer makes reads ask a node first.
func (w *world) prefer(node int) {
	for i, p := range w.peers {
		p.mu.Lock()
		p.health = quorum.NewHealth(Defaults.Health)
		latency := 10 * time.Millisecond
		if i != node {
			latency *= 2
		}
		p.health.Answered(latency, w.clock.Now())
		p.mu.Unlock()
	}
}

func TestOnlyBadCopiesAreAnError(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, _, _ := w.put()
	for _, n := range w.nodes {
		n.Corrupt(true)
	}
	_, err := w.Get(ctx, h)
	require.True(t, errors.IsEntity(err, errors.Corrupted, errors.Chunk), "%v", err)
}

func TestNotFoundNeedsEveryNode(t *testing.T) {
	w := newWorld(t, 3, 5, func(s *Settings) { s.Retries = 0 })
	h, data := w.chunk()
	_, err := w.Get(ctx, h)
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Chunk), "%v", err)
	for i := range w.nodes {
		times := 1
		if slices.Contains(w.owners(h), uint16(i)) {
			times = 2 // another node may have handed it over meanwhile
		}
		require.Equal(t, times, w.nodes[i].Calls(faults.Get), "node %d", i)
	}

	for i := range w.nodes {
		w.nodes[i].Set(faults.Away)
		_, err = w.Get(ctx, h)
		require.True(t, errors.Is(err, errors.Unavailable), "node %d may have it: %v", i, err)
		w.nodes[i].Set(nil)
	}

	// A node that does not own it has it.
	other := 0
	for isOwner(w.owners(h), other) {
		other++
	}
	w.peers[other].alive = func(chunk.NodeID) bool { return false }
	_, err = w.Get(ctx, h)
	require.True(t, errors.Is(err, errors.Unavailable), "it is not asked, and may have it: %v", err)
	w.peers[other].alive = nil
	_, err = w.memory[other].Put(ctx, h, data, w.ref())
	require.NoError(t, err)
	w.requireGets(h, data)
}

func TestGetGivesUpAtItsDeadline(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, _, _ := w.put()
	for _, n := range w.nodes {
		n.Set(faults.Hang)
	}
	var err error
	ended := in(func() { _, err = w.Get(ctx, h) })
	w.eventually(func() bool { return w.clock.Timers() == 1 }, "the wait for the hedge")
	w.clock.Advance(Defaults.Health.Guess)
	w.eventually(func() bool { return w.clock.Timers() == 1 }, "the wait for the second hedge")
	w.clock.Advance(Defaults.Health.Guess)
	w.eventually(func() bool { return w.clock.Timers() == 1 }, "the wait for the deadline")
	w.clock.Advance(Defaults.ReadTimeout)
	<-ended
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)

	leaving, leave := context.WithCancel(ctx)
	ended = in(func() { _, err = w.Get(leaving, h) })
	w.eventually(func() bool { return w.clock.Timers() == 1 }, "the wait for the hedge")
	leave()
	<-ended
	require.True(t, errors.Is(err, errors.Canceled), "%v", err)
}

func TestBuffersOfReadsThatLostAreReleased(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, data, _ := w.put()
	first := w.newGet(ctx, h).nodes[0]
	letGo := make(chan struct{})
	w.nodes[first].Set(func(context.Context, faults.Op, chunk.Hash) error { // deaf to being given up
		<-letGo
		return nil
	})
	var released, made int
	w.peers[first].node = countingNode{w.nodes[first], &made, &released}
	var b *buffer.Buffer
	var err error
	ended := in(func() { b, err = w.Get(ctx, h) })
	w.eventually(func() bool { return w.clock.Timers() == 1 }, "the wait for the hedge")
	w.clock.Advance(Defaults.Health.Guess)
	<-ended
	require.NoError(t, err)
	require.Equal(t, data.Bytes(), b.Bytes())
	close(letGo)
	w.Close(time.Minute)
	require.Equal(t, 1, made)
	require.Equal(t, 1, released)
}

// countingNode counts the buffers that it returned and that were released. It
// is used by one call only, which Close waits for.
type countingNode struct {
	chunk.Node
	made, released *int
}

func (n countingNode) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	b, err := n.Node.Get(context.WithoutCancel(ctx), h)
	if err != nil {
		return nil, err
	}
	*n.made++
	return buffer.FromSegments(b.Segments(), func() { *n.released++ }), nil
}

func TestClosedStoreRefuses(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, data, _ := w.put()
	w.Close(time.Minute)
	_, err := w.Get(ctx, h)
	require.True(t, errors.Is(err, errors.Unavailable))
	_, err = w.Put(ctx, h, data, w.ref())
	require.True(t, errors.Is(err, errors.Unavailable))
}

func TestCloseGivesUpWhatHangs(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	w.nodes[2].Set(faults.Hang)
	h, data := w.chunk()
	_, err := w.Put(ctx, h, data, w.ref())
	require.NoError(t, err)
	h2, _ := w.chunk()
	w.nodes[0].Set(faults.Hang)
	w.nodes[1].Set(faults.Hang)
	ended := in(func() { _, err = w.Get(ctx, h2) })
	w.eventually(func() bool { return w.clock.Timers() == 2 }, "the wait for the grace and the hedge")
	closed := in(func() { w.Close(time.Millisecond) })
	w.eventually(func() bool { return w.clock.Timers() == 3 }, "Close")
	w.clock.Advance(time.Millisecond)
	<-closed
	<-ended
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	require.Zero(t, w.Counts().Late)
}

func TestNewWantsEveryNode(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	_, err := New(Config{Layouts: w.layouts, Members: map[chunk.NodeID]Member{}, Clock: w.Store.clock, Settings: Defaults})
	require.True(t, errors.IsEntity(err, errors.Invalid, errors.Node), "%v", err)
}
