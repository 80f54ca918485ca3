package cluster

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk/faults"
	"deuxfleurs.fr/garage/pkg/telemetry/telemetrytest"
)

func TestCollectorCountsWhatHappened(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	w.nodes[0].Set(faults.Away)
	for range 3 {
		w.put()
	}
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(Collector(func() *Store { return w.Store })))
	values := telemetrytest.Values(t, r)
	away, well := nodeLabels(0), nodeLabels(1)
	require.Equal(t, 3.0, values["garage_chunk_cluster_owed_total"])
	require.Equal(t, 1.0, values["garage_chunk_cluster_node_avoided{"+away+"}"])
	require.Contains(t, values, "garage_chunk_cluster_node_read_seconds{"+well+"}")
	require.Zero(t, values["garage_chunk_cluster_late_writes"])
	require.GreaterOrEqual(t, values[callsTo(0, "failed")], 1.0)
	require.GreaterOrEqual(t, values[callsTo(1, "ok")], 3.0, "each chunk, and what is owed")
}

func nodeLabels(i int) string {
	return fmt.Sprintf("node=%q,zone=%q", nodeID(i), fmt.Sprint("zone ", i))
}

func callsTo(i int, result string) string {
	return fmt.Sprintf("garage_chunk_cluster_node_calls_total{node=%q,result=%q,zone=%q}", nodeID(i), result, fmt.Sprint("zone ", i))
}
