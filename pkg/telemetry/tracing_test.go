package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	garage "deuxfleurs.fr/garage/pkg/errors"
)

// recorded is a Tracing whose spans are kept.
func recorded() (*Tracing, *tracetest.SpanRecorder) {
	r := tracetest.NewSpanRecorder()
	return &Tracing{provider: sdk.NewTracerProvider(sdk.WithSpanProcessor(r))}, r
}

func TestTracingIsOffUnlessTheEnvironmentAsksForIt(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, c := range []struct {
		about string
		env   map[string]string
		on    bool
		wrong string
	}{
		{"nothing said", nil, false, ""},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true, ""},
		{"an endpoint for traces, by gRPC", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true, ""},
		{"the exporter", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{"no exporter", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false, ""},
		{"all of it off", map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false, ""},
		{"another exporter", map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, "OTEL_TRACES_EXPORTER"},
		{"another protocol", map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL"},
	} {
		t.Run(c.about, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			tracing, err := NewTracing(t.Context(), "test", "1", log)
			if c.wrong != "" {
				require.True(t, garage.Is(err, garage.Invalid))
				require.ErrorContains(t, err, c.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.on, tracing != nil)
			require.NoError(t, tracing.Close())
		})
	}
}

func TestASpanThatNobodyRecordsAllocatesNothing(t *testing.T) {
	var off *Tracing
	ctx, root := off.StartRequest(WithRequestID(context.Background(), "ABC"), "S3", http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})
	err := errors.New("no")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		inner, span := StartSpan(ctx, "disk.read")
		EndSpan(span, err)
		_ = inner
	}))
	EndSpan(root, nil)
	require.Empty(t, TraceID(ctx))
	require.Nil(t, off.ServerOptions())
	require.Nil(t, off.DialOptions())
}

func TestSpansHangBelowTheCallersAndCarryTheRequestID(t *testing.T) {
	tracing, spans := recorded()
	header := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	ctx, root := tracing.StartRequest(WithRequestID(context.Background(), "ABC"), "S3", header)
	_, failed := StartSpan(ctx, "disk.read")
	EndSpan(failed, garage.Newf(garage.Corrupted, "bad"))
	_, absent := StartSpan(ctx, "disk.read")
	EndSpan(absent, garage.Newf(garage.NotFound, "none"))
	EndSpan(root, nil)

	var out bytes.Buffer
	NewLogger(&out, DefaultLogConfig()).InfoContext(ctx, "hello")
	require.Contains(t, out.String(), `"trace_id":"0af7651916cd43dd8448eb211c80319c"`)

	ended := spans.Ended()
	require.Len(t, ended, 3)
	require.Equal(t, "Error", ended[0].Status().Code.String())
	require.Equal(t, "Unset", ended[1].Status().Code.String(), "what is not there is an answer")
	require.Equal(t, root.SpanContext().SpanID(), ended[0].Parent().SpanID())
	require.Equal(t, "b7ad6b7169203331", ended[2].Parent().SpanID().String())
	require.Contains(t, ended[2].Attributes(), requestIDAttribute.String("ABC"))
}
