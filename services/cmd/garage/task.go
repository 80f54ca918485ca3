package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/rpc"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// taskJSON is what a node does in the background as --json shows it.
type taskJSON struct {
	Task     string  `json:"task"`
	State    string  `json:"state"` // idle, running, stopped or stuck
	Layout   uint64  `json:"layout,omitempty"`
	Done     int64   `json:"done"`
	Total    int64   `json:"total"`
	Bytes    int64   `json:"bytes"`
	Rate     int64   `json:"rate"` // bytes a second; 0: no limit
	Began    string  `json:"began"`
	Ended    string  `json:"ended"`
	Left     float64 `json:"seconds_left,omitempty"`
	Problems int64   `json:"problems"`
	Note     string  `json:"note,omitempty"`
}

func newTaskJSON(m *adminv1.NodeTask) taskJSON {
	st := m.GetStatus()
	return taskJSON{Task: rpc.EnumText(st.GetTask()), State: rpc.EnumText(st.GetState()), Layout: st.GetLayout(), Done: st.GetDone(), Total: st.GetTotal(),
		Bytes: st.GetBytes(), Rate: st.GetRate(), Began: timeText(st.GetBegan()), Ended: timeText(st.GetEnded()), Left: m.GetLeft().AsDuration().Seconds(),
		Problems: st.GetProblems(), Note: st.GetNote()}
}

// nodeTaskJSON is a task of a node, or why the node did not take a command.
type nodeTaskJSON struct {
	Node    string `json:"node"`
	Problem string `json:"problem,omitempty"`
	*taskJSON
}

// command has nodes start or stop a task; all nodes without names.
func (c *connection) command(cmd *cobra.Command, r *adminv1.CommandNodesRequest) ([]nodeTaskJSON, error) {
	all := []nodeTaskJSON{}
	err := c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
		answer, err := admin.CommandNodes(ctx, r)
		if err != nil {
			return err
		}
		for _, n := range answer.GetNodes() {
			v := nodeTaskJSON{Node: n.GetNode(), Problem: n.GetProblem()}
			if n.GetTask() != nil {
				task := newTaskJSON(n.GetTask())
				v.taskJSON = &task
			}
			all = append(all, v)
		}
		return nil
	})
	return all, err
}

// refused is the error of a command that some nodes did not take, or nil.
func refused(nodes []nodeTaskJSON) error {
	for _, n := range nodes {
		if n.Problem != "" {
			return fmt.Errorf("not every node did what it was told: node %s: %s", n.Node, n.Problem)
		}
	}
	return nil
}

// tasks asks each node of the cluster how far a task is.
func (c *connection) tasks(cmd *cobra.Command, task chunknodev1.Task) ([]nodeTaskJSON, error) {
	all := []nodeTaskJSON{}
	err := c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
		answer, err := admin.GetStatus(ctx, &adminv1.GetStatusRequest{NodesOnly: true})
		if err != nil {
			return err
		}
		for _, n := range answer.GetNodes() {
			v := nodeTaskJSON{Node: n.GetId()}
			if !n.GetAlive() {
				v.Problem = "it is away"
			}
			for _, t := range n.GetTasks() {
				if t.GetStatus().GetTask() == task {
					one := newTaskJSON(t)
					v.taskJSON = &one
				}
			}
			all = append(all, v)
		}
		return nil
	})
	return all, err
}

// taskCommand is one that starts or stops a task.
type taskCommand struct {
	task       func() chunknodev1.Task // flags may choose it
	start      bool
	use, short string
	rate       string
	takesRate  bool
	nodes      []string
	confirmed  func() (int64, error) // what the operator says yes to; nil: the task asks nothing
}

// only chooses a task whatever the flags are.
func only(task chunknodev1.Task) func() chunknodev1.Task {
	return func() chunknodev1.Task { return task }
}

const nodeHelp = "only this node: its ID, the beginning of one, or the name of its machine; may be repeated"

func (t *taskCommand) make(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: t.use, Short: t.short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd, c) }}
	cmd.Flags().StringSliceVar(&t.nodes, "node", nil, nodeHelp)
	if t.takesRate {
		cmd.Flags().StringVar(&t.rate, "rate", "", "how fast each node may be, in bytes a second such as 30MB, or none for no limit")
	}
	return cmd
}

func (t *taskCommand) run(cmd *cobra.Command, c *connection) error {
	rate, err := parseRate(t.rate)
	if err != nil {
		return err
	}
	r := &adminv1.CommandNodesRequest{Nodes: t.nodes, Task: t.task(), Start: t.start, Rate: rate}
	if t.confirmed != nil {
		if r.ConfirmUpTo, err = t.confirmed(); err != nil {
			return err
		}
	}
	nodes, err := c.command(cmd, r)
	if err != nil {
		return err
	}
	if err := c.show(cmd, nodes, func(w io.Writer) { writeTasks(w, nodes) }); err != nil {
		return err
	}
	return refused(nodes)
}

// parseRate reads a rate as commands carry it: 0 leaves it as it is, -1 takes the limit away.
func parseRate(text string) (int64, error) {
	switch text {
	case "":
		return 0, nil
	case "none":
		return -1, nil
	}
	size, err := config.ParseSize(text)
	if err != nil || size <= 0 {
		return 0, wrong("--rate %q is neither none nor a size such as 30MB, for each second", text)
	}
	return int64(size), nil
}

// taskStatus is a command that shows how far a task is.
func taskStatus(c *connection, task func() chunknodev1.Task, short string) *cobra.Command {
	return watched(c, &cobra.Command{Use: "status", Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		nodes, err := c.tasks(cmd, task())
		if err != nil {
			return err
		}
		return c.show(cmd, nodes, func(w io.Writer) { writeTasks(w, nodes) })
	}})
}

func writeTasks(w io.Writer, nodes []nodeTaskJSON) {
	row(w, "NODE", "STATE", "DONE", "", "BYTES", "RATE", "LEFT", "PROBLEMS", "BEGAN", "ENDED", "")
	for _, n := range nodes {
		if t := n.taskJSON; t != nil {
			row(w, n.Node, t.State, t.share(), t.bar(), bytesText(t.Bytes), rateText(t.Rate), t.left(), t.Problems, t.Began, t.Ended, t.Note)
			continue
		}
		row(w, n.Node, "-", "-", "", "-", "-", "-", "-", "-", "-", n.Problem)
	}
}

// bar is how much is done of what is under way.
func (t *taskJSON) bar() string {
	if t.State != "running" || t.Total <= 0 {
		return ""
	}
	return bar(t.Done, t.Total)
}

// share is how much is done.
func (t *taskJSON) share() string {
	if t.Total <= 0 {
		return fmt.Sprint(t.Done)
	}
	return fmt.Sprintf("%d of %d", t.Done, t.Total)
}

func (t *taskJSON) left() string {
	if t.Left <= 0 {
		return "-"
	}
	return durationText(time.Duration(t.Left * float64(time.Second)))
}

// rateText is a rate for people; 0 is no limit.
func rateText(rate int64) string {
	if rate <= 0 {
		return "no limit"
	}
	return bytesText(rate) + "/s"
}

// durationText is how long something takes, for people.
func durationText(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= time.Hour:
		return d.Round(time.Minute).String()[:len(d.Round(time.Minute).String())-len("0s")]
	}
	return d.Round(time.Second).String()
}
