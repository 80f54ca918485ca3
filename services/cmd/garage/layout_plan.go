package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// planJSON is what a change does.
type planJSON struct {
	Revision     uint64      `json:"revision"`
	After        *layoutJSON `json:"after"`
	Nodes        []shareJSON `json:"nodes"`
	Zones        []shareJSON `json:"zones"`
	Moved        uint32      `json:"moved"`
	UsableBefore uint64      `json:"usable_before"`
	UsableAfter  uint64      `json:"usable_after"`
	Stored       uint64      `json:"stored"`
	Bytes        uint64      `json:"bytes"`   // that move
	Seconds      float64     `json:"seconds"` // that moving takes, about; 0: not known
	Rate         int64       `json:"rate"`    // bytes a second of each node
	Remarks      []string    `json:"remarks"`
	Risk         string      `json:"risk,omitempty"`
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
	Lost             uint32 `json:"lost"`
	Received         uint64 `json:"received"`
	Sent             uint64 `json:"sent"`
	Unused           uint64 `json:"unused"`
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
		all = append(all, shareJSON{s.GetName(), s.GetZone(), s.GetPartitionsBefore(), s.GetPartitionsAfter(), s.GetCapacityBefore(), s.GetCapacityAfter(),
			s.GetGained(), s.GetLost(), s.GetReceived(), s.GetSent(), s.GetUnused()})
	}
	return all
}

func layoutPlan(c *connection) *cobra.Command {
	var rateFlag string
	cmd := &cobra.Command{
		Use: "plan [--rate SIZE]", Short: "Tell what putting in force what is staged would do", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rate, err := parseRate(rateFlag)
			if err != nil {
				return err
			}
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				p, err := admin.PlanLayout(ctx, &adminv1.PlanLayoutRequest{Rate: rate})
				if err != nil {
					return err
				}
				v := &planJSON{Revision: p.GetRevision(), After: newLayoutJSON(p.GetAfter()), Nodes: newShares(p.GetNodes()), Zones: newShares(p.GetZones()),
					Moved: p.GetMoved(), UsableBefore: p.GetUsableBefore(), UsableAfter: p.GetUsableAfter(), Stored: p.GetStored(), Bytes: p.GetBytes(),
					Seconds: p.GetDuration().AsDuration().Seconds(), Rate: p.GetRate(), Remarks: append([]string{}, p.GetRemarks()...), Risk: p.GetRisk(), Obstacle: p.GetObstacle()}
				return c.show(cmd, v, v.write)
			})
		},
	}
	cmd.Flags().StringVar(&rateFlag, "rate", "", "reckon with this many bytes a second from each node, such as 10MB; by default what nodes say")
	return cmd
}

func (v *planJSON) write(w io.Writer) {
	row(w, "layout", fmt.Sprintf("number %d, %d copies on %d nodes", v.After.Number, v.After.Replication, len(v.After.Nodes)))
	row(w, "room", fmt.Sprintf("%s → %s, of which about %s are in use", bytesText(int64(v.UsableBefore)), bytesText(int64(v.UsableAfter)), bytesText(int64(v.Stored))))
	row(w, "moved", fmt.Sprintf("%d copies of partitions to nodes that did not have them, about %s", v.Moved, bytesText(int64(v.Bytes))))
	if v.Seconds > 0 {
		row(w, "takes", fmt.Sprintf("about %s at %s from each node", durationText(time.Duration(v.Seconds*float64(time.Second))), rateText(v.Rate)))
	}
	for _, title := range []string{"NODE", "ZONE"} {
		shares := v.Nodes
		if title == "ZONE" {
			shares = v.Zones
		}
		row(w, "")
		row(w, title, "ZONE", "PARTITIONS", "CAPACITY", "UNUSED", "GAINED", "LOST", "RECEIVES", "SENDS")
		for _, s := range shares {
			row(w, s.Name, s.Zone, s.partitions(), s.capacity(), bytesText(int64(s.Unused)), s.Gained, s.Lost, bytesText(int64(s.Received)), bytesText(int64(s.Sent)))
		}
	}
	row(w, "")
	for _, r := range v.Remarks {
		row(w, r)
	}
	switch {
	case v.Obstacle != "":
		row(w, "it cannot be applied: "+v.Obstacle)
	case v.Risk != "":
		row(w, "it is applied only with --force: "+v.Risk)
	default:
		row(w, fmt.Sprintf("put it in force with: garage layout apply --revision %d", v.Revision))
	}
}
