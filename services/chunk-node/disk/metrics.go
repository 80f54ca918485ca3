package disk

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/telemetry"
)

const subsystem = "disk"

// syncKind is what is made durable.
type syncKind uint8

const (
	syncFile      syncKind = iota // a chunk's file
	syncDirectory                 // a folder that files were renamed into
	syncIndex                     // a group of the index
	syncKinds
)

var syncNames = [syncKinds]string{"file", "directory", "index"}

// metrics are those of all disks of a store, by their paths.
type metrics struct {
	read, written, bad, errors *prometheus.CounterVec
	syncs                      *prometheus.HistogramVec
}

// diskMetrics are those of one disk.
type diskMetrics struct {
	read, written, bad, errors prometheus.Counter
	syncs                      [syncKinds]prometheus.Observer
}

func newMetrics() *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: name, Help: help}, []string{"disk"})
	}
	return &metrics{
		read:    counter("read_bytes_total", "Bytes of chunks read, as they are stored."),
		written: counter("written_bytes_total", "Bytes of chunks written, as they are stored."),
		bad:     counter("bad_copies_total", "Copies of chunks found damaged or missing."),
		errors:  counter("errors_total", "Writes, syncs and other calls of the disk that failed."),
		syncs: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: telemetry.Namespace, Subsystem: subsystem,
			Name: "sync_duration_seconds", Help: "Duration of syncs, by what is made durable: a file, a directory, or a group of the index.", Buckets: telemetry.LatencyBuckets}, []string{"disk", "kind"}),
	}
}

// of are the metrics of the disk at a path.
func (m *metrics) of(path string) diskMetrics {
	d := diskMetrics{read: m.read.WithLabelValues(path), written: m.written.WithLabelValues(path), bad: m.bad.WithLabelValues(path), errors: m.errors.WithLabelValues(path)}
	for kind, name := range syncNames {
		d.syncs[kind] = m.syncs.WithLabelValues(path, name)
	}
	return d
}

// register publishes the metrics of a store; r may be nil.
func (m *metrics) register(r prometheus.Registerer, s *Store) {
	if r == nil {
		return
	}
	for _, d := range s.broken { // its opening failed
		m.errors.WithLabelValues(d.Path).Inc()
	}
	r.MustRegister(m.read, m.written, m.bad, m.errors, m.syncs, &queues{s, prometheus.NewDesc(
		prometheus.BuildFQName(telemetry.Namespace, subsystem, "waiting_operations"), "Operations that wait for their turn to be made durable.", []string{"disk"}, nil)})
	telemetry.RegisterCache(r, "chunk_index", func() (hits, misses int64) {
		if s.begin() != nil { // the cache is gone
			return 0, 0
		}
		defer s.leave()
		c := s.cache.Metrics()
		return c.Hits, c.Misses
	})
}

// timed does f, which makes something durable.
func (v *volume) timed(ctx context.Context, kind syncKind, f func() error) error {
	_, span := telemetry.StartSpan(ctx, "disk.sync")
	began := time.Now()
	err := f()
	v.metrics.syncs[kind].Observe(time.Since(began).Seconds())
	telemetry.EndSpan(span, err)
	return err
}

// queues tells how many operations wait.
type queues struct {
	store   *Store
	waiting *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (q *queues) Describe(out chan<- *prometheus.Desc) { out <- q.waiting }

// Collect implements prometheus.Collector.
func (q *queues) Collect(out chan<- prometheus.Metric) {
	for _, v := range q.store.volumes {
		n := 0
		for _, w := range v.writers {
			w.mu.Lock()
			n += len(w.waiting)
			w.mu.Unlock()
		}
		out <- prometheus.MustNewConstMetric(q.waiting, prometheus.GaugeValue, float64(n), v.disk.Path)
	}
}
