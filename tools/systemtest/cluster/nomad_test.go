package cluster

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/httpjson"
)

// nomad runs Nomad's command line.
func (f *fixture) nomad(args ...string) (string, error) {
	f.Helper()
	env, err := f.cluster.Stack().Env()
	require.NoError(f, err)
	cmd := exec.CommandContext(f.ctx, env["GARAGE_STACK_BIN_NOMAD"], args...)
	cmd.Env = append(os.Environ(), "NOMAD_ADDR="+env["GARAGE_STACK_NOMAD"])
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run gives Nomad a job file with variables, and does not wait for what becomes of it.
func (f *fixture) run(file string, variables map[string]string) {
	f.Helper()
	args := []string{"job", "run", "-detach"}
	for name, value := range variables {
		args = append(args, "-var", name+"="+value)
	}
	out, err := f.nomad(append(args, file)...)
	require.NoError(f, err, "%s", out)
}

// allocation is what is used of one of Nomad's.
type allocation struct {
	ClientStatus string
	TaskStates   map[string]struct {
		Events []struct{ Type, DisplayMessage string }
	}
}

// jobs are the paths in Nomad's API of a job and of those that it has made of itself, as a periodic one does.
func (f *fixture) jobs(ctx context.Context, job string) []string {
	f.Helper()
	env, err := f.cluster.Stack().Env()
	require.NoError(f, err)
	var all []struct{ ID string }
	require.NoError(f, httpjson.Call(ctx, http.MethodGet, env["GARAGE_STACK_NOMAD"]+"/v1/jobs?prefix="+job, nil, nil, &all))
	var paths []string
	for _, j := range all {
		if j.ID == job || strings.HasPrefix(j.ID, job+"/") {
			paths = append(paths, env["GARAGE_STACK_NOMAD"]+"/v1/job/"+url.PathEscape(j.ID))
		}
	}
	return paths
}

// allocations are those of a job, and of the jobs that it has made of itself.
func (f *fixture) allocations(ctx context.Context, job string) []allocation {
	f.Helper()
	var all []allocation
	for _, path := range f.jobs(ctx, job) {
		var some []allocation
		require.NoError(f, httpjson.Call(ctx, http.MethodGet, path+"/allocations", nil, nil, &some))
		all = append(all, some...)
	}
	return all
}

// events is what Nomad has to say about the tasks of a job.
func (f *fixture) events(job string) string {
	f.Helper()
	var b strings.Builder
	for _, a := range f.allocations(f.ctx, job) {
		for _, task := range a.TaskStates {
			for _, e := range task.Events {
				fmt.Fprintf(&b, "%s: %s\n", e.Type, e.DisplayMessage)
			}
		}
	}
	return b.String()
}

// stop ends a job, and those that it has made of itself, and waits until nothing of them runs.
func (f *fixture) stop(ctx context.Context, job string) {
	f.Helper()
	for _, path := range f.jobs(ctx, job) {
		require.NoError(f, httpjson.Call(ctx, http.MethodDelete, path, nil, nil, nil))
	}
	for slices.ContainsFunc(f.allocations(ctx, job), func(a allocation) bool { return a.ClientStatus == "running" || a.ClientStatus == "pending" }) {
		select {
		case <-ctx.Done():
			require.NoError(f, ctx.Err(), "%s does not end", job)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// purge stops a job when the test ends, and has Nomad forget it.
func (f *fixture) purge(job string) {
	f.Cleanup(func() {
		ctx, cancel := f.afterwards()
		defer cancel()
		f.stop(ctx, job)
		for _, path := range f.jobs(ctx, job) {
			require.NoError(f, httpjson.Call(ctx, http.MethodDelete, path+"?purge=true", nil, nil, nil))
		}
	})
}

// afterwards is for what is done when the test, and its context with it, is over.
func (f *fixture) afterwards() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(f.ctx), 2*time.Minute)
}
