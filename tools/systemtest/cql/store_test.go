//go:build stack

package cql

import (
	"context"
	"flag"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

// steps is how many operations are compared; a soak run takes 20,000.
var steps = flag.Int("steps", 500, "random operations that are compared with another store")

func TestTheStoreKeepsItsContractWhileANodeIsAway(t *testing.T) {
	n := third(t)
	opened := 0
	metatest.Run(t, func(t *testing.T, c clock.Clock) meta.Store {
		switch opened++; opened {
		case 15:
			n.stop()
		case 35:
			n.boot()
		}
		return majority{empty(t, c)}
	})
	require.Greater(t, opened, 35)
}

// majority asks most nodes what it cannot ask all of, since one is away: that is refused, as the contract says.
type majority struct{ meta.Store }

func (m majority) Attempts(ctx context.Context, r meta.FindAttempts) ([]meta.Attempt, error) {
	found, err := m.Store.Attempts(ctx, r)
	if r.Everywhere && errors.Is(err, errors.Unavailable) {
		r.Everywhere = false
		return m.Store.Attempts(ctx, r)
	}
	return found, err
}

// counted calls something before the nth of the operations that are most of all.
type counted struct {
	meta.Store
	n    int
	when map[int]func()
}

func (c *counted) next() {
	c.n++
	if f := c.when[c.n]; f != nil {
		f()
	}
}

func (c *counted) Object(ctx context.Context, bucket uuid.UUID, key string) (meta.Object, error) {
	c.next()
	return c.Store.Object(ctx, bucket, key)
}

func (c *counted) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	c.next()
	return c.Store.PutObject(ctx, p)
}

func (c *counted) List(ctx context.Context, r meta.List) (meta.Page, error) {
	c.next()
	return c.Store.List(ctx, r)
}

func TestRandomOperationsAgreeWhileANodeIsKilledAndStarted(t *testing.T) {
	n := third(t)
	var c *counted
	metatest.Compare(t, 1, *steps,
		func(t *testing.T, clock clock.Clock) meta.Store {
			c = &counted{Store: majority{empty(t, clock)}, when: map[int]func(){60: n.kill, 120: n.boot}}
			return c
		},
		func(t *testing.T, c clock.Clock) meta.Store {
			s, err := memory.New(c, clock.SystemRandom)
			require.NoError(t, err)
			return s
		})
	require.Greater(t, c.n, 120)
}
