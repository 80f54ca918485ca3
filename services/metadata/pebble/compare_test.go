package pebble

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

func openMemory(t *testing.T, c clock.Clock) meta.Store {
	s, err := memory.New(c, clock.SystemRandom)
	require.NoError(t, err)
	return s
}

func TestRandomOperationsAgreeWithMemory(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { metatest.Compare(t, seed, 1500, open, openMemory) })
	}
}
