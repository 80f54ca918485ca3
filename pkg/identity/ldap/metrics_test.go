package ldap

import (
	"testing"

	"deuxfleurs.fr/garage/pkg/telemetry/metricstest"
)

func TestMetricsAreThoseOfTheTable(t *testing.T) {
	registry := metricstest.NewRecorder()
	newMetrics(registry, &pool{})
	metricstest.Check(t, "garage_ldap_", registry)
}
