//go:build stack

package heal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	"deuxfleurs.fr/garage/tools/deploy/sites"
	"deuxfleurs.fr/garage/tools/s3client"
)

// settled waits until one layout is in force and no node of it lacks, owes or holds anything that it should not; then has all of them
// compare what they hold, and waits for that too.
func (r *run) settled() {
	r.t.Helper()
	r.until("all nodes hold what the layout says", func() error {
		status, err := r.Status(r.t.Context())
		if err != nil {
			return err
		}
		return r.unsettled(status)
	})
	begun := time.Now()
	r.command(chunknodev1.Task_TASK_REPAIR)
	r.until("all nodes have compared what they hold", func() error {
		status, err := r.Status(r.t.Context())
		if err != nil {
			return err
		}
		for _, n := range status.GetNodes() {
			if r.gone[n.GetId()] {
				continue
			}
			s := task(n, chunknodev1.Task_TASK_REPAIR)
			if s.GetState() != chunknodev1.TaskState_TASK_STATE_IDLE || s.GetEnded().AsTime().Before(begun) {
				return fmt.Errorf("node %s in %s: its comparison is %v", n.GetId(), n.GetZone(), s)
			}
		}
		return r.unsettled(status)
	})
}

// known is an error while no rebalancer says which layout is in force and which nodes there are.
func known(status *adminv1.GetStatusResponse) error {
	if status.GetLayout() == 0 || len(status.GetNodes()) == 0 {
		return fmt.Errorf("the status is not known: %s", status.GetProblem())
	}
	return nil
}

// unsettled says what is left to do.
func (r *run) unsettled(status *adminv1.GetStatusResponse) error {
	errs := []error{known(status)}
	if status.GetOldestLayout() != status.GetLayout() {
		errs = append(errs, fmt.Errorf("layouts %d to %d are in force, and wait for %v", status.GetOldestLayout(), status.GetLayout(), status.GetWaiting()))
	}
	for _, n := range status.GetNodes() {
		if r.gone[n.GetId()] {
			continue
		}
		if !n.GetAlive() || n.GetLayout() != status.GetLayout() || n.GetOwed()+n.GetWanted()+n.GetForeign()+n.GetUncollected()+n.GetQuarantined() > 0 {
			errs = append(errs, fmt.Errorf("node %s in %s: alive %v, layout %d of %d, %d owed, %d wanted, %d foreign, %d uncollected, %d bad; %s; %v", n.GetId(), n.GetZone(), n.GetAlive(),
				n.GetLayout(), status.GetLayout(), n.GetOwed(), n.GetWanted(), n.GetForeign(), n.GetUncollected(), n.GetQuarantined(), n.GetProblem(), n.GetTasks()))
		}
	}
	return errors.Join(errs...)
}

// task is what a node says about one of its tasks.
func task(n *adminv1.Node, kind chunknodev1.Task) *chunknodev1.TaskStatus {
	for _, t := range n.GetTasks() {
		if t.GetStatus().GetTask() == kind {
			return t.GetStatus()
		}
	}
	return nil
}

// command has all nodes begin a task.
func (r *run) command(kind chunknodev1.Task) {
	r.t.Helper()
	r.until(fmt.Sprintf("all nodes begin %v", kind), func() error {
		return r.Admin(r.t.Context(), func(ctx context.Context, admin adminv1.AdminServiceClient) error {
			answer, err := admin.CommandNodes(ctx, &adminv1.CommandNodesRequest{Task: kind, Start: true})
			if err != nil {
				return err
			}
			for _, n := range answer.GetNodes() {
				if n.GetProblem() != "" && !r.gone[n.GetNode()] {
					return fmt.Errorf("node %s: %s", n.GetNode(), n.GetProblem())
				}
			}
			return nil
		})
	})
}

// empty deletes all objects, and waits until no node holds anything.
func (r *run) empty() {
	r.t.Helper()
	require.NoError(r.t, r.load.Clear(r.t.Context()))
	answer, err := r.load.Client.Do(r.t.Context(), s3client.Request{Method: "DELETE", Bucket: sites.First, Key: sites.First})
	require.NoError(r.t, err)
	require.Equal(r.t, 204, answer.Status, answer.Message)
	r.until("what nothing refers to is gone", func() error {
		status, err := r.Status(r.t.Context())
		if err != nil {
			return err
		}
		for _, n := range status.GetNodes() {
			if n.GetChunks()+n.GetUncollected() > 0 && !r.gone[n.GetId()] {
				return fmt.Errorf("node %s holds %d chunks, and %d to collect", n.GetId(), n.GetChunks(), n.GetUncollected())
			}
		}
		for _, p := range r.Nodes() {
			if files := blobs(r.t, p); p.Alive() && len(files) > 0 {
				return fmt.Errorf("%s holds %d files, one is %s", p.Name, len(files), files[0])
			}
		}
		return nil
	})
}
