//go:build stack

package leader

import (
	"context"
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
)

var quiet = slog.New(slog.DiscardHandler)

// takeover is the longest time between the death of a holder and its successor.
const takeover = 15 * time.Second

func connect(t *testing.T) *consul.Client {
	t.Helper()
	address := os.Getenv("GARAGE_STACK_CONSUL")
	if address == "" {
		t.Fatal("GARAGE_STACK_CONSUL is not set: give it the HTTP address of a Consul agent for tests, such as tools/stack starts")
	}
	t.Setenv(api.HTTPAddrEnvName, address)
	config := consul.DefaultConfig()
	config.Prefix = "garage-test-" + uuid.NewString()
	c, err := consul.New(config, consul.Deps{Clock: clock.System{}, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := c.API().KV().DeleteTree(config.Prefix+"/", nil)
		require.NoError(t, errors.Join(err, c.Close()))
	})
	return c
}

// enter registers an instance.
func enter(t *testing.T, c *consul.Client) Candidate {
	t.Helper()
	id := uuid.New()
	candidate := Candidate{Leader: Leader{NodeID: id, Address: "192.0.2.1:3904"}, Key: c.Key("leader"), ServiceID: "test-" + id.String(), Clock: clock.System{}, Log: quiet}
	require.NoError(t, c.API().Agent().ServiceRegister(&api.AgentServiceRegistration{ID: candidate.ServiceID, Name: "garage-leader-test"}))
	t.Cleanup(func() { require.NoError(t, c.API().Agent().ServiceDeregister(candidate.ServiceID)) })
	return candidate
}

type term struct {
	ctx  context.Context
	held Held
}

// run campaigns and sends each term that the candidate gets.
func run(t *testing.T, c *consul.Client, candidate Candidate) (terms <-chan term, stop func()) {
	t.Helper()
	all := make(chan term, 10)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Campaign(ctx, c, candidate, func(ctx context.Context, h Held) { all <- term{ctx, h}; <-ctx.Done() })
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return all, stop
}

func await[T any](t *testing.T, from <-chan T, within time.Duration, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(within):
		t.Fatal("not in time: " + what)
		panic("unreachable")
	}
}

func TestOneIsActiveAndFollowersKnowWho(t *testing.T) {
	c := connect(t)
	one, two := enter(t, c), enter(t, c)
	found := make(chan *Leader, 10)
	ctx, cancel := context.WithCancel(t.Context())
	following := make(chan error, 1)
	go func() { following <- Follow(ctx, c, one.Key, quiet, func(l *Leader) { found <- l }) }()
	require.Nil(t, await(t, found, time.Minute, "nobody yet"))

	firstTerms, stopOne := run(t, c, one)
	first := await(t, firstTerms, time.Minute, "the first term")
	known := await(t, found, time.Minute, "the first one")
	require.Equal(t, one.NodeID, known.NodeID)
	require.Equal(t, one.Address, known.Address)
	require.Equal(t, first.held.Term, known.Term)

	secondTerms, stopTwo := run(t, c, two)
	stopOne()
	require.Error(t, first.ctx.Err(), "who stops leads no more")
	second := await(t, secondTerms, takeover, "the second term")
	require.Greater(t, second.held.Term, first.held.Term)
	for known = nil; known == nil || known.NodeID != two.NodeID; {
		known = await(t, found, time.Minute, "the second one")
	}
	require.Equal(t, second.held.Term, known.Term)
	stopTwo()
	require.Nil(t, await(t, found, time.Minute, "nobody any more"))
	cancel()
	require.ErrorIs(t, <-following, context.Canceled)
}

// alive has made a session that rests on a check which has just been refreshed.
func alive(t *testing.T, c *consul.Client, candidate Candidate) *race {
	t.Helper()
	r := &race{Candidate: candidate, api: c.API(), value: []byte("{}")}
	require.Eventually(t, func() bool {
		return r.refresh(t.Context()) == nil && r.makeSession(t.Context()) == nil
	}, time.Minute, 10*time.Millisecond)
	return r
}

func TestWhoIsKilledAndStartsAgainAtOnceDoesNotKeepTheLockOfBefore(t *testing.T) {
	c := connect(t)
	candidate := enter(t, c)
	killed := alive(t, c, candidate)
	got, _, err := c.API().KV().Acquire(&api.KVPair{Key: killed.Key, Value: killed.value, Session: killed.session}, nil)
	require.NoError(t, err)
	require.True(t, got)
	// The one that starts refreshes the check on which the session of the one that was killed rests.
	terms, _ := run(t, c, candidate)
	require.NotEqual(t, killed.session, await(t, terms, takeover, "a term of the one that starts").held.Session)
}

func TestASessionEndsThoseOfTheSameInstanceAlone(t *testing.T) {
	c := connect(t)
	candidate := enter(t, c)
	before, other := alive(t, c, candidate), alive(t, c, enter(t, c))
	now := alive(t, c, candidate)
	for session, there := range map[string]bool{before.session: false, other.session: true, now.session: true} {
		info, _, err := c.API().Session().Info(session, nil)
		require.NoError(t, err)
		require.Equal(t, there, info != nil)
		_, err = c.API().Session().Destroy(session, nil)
		require.NoError(t, err)
	}
}

func TestWhoNoLongerRefreshesIsReplaced(t *testing.T) {
	c := connect(t)
	dead, heir := enter(t, c), enter(t, c)
	// The first is killed: nothing of it runs any more, and it leaves its session and check behind.
	killed := &race{Candidate: dead, api: c.API(), value: []byte("{}")}
	require.Eventually(t, func() bool { return killed.refresh(t.Context()) == nil }, time.Minute, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	led := make(chan term, 1)
	ended := make(chan error, 1)
	go func() {
		err := errors.New("the check is not known to Consul yet")
		for err != nil && ctx.Err() == nil {
			err = killed.once(ctx, func(ctx context.Context, h Held) { led <- term{ctx, h}; <-ctx.Done() })
		}
		ended <- err
	}()
	before := await(t, led, time.Minute, "the first term")
	terms, _ := run(t, c, heir)
	began := time.Now()
	after := await(t, terms, takeover, "the successor")
	t.Logf("replaced after %v", time.Since(began).Round(100*time.Millisecond))
	require.Greater(t, after.held.Term, before.held.Term)
	await(t, before.ctx.Done(), time.Minute, "that the first one hears of it")
	cancel()
	<-ended
}

func TestALockThatSomebodyDeletesIsTakenAgainWithAHigherTerm(t *testing.T) {
	c := connect(t)
	one := enter(t, c)
	terms, _ := run(t, c, one)
	first := await(t, terms, time.Minute, "the first term")
	_, err := c.API().KV().Delete(one.Key, nil)
	require.NoError(t, err)
	await(t, first.ctx.Done(), time.Minute, "the end of the term")
	second := await(t, terms, time.Minute, "another term")
	require.Greater(t, second.held.Term, first.held.Term)
	require.NotEqual(t, first.held.Session, second.held.Session)
}
