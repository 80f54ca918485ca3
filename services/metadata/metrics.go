package metadata

import (
	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/telemetry"
)

const subsystem = "metadata"

// sweepMetrics count what the sweeper does.
type sweepMetrics struct {
	references prometheus.Counter
	dropped    prometheus.Counter
	failures   prometheus.Counter
	pending    prometheus.Gauge
}

func newSweepMetrics() sweepMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	return sweepMetrics{
		references: counter("sweep_references_deleted_total", "References deleted in the chunk store."),
		dropped:    counter("sweep_dropped_total", "Garbage dropped: replaced and deleted versions, aborted uploads, left out parts."),
		failures:   counter("sweep_failures_total", "Listings, deletions and drops that failed and are tried again."),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: telemetry.Namespace, Subsystem: subsystem,
			Name: "sweep_pending", Help: "Garbage listed and not yet dropped."}),
	}
}

func (s *Service) register(r prometheus.Registerer) {
	m := s.sweeper.metrics
	r.MustRegister(m.references, m.dropped, m.failures, m.pending, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: telemetry.Namespace, Subsystem: subsystem, Name: "writable", Help: "1 while metadata can be written, 0 while the database is away, after the disk failed and while it is nearly full.",
	}, func() float64 {
		if s.database.Writable() != nil {
			return 0
		}
		return 1
	}))
}
