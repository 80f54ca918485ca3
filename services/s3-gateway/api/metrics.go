package api

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/telemetry"
)

// metrics counts requests by operation and status.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	sent     *prometheus.CounterVec
	received *prometheus.CounterVec

	byOp sync.Map // name of the operation → *opMetrics

	total Counters
}

// Counters count all requests since the start, for who is told no more than that.
type Counters struct {
	Requests, Errors, Refused atomic.Int64 // answered; of these with status 5xx, and 4xx
	BytesReceived, BytesSent  atomic.Int64 // of bodies
}

func (c *Counters) count(r *Request) {
	c.Requests.Add(1)
	switch r.w.status / 100 {
	case 5:
		c.Errors.Add(1)
	case 4:
		c.Refused.Add(1)
	}
	c.BytesSent.Add(r.w.sent)
	c.BytesReceived.Add(max(0, r.ContentLength))
}

// opMetrics are the series of one operation, looked up once.
type opMetrics struct {
	seconds        prometheus.Observer
	sent, received prometheus.Counter
	statuses       sync.Map // status → prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, slots chan struct{}) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: telemetry.Namespace, Subsystem: "s3", Name: name, Help: help}, labels)
	}
	m := &metrics{
		requests: counter("requests_total", "S3 requests served, by HTTP status.", "operation", "status"),
		sent:     counter("sent_bytes_total", "Bytes of answers.", "operation"),
		received: counter("received_bytes_total", "Bytes of request bodies, as declared.", "operation"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: telemetry.Namespace, Subsystem: "s3",
			Name: "request_duration_seconds", Help: "Duration of S3 requests.", Buckets: telemetry.LatencyBuckets}, []string{"operation"}),
	}
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: telemetry.Namespace, Subsystem: "s3", Name: name, Help: help},
			func() float64 { return float64(value()) })
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.sent, m.received,
			gauge("requests_in_progress", "S3 requests being served.", func() int { return len(slots) }),
			gauge("requests_limit", "S3 requests that may be served at the same time; more are told to slow down.", func() int { return cap(slots) }))
	}
	return m
}

func (m *metrics) count(r *Request, took time.Duration) {
	m.total.count(r)
	v, ok := m.byOp.Load(r.op)
	if !ok {
		name := r.op.name
		v, _ = m.byOp.LoadOrStore(r.op, &opMetrics{
			seconds: m.seconds.WithLabelValues(name), sent: m.sent.WithLabelValues(name), received: m.received.WithLabelValues(name),
		})
	}
	op := v.(*opMetrics)
	op.seconds.Observe(took.Seconds())
	op.sent.Add(float64(r.w.sent))
	if r.ContentLength > 0 {
		op.received.Add(float64(r.ContentLength))
	}
	c, ok := op.statuses.Load(r.w.status)
	if !ok {
		c, _ = op.statuses.LoadOrStore(r.w.status, m.requests.WithLabelValues(r.op.name, strconv.Itoa(r.w.status)))
	}
	c.(prometheus.Counter).Inc()
}
