//go:build stack

package cql

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

func TestStore(t *testing.T) {
	metatest.Run(t, func(t *testing.T, c clock.Clock) meta.Store {
		alone(t)
		return openStore(t, c)
	})
}

func TestRandomOperationsAgreeWithMemory(t *testing.T) {
	memoryStore := func(t *testing.T, c clock.Clock) meta.Store {
		s, err := memory.New(c, clock.SystemRandom)
		require.NoError(t, err)
		return s
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			alone(t)
			metatest.Compare(t, seed, 600, func(t *testing.T, c clock.Clock) meta.Store { return openStore(t, c) }, memoryStore)
		})
	}
}
