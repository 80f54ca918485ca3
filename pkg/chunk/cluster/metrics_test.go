package cluster

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk/faults"
)

func TestCollectorCountsWhatHappened(t *testing.T) {
	w := newWorld(t, 3, 3, nil)
	w.nodes[0].Set(faults.Away)
	for range 3 {
		w.put()
	}
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(Collector(func() *Store { return w.Store })))
	families, err := r.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			values[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	require.Equal(t, 3.0, values["garage_chunk_cluster_owed_total"])
	require.Equal(t, 1.0, values["garage_chunk_cluster_node_avoided"])
	require.Contains(t, values, "garage_chunk_cluster_node_read_seconds")
	require.Zero(t, values["garage_chunk_cluster_late_writes"])
}
