package tasks

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// notes are kept in memory, over restarts of the runner.
type notes struct {
	mu     sync.Mutex
	values map[string][]byte
	fail   error
}

func (n *notes) Note(_ context.Context, name string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.values[name], nil
}

func (n *notes) SetNote(_ context.Context, name string, value []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail == nil {
		n.values[name] = value
	}
	return n.fail
}

type fixture struct {
	notes *notes
	clock *clock.Manual
}

func newFixture() *fixture {
	return &fixture{notes: &notes{values: make(map[string][]byte)}, clock: clock.NewManual(time.Unix(1_800_000_000, 0))}
}

func (f *fixture) start(t *testing.T, job JobFunc) *Runner {
	r, err := New(t.Context(), map[chunk.Task]Job{chunk.Scrub: job}, Deps{Notes: f.notes, Clock: f.clock, Logger: slog.New(slog.DiscardHandler),
		Rates: map[chunk.Task]int64{chunk.Scrub: 1000}})
	require.NoError(t, err)
	return r
}

func tell(t *testing.T, r *Runner, c chunk.Command) chunk.TaskStatus {
	c.Task = chunk.Scrub
	s, err := r.Command(t.Context(), c)
	require.NoError(t, err)
	return s
}

func TestCommandsOutliveARestart(t *testing.T) {
	f := newFixture()
	passes, asked := 0, uint64(0)
	job := func(_ context.Context, p *Progress) (time.Duration, error) {
		passes, asked = passes+1, p.Asked()
		return time.Minute, nil
	}
	r := f.start(t, job)
	require.Equal(t, chunk.Stopped, tell(t, r, chunk.Command{Rate: 500, Term: 7}).State)
	r = f.start(t, job)
	require.Equal(t, chunk.TaskStatus{Task: chunk.Scrub, State: chunk.Stopped, Rate: 500}, r.Status()[0])
	r.Step(t.Context(), chunk.Scrub)
	require.Zero(t, passes)
	_, err := r.Command(t.Context(), chunk.Command{Task: chunk.Scrub, Start: true, Term: 6})
	require.True(t, errors.Is(err, errors.Conflict), "%v", err)

	s := tell(t, r, chunk.Command{Start: true, Term: 7})
	require.Equal(t, chunk.Running, s.State, "what was asked for is not idle before it begins")
	require.EqualValues(t, 500, s.Rate, "as it was")
	r = f.start(t, job)
	require.Equal(t, time.Minute, r.Step(t.Context(), chunk.Scrub))
	require.EqualValues(t, 1, asked)
	require.Zero(t, tell(t, r, chunk.Command{Start: true, Rate: -1, Term: 8}).Rate, "no limit")
}

func TestARoundIsAskedForUntilItHasEnded(t *testing.T) {
	f := newFixture()
	var ends bool
	job := func(_ context.Context, p *Progress) (time.Duration, error) {
		answers := p.Asked()
		p.Begin(f.clock.Now(), 0, 0, 1)
		if ends {
			p.End(f.clock.Now(), answers)
		}
		return 0, nil
	}
	r := f.start(t, job)
	tell(t, r, chunk.Command{Start: true, Confirm: 5})
	r.Step(t.Context(), chunk.Scrub)
	r = f.start(t, job)
	require.EqualValues(t, 5, r.tasks[chunk.Scrub].progress.Confirmed())
	ends = true
	r.Step(t.Context(), chunk.Scrub)
	require.Equal(t, chunk.Idle, r.Status()[0].State)
	r = f.start(t, job)
	require.Zero(t, r.tasks[chunk.Scrub].progress.Asked())
	require.Zero(t, r.tasks[chunk.Scrub].progress.Confirmed())
}

func TestWhatIsAskedForAnewIsNotStuckBeforeItHasTried(t *testing.T) {
	f := newFixture()
	r := f.start(t, func(_ context.Context, p *Progress) (time.Duration, error) {
		p.End(f.clock.Now(), p.Asked())
		p.Stuck("may it?")
		return 0, nil
	})
	r.Step(t.Context(), chunk.Scrub)
	require.Equal(t, chunk.Stuck, r.Status()[0].State)
	require.Equal(t, chunk.Running, tell(t, r, chunk.Command{Start: true, Confirm: 5}).State)
	r.Step(t.Context(), chunk.Scrub)
	require.Equal(t, chunk.Stuck, r.Status()[0].State)
}

func TestACommandThatCannotBeKeptIsNotObeyed(t *testing.T) {
	f := newFixture()
	f.notes.fail = errors.Newf(errors.Full, "no space")
	r := f.start(t, func(context.Context, *Progress) (time.Duration, error) { return 0, nil })
	_, err := r.Command(t.Context(), chunk.Command{Task: chunk.Scrub})
	require.True(t, errors.Is(err, errors.Full), "%v", err)
	require.Equal(t, chunk.Idle, r.Status()[0].State)
	_, err = r.Command(t.Context(), chunk.Command{Task: chunk.Repair})
	require.True(t, errors.Is(err, errors.NotImplemented), "%v", err)
}

func TestStopEndsThePassUnderWay(t *testing.T) {
	f := newFixture()
	began := make(chan struct{}, 1)
	r := f.start(t, func(ctx context.Context, p *Progress) (time.Duration, error) {
		p.Begin(f.clock.Now(), 0, 0, 1)
		began <- struct{}{}
		<-ctx.Done()
		return 0, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { r.Run(ctx) })
	<-began
	require.Equal(t, chunk.Stopped, tell(t, r, chunk.Command{}).State)
	require.Eventually(t, func() bool { return f.clock.Timers() == 1 && r.Status()[0].State == chunk.Stopped }, 10*time.Second, time.Millisecond)
	tell(t, r, chunk.Command{Start: true})
	<-began
	cancel()
	work.Wait()
}

func TestWhatFailsIsTriedAgainAfterALongerAndLongerPause(t *testing.T) {
	f := newFixture()
	fails := true
	r := f.start(t, func(_ context.Context, p *Progress) (time.Duration, error) {
		if fails {
			return 0, errors.Newf(errors.Unavailable, "the other node is away")
		}
		p.Idle()
		return time.Hour, nil
	})
	require.Equal(t, time.Second, r.Step(t.Context(), chunk.Scrub))
	require.Equal(t, 2*time.Second, r.Step(t.Context(), chunk.Scrub))
	require.Equal(t, chunk.Stuck, r.Status()[0].State)
	require.Equal(t, "the other node is away", r.Status()[0].Note)
	for range 10 {
		r.Step(t.Context(), chunk.Scrub)
	}
	require.Equal(t, time.Minute, r.Step(t.Context(), chunk.Scrub))
	fails = false
	require.Equal(t, time.Hour, r.Step(t.Context(), chunk.Scrub))
	require.Equal(t, chunk.Idle, r.Status()[0].State)
}

func TestWakeShortensTheWait(t *testing.T) {
	f := newFixture()
	passes := make(chan struct{}, 10)
	r := f.start(t, func(context.Context, *Progress) (time.Duration, error) {
		passes <- struct{}{}
		return time.Hour, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { r.Run(ctx) })
	<-passes
	r.Wake(chunk.Scrub)
	<-passes
	require.Eventually(t, func() bool { return f.clock.Timers() == 1 }, 10*time.Second, time.Millisecond)
	f.clock.Advance(time.Hour)
	<-passes
	cancel()
	work.Wait()
}

func TestBytesAreSpreadOverTime(t *testing.T) {
	c := clock.NewManual(time.Unix(1_800_000_000, 0))
	l := limit{clock: c}
	require.Zero(t, l.reserve(1<<40), "no limit")
	l.set(1000)
	require.Zero(t, l.reserve(1000), "what comes after a pause need not wait")
	require.Equal(t, 900*time.Millisecond, l.reserve(500), "what follows waits until it is worked off; a tenth of a second is free")
	require.Equal(t, 1400*time.Millisecond, l.reserve(1))
	c.Advance(time.Hour)
	require.Zero(t, l.reserve(100))
	l.set(10)
	require.Zero(t, l.reserve(1), "a new rate begins anew")
}
