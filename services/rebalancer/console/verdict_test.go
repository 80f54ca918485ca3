package console

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func TestWhetherTheDataIsSafe(t *testing.T) {
	well := func() *adminv1.Node {
		return &adminv1.Node{Id: "0123456789ab", Alive: true, Partitions: 4096, State: adminv1.NodeState_NODE_STATE_HEALTHY}
	}
	missing := func() *adminv1.Node {
		return &adminv1.Node{Id: "missing", Partitions: 4096, State: adminv1.NodeState_NODE_STATE_MISSING}
	}
	status := func(copies uint32, nodes ...*adminv1.Node) *adminv1.GetStatusResponse {
		return &adminv1.GetStatusResponse{Layout: 2, OldestLayout: 2, Replication: copies, Nodes: nodes}
	}
	partitions := func(states ...adminv1.PartitionState) *adminv1.GetPartitionsResponse {
		p := &adminv1.GetPartitionsResponse{}
		for _, s := range states {
			p.Partitions = append(p.Partitions, &adminv1.Partition{State: s, Copies: 1})
		}
		return p
	}
	const complete, moving, fewer, unreadable = adminv1.PartitionState_PARTITION_STATE_COMPLETE, adminv1.PartitionState_PARTITION_STATE_MOVING,
		adminv1.PartitionState_PARTITION_STATE_UNDER_REPLICATED, adminv1.PartitionState_PARTITION_STATE_UNREADABLE
	full := status(3, well())
	full.Nodes[0].ReadOnly = true
	sick := status(3, well())
	sick.Services = []*adminv1.Service{{Name: "metadata", Problem: "it is away"}}
	lacking := status(3, well())
	lacking.Nodes[0].Wanted = 2
	empty := status(3, well())
	empty.Nodes[0].Uncompared = true
	emptyAlone := status(2, well(), missing())
	emptyAlone.Nodes[0].Uncompared = true
	disk := status(3, well())
	disk.Nodes[0].Disks = []*adminv1.Disk{{Path: "/d", Failed: "I/O error"}}
	away := status(3, well())
	away.Problem = "the active rebalancer does not answer"
	bare := func() *adminv1.GetPartitionsResponse {
		p := partitions(complete, fewer)
		p.Partitions[1].Copies = 0
		return p
	}
	unasked := func(states ...adminv1.PartitionState) *adminv1.GetPartitionsResponse {
		p := partitions(states...)
		p.Problems = []string{"node 0123: it does not answer"}
		return p
	}
	for name, c := range map[string]struct {
		status     *adminv1.GetStatusResponse
		partitions *adminv1.GetPartitionsResponse
		level      Level
		says       string
		reasons    int
	}{
		"all is well":                              {status(3, well()), partitions(complete), Good, "all of it has 3 good copies", 0},
		"nothing is known of partitions":           {status(3, well()), nil, Unknown, "It is not known whether all your data has 3 good copies", 0},
		"partitions without any":                   {status(3, well()), partitions(), Unknown, "It is not known whether all your data has 3 good copies", 0},
		"nothing is known of the one copy":         {status(1, well()), nil, Unknown, "It is not known whether all your data has a good copy", 0},
		"the active rebalancer is away":            {away, nil, Unknown, "It is not known whether all your data has 3 good copies", 1},
		"a node was not asked":                     {status(3, well()), unasked(complete), Attention, "not every node tells what it lacks", 1},
		"a node was not asked, some move":          {status(3, well()), unasked(complete, moving), Attention, "not every node tells what it lacks", 1},
		"a node was not asked, one copy":           {status(1, well()), unasked(complete), Attention, "not every node tells what it lacks", 1},
		"a node was not asked, another is missing": {status(3, well(), missing()), unasked(fewer), Attention, "fewer than 3", 2},
		"Consul is away at the start":              {&adminv1.GetStatusResponse{Problem: "Consul does not answer"}, nil, Unknown, "It is not known how your data is", 1},
		"one copy":                                 {status(1, well()), partitions(complete), Good, "in one copy", 0},
		"no layout":                                {&adminv1.GetStatusResponse{}, nil, Attention, "no layout", 0},
		"moving":                                   {status(3, well()), partitions(complete, moving), Good, "on their way", 0},
		"one is missing":                           {status(3, well(), missing()), partitions(complete, fewer), Attention, "1 partition of 4096 has fewer than 3", 1},
		"one is missing, as told":                  {status(3, well(), missing()), nil, Attention, "can be read", 1},
		"too many are missing":                     {status(2, well(), missing(), missing()), nil, Danger, "may not be readable", 2},
		"nobody has some":                          {status(3, well(), missing()), partitions(complete, unreadable, unreadable), Danger, "2 partitions of 4096 have no node", 1},
		"the one copy is bad":                      {status(1, well()), partitions(fewer), Danger, "no other copy", 0},
		"full":                                     {full, partitions(complete), Attention, "needs your attention", 1},
		"a service is away":                        {sick, partitions(complete), Attention, "needs your attention", 1},
		"chunks are bad":                           {lacking, nil, Attention, "fewer than 3", 1},
		"one came back empty":                      {empty, partitions(complete, fewer), Attention, "1 partition of 4096 has fewer than 3", 1},
		"one came back empty, as told":             {empty, nil, Attention, "fewer than 3 good copies in places", 1},
		"one came back empty, another is missing":  {emptyAlone, bare(), Danger, "1 partition of 4096 has no node that answers and has all of it", 2},
		"all lack something":                       {lacking, bare(), Attention, "It is not known whether all your data can be read", 1},
		"a disk failed":                            {disk, partitions(complete), Attention, "needs your attention", 1},
	} {
		v := Judge(c.status, c.partitions)
		require.Equal(t, c.level, v.Level, "%s: %+v", name, v)
		require.Contains(t, v.Sentence, c.says, name)
		require.Len(t, v.Reasons, c.reasons, "%s: %v", name, v.Reasons)
	}
	require.Equal(t, Unknown, unknown(errors.New("away")).Level)
}
