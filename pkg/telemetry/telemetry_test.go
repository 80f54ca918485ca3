package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
)

func TestLogLinesCarryTheRequestIDOfTheirContext(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, DefaultLogConfig()).With("service", "test").WithGroup("g")
	log.InfoContext(WithRequestID(context.Background(), "ABC"), "hello")
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line), "json, since this is no terminal")
	require.Equal(t, "hello", line["msg"])
	require.Equal(t, map[string]any{"request_id": "ABC"}, line["g"])

	out.Reset()
	log.Info("hello")
	require.NotContains(t, out.String(), "request_id")
	out.Reset()
	NewLogger(&out, LogConfig{Format: "text"}).Info("hello")
	require.Contains(t, out.String(), "msg=hello")
	out.Reset()
	NewLogger(&out, LogConfig{Format: "text"}).Debug("hello")
	require.Empty(t, out.String())
}

func TestRequestIDs(t *testing.T) {
	id, err := NewRequestID(strings.NewReader("\x01\x23\x45\x67\x89\xab\xcd\xef"))
	require.NoError(t, err)
	require.Equal(t, "0123456789ABCDEF", id)
	_, err = NewRequestID(strings.NewReader("short"))
	require.Error(t, err)
}

func scrape(t *testing.T, status func(context.Context) (chunk.NodeStatus, error)) (int, string) {
	t.Helper()
	r := NewRegistry("test", "v1")
	RegisterPool(r, buffer.NewPool(1<<20, clock.System{}))
	RegisterNode(r, status)
	w := httptest.NewRecorder()
	MetricsHandler(r).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Code, w.Body.String()
}

func TestMetricsOfANode(t *testing.T) {
	code, body := scrape(t, func(context.Context) (chunk.NodeStatus, error) {
		return chunk.NodeStatus{Chunks: 7, Wanted: 2, ReadOnly: true}, nil
	})
	require.Equal(t, 200, code)
	for _, want := range []string{
		`garage_build_info{service="test",version="v1"} 1`, "garage_node_chunks 7", "garage_node_wanted_chunks 2", "garage_node_read_only 1",
		"garage_memory_used_bytes 0", "garage_memory_limit_bytes 1.048576e+06", "go_goroutines", "process_resident_memory_bytes",
	} {
		require.Contains(t, body, want)
	}
	code, body = scrape(t, func(context.Context) (chunk.NodeStatus, error) {
		return chunk.NodeStatus{}, errors.New("the disk is away")
	})
	require.Equal(t, 200, code, "the others are served")
	require.NotContains(t, body, "garage_node_chunks")
	require.Contains(t, body, "go_goroutines")
}
