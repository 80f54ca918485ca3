package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	garage "deuxfleurs.fr/garage/pkg/errors"
)

func TestWhatClientsChooseIsClippedToValidText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""}, {"bucket", "bucket"}, {"eight by", "eight by"}, {"nine byte", "nine byt"},
		{"\xff", "\uFFFD"}, {"a\xffb", "a\uFFFDb"}, {"ääääx", "ääää"}, {"xääää", "xäää"},
		{"a\xffb\xffc\xffd", "a\uFFFDb\uFFFD"}, {strings.Repeat("\x80", 20), "\uFFFD"},
	} {
		got := Clip(c.in, 8)
		require.Equal(t, c.want, got, "%q", c.in)
		require.LessOrEqual(t, len(got), 8)
	}
}

func TestTextsOfSpansAreValidAndShort(t *testing.T) {
	r := tracetest.NewSpanRecorder()
	tracing := &Tracing{provider: sdk.NewTracerProvider(sdk.WithSpanProcessor(cleaning{r}))}
	ctx, root := tracing.StartRequest(context.Background(), "S3", http.Header{}, false)
	root.SetAttributes(attribute.String("short", "bucket"), attribute.String("long", strings.Repeat("ä", 40<<10)), attribute.StringSlice("some", []string{"\xff"}))
	root.AddEvent("event")
	_, failed := StartSpan(ctx, "disk.read")
	EndSpan(failed, garage.Newf(garage.Corrupted, "key \xff is bad: %s", strings.Repeat("x", 40<<10)))
	EndSpan(root, nil)
	require.Len(t, r.Ended(), 2)
	about := r.Ended()[0].Status().Description
	require.True(t, utf8.ValidString(about))
	require.Contains(t, about, "is bad")
	require.LessOrEqual(t, len(about), 1<<10)
	require.Contains(t, r.Ended()[1].Attributes(), attribute.String("short", "bucket"))
	require.Contains(t, r.Ended()[1].Attributes(), attribute.String("long", strings.Repeat("ä", 512)))
	require.Contains(t, r.Ended()[1].Attributes(), attribute.StringSlice("some", []string{"\uFFFD"}))
}

func TestASpanWithANameThatIsNoTextDoesNotLoseTheOthers(t *testing.T) {
	sent := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		sent <- string(content)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tracing, err := NewTracing(t.Context(), "test", "1", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for _, bucket := range []string{"one", "\xff", "two"} {
		_, span := tracing.StartRequest(t.Context(), "S3", http.Header{}, false)
		span.SetAttributes(attribute.String("aws.s3.bucket", bucket))
		EndSpan(span, nil)
	}
	require.NoError(t, tracing.Close())
	close(sent)
	var all strings.Builder
	for content := range sent {
		all.WriteString(content)
	}
	for _, bucket := range []string{"one", "two", "\uFFFD"} {
		require.Contains(t, all.String(), bucket)
	}
}
