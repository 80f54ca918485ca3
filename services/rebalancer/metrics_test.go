package rebalancer

import (
	"testing"

	"deuxfleurs.fr/garage/pkg/telemetry/metricstest"
)

func TestMetricsAreThoseOfTheTable(t *testing.T) {
	registry := metricstest.NewRecorder()
	registry.MustRegister(&collector{})
	metricstest.Check(t, "garage_cluster_", registry)
}
