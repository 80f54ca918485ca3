package memory

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

func open(t *testing.T, c clock.Clock) meta.Store {
	s, err := New(c, clock.SystemRandom)
	require.NoError(t, err)
	return s
}

func TestStore(t *testing.T) { metatest.Run(t, open) }

func TestRestoredObjectsKeepTheirTimestamps(t *testing.T) { metatest.RunRestored(t, open) }
