package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"deuxfleurs.fr/garage/pkg/rpc"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// statusJSON is the cluster as --json shows it.
type statusJSON struct {
	ClusterID   string `json:"cluster_id"`
	Version     string `json:"version"`
	Healthy     bool   `json:"healthy"`
	Problem     string `json:"problem,omitempty"`
	Layout      uint64 `json:"layout"`
	Replication uint32 `json:"replication"`
	// What the metadata knows is left out where no metadata service answers.
	*storedJSON
	Nodes    []nodeJSON    `json:"nodes"`
	Services []serviceJSON `json:"services"`
	// OldestLayout is the number of the oldest layout in force: below that of layout while data moves.
	OldestLayout uint64        `json:"oldest_layout"`
	Waiting      []waitingJSON `json:"waiting"`
	// Partitions is null where that is not known.
	Partitions *partitionsJSON `json:"partitions"`
	// Database is the machines of the database whose repair is recorded.
	Database []repairedJSON `json:"database"`
	// Unreached is the parts that gave no answer.
	Unreached []unreachedJSON `json:"unreached"`
}

// storedJSON is how much there is.
type storedJSON struct {
	Buckets int64 `json:"buckets"`
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
	Uploads int64 `json:"uploads"`
}

type unreachedJSON struct {
	Part    string `json:"part"` // metadata, consul or rebalancer
	Problem string `json:"problem"`
}

type nodeJSON struct {
	ID           string `json:"id"`
	Machine      string `json:"machine,omitempty"`
	Zone         string `json:"zone"`
	Address      string `json:"address"`
	State        string `json:"state"`
	Consul       string `json:"consul,omitempty"`
	CapacityText string `json:"capacity_text,omitempty"`
	Alive        bool   `json:"alive"`
	ReadOnly     bool   `json:"read_only"`
	Problem      string `json:"problem,omitempty"`
	Version      string `json:"version"`
	Partitions   uint32 `json:"partitions"`
	Chunks       int64  `json:"chunks"`
	Bytes        int64  `json:"bytes"`
	StoredBytes  int64  `json:"stored_bytes"`
	Capacity     int64  `json:"capacity"`
	Free         int64  `json:"free"`
	Owed         int64  `json:"owed"`
	Quarantined  int64  `json:"quarantined"`
	Uncollected  int64  `json:"uncollected"`
	// Layout is the number of the one it has adopted, Walked that of the last one that it has carried out.
	Layout  uint64 `json:"layout"`
	Walked  uint64 `json:"walked"`
	Foreign int64  `json:"foreign"` // chunks that belong to others
	Wanted  int64  `json:"wanted"`  // chunks without a good copy
	Trashed int64  `json:"trashed"` // bytes
	// Uncompared is that it began with an empty disk, and has not yet compared with the others which copies it lacks; false where that is away,
	// no layout has had it, or no other node holds a chunk by what it told last.
	Uncompared bool       `json:"uncompared"`
	Tasks      []taskJSON `json:"tasks"`
	trafficJSON
}

// trafficJSON counts since the node's start.
type trafficJSON struct {
	Reads        int64 `json:"reads"`
	Writes       int64 `json:"writes"`
	References   int64 `json:"references"`
	Deletes      int64 `json:"deletes"`
	BytesRead    int64 `json:"bytes_read"`
	BytesWritten int64 `json:"bytes_written"`
	Errors       int64 `json:"errors"`
	Collected    int64 `json:"collected"`
}

func newNodeJSON(n *adminv1.Node) nodeJSON {
	v := nodeJSON{ID: n.GetId(), Machine: n.GetMachine(), Zone: n.GetZone(), Address: n.GetAddress(), Consul: n.GetConsul(), CapacityText: n.GetCapacityText(), Alive: n.GetAlive(),
		ReadOnly: n.GetReadOnly(), Problem: n.GetProblem(), Version: n.GetVersion(), Partitions: n.GetPartitions(),
		Chunks: n.GetChunks(), Bytes: n.GetBytes(), StoredBytes: n.GetStoredBytes(), Capacity: n.GetCapacity(),
		Free: n.GetFree(), Owed: n.GetOwed(), Quarantined: n.GetQuarantined(), Uncollected: n.GetUncollected(),
		trafficJSON: trafficJSON{Reads: n.GetReads(), Writes: n.GetWrites(), References: n.GetReferences(), Deletes: n.GetDeletes(),
			BytesRead: n.GetBytesRead(), BytesWritten: n.GetBytesWritten(), Errors: n.GetErrors(), Collected: n.GetCollected()}}
	v.State = stateOf(n)
	v.Layout, v.Walked, v.Foreign, v.Wanted, v.Trashed = n.GetLayout(), n.GetWalked(), n.GetForeign(), n.GetWanted(), n.GetTrashed()
	v.Uncompared = n.GetUncompared()
	v.Tasks = []taskJSON{}
	for _, t := range n.GetTasks() {
		v.Tasks = append(v.Tasks, newTaskJSON(t))
	}
	return v
}

// stateOf is a node's state as one word. Where the layout is a file there is no other source than whether it answers.
func stateOf(n *adminv1.Node) string {
	switch n.GetState() {
	case adminv1.NodeState_NODE_STATE_MISSING:
		return "missing"
	case adminv1.NodeState_NODE_STATE_NEW:
		return "new"
	case adminv1.NodeState_NODE_STATE_DRAINING:
		return "draining"
	case adminv1.NodeState_NODE_STATE_EMPTY:
		return "empty"
	case adminv1.NodeState_NODE_STATE_LEAVING:
		return "leaving"
	case adminv1.NodeState_NODE_STATE_LOST:
		return "lost"
	}
	if !n.GetAlive() {
		return "away"
	}
	return "healthy"
}

type serviceJSON struct {
	Name    string `json:"name"`
	Machine string `json:"machine,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Address string `json:"address"`
	Version string `json:"version,omitempty"`
	Healthy bool   `json:"healthy"`
	Active  bool   `json:"active,omitempty"`
	Problem string `json:"problem,omitempty"`
}

func newStatus() *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{
		Use: "status", Short: "Tell how the cluster is", Args: cobra.NoArgs,
		Long: `Tell how the cluster is: its nodes and services, what they are doing, and what needs attention.

OWED is the chunks that a node has to send to others, BAD the copies that it found damaged and set aside, WANTED the chunks
of which it lacks a good copy and looks for one: all go back to 0 by themselves while the other owners are there.

A part that does not answer is named with what to do, the rest is shown, and the exit status is 6. It is 0 where all
parts answer, whether all is well or not: with --json, "healthy" says that.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.GetStatus(ctx, &adminv1.GetStatusRequest{})
				if err != nil {
					return err
				}
				v := newStatusJSON(answer)
				// What it adds is not worth an error: the nodes above say what is wrong.
				if partitions, err := admin.GetPartitions(ctx, &adminv1.GetPartitionsRequest{CountsOnly: true}); err == nil {
					v.Partitions = newPartitions(partitions)
				}
				if err := c.show(cmd, v, func(w io.Writer) { v.write(w) }); err != nil {
					return err
				}
				if len(v.Unreached) > 0 {
					return exitError(exitUnavailable)
				}
				return nil
			})
		},
	}
	c.addFlags(cmd)
	return watched(c, cmd)
}

func newStatusJSON(s *adminv1.GetStatusResponse) *statusJSON {
	v := &statusJSON{ClusterID: s.GetClusterId(), Version: s.GetVersion(), Healthy: true, Layout: s.GetLayout(),
		Replication: s.GetReplication(), Nodes: []nodeJSON{}, Services: []serviceJSON{}, Unreached: []unreachedJSON{},
		storedJSON: &storedJSON{Buckets: s.GetBuckets(), Objects: s.GetObjects(), Bytes: s.GetBytes(), Uploads: s.GetUploads()}}
	for _, u := range s.GetUnreached() {
		v.Unreached = append(v.Unreached, unreachedJSON{rpc.EnumText(u.GetPart()), u.GetProblem()})
		if u.GetPart() == adminv1.StatusPart_STATUS_PART_METADATA {
			v.storedJSON = nil
		}
	}
	v.OldestLayout, v.Waiting = s.GetOldestLayout(), newWaiting(s.GetWaiting())
	v.Database = newRepaired(s.GetDatabase())
	v.Problem, v.Healthy = s.GetProblem(), s.GetProblem() == ""
	for _, n := range s.GetNodes() {
		one := newNodeJSON(n)
		v.Nodes = append(v.Nodes, one)
		v.Healthy = v.Healthy && n.GetAlive() && !n.GetReadOnly() && n.GetProblem() == "" && n.GetWanted() == 0 && !one.Uncompared
	}
	for _, p := range s.GetServices() {
		v.Services = append(v.Services, serviceJSON{Name: p.GetName(), Machine: p.GetMachine(), Zone: p.GetZone(), Address: p.GetAddress(),
			Version: p.GetVersion(), Healthy: p.GetHealthy(), Active: p.GetActive(), Problem: p.GetProblem()})
		v.Healthy = v.Healthy && p.GetHealthy()
	}
	return v
}

func (v *statusJSON) write(w io.Writer) {
	state := "healthy"
	if !v.Healthy {
		state = "something needs attention, see below"
	}
	row(w, "cluster", v.ClusterID)
	row(w, "state", state)
	row(w, "version", v.Version)
	if v.Problem != "" {
		row(w, "problem", v.Problem)
	}
	if v.Layout == 0 {
		row(w, "layout", "none is in force")
	} else {
		row(w, "layout", fmt.Sprintf("%s, %d copies, %d nodes", layoutsText(v.OldestLayout, v.Layout), v.Replication, len(v.Nodes)))
	}
	if v.Partitions != nil {
		row(w, "partitions", v.Partitions.text())
	}
	if v.storedJSON != nil {
		row(w, "buckets", v.Buckets)
		row(w, "objects", fmt.Sprintf("%d, %s", v.Objects, bytesText(v.Bytes)))
		row(w, "uploads in progress", v.Uploads)
	}
	if len(v.Database) > 0 {
		row(w, "database repaired", repairedText(v.Database, time.Now()))
	}
	row(w, "")
	row(w, "NODE", "ZONE", "ADDRESS", "STATE", "CHUNKS", "SIZE", "FREE", "OF", "PARTITIONS", "OWED", "BAD", "WANTED")
	for _, n := range v.Nodes {
		row(w, n.ID, n.Zone, orDash(n.Address), n.state(), n.Chunks, bytesText(n.Bytes), bytesText(n.Free), bytesText(n.Capacity), n.Partitions, n.Owed, n.Quarantined, n.Wanted)
	}
	v.writeTasks(w)
	row(w, "")
	row(w, "SERVICE", "ADDRESS", "STATE")
	for _, s := range v.Services {
		state := "healthy"
		if s.Active {
			state = "healthy, active"
		}
		if !s.Healthy {
			state = "not healthy: " + s.Problem
		}
		row(w, s.Name, orDash(s.Address), state, s.Machine)
	}
	if len(v.Waiting) > 0 {
		row(w, "")
		writeWaiting(w, v.Waiting)
	}
	for _, n := range v.Nodes {
		if n.Problem != "" {
			row(w, "")
			row(w, "node "+n.ID+": "+n.Problem)
		}
		if n.Uncompared {
			row(w, "")
			row(w, "node "+n.ID+": it began with an empty disk, and is still comparing with other nodes which copies it lacks: take no other node away before it has ended (garage repair status)")
		}
	}
}

// writeTasks shows what nodes are doing now, and what is in their way.
func (v *statusJSON) writeTasks(w io.Writer) {
	said := false
	for _, n := range v.Nodes {
		for _, t := range n.Tasks {
			if t.State == "idle" {
				continue
			}
			if !said {
				said = true
				row(w, "")
				row(w, "NODE", "TASK", "STATE", "DONE", "BYTES", "LEFT", "")
			}
			row(w, n.ID, t.Task, t.State, t.share(), bytesText(t.Bytes), t.left(), t.Note)
		}
	}
}

func (n nodeJSON) state() string {
	switch {
	case n.State != "healthy":
		return n.State
	case n.ReadOnly:
		return "read-only"
	case n.Problem != "":
		return "problem"
	case n.Uncompared:
		return "comparing"
	}
	return "healthy"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
