package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recorder notes in which order things happen.
type recorder struct {
	mu     sync.Mutex
	events []string
}

func (r *recorder) add(e string) { r.mu.Lock(); r.events = append(r.events, e); r.mu.Unlock() }

type fake struct {
	name  string
	rec   *recorder
	ready chan struct{}
	fail  chan error
}

func newFake(name string, rec *recorder) *fake {
	return &fake{name: name, rec: rec, ready: make(chan struct{}), fail: make(chan error, 1)}
}

func (f *fake) Ready() <-chan struct{} { return f.ready }

func (f *fake) Run(ctx context.Context) error {
	f.rec.add("start " + f.name)
	close(f.ready)
	select {
	case <-ctx.Done():
		f.rec.add("stop " + f.name)
		return ctx.Err()
	case err := <-f.fail:
		f.rec.add("fail " + f.name)
		return err
	}
}

func TestMembersStartInOrderAndStopInReverse(t *testing.T) {
	rec := &recorder{}
	g := NewGroup(nil, time.Minute)
	for _, n := range []string{"a", "b", "c"} {
		g.Add(n, newFake(n, rec))
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- g.Run(ctx) }()
	<-g.Ready()
	cancel()
	require.NoError(t, <-result)
	require.Equal(t, []string{"start a", "start b", "start c", "stop c", "stop b", "stop a"}, rec.events)
}

func TestFirstFailureNamesTheServiceAndStopsTheOthers(t *testing.T) {
	rec := &recorder{}
	g := NewGroup(nil, time.Minute)
	a, b := newFake("a", rec), newFake("b", rec)
	g.Add("a", a)
	g.Add("b", b)
	boom := errors.New("boom")
	result := make(chan error, 1)
	go func() { result <- g.Run(context.Background()) }()
	<-g.Ready()
	b.fail <- boom
	err := <-result
	require.ErrorIs(t, err, boom)
	require.EqualError(t, err, "b: boom")
	require.Equal(t, []string{"start a", "start b", "fail b", "stop a"}, rec.events)
}

func TestAMemberThatFailsBeforeReadyKeepsTheNextFromStarting(t *testing.T) {
	rec := &recorder{}
	g := NewGroup(nil, time.Minute)
	g.Add("a", newFake("a", rec))
	g.Add("b", &neverReady{err: errors.New("no port")})
	g.Add("c", newFake("c", rec))
	require.EqualError(t, g.Run(context.Background()), "b: no port")
	require.Equal(t, []string{"start a", "stop a"}, rec.events)
	select {
	case <-g.Ready():
		t.Fatal("a group whose start failed must not be ready")
	default:
	}
}

type neverReady struct{ err error }

func (n *neverReady) Ready() <-chan struct{}    { return nil }
func (n *neverReady) Run(context.Context) error { return n.err }

func TestAMemberThatDoesNotStopIsReported(t *testing.T) {
	g := NewGroup(nil, time.Millisecond)
	release, returned := make(chan struct{}), make(chan struct{})
	g.Add("stubborn", Func(func(context.Context) error { defer close(returned); <-release; return nil }))
	ctx, cancel := context.WithCancel(context.Background())
	cancelWhenReady(g, cancel)
	require.EqualError(t, g.Run(ctx), "stubborn: did not stop within 1ms")
	close(release)
	<-returned
}

func cancelWhenReady(g *Group, cancel func()) { go func() { <-g.Ready(); cancel() }() }

func TestAGroupEndsWhenAllMembersAreDone(t *testing.T) {
	g := NewGroup(nil, time.Minute)
	g.Add("short", Func(func(context.Context) error { return nil }))
	require.NoError(t, g.Run(context.Background()))
}

func TestGroupsNest(t *testing.T) {
	rec := &recorder{}
	inner := NewGroup(nil, time.Minute)
	inner.Add("b", newFake("b", rec))
	outer := NewGroup(nil, time.Minute)
	outer.Add("a", newFake("a", rec))
	outer.Add("inner", inner)
	ctx, cancel := context.WithCancel(context.Background())
	cancelWhenReady(outer, cancel)
	require.NoError(t, outer.Run(ctx))
	require.Equal(t, []string{"start a", "start b", "stop b", "stop a"}, rec.events)
}

func TestFirstSignalEndsTheContextAndTheSecondForces(t *testing.T) {
	forced := make(chan struct{})
	ctx, release := Signals(context.Background(), slog.New(slog.DiscardHandler), func() { close(forced) })
	defer release()
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	<-ctx.Done()
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGINT))
	<-forced
}
