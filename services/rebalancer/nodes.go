package rebalancer

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// nodeView is a chunk-node as all sources together show it.
type nodeView struct {
	id         chunk.NodeID
	instance   *consul.Instance // nil: Consul does not know it
	desired    *layout.Node     // nil: it is not in the current layout
	former     bool             // it is in an older layout in force, and not in the current one
	lost       bool             // the operator has given it up for the newest layout in force that has it
	behind     bool             // it has not yet walked under the current layout
	partitions int
	placed     bool // it was in an earlier layout
	reports    bool // reports are expected: this instance is the active one
	seen       seen
	machine    string
}

// alive reports whether Consul's checks pass and, where that can be told, it reports.
func (n *nodeView) alive() bool {
	return n.instance != nil && n.instance.Healthy && (!n.reports || n.seen.present)
}

func (n *nodeView) state() adminv1.NodeState {
	switch {
	case n.desired != nil && n.seen.leaving:
		return adminv1.NodeState_NODE_STATE_LEAVING
	case n.desired != nil && n.alive():
		return adminv1.NodeState_NODE_STATE_HEALTHY
	case n.lost && !n.alive():
		return adminv1.NodeState_NODE_STATE_LOST
	case n.desired != nil:
		return adminv1.NodeState_NODE_STATE_MISSING
	case !n.alive():
		return adminv1.NodeState_NODE_STATE_UNSPECIFIED
	// Its trash may be the only copy of what metadata turns out to know.
	case n.seen.report.GetStatus().GetChunks() > 0, n.seen.report.GetStatus().GetTrashed() > 0, n.former && n.behind:
		return adminv1.NodeState_NODE_STATE_DRAINING
	case n.placed, n.former:
		return adminv1.NodeState_NODE_STATE_EMPTY
	}
	return adminv1.NodeState_NODE_STATE_NEW
}

// problem is what the operator should know about it, or empty.
func (n *nodeView) problem() string {
	status := n.seen.report.GetStatus()
	switch {
	case n.seen.leaving:
		return "it is about to stop"
	case n.lost && !n.alive():
		return "it was declared lost: what only it has is missing until it is back"
	case n.former && n.behind && !n.alive():
		return "it was taken out of the layout and is away before it has handed over what it holds: start it or, if it will not come back, declare it lost with: garage layout lost"
	case n.instance == nil && n.desired != nil:
		return "Consul does not know it: is it running?"
	case n.instance != nil && !n.instance.Healthy:
		return "Consul's checks of it fail"
	case n.reports && !n.seen.present:
		return "it does not report to the active rebalancer"
	case n.desired != nil && n.instance != nil && n.instance.Zone != "" && n.desired.Zone != n.instance.Zone:
		return fmt.Sprintf("it says that its zone is %s, and the layout has %s", n.instance.Zone, n.desired.Zone)
	case status != nil:
		return status.GetProblem()
	}
	return ""
}

func (n *nodeView) message(now time.Time) *adminv1.Node {
	m := &adminv1.Node{Id: n.id.String(), Alive: n.alive(), State: n.state(), Machine: n.machine, Problem: n.problem(), Partitions: uint32(n.partitions)}
	if n.instance != nil {
		m.Zone, m.Address, m.Version, m.CapacityText = n.instance.Zone, n.instance.Address, n.instance.Version, n.instance.Capacity
		if m.Consul = "critical"; n.instance.Healthy {
			m.Consul = "passing"
		}
	}
	if n.desired != nil {
		m.Zone = n.desired.Zone
	}
	if st := n.seen.report.GetStatus(); st != nil {
		fill(m, st, now)
	}
	if t := n.seen.report.GetTraffic(); t != nil {
		m.Reads, m.Writes, m.References, m.Deletes, m.Errors = t.GetReads(), t.GetWrites(), t.GetReferences(), t.GetDeletes(), t.GetErrors()
		m.BytesRead, m.BytesWritten = t.GetBytesRead(), t.GetBytesWritten()
	}
	m.Collected = n.seen.report.GetCollection().GetCollected()
	return m
}

// messages are nodes as the operator is told of them.
func messages(views []*nodeView, now time.Time) []*adminv1.Node {
	all := make([]*adminv1.Node, len(views))
	for i, v := range views {
		all[i] = v.message(now)
	}
	clearUncompared(all)
	return all
}

// clearUncompared takes Node.uncompared back where a node can lack nothing: no layout has had it, or no other node holds a chunk by what it told last.
// Of a node that is away it is not said either.
func clearUncompared(nodes []*adminv1.Node) {
	for _, n := range nodes {
		n.Uncompared = n.GetUncompared() && n.GetAlive() && n.GetState() != adminv1.NodeState_NODE_STATE_NEW &&
			slices.ContainsFunc(nodes, func(o *adminv1.Node) bool {
				return o != n && (o.GetChunks() > 0 || !o.GetAlive() && o.GetCapacity() == 0)
			})
	}
}

// views are the nodes of the layout, of Consul and of the reports, sorted by ID. t is nil where this instance is not
// the active one: then nothing is known of reports. With an error, it is not known which were in an earlier layout.
func (s *Service) views(ctx context.Context, t *term, snapshot kv.Snapshot) ([]*nodeView, error) {
	all := map[chunk.NodeID]*nodeView{}
	get := func(id chunk.NodeID) *nodeView {
		if all[id] == nil {
			all[id] = &nodeView{id: id, reports: t != nil}
		}
		return all[id]
	}
	for _, i := range s.cluster.consul.Watch(consul.ServiceChunkNode).Instances() {
		if i.NodeID == (chunk.NodeID{}) {
			continue
		}
		// A node that moved to another machine is still listed, critical, where it was.
		if n := get(i.NodeID); n.instance == nil || i.Healthy {
			n.instance, n.machine = &i, i.Machine
		}
	}
	if t != nil {
		for id, r := range t.roster.all(s.deps.Clock.Now()) {
			get(id).seen = r
		}
	}
	if snapshot.Active != nil {
		placements(snapshot, get)
	}
	placed, err := s.cluster.placedBefore(ctx, snapshot.Layout().Number)
	sorted := make([]*nodeView, 0, len(all))
	for id, n := range all {
		n.placed = placed[id]
		sorted = append(sorted, n)
	}
	slices.SortFunc(sorted, func(a, b *nodeView) int { return bytes.Compare(a.id[:], b.id[:]) })
	return sorted, err
}

// placements fills in where the layouts in force have nodes.
func placements(snapshot kv.Snapshot, get func(chunk.NodeID) *nodeView) {
	for _, p := range snapshot.Active.Placements() {
		current := p.Layout.Number == snapshot.Active.Number()
		slots := p.Assignment.Slots()
		for i, n := range p.Layout.Nodes {
			v := get(n.ID)
			v.former, v.lost = !current, snapshot.LostFor(n.ID, p.Layout.Number)
			v.behind = v.seen.report.GetStatus().GetWalked() < snapshot.Active.Number()
			if current {
				v.desired, v.partitions = &n, slots[i]
			}
		}
	}
}

// placedBefore are the nodes of all layouts before a number; with an error, of some. Published layouts never change, so each
// is read once.
func (c *cluster) placedBefore(ctx context.Context, number uint64) (map[chunk.NodeID]bool, error) {
	c.history.Lock()
	defer c.history.Unlock()
	if c.placed == nil {
		c.placed = map[chunk.NodeID]bool{}
	}
	for c.read+1 < number {
		p, err := c.store.Get(ctx, c.read+1)
		if err != nil && !errors.Is(err, errors.NotFound) { // Consul may have lost what was retired
			return maps.Clone(c.placed), err
		}
		for _, n := range p.Layout.Nodes {
			c.placed[n.ID] = true
		}
		c.read++
	}
	return maps.Clone(c.placed), nil
}
