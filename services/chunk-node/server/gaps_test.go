package server

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
)

// gapped is a node that has these gaps.
type gapped struct {
	Node
	gaps *chunk.Gaps
}

func (g gapped) Gaps(context.Context) (*chunk.Gaps, error) { return g.gaps, nil }

func TestGapsAreToldOverTheWire(t *testing.T) {
	owner := uuid.New()
	want := &chunk.Gaps{Owed: map[chunk.NodeID]*chunk.PartitionSet{owner: {}}}
	want.Wanted.Add(0)
	want.Wanted.Add(chunk.Partitions - 1)
	want.Owed[owner].Add(9)
	want.Failed.Add(77)
	got, err := serveAs(t, func(n Node) Node { return gapped{n, want} }).client.Gaps(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = serve(t).client.Gaps(t.Context())
	require.NoError(t, err)
	require.Equal(t, &chunk.Gaps{Owed: map[chunk.NodeID]*chunk.PartitionSet{}}, got)
}
