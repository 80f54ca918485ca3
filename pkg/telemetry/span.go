package telemetry

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"deuxfleurs.fr/garage/pkg/errors"
)

// scope names who makes the spans.
const scope = "deuxfleurs.fr/garage"

// requestIDAttribute is where spans carry the request ID.
const requestIDAttribute = attribute.Key("garage.request_id")

// traced tells whether what is done with the context is recorded in a trace.
func traced(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// StartSpan begins a span below that of the context. Without one that is recorded it does nothing and allocates nothing: nobody
// but the entry of a request begins a trace. Attributes are set only on a span that is recording, so that they cost nothing else.
func StartSpan(ctx context.Context, name string) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, noSpan
	}
	return parent.TracerProvider().Tracer(scope).Start(ctx, name)
}

// noSpan is a span that does nothing.
var noSpan = trace.SpanFromContext(context.Background())

// Spanned records a span that has ended already, below that of the context.
func Spanned(ctx context.Context, name string, began, ended time.Time, err error) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return
	}
	_, span := parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithTimestamp(began))
	fail(span, err)
	span.End(trace.WithTimestamp(ended))
}

// EndSpan ends a span with the error of what it is about. That something is not there, or that the caller went away, is no failure.
func EndSpan(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	fail(span, err)
	span.End()
}

func fail(span trace.Span, err error) {
	if err == nil {
		return
	}
	kind := errors.KindOf(err)
	span.SetAttributes(attribute.String("error.type", kind.String()))
	if kind != errors.NotFound && kind != errors.Canceled {
		span.SetStatus(codes.Error, err.Error())
	}
}

// StartRequest begins the span of an HTTP request, as a part of the caller's trace if it sends one (W3C trace context). The context
// has the request's ID.
func (t *Tracing) StartRequest(ctx context.Context, name string, h http.Header) (context.Context, trace.Span) {
	if t == nil {
		return ctx, noSpan
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(h))
	return t.provider.Tracer(scope).Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(requestIDAttribute.String(RequestID(ctx))))
}

// TraceID is that of the context's trace in hexadecimal digits, or empty.
func TraceID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); c.HasTraceID() {
		return c.TraceID().String()
	}
	return ""
}
