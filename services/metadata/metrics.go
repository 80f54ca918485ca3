package metadata

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/errors"
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

func newTaken() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: "snapshot_timestamp_seconds",
		Help: "When the last snapshot of the metadata was taken, as this service knows, which looks only while it is the one that takes them; 0: not known."})
}

// operations count and time what is done with metadata, and make spans of it.
type operations struct {
	ended   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newOperations() *operations {
	return &operations{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: telemetry.Namespace, Subsystem: subsystem,
			Name: "operations_total", Help: "Operations on metadata that ended; the result is ok or the kind of the error."}, []string{"operation", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: telemetry.Namespace, Subsystem: subsystem,
			Name: "operation_duration_seconds", Help: "Duration of operations on metadata.", Buckets: telemetry.LatencyBuckets}, []string{"operation"}),
	}
}

// Begin implements measured.Observer.
func (o *operations) Begin(ctx context.Context, operation string) (context.Context, func(error), error) {
	ctx, span := telemetry.StartSpan(ctx, "metadata")
	if span.IsRecording() {
		span.SetName("metadata." + operation)
	}
	began := time.Now()
	return ctx, func(err error) {
		o.seconds.WithLabelValues(operation).Observe(time.Since(began).Seconds())
		result := "ok"
		if err != nil {
			result = errors.KindOf(err).String()
		}
		o.ended.WithLabelValues(operation, result).Inc()
		telemetry.EndSpan(span, err)
	}, nil
}

func (s *Service) register(r prometheus.Registerer) {
	m := s.sweeper.metrics
	r.MustRegister(s.operations.ended, s.operations.seconds, s.snapshots.taken, m.references, m.dropped, m.failures, m.pending, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: telemetry.Namespace, Subsystem: subsystem, Name: "writable", Help: "1 while metadata can be written, 0 while the database is away, after the disk failed and while it is nearly full.",
	}, func() float64 {
		if s.database.Writable() != nil {
			return 0
		}
		return 1
	}))
	if cache, there := s.database.(cacheCounter); there {
		telemetry.RegisterCache(r, "metadata_index", cache.CacheCounts)
	}
}

// cacheCounter is a database that has a cache in this process.
type cacheCounter interface{ CacheCounts() (hits, misses int64) }
