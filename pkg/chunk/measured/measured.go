// Package measured counts and times the calls of a chunk.Store, and makes them spans of the trace of their context.
package measured

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// Operation is a call of a chunk.Node.
type Operation uint8

const (
	Get Operation = iota
	Put
	PutRef
	Delete
	PutFor
	Owe
	Repair
	operations
)

var names = [operations]string{"get", "put", "put_ref", "delete", "put_for", "owe", "repair"}

// done is the result of a call without error; with one it is the error's kind.
const done = "ok"

// Meter counts and times calls. Make one with NewMeter.
type Meter struct {
	results *prometheus.CounterVec
	spans   [operations]string
	ok      [operations]prometheus.Counter
	bytes   [operations]prometheus.Counter
	seconds [operations]prometheus.Observer
}

// NewMeter makes the metrics garage_SUBSYSTEM_operation…; r is nil where they are not published. The spans are called
// span and the operation.
func NewMeter(r prometheus.Registerer, subsystem, span string) *Meter {
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	m := &Meter{results: prometheus.NewCounterVec(opts("operations_total", "Calls about chunks that ended; the result is ok or the kind of the error."), []string{"operation", "result"})}
	bytes := prometheus.NewCounterVec(opts("operation_bytes_total", "Plain bytes of the chunks that calls read and wrote."), []string{"operation"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: telemetry.Namespace, Subsystem: subsystem,
		Name: "operation_duration_seconds", Help: "Duration of calls about chunks.", Buckets: telemetry.LatencyBuckets}, []string{"operation"})
	for o, name := range names {
		m.spans[o] = span + "." + name
		m.ok[o], m.bytes[o], m.seconds[o] = m.results.WithLabelValues(name, done), bytes.WithLabelValues(name), seconds.WithLabelValues(name)
	}
	if r != nil {
		r.MustRegister(m.results, bytes, seconds)
	}
	return m
}

// Call is a call under way.
type Call struct {
	meter     *Meter
	operation Operation
	began     time.Time
	span      trace.Span
}

// Begin begins a call about a chunk, which is to be made with the context it returns.
func (m *Meter) Begin(ctx context.Context, o Operation, h chunk.Hash) (context.Context, Call) {
	ctx, span := telemetry.StartSpan(ctx, m.spans[o])
	if span.IsRecording() {
		span.SetAttributes(attribute.String("garage.chunk", h.String()))
	}
	return ctx, Call{meter: m, operation: o, began: time.Now(), span: span}
}

// End ends the call, which moved that many plain bytes if it did not fail.
func (c Call) End(bytes int, err error) {
	m, o := c.meter, c.operation
	m.seconds[o].Observe(time.Since(c.began).Seconds())
	if err != nil {
		m.results.WithLabelValues(names[o], errors.KindOf(err).String()).Inc()
	} else {
		m.ok[o].Inc()
		m.bytes[o].Add(float64(bytes))
	}
	telemetry.EndSpan(c.span, err)
}

// Store is a chunk.Store whose calls are measured.
type Store struct {
	store chunk.Store
	meter *Meter
}

var _ chunk.VerifiedPutter = (*Store)(nil)

// New measures the calls of a store.
func New(s chunk.Store, m *Meter) *Store { return &Store{s, m} }

// Get implements chunk.Store.
func (s *Store) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	ctx, call := s.meter.Begin(ctx, Get, h)
	b, err := s.store.Get(ctx, h)
	call.End(Length(b, err), err)
	return b, err
}

// Length is that of a buffer that came without error.
func Length(b *buffer.Buffer, err error) int {
	if err != nil {
		return 0
	}
	return b.Len()
}

// Put implements chunk.Store.
func (s *Store) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	return s.put(ctx, s.store.Put, h, data, ref)
}

// PutVerified implements chunk.VerifiedPutter; a store that is none looks at the hash.
func (s *Store) PutVerified(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	if v, can := s.store.(chunk.VerifiedPutter); can {
		return s.put(ctx, v.PutVerified, h, data, ref)
	}
	return s.put(ctx, s.store.Put, h, data, ref)
}

func (s *Store) put(ctx context.Context, do func(context.Context, chunk.Hash, *buffer.Buffer, chunk.Ref) (chunk.Outcome, error), h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	ctx, call := s.meter.Begin(ctx, Put, h)
	outcome, err := do(ctx, h, data, ref)
	call.End(data.Len(), err)
	return outcome, err
}

// PutRef implements chunk.Store.
func (s *Store) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	ctx, call := s.meter.Begin(ctx, PutRef, h)
	outcome, err := s.store.PutRef(ctx, h, ref)
	call.End(0, err)
	return outcome, err
}

// Delete implements chunk.Store.
func (s *Store) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	ctx, call := s.meter.Begin(ctx, Delete, h)
	err := s.store.Delete(ctx, h, ref)
	call.End(0, err)
	return err
}
