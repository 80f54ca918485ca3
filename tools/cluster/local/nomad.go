package local

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"deuxfleurs.fr/garage/tools/httpjson"
)

// nomad is Nomad's program and API.
type nomad struct {
	address string // URL
	program string
}

func (c *Cluster) nomad() (nomad, error) {
	env, err := c.stack.Env()
	if err != nil {
		return nomad{}, err
	}
	n := nomad{address: env["GARAGE_STACK_NOMAD"], program: env["GARAGE_STACK_BIN_NOMAD"]}
	if n.address == "" || n.program == "" {
		return nomad{}, fmt.Errorf("Nomad does not run in %s: start the cluster first", c.o.Data)
	}
	return n, nil
}

// command runs Nomad's program and returns what it says, which goes into the error if it fails.
func (n nomad) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, n.program, args...)
	cmd.Env = append(os.Environ(), "NOMAD_ADDR="+n.address, "NOMAD_CLI_NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("nomad %s: %w\n%s", strings.Join(args[:min(2, len(args))], " "), err, out)
	}
	return string(out), nil
}

// get asks the API.
func (n nomad) get(ctx context.Context, path string, answer any) error {
	return n.call(ctx, http.MethodGet, path, nil, answer)
}

// call asks the API and reads its answer, unless answer is nil.
func (n nomad) call(ctx context.Context, method, path string, question, answer any) error {
	return httpjson.Call(ctx, method, n.address+path, nil, question, answer)
}

// allocation is what is used of one of Nomad's.
type allocation struct {
	ID, Name, NodeName, JobID, DesiredStatus, ClientStatus string
	TaskGroup                                              string
	JobVersion                                             uint64
	DeploymentStatus                                       *struct{ Healthy *bool }
}

// index is the number in an allocation's name, such as garage-metadata.metadata[1].
func (a allocation) index() (i int) {
	_, rest, _ := strings.Cut(a.Name, "[")
	// A name that Nomad did not make so is the first.
	_, _ = fmt.Sscanf(rest, "%d]", &i)
	return i
}

// allocations lists what runs, or is to run, of a job.
func (n nomad) allocations(ctx context.Context, job string) ([]allocation, error) {
	var all, running []allocation
	if err := n.get(ctx, "/v1/job/"+url.PathEscape(job)+"/allocations", &all); err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.DesiredStatus == "run" && (a.ClientStatus == "running" || a.ClientStatus == "pending") {
			running = append(running, a)
		}
	}
	return running, nil
}

// setVariable writes a Nomad variable, whose items jobs get as environment variables.
func (n nomad) setVariable(ctx context.Context, path string, items map[string]string) error {
	return n.call(ctx, http.MethodPut, "/v1/var/"+path, map[string]any{"Path": path, "Items": items}, nil)
}

// allowMore lets tasks use more memory than they reserve, up to their memory_max.
func (n nomad) allowMore(ctx context.Context) error {
	const path, name = "/v1/operator/scheduler/configuration", "MemoryOversubscriptionEnabled"
	var answer struct{ SchedulerConfig map[string]any }
	if err := n.get(ctx, path, &answer); err != nil {
		return err
	}
	if answer.SchedulerConfig[name] == true {
		return nil
	}
	answer.SchedulerConfig[name] = true
	return n.call(ctx, http.MethodPut, path, answer.SchedulerConfig, nil)
}
