package telemetry

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// lastSpans bounds how long a program that stops waits to hand over the last spans.
	lastSpans = 5 * time.Second
	// complainAfter is how long the same trouble with the collector is not said again.
	complainAfter = time.Minute
)

// Tracing sends spans to an OpenTelemetry collector. A nil *Tracing is off, and costs nothing.
type Tracing struct {
	provider *trace.TracerProvider
}

// NewTracing makes what the usual variables of OpenTelemetry ask for; nil if they ask for nothing, which is the default: tracing
// is on if OTEL_TRACES_EXPORTER is otlp, or if it is not set and OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is.
// The others (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_…, OTEL_BSP_…) are read by
// OpenTelemetry's own library. Kinds: Invalid.
func NewTracing(ctx context.Context, service, version string, log *slog.Logger) (*Tracing, error) {
	on, err := tracingAsked()
	if err != nil || !on {
		return nil, err
	}
	client, err := traceClient()
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "sending traces (variables OTEL_…)")
	}
	// What the environment says comes last, and wins.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "garage-"+service), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "describing the program in traces (OTEL_RESOURCE_ATTRIBUTES)")
	}
	// The library has one place for its errors in a process.
	otel.SetErrorHandler(&complaints{log: log})
	log.Info("traces are sent to an OpenTelemetry collector")
	return &Tracing{provider: trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))}, nil
}

func tracingAsked() (bool, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "", nil
	default:
		return false, errors.E(errors.Invalid, errors.Setting, "OTEL_TRACES_EXPORTER", "it is %s, and must be otlp or none", exporter)
	}
}

func traceClient() (otlptrace.Client, error) {
	name := "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	if os.Getenv(name) == "" {
		name = "OTEL_EXPORTER_OTLP_PROTOCOL"
	}
	switch protocol := os.Getenv(name); protocol {
	case "", "http/protobuf":
		return otlptracehttp.NewClient(), nil
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	default:
		return nil, errors.E(errors.Invalid, errors.Setting, name, "it is %s, and must be grpc or http/protobuf", protocol)
	}
}

// Close hands over the last spans.
func (t *Tracing) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
	defer cancel()
	// A collector that is away must not make a stop a failure; the error handler has said so.
	_ = t.provider.Shutdown(ctx)
	return nil
}

// ServerOptions continue the traces of callers in a gRPC server.
func (t *Tracing) ServerOptions() []grpc.ServerOption {
	if t == nil {
		return nil
	}
	h := otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithPropagators(propagation.TraceContext{}))
	return []grpc.ServerOption{grpc.StatsHandler(onlyTraced{h, tracedCall{}, func(ctx context.Context) bool {
		return len(metadata.ValueFromIncomingContext(ctx, "traceparent")) > 0
	}})}
}

// DialOptions send the trace of the context with each call of a connection.
func (t *Tracing) DialOptions() []grpc.DialOption {
	if t == nil {
		return nil
	}
	h := otelgrpc.NewClientHandler(otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithPropagators(propagation.TraceContext{}))
	return []grpc.DialOption{grpc.WithStatsHandler(onlyTraced{h, tracedCall{client: true}, traced})}
}

// onlyTraced leaves calls alone that are of no trace: those that services make by themselves would fill the collector.
type onlyTraced struct {
	stats.Handler
	mark   tracedCall
	traced func(context.Context) bool
}

// tracedCall marks the calls of a handler: that of a server hands its context to calls that the handler makes.
type tracedCall struct{ client bool }

// TagRPC implements stats.Handler.
func (h onlyTraced) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if !h.traced(ctx) {
		return ctx
	}
	return context.WithValue(h.Handler.TagRPC(ctx, info), h.mark, true)
}

// HandleRPC implements stats.Handler.
func (h onlyTraced) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if ctx.Value(h.mark) != nil {
		h.Handler.HandleRPC(ctx, s)
	}
}

// complaints logs the troubles of the library, and not at every batch of spans.
type complaints struct {
	log *slog.Logger

	mu   sync.Mutex
	said time.Time
}

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.said) >= complainAfter {
		c.said = now
		c.log.Warn("traces cannot be sent; some are lost", "error", err)
	}
}
