package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
)

// statusTimeout bounds how long a scrape waits for a node's status.
const statusTimeout = 5 * time.Second

// RegisterPool registers the memory that bodies take.
func RegisterPool(r prometheus.Registerer, pool *buffer.Pool) {
	gauge := func(name, help string, value func() int) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: Namespace, Subsystem: "memory", Name: name, Help: help},
			func() float64 { return float64(value()) }))
	}
	gauge("used_bytes", "Memory that bodies on their way take now.", pool.Used)
	gauge("limit_bytes", "Memory that bodies on their way may take.", pool.Limit)
}

// RegisterNode registers what a chunk-node says about itself; it is asked at each scrape.
func RegisterNode(r prometheus.Registerer, status func(ctx context.Context) (chunk.NodeStatus, error)) {
	r.MustRegister(&nodeCollector{status: status})
}

type nodeCollector struct {
	status func(ctx context.Context) (chunk.NodeStatus, error)
}

// nodeMetric is one figure of a node's status.
type nodeMetric struct {
	desc  *prometheus.Desc
	value func(chunk.NodeStatus) float64
}

func nodeGauge(name, help string, value func(chunk.NodeStatus) float64) nodeMetric {
	return nodeMetric{prometheus.NewDesc(prometheus.BuildFQName(Namespace, "node", name), help, nil, nil), value}
}

var nodeMetrics = []nodeMetric{
	nodeGauge("chunks", "Chunks with at least one reference.", func(s chunk.NodeStatus) float64 { return float64(s.Chunks) }),
	nodeGauge("bytes", "Plain bytes of these chunks.", func(s chunk.NodeStatus) float64 { return float64(s.Bytes) }),
	nodeGauge("stored_bytes", "Bytes on disk of all chunks.", func(s chunk.NodeStatus) float64 { return float64(s.StoredBytes) }),
	nodeGauge("uncollected_chunks", "Chunks without reference that wait for collection.", func(s chunk.NodeStatus) float64 { return float64(s.Uncollected) }),
	nodeGauge("owed_chunks", "Chunks that other nodes lack and this one owes them.", func(s chunk.NodeStatus) float64 { return float64(s.Owed) }),
	nodeGauge("wanted_chunks", "Chunks of which the node lacks a good copy and looks for one.", func(s chunk.NodeStatus) float64 { return float64(s.Wanted) }),
	nodeGauge("quarantined_chunks", "Bad copies found and not yet repaired.", func(s chunk.NodeStatus) float64 { return float64(s.Quarantined) }),
	nodeGauge("capacity_bytes", "Bytes that Garage may use.", func(s chunk.NodeStatus) float64 { return float64(s.Capacity) }),
	nodeGauge("free_bytes", "Bytes left of the capacity.", func(s chunk.NodeStatus) float64 { return float64(s.Free) }),
	nodeGauge("read_only", "1 if the node takes no chunks.", func(s chunk.NodeStatus) float64 {
		if s.ReadOnly {
			return 1
		}
		return 0
	}),
}

// Describe implements prometheus.Collector.
func (c *nodeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range nodeMetrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *nodeCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	status, err := c.status(ctx)
	for _, m := range nodeMetrics {
		if err != nil {
			out <- prometheus.NewInvalidMetric(m.desc, err)
			return
		}
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.value(status))
	}
}
