package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/faults"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/quorum"
)

var ctx = context.Background()

func TestPutReachesTheOwnersOnly(t *testing.T) {
	w := newWorld(t, 3, 5, nil)
	for range 20 {
		h, data, _ := w.put()
		for i := range w.nodes {
			require.Equal(t, isOwner(w.owners(h), i), w.has(i, h))
		}
		w.requireGets(h, data)
	}
}

func TestPutWithANodeAwayIsOwedToIt(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	w.nodes[1].Set(faults.Away)
	h, data, ref := w.put()
	require.False(t, w.has(1, h))
	require.EqualValues(t, 1, w.owed(0)+w.owed(2), "one debt, recorded once")
	w.requireGets(h, data)

	// What was owed is what pays the debt.
	w.nodes[1].Set(nil)
	o, err := w.nodes[1].Put(ctx, h, data, ref)
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, o)
}

func TestPutIsAnsweredWhileAnOwnerHangs(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	w.nodes[2].Set(faults.Hang)
	h, data := w.chunk()
	o, err := w.Put(ctx, h, data, w.ref())
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, o)
	require.EqualValues(t, 1, w.Counts().Late)
	require.EqualValues(t, data.Len(), w.Counts().LateBytes)
	require.Zero(t, w.Counts().Owed, "not before the grace is over")

	w.eventually(func() bool { return w.clock.Next() == Defaults.Grace }, "the wait for the grace")
	w.clock.Advance(Defaults.Grace)
	w.quiet()
	require.Zero(t, w.Counts().LateBytes)
	require.EqualValues(t, 1, w.owed(0)+w.owed(1))
	w.eventually(func() bool { return w.nodes[2].Running(faults.Put) == 0 }, "the end of the call")
}

func TestPutKeepsTheBytesUntilTheLastCallEnds(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	w.nodes[2].Set(faults.Hang)
	h, plain := w.chunk()
	released := false
	data := buffer.FromSegments(plain.Segments(), func() { released = true })
	_, err := w.Put(ctx, h, data, w.ref())
	require.NoError(t, err)
	data.Release()
	require.False(t, released, "a call still sends them")
	w.eventually(func() bool { return w.clock.Next() == Defaults.Grace }, "the wait for the grace")
	w.clock.Advance(Defaults.Grace)
	w.Close(time.Minute)
	require.True(t, released)
}

func TestPutWithTwoOfThreeAwayFails(t *testing.T) {
	w := newWorld(t, 3, 3, func(s *Settings) { s.Retries = 0 })
	h, data, _ := w.put()
	w.nodes[0].Set(faults.Away)
	w.nodes[1].Set(faults.Away)
	h2, data2 := w.chunk()
	_, err := w.Put(ctx, h2, data2, w.ref())
	require.True(t, errors.IsEntity(err, errors.Unavailable, errors.Chunk), "%v", err)
	require.ErrorContains(t, err, "connection refused")
	require.Zero(t, w.Counts().Owed)
	w.requireGets(h, data)
}

func TestPutWithTwoOfThreeHangingFailsAtItsDeadline(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, data, _ := w.put()
	w.nodes[0].Set(faults.Hang)
	w.nodes[1].Set(faults.Hang)
	h2, data2 := w.chunk()
	var err error
	ended := in(func() { _, err = w.Put(ctx, h2, data2, w.ref()) })
	w.eventually(func() bool { return w.has(2, h2) && w.clock.Timers() == 1 }, "the wait for the deadline")
	w.clock.Advance(Defaults.WriteTimeout - 1)
	w.eventually(func() bool { return w.clock.Timers() == 1 }, "the wait for the deadline")
	w.clock.Advance(1)
	<-ended
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	require.ErrorContains(t, err, "1 of 3 owners acknowledged, 2 are needed")

	// What has all three copies can still be read, whichever node is asked first.
	var b *buffer.Buffer
	ended = in(func() { b, err = w.Get(ctx, h) })
	w.passTimeUntil(ended)
	require.NoError(t, err)
	require.Equal(t, data.Bytes(), b.Bytes())
}

func TestPutEndsWithItsCaller(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	w.nodes[0].Set(faults.Hang)
	w.nodes[1].Set(faults.Hang)
	leaving, leave := context.WithCancel(ctx)
	h, data := w.chunk()
	var err error
	ended := in(func() { _, err = w.Put(leaving, h, data, w.ref()) })
	w.eventually(func() bool { return w.has(2, h) }, "the one copy")
	leave()
	<-ended
	require.True(t, errors.Is(err, errors.Canceled), "%v", err)
}

func TestANodeThatHangsIsLeftOutAndProbed(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	w.nodes[2].Set(faults.Hang)
	for range Defaults.Health.Failures {
		h, data := w.chunk()
		_, err := w.Put(ctx, h, data, w.ref())
		require.NoError(t, err)
		w.eventually(func() bool { return w.nodes[2].Running(faults.Put) == 1 && w.clock.Next() == Defaults.Grace }, "the wait for the grace")
		w.clock.Advance(Defaults.Grace)
		w.quiet()
	}
	require.True(t, w.Nodes()[2].Avoided)

	// Now writes do not call it, hold nothing for it, and owe it at once.
	calls := w.nodes[2].Calls(faults.Put)
	h, data, _ := w.put()
	require.Equal(t, calls, w.nodes[2].Calls(faults.Put))
	require.EqualValues(t, Defaults.Health.Failures+1, w.owed(0)+w.owed(1))
	w.requireGets(h, data)

	// It is probed, in vain, until it answers; then it is used again.
	w.eventually(func() bool { return w.clock.Timers() == 1 }, "the wait for the probe")
	w.clock.Advance(Defaults.Health.FirstProbe)
	w.eventually(func() bool { return w.nodes[2].Running(faults.Status) == 1 && w.clock.Timers() == 1 }, "the probe")
	w.clock.Advance(Defaults.SideTimeout)
	w.eventually(func() bool { return w.nodes[2].Running(faults.Status) == 0 && w.clock.Timers() == 1 }, "the end of the probe")
	require.True(t, w.Nodes()[2].Avoided)
	w.nodes[2].Set(nil)
	w.clock.Advance(2 * Defaults.Health.FirstProbe)
	w.eventually(func() bool { return !w.Nodes()[2].Avoided }, "the second probe")
	h, _, _ = w.put()
	require.True(t, w.has(2, h))
}

func TestNodesThatSeemDeadAreTriedWhenNeeded(t *testing.T) {
	w := newWorld(t, 3, 3, func(s *Settings) { s.Health.Failures = 1; s.Retries = 0 })
	w.nodes[0].Set(faults.Away)
	w.nodes[1].Set(faults.Away)
	h, data := w.chunk()
	ref := w.ref()
	_, err := w.Put(ctx, h, data, ref)
	require.True(t, errors.Is(err, errors.Unavailable))
	require.True(t, w.Nodes()[0].Avoided && w.Nodes()[1].Avoided)
	w.nodes[0].Set(nil)
	w.nodes[1].Set(nil)
	o, err := w.Put(ctx, h, data, ref)
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, o)
}

func TestBytesOfLateWritesAreBounded(t *testing.T) {
	w := newWorld(t, 3, 3, func(s *Settings) { s.LateBytes = 2500 }) // chunks have 1000
	w.nodes[2].Set(faults.Hang)
	for range 4 {
		h, data := w.chunk()
		_, err := w.Put(ctx, h, data, w.ref())
		require.NoError(t, err)
	}
	w.eventually(func() bool { return w.Counts().Late == 2 && w.owed(0)+w.owed(1) == 2 }, "two owed at once")
	w.eventually(func() bool { return w.clock.Timers() == 2 }, "two that wait")
	w.clock.Advance(Defaults.Grace)
	w.quiet()
	require.EqualValues(t, 4, w.owed(0)+w.owed(1))
}

func TestLateWritesAreBounded(t *testing.T) {
	w := newWorld(t, 3, 3, func(s *Settings) { s.Late = 1 })
	w.nodes[2].Set(faults.Hang)
	for range 3 {
		h, data := w.chunk()
		_, err := w.Put(ctx, h, data, w.ref())
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, w.Counts().Late)
	require.EqualValues(t, 2, w.owed(0)+w.owed(1), "owed before the answer")
}

// smallWindow is for four chunks of 1000 bytes.
func smallWindow(s *Settings) {
	s.Window = quorum.WindowConfig{Least: 1000, Most: 4000, Slow: 2 * time.Second}
	s.Health.Failures = 100
}

// A node that takes less than is written gets what it can take in time, and
// is owed the rest, instead of beginning everything and ending nothing.
func TestANodeThatIsSlowIsSentLess(t *testing.T) {
	w := newWorld(t, 3, 3, smallWindow)
	w.nodes[2].Set(faults.Only(faults.Hang, faults.Put))
	for range 6 {
		h, data := w.chunk()
		_, err := w.Put(ctx, h, data, w.ref())
		require.NoError(t, err)
	}
	w.eventually(func() bool { return w.nodes[2].Running(faults.Put) == 4 && w.clock.Timers() == 4 }, "four under way")
	w.eventually(func() bool { return w.owed(0)+w.owed(1) == 2 }, "two left out")
	w.clock.Advance(Defaults.Grace)
	w.quiet()
	require.EqualValues(t, 2000, w.Nodes()[2].Window)
	require.EqualValues(t, 4000, w.Nodes()[0].Window)
}

// When the owners that are needed have no room, writes wait for it in turn.
func TestWritesWaitForRoom(t *testing.T) {
	w := newWorld(t, 3, 3, smallWindow)
	w.nodes[0].Set(faults.Only(faults.Fail(errors.Full), faults.Put))
	w.peers[1].begin(3500)
	w.peers[2].begin(3500)
	w.peers[0].begin(3500)
	var errs [2]error
	var ended [2]<-chan struct{}
	for i := range ended {
		h, data := w.chunk()
		ref := w.ref()
		ended[i] = in(func() { _, errs[i] = w.Put(ctx, h, data, ref) })
		w.eventually(func() bool { return w.peers[1].waiting.Load() == int64(i+1) && w.clock.Timers() == i+1 }, "the wait")
	}
	require.Zero(t, w.nodes[1].Calls(faults.Put))
	room := func() {
		for i := range w.peers {
			p := w.peers[i]
			p.mu.Lock()
			w.sent(&call{peer: p, bytes: 3500}, func(window *quorum.Window, _ time.Time) { window.Fail(3500) })
			p.mu.Unlock()
		}
	}
	room()
	<-ended[0]
	<-ended[1]
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])

	// Who waits too long is told to slow down; who goes away leaves the line.
	for i := range w.peers {
		w.peers[i].begin(3500)
	}
	leaving, leave := context.WithCancel(ctx)
	for i, c := range []context.Context{ctx, leaving} {
		h, data := w.chunk()
		ref := w.ref()
		ended[i] = in(func() { _, errs[i] = w.Put(c, h, data, ref) })
		w.eventually(func() bool { return w.peers[1].waiting.Load() == int64(i+1) && len(w.turn) == 1 }, "the wait")
	}
	leave()
	<-ended[1]
	require.True(t, errors.Is(errs[1], errors.Canceled), "%v", errs[1])
	w.eventually(func() bool { return w.clock.Timers() > 0 }, "the wait")
	w.clock.Advance(Defaults.WriteTimeout)
	<-ended[0]
	require.True(t, errors.Is(errs[0], errors.Overloaded), "%v", errs[0])
	require.Zero(t, len(w.turn))

	// What sends no bytes does not wait.
	h, _ := w.chunk()
	require.NoError(t, w.Delete(ctx, h, w.ref()), "the full node takes deletes")
	room()
}

func TestOperationsAreBounded(t *testing.T) {
	w := newWorld(t, 3, 3, func(s *Settings) { s.Operations = 1 })
	for _, n := range w.nodes {
		n.Set(faults.Hang)
	}
	h, data := w.chunk()
	leaving, leave := context.WithCancel(ctx)
	ended := in(func() { _, _ = w.Put(leaving, h, data, w.ref()) })
	w.eventually(func() bool { return w.nodes[0].Running(faults.Put) == 1 }, "the first")
	_, err := w.Put(&endsInTheWait{Context: ctx}, h, data, w.ref())
	require.True(t, errors.Is(err, errors.Overloaded), "%v", err)
	leave()
	<-ended
}

// endsInTheWait is a context whose deadline passes after it was first looked at.
type endsInTheWait struct {
	context.Context
	seen bool
}

func (c *endsInTheWait) Err() error {
	if !c.seen {
		c.seen = true
		return nil
	}
	return context.DeadlineExceeded
}

func (c *endsInTheWait) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func TestOwnersThatAgreeOnTheErrorDecideItsKind(t *testing.T) {
	for _, kind := range []errors.Kind{errors.Full, errors.Overloaded} {
		w := newWorld(t, 3, 3, func(s *Settings) { s.Retries = 0 })
		for _, n := range w.nodes {
			n.Set(faults.Fail(kind))
		}
		h, data := w.chunk()
		_, err := w.Put(ctx, h, data, w.ref())
		require.True(t, errors.Is(err, kind), "%v", err)
	}
}

func TestAFullOwnerIsOwed(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	w.nodes[0].Set(faults.Only(faults.Fail(errors.Full), faults.Put))
	w.put()
	require.EqualValues(t, 1, w.owed(1)+w.owed(2))
	require.False(t, w.Nodes()[0].Avoided)
}

func TestWrongBytesAreRefused(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, _ := w.chunk()
	_, other := w.chunk()
	_, err := w.Put(ctx, h, other, w.ref())
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
	_, err = w.Put(ctx, h, buffer.FromBytes(nil), w.ref())
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
}

func TestTwoCopiesNeedBoth(t *testing.T) {
	w := newWorld(t, 2, 2, func(s *Settings) { s.Retries = 0 })
	h, data, _ := w.put()
	require.True(t, w.has(0, h) && w.has(1, h))
	w.nodes[0].Set(faults.Away)
	h2, data2 := w.chunk()
	_, err := w.Put(ctx, h2, data2, w.ref())
	require.True(t, errors.Is(err, errors.Unavailable))
	w.requireGets(h, data)
}

func TestPutRef(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, data, _ := w.put()

	ref := w.ref()
	o, err := w.PutRef(ctx, h, ref)
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, o)
	w.quiet()
	require.Zero(t, w.Counts().Owed)

	unknown, _ := w.chunk()
	o, err = w.PutRef(ctx, unknown, w.ref())
	require.NoError(t, err)
	require.Equal(t, chunk.SendData, o)

	require.NoError(t, w.Delete(ctx, h, ref))
	o, err = w.PutRef(ctx, h, ref)
	require.NoError(t, err)
	require.Equal(t, chunk.Gone, o)
	o, err = w.Put(ctx, h, data, ref)
	require.NoError(t, err)
	require.Equal(t, chunk.Gone, o)
	w.requireGets(h, data)
}

func TestPutRefFeedsAnOwnerThatIsNeeded(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, data, _ := w.put()
	require.True(t, w.memory[0].Lose(h))
	require.True(t, w.memory[1].Lose(h))
	o, err := w.PutRef(ctx, h, w.ref())
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, o)
	w.quiet()
	require.True(t, w.has(0, h) != w.has(1, h), "one was fed")
	require.EqualValues(t, 1, w.Counts().Fed)
	require.EqualValues(t, 1, w.Counts().Owed, "and one is owed")
	w.requireGets(h, data)
}

func TestPutRefDoesNotFeedWhereAMajorityHasTheBytes(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	h, _, _ := w.put()
	require.True(t, w.memory[0].Lose(h))
	o, err := w.PutRef(ctx, h, w.ref())
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, o)
	w.quiet()
	require.Zero(t, w.Counts().Fed)
	require.EqualValues(t, 1, w.owed(1)+w.owed(2))
}

func TestDeleteNeedsAllOwners(t *testing.T) {
	w := newWorld(t, 3, 3, func(s *Settings) { s.Retries = 0 })
	h, data, ref := w.put()
	w.nodes[1].Set(faults.Away)
	err := w.Delete(ctx, h, ref)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	w.nodes[1].Set(nil)
	require.NoError(t, w.Delete(ctx, h, ref))
	require.NoError(t, w.Delete(ctx, h, ref), "again")
	for i := range w.nodes {
		require.False(t, w.has(i, h))
		o, err := w.memory[i].Put(ctx, h, data, ref)
		require.NoError(t, err)
		require.Equal(t, chunk.Gone, o)
	}
}

func TestFailuresInPassingAreTriedAgain(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	for _, n := range w.nodes {
		failed := make(chan struct{}, 1)
		n.Set(func(ctx context.Context, op faults.Op, h chunk.Hash) error {
			select {
			case failed <- struct{}{}:
				return faults.Away(ctx, op, h)
			default:
				return nil
			}
		})
	}
	h, data := w.chunk()
	var o chunk.Outcome
	var err error
	ended := in(func() { o, err = w.Put(ctx, h, data, w.ref()) })
	w.passTimeUntil(ended)
	require.NoError(t, err)
	require.Equal(t, chunk.Stored, o)
}
