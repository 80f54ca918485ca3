package rebalancer

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

// reporting is a term in which nodes have reported the layouts that they have adopted.
func reporting(t *testing.T, layouts map[uuid.UUID]uint64) *term {
	tm := &term{began: noon, roster: newRoster()}
	for id, number := range layouts {
		serial, err := tm.roster.join(id, uuid.New(), noon)
		require.NoError(t, err)
		tm.roster.put(id, serial, &clusterv1.ReportRequest{Status: &chunknodev1.StatusResponse{Layout: number}}, noon)
	}
	return tm
}

func TestNoFirstLayoutIsPublishedWhileNodesHaveAdoptedOne(t *testing.T) {
	first := kv.Snapshot{Staged: layout.Change{Assign: []layout.Node{{ID: someNode}, {ID: likeIt}}}}
	refused := func(err error) {
		t.Helper()
		require.True(t, errors.IsEntity(err, errors.PreconditionFailed, errors.Layout), "%v", err)
	}
	require.NoError(t, reporting(t, map[uuid.UUID]uint64{someNode: 0, likeIt: 0}).follows(first, noon))
	refused(reporting(t, map[uuid.UUID]uint64{someNode: 0}).follows(first, noon.Add(reportedBy-1)))
	require.NoError(t, reporting(t, map[uuid.UUID]uint64{someNode: 0}).follows(first, noon.Add(reportedBy)), "the other one is away")
	forgotten := reporting(t, map[uuid.UUID]uint64{someNode: 0, uuid.New(): 3})
	refused(forgotten.follows(first, noon.Add(time.Hour)))
	require.Contains(t, forgotten.forgotten(0), "layout 3 and Consul has none")
	require.Contains(t, forgotten.forgotten(2), "layout 3 and Consul has layout 2")
	require.Empty(t, forgotten.forgotten(3))
	require.Empty(t, (*term)(nil).forgotten(0), "nothing is known of reports")
	forgotten.recovery = "no node answers"
	require.Contains(t, forgotten.forgotten(0), "no node answers")
}

func TestANodeThatMayBeAliveIsNotGivenUp(t *testing.T) {
	well, ill := &consul.Instance{Healthy: true}, &consul.Instance{}
	for _, c := range []struct {
		about string
		node  nodeView
		term  time.Duration
		away  bool
	}{
		{"Consul's checks pass and it has not reported yet", nodeView{instance: well, reports: true}, time.Hour, false},
		{"it reports, and Consul has lost it", nodeView{reports: true, seen: seen{present: true}}, time.Hour, false},
		{"it is stopping", nodeView{instance: ill, reports: true, seen: seen{leaving: true}}, time.Hour, false},
		{"nothing is known of it yet", nodeView{reports: true}, surelyAfter - 1, false},
		{"it is away", nodeView{reports: true}, surelyAfter, true},
		{"it is away, as Consul says", nodeView{instance: ill, reports: true}, surelyAfter, true},
	} {
		err := surelyAway(&c.node, c.term)
		require.Equal(t, c.away, err == nil, c.about)
		require.True(t, c.away || errors.Is(err, errors.PreconditionFailed), "%v", err)
	}
}
