package heal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// year is how far a clock was ahead.
const year = 365 * 24 * time.Hour

func TestAScrubGoesOnAfterTheClockWasSetBack(t *testing.T) {
	for name, under := range map[string]bool{"a round is under way": true, "a round has ended": false} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1)
			n := c.nodes[0]
			c.publish(1, n)
			for range 20 {
				c.put(3000)
			}
			right := c.clock.Now()
			c.clock.Set(right.Add(year))
			if under {
				c.heal(1, chunk.Scrub) // the first part
			} else {
				n.start(chunk.Scrub)
				c.heal(1, chunk.Scrub)
			}
			require.Equal(t, under, n.task(chunk.Scrub).Ended.IsZero())
			c.clock.Set(right)
			n.crash()
			h, _ := c.put(3000)
			c.heal(1, chunk.Scrub)
			n.damage(h)
			for range 6 {
				c.clock.Advance(10 * 24 * time.Hour)
				c.heal(1, chunk.Scrub)
			}
			require.EqualValues(t, 1, n.status().Wanted, "everything was read in the time of two rounds")
		})
	}
}

func TestAChunkIsTriedAgainAfterTheClockWasSetBack(t *testing.T) {
	c := newCluster(t, 2)
	c.publish(2, c.nodes...)
	n := c.nodes[0]
	h, _ := c.put(3000)
	n.damage(h)
	right := c.clock.Now()
	c.clock.Set(right.Add(year))
	n.start(chunk.Scrub)
	c.heal(1, chunk.Scrub)
	c.fault = func(*node, *node, string) error { return errors.Newf(errors.Unavailable, "it is away") }
	c.heal(1, chunk.Repair)
	require.EqualValues(t, 1, n.status().Wanted)
	c.fault = nil
	c.clock.Set(right)
	n.crash()
	due, err := n.store.Wanted(t.Context(), right, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	c.heal(1, chunk.Repair)
	require.Zero(t, n.status().Wanted)
	due, err = n.store.Wanted(t.Context(), right.Add(year), 10)
	require.NoError(t, err)
	require.Empty(t, due)
}
