package console

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// watched is a feed whose looks are counted.
func watched(t *testing.T) (*feed, *clock.Manual, *atomic.Int64) {
	t.Helper()
	c, looks := clock.NewManual(noon), &atomic.Int64{}
	f := newFeed(func(context.Context) []byte { return fmt.Appendf(nil, "%d", looks.Add(1)) }, c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); f.run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return f, c, looks
}

func TestOneLookServesAllWhoFollow(t *testing.T) {
	f, c, looks := watched(t)
	require.Zero(t, looks.Load(), "nobody follows")
	first, err := f.join()
	require.NoError(t, err)
	require.Equal(t, "1", string(<-first))
	second, err := f.join()
	require.NoError(t, err)
	require.Equal(t, "1", string(<-second), "who comes later is told at once")
	require.EqualValues(t, 1, looks.Load(), "a second has not passed")
	for i := 2; i < 5; i++ {
		waiting(t, c)
		c.Advance(lookEvery)
		require.Equal(t, fmt.Sprint(i), string(<-first))
		require.Equal(t, fmt.Sprint(i), string(<-second))
		require.EqualValues(t, i, looks.Load())
	}
	f.leave(first)
	f.leave(second)
	waiting(t, c)
	c.Advance(lookEvery)
	third, err := f.join()
	require.NoError(t, err)
	require.NotEqual(t, "4", string(<-third), "what was seen before is old")
}

func TestASlowFollowerGetsTheNewest(t *testing.T) {
	f := newFeed(nil, clock.NewManual(noon))
	slow, err := f.join()
	require.NoError(t, err)
	for _, content := range []string{"a", "b", "b", "c"} {
		f.publish([]byte(content))
	}
	require.Equal(t, "c", string(<-slow))
	select {
	case more := <-slow:
		require.Fail(t, "it was told twice", "%s", more)
	default:
	}
	f.publish([]byte("c"))
	require.Empty(t, slow, "nothing has changed")
}

func TestFollowersAreBounded(t *testing.T) {
	f := newFeed(nil, clock.NewManual(noon))
	var last follower
	for range maxFollowers {
		one, err := f.join()
		require.NoError(t, err)
		last = one
	}
	_, err := f.join()
	require.True(t, errors.Is(err, errors.Overloaded))
	f.leave(last)
	_, err = f.join()
	require.NoError(t, err)
}

func TestAttemptsFromManyAddressesAreBounded(t *testing.T) {
	c := clock.NewManual(noon)
	a := newAttempts(c)
	for i := range maxAddresses {
		require.True(t, a.admit(fmt.Sprint(i)))
	}
	require.False(t, a.admit("another"))
	require.True(t, a.admit("1"))
	c.Advance(attemptWindow + time.Second)
	require.True(t, a.admit("another"))
	require.Len(t, a.all, 1)
}

// waiting waits until the loop of the feed does.
func waiting(t *testing.T, c *clock.Manual) {
	t.Helper()
	require.Eventually(t, func() bool { return c.Timers() > 0 }, 30*time.Second, time.Millisecond)
}
