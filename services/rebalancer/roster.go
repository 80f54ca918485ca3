package rebalancer

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

// freshFor is how long a report says how its node is. Nodes report every few seconds.
const freshFor = 10 * time.Second

// roster is what the nodes have reported to this instance in one term.
type roster struct {
	mu    sync.Mutex
	nodes map[chunk.NodeID]*attendance
}

// attendance is one node's stream, or the last one it had.
type attendance struct {
	process uuid.UUID
	report  *clusterv1.ReportRequest // the last one; it is not changed
	at      time.Time                // of the report
	since   time.Time                // of the stream's beginning
	open    bool
	serial  int // of the stream, for its owner
}

func newRoster() *roster { return &roster{nodes: map[chunk.NodeID]*attendance{}} }

// join opens a node's stream. It refuses a second process of a node that is there. Kinds: AlreadyExists; Overloaded.
func (r *roster) join(node chunk.NodeID, process uuid.UUID, now time.Time) (serial int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.nodes[node]
	switch {
	case a == nil && len(r.nodes) >= layout.MaxNodes:
		return 0, errors.E(errors.Overloaded, errors.Node, node.String(), "more than %d nodes report", layout.MaxNodes)
	case a == nil:
		a = &attendance{}
		r.nodes[node] = a
	case a.open && a.process != process && now.Sub(a.at) < freshFor:
		return 0, errors.E(errors.AlreadyExists, errors.Node, node.String(), "another process reports as this node: is its data folder copied, or started twice?")
	}
	a.process, a.open, a.serial = process, true, a.serial+1
	// Until it has reported, nothing is known about it, as a new process or after a pause.
	a.report, a.at, a.since = nil, now, now
	return a.serial, nil
}

// put takes a report of a stream. It returns false if the stream was replaced by a newer one.
func (r *roster) put(node chunk.NodeID, serial int, report *clusterv1.ReportRequest, now time.Time) (current bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.nodes[node]
	if a.serial != serial {
		return false
	}
	a.report, a.at = report, now
	return true
}

// leave closes a stream.
func (r *roster) leave(node chunk.NodeID, serial int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.nodes[node]; a.serial == serial {
		a.open = false
	}
}

// seen is what is known about a node now.
type seen struct {
	process uuid.UUID
	since   time.Time                // of its stream's beginning
	report  *clusterv1.ReportRequest // the last one, perhaps an old one; nil if there is none
	present bool                     // its stream is open, its report is fresh, and it is not leaving
	leaving bool                     // its stream is open, and it says that it is about to stop
}

// all returns what is known about each node that has reported in this term.
func (r *roster) all(now time.Time) map[chunk.NodeID]seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[chunk.NodeID]seen, len(r.nodes))
	for id, a := range r.nodes {
		open, leaving := a.open && a.report != nil && now.Sub(a.at) < freshFor, a.report.GetLeaving()
		all[id] = seen{process: a.process, since: a.since, report: a.report, present: open && !leaving, leaving: open && leaving}
	}
	return all
}

// highest is the number of the newest layout that a node has reported to have adopted.
func (r *roster) highest() (number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.nodes {
		number = max(number, a.report.GetStatus().GetLayout())
	}
	return number
}
