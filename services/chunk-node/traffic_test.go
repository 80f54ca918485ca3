package chunknode

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/clock"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

func TestCallsOfOtherMachinesAreCounted(t *testing.T) {
	s, stop := start(t, DefaultConfig(), deps(t, clock.System{}))
	served := &counted{Node: s.Node(), traffic: &s.traffic}
	h, b := chunktest.Chunk(1, 1000)
	chunktest.RequirePut(t, served, h, b, chunktest.Ref(1))
	chunktest.RequireGet(t, served, h, b)
	_, err := served.PutRef(t.Context(), h, chunktest.Ref(2))
	require.NoError(t, err)
	require.NoError(t, served.Delete(t.Context(), h, chunktest.Ref(2)))
	absent, _ := chunktest.Chunk(2, 10)
	_, err = served.Get(t.Context(), absent)
	require.Error(t, err)
	require.Equal(t, &clusterv1.Traffic{Reads: 2, Writes: 1, References: 1, Deletes: 1, BytesRead: 1000, BytesWritten: 1000}, s.traffic.message(),
		"that there is no such chunk is no error of the node")
	stop()
	_, err = served.Get(t.Context(), h)
	require.Error(t, err)
	require.EqualValues(t, 1, s.traffic.message().GetErrors())
}

func TestWhereThereIsNobodyToAskANodeMayStopAtOnce(t *testing.T) {
	s, stop := start(t, DefaultConfig(), deps(t, clock.System{}))
	defer stop()
	s.Leave(t.Context())
}
