package cql

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/gocql/gocql"
	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/services/metadata/measured"
)

const subsystem = "cql"

// observer counts statements, and how many of them each call of the store waited for one after the
// other. It is told of every statement by the driver.
type observer struct {
	seconds    *prometheus.HistogramVec
	failures   *prometheus.CounterVec
	retries    prometheus.Counter
	waits      *prometheus.HistogramVec
	statements *prometheus.HistogramVec
	contended  *prometheus.CounterVec
	applied    prometheus.Counter
	refused    prometheus.Counter
	undecided  prometheus.Counter
}

func newObserver() *observer {
	histogram := func(name, help, label string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets}, []string{label})
	}
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	o := &observer{
		seconds:    histogram("request_duration_seconds", "Duration of requests to the metadata database.", "kind", telemetry.LatencyBuckets),
		failures:   prometheus.NewCounterVec(counter("request_errors_total", "Requests to the metadata database that failed, each try by itself."), []string{"error"}),
		retries:    prometheus.NewCounter(counter("retries_total", "Requests to the metadata database that were tried again.")),
		waits:      histogram("operation_waits", "Requests to the metadata database that an operation waited for one after the other.", "operation", []float64{0, 1, 2, 3, 4, 6, 8, 12, 24, 48}),
		statements: histogram("operation_requests", "Requests to the metadata database of an operation.", "operation", []float64{0, 1, 2, 4, 8, 16, 32, 64, 256, 1024}),
		contended:  prometheus.NewCounterVec(counter("conditional_total", "Lightweight transactions: applied, refused by what was there, or undecided and tried again, as when writers of a row meet."), []string{"result"}),
	}
	o.applied, o.refused, o.undecided = o.contended.WithLabelValues("applied"), o.contended.WithLabelValues("refused"), o.contended.WithLabelValues("undecided")
	return o
}

// register exports what is counted, and how far the clock is from the database's; r may be nil.
func (o *observer) register(r prometheus.Registerer, skew *skew) {
	if r != nil {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: telemetry.Namespace, Subsystem: subsystem,
			Name: "clock_skew_seconds", Help: "How far the clock here is ahead of the database's; negative: behind. 0 until it is known.",
		}, func() float64 { ahead, _ := skew.ahead(); return ahead.Seconds() }),
			o.seconds, o.failures, o.retries, o.waits, o.statements, o.contended)
	}
}

// call is what an operation has cost so far.
type call struct {
	mu         sync.Mutex
	waits      int
	last       time.Time // when the wait ended that is counted last
	statements int
	ended      bool
}

// add counts a statement. Those of a step overlap: one that begins before the first of the step
// ended is of the same wait.
func (c *call) add(start, end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return // of work that goes on after the answer
	}
	c.statements++
	switch {
	case c.waits == 0 || !start.Before(c.last):
		c.waits, c.last = c.waits+1, end
	case end.Before(c.last):
		c.last = end
	}
}

type callKey struct{}

// begin counts the statements of an operation that are run with the context it returns, until end is called.
func (o *observer) begin(ctx context.Context, operation string) (_ context.Context, end func(error)) {
	c := &call{}
	return context.WithValue(ctx, callKey{}, c), func(error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended = true
		o.waits.WithLabelValues(operation).Observe(float64(c.waits))
		o.statements.WithLabelValues(operation).Observe(float64(c.statements))
	}
}

// observers sets what watches the statements of the session and, in tests, what makes its connections.
func (s *Store) observers(c *gocql.ClusterConfig) {
	c.QueryObserver, c.BatchObserver = s.observer, s.observer
	if s.config.dialer != nil {
		c.Dialer = s.config.dialer
	}
}

// observing tells the observer of operations, and refuses them while the clock is wrong.
type observing struct{ store *Store }

// Begin implements measured.Observer.
func (o observing) Begin(ctx context.Context, operation string) (context.Context, func(error), error) {
	ctx, end := o.store.observer.begin(ctx, operation)
	return ctx, end, o.store.skew.problem()
}

// Measured is the store with its operations counted, and refused with Unavailable while the clock is further than MaxSkew
// from the database's: what a service serves.
func (s *Store) Measured() meta.Store { return measured.New(s, observing{s}) }

// ObserveQuery implements gocql.QueryObserver.
func (o *observer) ObserveQuery(ctx context.Context, q gocql.ObservedQuery) {
	kind := "write"
	switch {
	case strings.HasPrefix(q.Statement, "SELECT"):
		kind = "read"
	case strings.Contains(q.Statement, " IF "):
		kind = "conditional"
	}
	o.observe(ctx, kind, q.Start, q.End, q.Attempt, q.Err)
}

// ObserveBatch implements gocql.BatchObserver.
func (o *observer) ObserveBatch(ctx context.Context, b gocql.ObservedBatch) {
	o.observe(ctx, "batch", b.Start, b.End, b.Attempt, b.Err)
}

func (o *observer) observe(ctx context.Context, kind string, start, end time.Time, attempt int, err error) {
	o.seconds.WithLabelValues(kind).Observe(end.Sub(start).Seconds())
	if attempt > 0 {
		o.retries.Inc()
	}
	telemetry.Spanned(ctx, "cql."+kind, start, end, err)
	if err != nil {
		o.failures.WithLabelValues(failure(err)).Inc()
	}
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.add(start, end)
	}
}

// failure names what a request failed with.
func failure(err error) string {
	var request gocql.RequestError
	switch {
	case errors.IsTarget(err, context.Canceled):
		return "canceled"
	case errors.IsTarget(err, context.DeadlineExceeded), errors.IsTarget(err, gocql.ErrTimeoutNoResponse):
		return "no_answer"
	case errors.As(err, &request):
		switch request.Code() {
		case gocql.ErrCodeUnavailable:
			return "too_few_nodes"
		case gocql.ErrCodeOverloaded:
			return "overloaded"
		case gocql.ErrCodeReadTimeout, gocql.ErrCodeWriteTimeout, gocql.ErrCodeCASWriteUnknown:
			return "timeout"
		case gocql.ErrCodeReadFailure, gocql.ErrCodeWriteFailure:
			return "failed"
		}
		return "refused"
	}
	return "connection"
}
