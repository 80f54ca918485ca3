//go:build stack

package kv

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// open makes a Store with keys of its own in the Consul of the environment.
func open(t *testing.T) (*Store, *api.Client) {
	t.Helper()
	address := os.Getenv("GARAGE_STACK_CONSUL")
	if address == "" {
		t.Fatal("GARAGE_STACK_CONSUL is not set: give it the HTTP address of a Consul agent for tests, such as tools/stack starts")
	}
	t.Setenv(api.HTTPAddrEnvName, address)
	config := consul.DefaultConfig()
	config.Prefix = "garage-test-" + uuid.NewString()
	client, err := consul.New(config, consul.Deps{Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := client.API().KV().DeleteTree(config.Prefix+"/", nil)
		require.NoError(t, errors.Join(err, client.Close()))
	})
	return New(client, slog.New(slog.DiscardHandler)), client.API()
}

func stage(t *testing.T, s *Store, changes ...func(layout.Change, layout.Layout) (layout.Change, error)) {
	t.Helper()
	snapshot, err := s.Read(t.Context())
	require.NoError(t, err)
	change := snapshot.Staged
	for _, c := range changes {
		change, err = c(change, snapshot.Layout())
		require.NoError(t, err)
	}
	require.NoError(t, s.Stage(t.Context(), Lock{}, snapshot, change))
}

func assign(i int) func(layout.Change, layout.Layout) (layout.Change, error) {
	return func(c layout.Change, _ layout.Layout) (layout.Change, error) { return c.WithNode(node(i)) }
}

// apply publishes what is staged.
func apply(ctx context.Context, s *Store, lock Lock, seen Snapshot) (layout.Placement, error) {
	l, err := seen.Staged.Apply(seen.Layout())
	if err != nil {
		return layout.Placement{}, err
	}
	a, err := layout.Assign(seen.Assignment(), l)
	if err != nil {
		return layout.Placement{}, err
	}
	p := layout.Placement{Layout: l, Assignment: a}
	return p, s.Publish(ctx, lock, seen, p)
}

func TestALayoutIsStagedPublishedAndRemembered(t *testing.T) {
	s, _ := open(t)
	empty, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Nil(t, empty.Active)
	require.True(t, empty.Staged.Empty())
	stage(t, s, assign(1), assign(2), assign(3))
	staged, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Len(t, staged.Staged.Assign, 3)
	require.Greater(t, staged.Revision(), empty.Revision())

	first, err := apply(t.Context(), s, Lock{}, staged)
	require.NoError(t, err)
	now, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, first, now.Active.Current())
	require.True(t, now.Staged.Empty())

	stage(t, s, assign(4))
	next, err := s.Read(t.Context())
	require.NoError(t, err)
	second, err := apply(t.Context(), s, Lock{}, next)
	require.NoError(t, err)
	require.EqualValues(t, 2, second.Layout.Number)
	history, err := s.History(t.Context())
	require.NoError(t, err)
	require.Equal(t, []uint64{1, 2}, history)
	old, err := s.Get(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, first, old)
	_, err = s.Get(t.Context(), 3)
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Layout), "%v", err)
}

func TestWhatIsDroppedIsGone(t *testing.T) {
	s, _ := open(t)
	stage(t, s, assign(1))
	seen, err := s.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Stage(t.Context(), Lock{}, seen, layout.Change{}))
	after, err := s.Read(t.Context())
	require.NoError(t, err)
	require.True(t, after.Staged.Empty())
	require.NoError(t, s.Stage(t.Context(), Lock{}, after, layout.Change{}), "nothing to drop")
}

func TestOfManyWhoChangeTheLayoutAtOnceOneWins(t *testing.T) {
	s, _ := open(t)
	for round := range 5 {
		stage(t, s, assign(3*round+1), assign(3*round+2), assign(3*round+3))
		seen, err := s.Read(t.Context())
		require.NoError(t, err)
		results := make([]error, 6)
		var running sync.WaitGroup
		for i := range results {
			running.Go(func() {
				if i%2 == 0 {
					_, results[i] = apply(context.WithoutCancel(t.Context()), s, Lock{}, seen)
					return
				}
				change, err := seen.Staged.WithReplication(1+i%2, layout.Layout{})
				if err == nil {
					err = s.Stage(context.WithoutCancel(t.Context()), Lock{}, seen, change)
				}
				results[i] = err
			})
		}
		running.Wait()
		won := 0
		for _, err := range results {
			if err == nil {
				won++
				continue
			}
			require.True(t, errors.IsEntity(err, errors.Conflict, errors.Layout), "%v", err)
			require.ErrorContains(t, err, "nothing was changed")
		}
		require.Equal(t, 1, won, "%v", results)
		if after, err := s.Read(t.Context()); !after.Staged.Empty() {
			require.NoError(t, err)
			_, err := apply(t.Context(), s, Lock{}, after)
			require.NoError(t, err)
		}
	}
}

func TestWhoLostTheLockChangesNothing(t *testing.T) {
	s, client := open(t)
	session, _, err := client.Session().CreateNoChecks(&api.SessionEntry{TTL: "60s"}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _, err := client.Session().Destroy(session, nil); require.NoError(t, err) })
	lock := Lock{Key: s.prefix + "lock", Session: session}
	seen, err := s.Read(t.Context())
	require.NoError(t, err)
	change, err := layout.Change{}.WithNode(node(1))
	require.NoError(t, err)
	require.ErrorContains(t, s.Stage(t.Context(), lock, seen, change), "no longer the active one")
	held, _, err := client.KV().Acquire(&api.KVPair{Key: lock.Key, Session: session}, nil)
	require.NoError(t, err)
	require.True(t, held)
	require.NoError(t, s.Stage(t.Context(), lock, seen, change))
	_, _, err = client.KV().Release(&api.KVPair{Key: lock.Key, Session: session}, nil)
	require.NoError(t, err)
	seen, err = s.Read(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, s.Stage(t.Context(), lock, seen, layout.Change{}), "no longer the active one")
}

// publish publishes a layout of the nodes with these numbers with one copy.
func publish(t *testing.T, s *Store, nodes ...int) error {
	t.Helper()
	seen, err := s.Read(t.Context())
	require.NoError(t, err)
	var list []layout.Node
	for _, n := range nodes {
		list = append(list, node(n))
	}
	l, err := layout.New(seen.Layout().Number+1, 1, list)
	require.NoError(t, err)
	a, err := layout.Assign(seen.Assignment(), l)
	require.NoError(t, err)
	return s.Publish(t.Context(), Lock{}, seen, layout.Placement{Layout: l, Assignment: a})
}

func TestLayoutsStayInForceUntilTheyAreRetired(t *testing.T) {
	s, _ := open(t)
	for i := range layout.MaxActive {
		require.NoError(t, publish(t, s, i+1))
	}
	seen, err := s.Read(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, seen.Active.Oldest())
	require.EqualValues(t, layout.MaxActive, seen.Active.Number())
	err = publish(t, s, 100)
	require.True(t, errors.IsEntity(err, errors.PreconditionFailed, errors.Layout), "%v", err)
	require.ErrorContains(t, err, "wait until layout 1 is retired")

	require.NoError(t, s.Retire(t.Context(), Lock{}, seen, 3))
	err = s.Retire(t.Context(), Lock{}, seen, 4)
	require.True(t, errors.IsEntity(err, errors.Conflict, errors.Layout), "what was seen is no longer so: %v", err)
	after, err := s.Read(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, after.Active.Oldest())
	for _, oldest := range []uint64{2, 3, layout.MaxActive + 1} {
		require.True(t, errors.Is(s.Retire(t.Context(), Lock{}, after, oldest), errors.Invalid), "%d", oldest)
	}
	require.NoError(t, publish(t, s, 100), "there is room again")
	history, err := s.History(t.Context())
	require.NoError(t, err)
	require.Len(t, history, layout.MaxActive+1, "those that were retired are remembered")
	again, err := New(s.consul, s.log).Read(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, []uint64{3, layout.MaxActive + 1}, []uint64{again.Active.Oldest(), again.Active.Number()}, "as a program that starts reads it")
}

func TestALayoutOfBeforeThereWereSeveralIsAlone(t *testing.T) {
	s, client := open(t)
	require.NoError(t, publish(t, s, 1))
	require.NoError(t, publish(t, s, 1, 2))
	_, err := client.KV().Delete(s.prefix+"oldest", nil)
	require.NoError(t, err)
	seen, err := s.Read(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, seen.Active.Oldest())
	require.NoError(t, publish(t, s, 2))
	seen, err = s.Read(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, []uint64{2, 3}, []uint64{seen.Active.Oldest(), seen.Active.Number()})
}

func TestANodeIsGivenUpForTheLayoutsOfThatTime(t *testing.T) {
	s, _ := open(t)
	require.NoError(t, publish(t, s, 1, 2))
	require.NoError(t, publish(t, s, 2))
	seen, err := s.Read(t.Context())
	require.NoError(t, err)
	now := time.Unix(1_700_000_000, 0)
	require.True(t, errors.IsEntity(s.DeclareLost(t.Context(), Lock{}, seen, node(3).ID, now), errors.NotFound, errors.Node))
	require.NoError(t, s.DeclareLost(t.Context(), Lock{}, seen, node(1).ID, now))
	require.True(t, errors.Is(s.DeclareLost(t.Context(), Lock{}, seen, node(2).ID, now), errors.Conflict), "somebody else has declared another one meanwhile")
	seen, err = s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Lost{{Node: node(1).ID, Layout: 2, At: now.UTC()}}, seen.Lost)
	require.True(t, seen.LostFor(node(1).ID, 2))
	require.False(t, seen.LostFor(node(1).ID, 3), "it may be in a later layout again")
	require.False(t, seen.LostFor(node(2).ID, 1))

	require.NoError(t, publish(t, s, 1, 2))
	seen, err = s.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Retire(t.Context(), Lock{}, seen, 3))
	seen, err = s.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.DeclareLost(t.Context(), Lock{}, seen, node(2).ID, now))
	seen, err = s.Read(t.Context())
	require.NoError(t, err)
	require.Len(t, seen.Lost, 1, "what concerns retired layouts only is forgotten")
}

func TestWatchersGetTheLayoutInForceAndEachNewOne(t *testing.T) {
	s, _ := open(t)
	numbers, oldest := make(chan uint64, 10), make(chan uint64, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Watch(ctx, func(a *layout.Active) { numbers <- a.Number(); oldest <- a.Oldest() })
	}()
	for want := uint64(1); want <= 3; want++ {
		stage(t, s, assign(int(want)), func(c layout.Change, l layout.Layout) (layout.Change, error) { return c.WithReplication(1, l) })
		seen, err := s.Read(t.Context())
		require.NoError(t, err)
		_, err = apply(t.Context(), s, Lock{}, seen)
		require.NoError(t, err)
		select {
		case got := <-numbers:
			require.Equal(t, want, got)
			require.EqualValues(t, 1, <-oldest)
		case <-time.After(time.Minute):
			t.Fatal("the watcher was told nothing")
		}
	}
	seen, err := s.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Retire(t.Context(), Lock{}, seen, 3))
	select {
	case got := <-oldest:
		require.EqualValues(t, []uint64{3, 3}, []uint64{got, <-numbers})
	case <-time.After(time.Minute):
		t.Fatal("the watcher was not told that layouts were retired")
	}
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

func TestTheLargestLayoutFitsConsul(t *testing.T) {
	s, _ := open(t)
	var nodes []layout.Node
	for i := range 1700 {
		n := node(i + 1)
		n.Zone = fmt.Sprintf("zone-%d", i%40)
		nodes = append(nodes, n)
	}
	l, err := layout.New(1, 3, nodes)
	require.NoError(t, err)
	// Assign takes a while for so many nodes; who owns what is of no interest here.
	small, err := layout.New(1, 3, nodes[:3])
	require.NoError(t, err)
	a, err := layout.Assign(nil, small)
	require.NoError(t, err)
	p := layout.Placement{Layout: l, Assignment: widened(t, a, l)}
	seen, err := s.Read(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Publish(t.Context(), Lock{}, seen, p))
	again, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, p, again.Active.Current())
}
