package consul

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/telemetry/metricstest"
)

func TestMetricsAreThoseOfTheTable(t *testing.T) {
	registry := metricstest.NewRecorder()
	c, err := New(Config{}, Deps{Clock: clock.System{}, Registry: registry})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	metricstest.Check(t, "garage_consul_", registry)
}
