package local

import (
	"context"
	"fmt"
	"net/http"
)

// Change gives Nomad a new version of a job that runs, as an operator who has changed a setting does, and returns when the rolling
// update is over: all of the job runs in the new version and is healthy. change gets the job's only task as Nomad's API has it, and
// alters it. The next [Cluster.Up] brings the job back to its file.
func (c *Cluster) Change(ctx context.Context, id string, change func(task map[string]any)) error {
	n, err := c.nomad()
	if err != nil {
		return err
	}
	var job map[string]any
	if err := n.get(ctx, "/v1/job/"+id, &job); err != nil {
		return err
	}
	task, err := onlyTask(job)
	if err != nil {
		return fmt.Errorf("job %s: %w", id, err)
	}
	change(task)
	if err := n.call(ctx, http.MethodPut, "/v1/jobs", map[string]any{"Job": job}, nil); err != nil {
		return err
	}
	if err := c.settle(ctx, n, id); err != nil {
		return fmt.Errorf("%w\n%s", err, c.jobTail(n, id))
	}
	return nil
}

func onlyTask(job map[string]any) (map[string]any, error) {
	groups, _ := job["TaskGroups"].([]any)
	if len(groups) != 1 {
		return nil, fmt.Errorf("it has %d groups, not one", len(groups))
	}
	group, _ := groups[0].(map[string]any)
	tasks, _ := group["Tasks"].([]any)
	if len(tasks) != 1 {
		return nil, fmt.Errorf("it has %d tasks, not one", len(tasks))
	}
	task, ok := tasks[0].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("its task is a %T", tasks[0])
	}
	return task, nil
}
