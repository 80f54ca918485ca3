package local

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Task is a process that Nomad runs.
type Task struct {
	// Name is that of the program with the number of the node (chunk-node-2), or of the instance (s3-gateway-1).
	Name string
	Job  string
	// Node is the machine that runs it: node-2.
	Node string
	// Allocation is Nomad's id of it.
	Allocation string
	// PID is 0 when the process does not run at the moment.
	PID int
	// Data is the folder that the process alone writes.
	Data string
	// Admin is the address of its administration server.
	Admin string
	// Log takes what it says.
	Log string
}

// Tasks lists what Nomad runs of Garage's services, and Traefik.
func (c *Cluster) Tasks(ctx context.Context) ([]Task, error) {
	n, err := c.nomad()
	if err != nil {
		return nil, err
	}
	running, err := processes()
	if err != nil {
		return nil, err
	}
	var tasks []Task
	for _, id := range []string{JobChunkNode, JobMetadata, JobRebalancer, JobGateway, JobTraefik} {
		all, err := n.allocations(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			number := strconv.Itoa(a.index() + 1)
			if id == JobChunkNode {
				number = strings.TrimPrefix(a.NodeName, "node-")
			}
			t := Task{Name: a.TaskGroup + "-" + number, Job: id, Node: a.NodeName, Allocation: a.ID}
			t.Log = filepath.Join(c.stack.Data(), "nomad-"+a.NodeName, "data", "alloc", a.ID, "alloc", "logs", a.TaskGroup+".stderr.0")
			if p, ok := running[a.ID]; ok {
				t.PID, t.Data, t.Admin = p.pid, p.env["GARAGE_DATA"], p.env["GARAGE_ADMIN_LISTEN"]
			}
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// started is a process that Nomad has started.
type started struct {
	pid int
	env map[string]string
}

// processes finds the processes that Nomad's agents on this machine started, by the id of their allocation. The kernel knows
// them as soon as they run; Nomad's own account of them is some seconds old.
func processes() (map[string]started, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	found := map[string]started{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// One that has ended, or that belongs to another user, has nothing to read.
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !bytes.Contains(text, []byte("NOMAD_ALLOC_ID=")) {
			continue
		}
		env := map[string]string{}
		for pair := range strings.SplitSeq(string(text), "\x00") {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		found[env["NOMAD_ALLOC_ID"]] = started{pid: pid, env: env}
	}
	return found, nil
}

// jobTail is the end of what the tasks of a job said, for an error.
func (c *Cluster) jobTail(n nomad, id string) string {
	var all []allocation
	if err := n.get(context.Background(), "/v1/job/"+id+"/allocations", &all); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, a := range all {
		pattern := filepath.Join(c.stack.Data(), "nomad-*", "data", "alloc", a.ID, "alloc", "logs", "*.std*.0")
		logs, _ := filepath.Glob(pattern) // the pattern is sound
		for _, log := range logs {
			text, err := os.ReadFile(log)
			if err != nil || len(text) == 0 {
				continue
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			fmt.Fprintf(&b, "--- %s on %s (%s)\n%s\n", a.Name, a.NodeName, a.ClientStatus, strings.Join(lines[max(0, len(lines)-15):], "\n"))
		}
	}
	return b.String()
}
