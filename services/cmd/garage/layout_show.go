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
	// Oldest is the number of the oldest layout in force: below that of the current one while data moves.
	Oldest  uint64         `json:"oldest"`
	Waiting []waitingJSON  `json:"waiting"`
	Lost    []lostNodeJSON `json:"lost"`
	// Recovered is not null if Consul had lost the current layout.
	Recovered *recoveredJSON `json:"recovered"`
	Problem   string         `json:"problem,omitempty"`
	Nodes     []nodeJSON     `json:"nodes"`
}

// waitingJSON is a node that the retirement of a layout waits for.
type waitingJSON struct {
	Node   string `json:"node"`
	Layout uint64 `json:"layout"`
	Reason string `json:"reason"`
}

func newWaiting(list []*adminv1.Waiting) []waitingJSON {
	all := []waitingJSON{}
	for _, w := range list {
		all = append(all, waitingJSON{w.GetNode(), w.GetLayout(), w.GetReason()})
	}
	return all
}

// writeWaiting says which nodes layouts wait for.
func writeWaiting(w io.Writer, waiting []waitingJSON) {
	for _, n := range waiting {
		row(w, fmt.Sprintf("layout %d waits for the node %s: %s", n.Layout, n.Node, n.Reason))
	}
}

// lostNodeJSON is a node that the operator has given up.
type lostNodeJSON struct {
	Node   string `json:"node"`
	Layout uint64 `json:"layout"` // the last one for which it counts as lost
	At     string `json:"at"`
}

// recoveredJSON says where a layout came from that Consul had lost.
type recoveredJSON struct {
	Layout uint64 `json:"layout"`
	Lost   uint64 `json:"lost"` // what Consul had instead; 0: none
	From   string `json:"from"`
	At     string `json:"at"`
}

func newRecovered(r *adminv1.RecoveredLayout) *recoveredJSON {
	if r == nil {
		return nil
	}
	return &recoveredJSON{Layout: r.GetLayout(), Lost: r.GetLost(), From: r.GetFrom(), At: timeText(r.GetAt())}
}

func (r *recoveredJSON) text() string {
	had := "none"
	if r.Lost > 0 {
		had = fmt.Sprintf("layout %d", r.Lost)
	}
	return fmt.Sprintf("layout %d was put back at %s as %s had it, since Consul had lost data and had %s: changes that were staged must be staged again",
		r.Layout, r.At, r.From, had)
}

// layoutsText is the number of the current layout, and of the oldest one in force.
func layoutsText(oldest, current uint64) string {
	if oldest == 0 || oldest == current {
		return fmt.Sprintf("number %d", current)
	}
	return fmt.Sprintf("number %d (and from %d on, while data moves)", current, oldest)
}

func layoutShow(c *connection) *cobra.Command {
	return watched(c, &cobra.Command{
		Use: "show", Short: "Tell which nodes there should be, which there are, and what is staged", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.GetLayout(ctx, &adminv1.GetLayoutRequest{})
				if err != nil {
					return err
				}
				v := &layoutShowJSON{Current: newLayoutJSON(answer.GetCurrent()), Staged: newStagedJSON(answer.GetStaged()), Revision: answer.GetRevision(),
					History: append([]uint64{}, answer.GetHistory()...), Oldest: answer.GetOldest(), Waiting: newWaiting(answer.GetWaiting()),
					Lost: []lostNodeJSON{}, Nodes: []nodeJSON{}}
				v.Recovered, v.Problem = newRecovered(answer.GetRecovered()), answer.GetProblem()
				for _, l := range answer.GetLost() {
					v.Lost = append(v.Lost, lostNodeJSON{l.GetNode(), l.GetLayout(), timeText(l.GetAt())})
				}
				for _, n := range answer.GetNodes() {
					v.Nodes = append(v.Nodes, newNodeJSON(n))
				}
				return c.show(cmd, v, func(w io.Writer) { writeLayout(w, v, answer) })
			})
		},
	})
}

func writeLayout(w io.Writer, v *layoutShowJSON, answer *adminv1.GetLayoutResponse) {
	desired := map[string]*adminv1.LayoutNode{}
	if l := answer.GetCurrent(); l == nil {
		row(w, "layout", "none is in force")
	} else {
		row(w, "layout", fmt.Sprintf("%s, %d copies, room for %s", layoutsText(v.Oldest, l.GetNumber()), l.GetReplication(), bytesText(int64(l.GetUsable()))))
		for _, n := range l.GetNodes() {
			desired[n.GetId()] = n
		}
	}
	if v.Problem != "" {
		row(w, v.Problem)
	}
	if v.Recovered != nil {
		row(w, v.Recovered.text())
	}
	writeWaiting(w, v.Waiting)
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
