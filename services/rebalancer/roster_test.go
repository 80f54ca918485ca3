package rebalancer

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

var (
	someNode = uuid.MustParse("aaaaaaaa-0000-4000-8000-000000000001")
	likeIt   = uuid.MustParse("aaaaaaab-0000-4000-8000-000000000002")
	noon     = time.Unix(1_700_000_000, 0)
)

func TestANodeIsPresentWhileItsStreamIsOpenAndItsReportFresh(t *testing.T) {
	r, process := newRoster(), uuid.New()
	serial, err := r.join(someNode, process, noon)
	require.NoError(t, err)
	require.False(t, r.all(noon)[someNode].present, "it has not reported yet")
	require.True(t, r.put(someNode, serial, &clusterv1.ReportRequest{}, noon))
	require.True(t, r.all(noon)[someNode].present)
	require.False(t, r.all(noon.Add(freshFor))[someNode].present, "it says nothing any more")
	require.True(t, r.put(someNode, serial, &clusterv1.ReportRequest{Leaving: true}, noon))
	require.False(t, r.all(noon)[someNode].present)
	require.True(t, r.all(noon)[someNode].leaving)
	r.leave(someNode, serial)
	require.False(t, r.all(noon)[someNode].leaving, "it has gone")
}

func TestANewerStreamOfANodeReplacesTheOlder(t *testing.T) {
	r, process := newRoster(), uuid.New()
	old, err := r.join(someNode, process, noon)
	require.NoError(t, err)
	require.True(t, r.put(someNode, old, &clusterv1.ReportRequest{}, noon))
	young, err := r.join(someNode, process, noon)
	require.NoError(t, err)
	require.False(t, r.put(someNode, old, &clusterv1.ReportRequest{}, noon))
	r.leave(someNode, old)
	require.True(t, r.put(someNode, young, &clusterv1.ReportRequest{}, noon))
	require.True(t, r.all(noon)[someNode].present)
}

func TestASecondProcessOfANodeIsRefused(t *testing.T) {
	r := newRoster()
	serial, err := r.join(someNode, uuid.New(), noon)
	require.NoError(t, err)
	_, err = r.join(someNode, uuid.New(), noon.Add(time.Second))
	require.True(t, errors.IsEntity(err, errors.AlreadyExists, errors.Node), "%v", err)
	_, err = r.join(someNode, uuid.New(), noon.Add(freshFor))
	require.NoError(t, err, "the first one says nothing any more")
	r.leave(someNode, serial)
	require.True(t, r.nodes[someNode].open, "it was not its stream")
}

func TestNodesAreFoundByIDBeginningAndMachine(t *testing.T) {
	nodes := []*nodeView{{id: someNode, machine: "attic"}, {id: likeIt, machine: "cellar"}}
	for _, name := range []string{someNode.String(), "aaaaaaaa", "AAAAAAAA-00", "attic"} {
		found, err := find(nodes, name)
		require.NoError(t, err, name)
		require.Equal(t, someNode, found.id, name)
	}
	_, err := find(nodes, "aaaaaaa")
	require.ErrorContains(t, err, "2 nodes are called so")
	require.ErrorContains(t, err, likeIt.String())
	for _, name := range []string{"", "b", uuid.NewString(), "garden"} {
		_, err := find(nodes, name)
		require.Error(t, err, name)
	}
}

func TestANodeStandsBetweenTheLayoutAndWhatIsAlive(t *testing.T) {
	there := &consul.Instance{Healthy: true}
	with := func(chunks int64) seen {
		return seen{present: true, report: &clusterv1.ReportRequest{Status: statusWith(chunks)}}
	}
	for want, n := range map[adminv1.NodeState]nodeView{
		adminv1.NodeState_NODE_STATE_HEALTHY:     {desired: desiredNode, instance: there, reports: true, seen: with(0)},
		adminv1.NodeState_NODE_STATE_MISSING:     {desired: desiredNode, instance: there, reports: true},
		adminv1.NodeState_NODE_STATE_NEW:         {instance: there, reports: true, seen: with(0)},
		adminv1.NodeState_NODE_STATE_DRAINING:    {instance: there, reports: true, placed: true, seen: with(5)},
		adminv1.NodeState_NODE_STATE_EMPTY:       {instance: there, reports: true, placed: true, seen: with(0)},
		adminv1.NodeState_NODE_STATE_LEAVING:     {desired: desiredNode, instance: there, reports: true, seen: seen{leaving: true}},
		adminv1.NodeState_NODE_STATE_LOST:        {desired: desiredNode, reports: true, lost: true},
		adminv1.NodeState_NODE_STATE_UNSPECIFIED: {instance: &consul.Instance{}, reports: true, seen: with(0)},
	} {
		require.Equal(t, want, n.state())
	}
	taken := nodeView{instance: there, reports: true, former: true, behind: true, seen: with(0)}
	require.Equal(t, adminv1.NodeState_NODE_STATE_DRAINING, taken.state(), "it has not walked to the end")
	taken.behind = false
	require.Equal(t, adminv1.NodeState_NODE_STATE_EMPTY, taken.state())
	taken.seen.report.Status.Trashed = 1
	require.Equal(t, adminv1.NodeState_NODE_STATE_DRAINING, taken.state(), "its trash may be had back")
	require.Equal(t, adminv1.NodeState_NODE_STATE_HEALTHY, (&nodeView{desired: desiredNode, instance: there}).state(), "this instance gets no reports")
}

func TestLayoutCommandsAreRefusedWithoutConsul(t *testing.T) {
	s := service(t, Config{})
	_, err := s.GetLayout(t.Context(), &adminv1.GetLayoutRequest{})
	require.ErrorContains(t, err, "consul.enabled")
	_, err = s.ApplyLayout(t.Context(), &adminv1.ApplyLayoutRequest{})
	require.True(t, errors.IsEntity(err, errors.PreconditionFailed, errors.Layout), "%v", err)
}

var desiredNode = &layout.Node{ID: someNode, Zone: "home", Tokens: 1}

func statusWith(chunks int64) *chunknodev1.StatusResponse {
	return &chunknodev1.StatusResponse{Chunks: chunks}
}
