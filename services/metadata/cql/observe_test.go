package cql

import (
	"testing"

	"deuxfleurs.fr/garage/pkg/telemetry/metricstest"
)

func TestMetricsAreThoseOfTheTable(t *testing.T) {
	registry := metricstest.NewRecorder()
	newObserver().register(registry, &skew{})
	metricstest.Check(t, "garage_cql_", registry)
}
