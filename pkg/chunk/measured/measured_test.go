package measured

import (
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/telemetry/telemetrytest"
)

func TestCallsAreCountedByOperationAndResult(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	s := New(memory.New(uuid.New()), NewMeter(r, "chunk_node", "node"))
	data := buffer.FromBytes([]byte("abc"))
	h, ref := chunk.HashOf(data), chunk.Ref{Attempt: uuid.New()}
	_, err := s.Put(t.Context(), h, data, ref)
	require.NoError(t, err)
	b, err := s.Get(t.Context(), h)
	require.NoError(t, err)
	b.Release()
	_, err = s.Get(t.Context(), chunk.Hash{1})
	require.Error(t, err)

	values := telemetrytest.Values(t, r)
	require.Equal(t, 1.0, values[`garage_chunk_node_operations_total{operation="get",result="ok"}`])
	require.Equal(t, 1.0, values[`garage_chunk_node_operations_total{operation="get",result="not found"}`])
	require.Equal(t, 3.0, values[`garage_chunk_node_operation_bytes_total{operation="put"}`])
	require.Equal(t, 2.0, values[`garage_chunk_node_operation_duration_seconds{operation="get"}`])
}
