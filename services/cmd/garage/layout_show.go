package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// layoutJSON is a published layout as --json shows it.
type layoutJSON struct {
	Number      uint64           `json:"number"`
	Replication uint32           `json:"replication"`
	Usable      uint64           `json:"usable"`
	Nodes       []layoutNodeJSON `json:"nodes"`
}

func newLayoutJSON(l *adminv1.Layout) *layoutJSON {
	if l == nil {
		return nil
	}
	v := &layoutJSON{Number: l.GetNumber(), Replication: l.GetReplication(), Usable: l.GetUsable(), Nodes: []layoutNodeJSON{}}
	for _, n := range l.GetNodes() {
		v.Nodes = append(v.Nodes, newLayoutNodeJSON(n))
	}
	return v
}

// layoutShowJSON is everything about the layout.
type layoutShowJSON struct {
	Current  *layoutJSON `json:"current"` // null: no layout is in force
	Staged   stagedJSON  `json:"staged"`
	Revision uint64      `json:"revision"`
	History  []uint64    `json:"history"`
	Nodes    []nodeJSON  `json:"nodes"`
}

func layoutShow(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Tell which nodes there should be, which there are, and what is staged", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.GetLayout(ctx, &adminv1.GetLayoutRequest{})
				if err != nil {
					return err
				}
				v := &layoutShowJSON{Current: newLayoutJSON(answer.GetCurrent()), Staged: newStagedJSON(answer.GetStaged()), Revision: answer.GetRevision(),
					History: append([]uint64{}, answer.GetHistory()...), Nodes: []nodeJSON{}}
				for _, n := range answer.GetNodes() {
					v.Nodes = append(v.Nodes, newNodeJSON(n))
				}
				return c.show(cmd, v, func(w io.Writer) { writeLayout(w, v, answer) })
			})
		},
	}
}

func writeLayout(w io.Writer, v *layoutShowJSON, answer *adminv1.GetLayoutResponse) {
	desired := map[string]*adminv1.LayoutNode{}
	if l := answer.GetCurrent(); l == nil {
		row(w, "layout", "none is in force")
	} else {
		row(w, "layout", fmt.Sprintf("number %d, %d copies, room for %s", l.GetNumber(), l.GetReplication(), bytesText(int64(l.GetUsable()))))
		for _, n := range l.GetNodes() {
			desired[n.GetId()] = n
		}
	}
	row(w, "revision", v.Revision)
	row(w, "")
	row(w, "NODE", "MACHINE", "ZONE", "STATE", "CAPACITY", "TOKENS", "PARTITIONS", "CHUNKS", "FREE")
	for _, n := range v.Nodes {
		capacity, tokens := orDash(n.CapacityText), "-"
		if d := desired[n.ID]; d != nil {
			capacity, tokens = capacityText(d), fmt.Sprint(d.GetTokens())
		}
		row(w, n.ID, orDash(n.Machine), orDash(n.Zone), n.state(), capacity, tokens, n.Partitions, n.Chunks, bytesText(n.Free))
	}
	row(w, "")
	writeStaged(w, answer.GetStaged(), v.Staged)
	for _, n := range v.Nodes {
		if n.Problem != "" {
			row(w, "")
			row(w, "node "+n.ID+": "+n.Problem)
		}
	}
}

func writeStaged(w io.Writer, s *adminv1.LayoutChange, v stagedJSON) {
	if v.empty() {
		row(w, "nothing is staged")
		return
	}
	row(w, "STAGED", "ZONE", "CAPACITY", "TOKENS")
	for _, n := range s.GetAssign() {
		row(w, n.GetId(), n.GetZone(), capacityText(n), n.GetTokens())
	}
	for _, id := range s.GetRemove() {
		row(w, id, "removed")
	}
	if s.GetReplication() != 0 {
		row(w, "copies", s.GetReplication())
	}
	row(w, lookAndApply)
}

// planJSON is what a change does.
type planJSON struct {
	Revision     uint64      `json:"revision"`
	After        *layoutJSON `json:"after"`
	Nodes        []shareJSON `json:"nodes"`
	Zones        []shareJSON `json:"zones"`
	Moved        uint32      `json:"moved"`
	UsableBefore uint64      `json:"usable_before"`
	UsableAfter  uint64      `json:"usable_after"`
	Obstacle     string      `json:"obstacle,omitempty"`
}

type shareJSON struct {
	Name             string `json:"name"`
	Zone             string `json:"zone"`
	PartitionsBefore uint32 `json:"partitions_before"`
	PartitionsAfter  uint32 `json:"partitions_after"`
	CapacityBefore   uint64 `json:"capacity_before"`
	CapacityAfter    uint64 `json:"capacity_after"`
	Gained           uint32 `json:"gained"`
}

func (s shareJSON) partitions() string {
	return fmt.Sprintf("%d → %d", s.PartitionsBefore, s.PartitionsAfter)
}

func (s shareJSON) capacity() string {
	return fmt.Sprintf("%s → %s", bytesText(int64(s.CapacityBefore)), bytesText(int64(s.CapacityAfter)))
}

func newShares(shares []*adminv1.Share) []shareJSON {
	all := []shareJSON{}
	for _, s := range shares {
		all = append(all, shareJSON{s.GetName(), s.GetZone(), s.GetPartitionsBefore(), s.GetPartitionsAfter(), s.GetCapacityBefore(), s.GetCapacityAfter(), s.GetGained()})
	}
	return all
}

func layoutPlan(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "plan", Short: "Tell what putting in force what is staged would do", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				p, err := admin.PlanLayout(ctx, &adminv1.PlanLayoutRequest{})
				if err != nil {
					return err
				}
				v := &planJSON{Revision: p.GetRevision(), After: newLayoutJSON(p.GetAfter()), Nodes: newShares(p.GetNodes()), Zones: newShares(p.GetZones()),
					Moved: p.GetMoved(), UsableBefore: p.GetUsableBefore(), UsableAfter: p.GetUsableAfter(), Obstacle: p.GetObstacle()}
				return c.show(cmd, v, func(w io.Writer) { v.write(w) })
			})
		},
	}
}

func (v *planJSON) write(w io.Writer) {
	row(w, "layout", fmt.Sprintf("number %d, %d copies on %d nodes", v.After.Number, v.After.Replication, len(v.After.Nodes)))
	row(w, "room", fmt.Sprintf("%s → %s", bytesText(int64(v.UsableBefore)), bytesText(int64(v.UsableAfter))))
	row(w, "moved", fmt.Sprintf("%d copies of partitions to nodes that did not have them", v.Moved))
	row(w, "")
	row(w, "NODE", "ZONE", "PARTITIONS", "CAPACITY", "GAINED")
	for _, n := range v.Nodes {
		row(w, n.Name, n.Zone, n.partitions(), n.capacity(), n.Gained)
	}
	row(w, "")
	row(w, "ZONE", "", "PARTITIONS", "CAPACITY", "GAINED")
	for _, z := range v.Zones {
		row(w, z.Name, "", z.partitions(), z.capacity(), z.Gained)
	}
	row(w, "")
	if v.Obstacle != "" {
		row(w, "it cannot be applied: "+v.Obstacle)
		return
	}
	row(w, fmt.Sprintf("put it in force with: garage layout apply --revision %d", v.Revision))
}
