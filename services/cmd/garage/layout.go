package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/layout"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func newLayout() *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{
		Use: "layout", Short: "Which chunk-nodes hold the data, and how many copies", Args: onlyCommands, RunE: showHelp,
		Long: `Which chunk-nodes hold the data, and how many copies.

Changes are staged with assign, remove and replication, looked at with plan, and put in force with apply.
NODE is the ID of a node, the beginning of one that no other has, or the name of its machine in Consul.`,
	}
	c.addFlags(cmd)
	cmd.AddCommand(layoutShow(c), layoutAssign(c), layoutRemove(c), layoutReplication(c), layoutPlan(c), layoutApply(c), layoutDrop(c), layoutLost(c), layoutHistory(c), layoutRevert(c))
	return cmd
}

// stagedJSON is what is staged as --json shows it.
type stagedJSON struct {
	Replication uint32           `json:"replication,omitempty"`
	Assign      []layoutNodeJSON `json:"assign"`
	Remove      []string         `json:"remove"`
}

type layoutNodeJSON struct {
	ID         string `json:"id"`
	Zone       string `json:"zone"`
	Capacity   any    `json:"capacity"` // bytes, or "auto"
	Tokens     uint32 `json:"tokens"`
	Partitions uint32 `json:"partitions,omitempty"`
}

func newLayoutNodeJSON(n *adminv1.LayoutNode) layoutNodeJSON {
	v := layoutNodeJSON{ID: n.GetId(), Zone: n.GetZone(), Capacity: "auto", Tokens: n.GetTokens(), Partitions: n.GetPartitions()}
	if n.GetCapacity() != layout.AutoCapacity {
		v.Capacity = n.GetCapacity()
	}
	return v
}

// capacityText is a node's capacity for people.
func capacityText(n *adminv1.LayoutNode) string {
	if n.GetCapacity() == layout.AutoCapacity {
		return fmt.Sprintf("auto (%s)", bytesText(int64(n.GetTokens())*layout.BytesPerToken))
	}
	return bytesText(int64(n.GetCapacity()))
}

func newStagedJSON(s *adminv1.LayoutChange) stagedJSON {
	v := stagedJSON{Replication: s.GetReplication(), Assign: []layoutNodeJSON{}, Remove: append([]string{}, s.GetRemove()...)}
	for _, n := range s.GetAssign() {
		v.Assign = append(v.Assign, newLayoutNodeJSON(n))
	}
	return v
}

func (s stagedJSON) empty() bool { return s.Replication == 0 && len(s.Assign)+len(s.Remove) == 0 }

const lookAndApply = "look at what it does with: garage layout plan; put it in force with: garage layout apply"

type layoutAssignment struct {
	node     adminv1.AssignNodeRequest
	capacity string
	all      bool
}

func layoutAssign(c *connection) *cobra.Command {
	a := &layoutAssignment{}
	cmd := &cobra.Command{
		Use:   "assign [NODE] [--zone ZONE] [--capacity auto|SIZE] [--tokens K]",
		Short: "Stage that a node holds data, or holds it otherwise",
		Long: `Stage that a node holds data, or holds it otherwise.

The zone is by default the one that the node says it is in. With the capacity auto, the node gets a token for
each 10 GB of 80 % of its free space, and counts for 10 GB with each. With --all, each node that is alive and
not in the layout is assigned with these defaults.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd, c, args) },
	}
	f := cmd.Flags()
	f.StringVar(&a.node.Zone, "zone", "", "site of the node: copies go to different zones")
	f.StringVar(&a.capacity, "capacity", "auto", "room for data: auto, or a size such as 2TB")
	f.Uint32Var(&a.node.Tokens, "tokens", 0, "places on the ring; by default proposed from the capacity")
	f.BoolVar(&a.all, "all", false, "assign each node that is alive and not in the layout")
	return cmd
}

func (a *layoutAssignment) run(cmd *cobra.Command, c *connection, args []string) error {
	if a.all == (len(args) == 1) {
		return wrong("name one node, or give --all")
	}
	if a.capacity != "auto" {
		size, err := config.ParseSize(a.capacity)
		if err != nil || size == 0 {
			return wrong("--capacity %q is neither auto nor a size such as 500GB or 2TiB", a.capacity)
		}
		a.node.Capacity = uint64(size)
	}
	return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
		nodes := args
		if a.all {
			answer, err := admin.GetLayout(ctx, &adminv1.GetLayoutRequest{})
			if err != nil {
				return err
			}
			for _, n := range answer.GetNodes() {
				if n.GetState() == adminv1.NodeState_NODE_STATE_NEW {
					nodes = append(nodes, n.GetId())
				}
			}
		}
		assigned := []layoutNodeJSON{}
		texts := []string{}
		for _, n := range nodes {
			answer, err := admin.AssignNode(ctx, &adminv1.AssignNodeRequest{Node: n, Zone: a.node.GetZone(), Capacity: a.node.GetCapacity(), Tokens: a.node.GetTokens()})
			if err != nil {
				return err
			}
			node := answer.GetNode()
			assigned = append(assigned, newLayoutNodeJSON(node))
			texts = append(texts, fmt.Sprintf("staged: the node %s in the zone %s with %s and %d tokens", node.GetId(), node.GetZone(), capacityText(node), node.GetTokens()))
		}
		return c.show(cmd, assigned, func(w io.Writer) {
			for _, t := range texts {
				row(w, t)
			}
			if len(texts) == 0 {
				row(w, "every node that is alive is in the layout")
				return
			}
			row(w, lookAndApply)
		})
	})
}

func layoutRemove(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "remove NODE", Short: "Stage that a node holds no data any more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.RemoveNode(ctx, &adminv1.RemoveNodeRequest{Node: args[0]})
				if err != nil {
					return err
				}
				return c.show(cmd, newStagedJSON(answer.GetStaged()), func(w io.Writer) {
					row(w, "staged: without the node "+answer.GetId())
					row(w, lookAndApply)
				})
			})
		},
	}
}

func layoutReplication(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "replication COPIES", Short: "Stage how many copies of each chunk are kept", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			copies, err := strconv.ParseUint(args[0], 10, 32)
			if err != nil {
				return wrong("%q is not a number of copies", args[0])
			}
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.SetReplication(ctx, &adminv1.SetReplicationRequest{Replication: uint32(copies)})
				if err != nil {
					return err
				}
				return c.show(cmd, newStagedJSON(answer.GetStaged()), func(w io.Writer) {
					row(w, fmt.Sprintf("staged: %d copies of each chunk", copies))
					row(w, lookAndApply)
				})
			})
		},
	}
}

func layoutApply(c *connection) *cobra.Command {
	var revision uint64
	var force bool
	cmd := &cobra.Command{
		Use: "apply [--revision N] [--force]", Short: "Put what is staged in force", Args: cobra.NoArgs,
		Long: `Put what is staged in force.

What is written from then on goes to its nodes; what is stored moves there, while all stays readable. The layout
of before stays in force until everything has moved: garage status says how far that is.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.ApplyLayout(ctx, &adminv1.ApplyLayoutRequest{Revision: revision, Force: force})
				if err != nil {
					return err
				}
				l := newLayoutJSON(answer.GetLayout())
				return c.show(cmd, l, func(w io.Writer) {
					row(w, fmt.Sprintf("layout %d is in force: %d copies on %d nodes", l.Number, l.Replication, len(l.Nodes)))
				})
			})
		},
	}
	cmd.Flags().Uint64Var(&revision, "revision", 0, "apply only what layout plan showed with this revision")
	cmd.Flags().BoolVar(&force, "force", false, "apply it in spite of the risk that layout plan names")
	return cmd
}

func layoutDrop(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "drop", Short: "Forget what is staged", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.DropLayout(ctx, &adminv1.DropLayoutRequest{})
				if err != nil {
					return err
				}
				return c.show(cmd, newStagedJSON(answer.GetDropped()), func(w io.Writer) { row(w, "nothing is staged any more") })
			})
		},
	}
}
