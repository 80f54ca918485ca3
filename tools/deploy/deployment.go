package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"deuxfleurs.fr/garage/tools/cluster/local"
	"deuxfleurs.fr/garage/tools/s3client"
)

// Kinds of deployment.
const (
	Standalone = "standalone"
	Nodes      = "nodes"
	// Cluster is on Nomad, Consul, Cassandra, LDAP and Traefik.
	Cluster = "cluster"
	// External is an endpoint that somebody else started; it has no processes.
	External = "external"
)

// Options say how to start a deployment.
type Options struct {
	Kind string
	// Dir takes the data and the logs. It must exist and be empty, or hold an earlier deployment's data.
	Dir string
	// Env is added to the environment of every process, as NAME=value.
	Env []string
	// External is the endpoint when Kind is External.
	External s3client.Endpoint
	// Cluster is the data folder of a cluster that "make cluster" started, when Kind is Cluster: it is used, brought to the
	// settings of Env, and left running. Empty means one of its own in Dir.
	Cluster string
	// CQLNodes is how many nodes the database has, 1 or 3, when Kind is Cluster.
	CQLNodes int
}

// Deployment is a running Garage.
type Deployment struct {
	Kind string
	// Data is the data folder ($DATA).
	Data string
	// Endpoint is where S3 answers, with the first key.
	Endpoint s3client.Endpoint
	// Admin is the address of the admin listener.
	Admin string

	dir        string
	supervisor *Process
	processes  []*Process
	cluster    *local.Cluster
	keep       bool // the cluster is somebody else's
}

// Start starts a deployment and returns when S3 answers a signed request.
func Start(ctx context.Context, o Options) (*Deployment, error) {
	d := &Deployment{Kind: o.Kind, dir: o.Dir, Data: filepath.Join(o.Dir, "data")}
	switch o.Kind {
	case External:
		d.Endpoint = o.External
		return d, d.Wait(ctx)
	case Cluster:
		return d, d.startCluster(ctx, o)
	case Standalone, Nodes:
	default:
		return nil, fmt.Errorf("no deployment is called %q: choose %s, %s, %s or %s", o.Kind, Standalone, Nodes, Cluster, External)
	}
	bin, err := Bin()
	if err != nil {
		return nil, err
	}
	s3, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	if d.Admin, err = FreeAddress(); err != nil {
		return nil, err
	}
	command := "standalone"
	if o.Kind == Nodes {
		command = "nodes"
	}
	p := &Process{Name: "garage", Data: d.Data, Admin: d.Admin, Log: filepath.Join(o.Dir, "garage.log")}
	p.args = []string{filepath.Join(bin, "garage"), command, "--data", d.Data, "--s3", s3, "--admin", d.Admin}
	p.env = append(os.Environ(), o.Env...)
	p.dir = o.Dir
	d.supervisor = p
	if err := p.Start(); err != nil {
		return nil, err
	}
	if o.Kind == Standalone {
		d.processes = []*Process{p}
	}
	if err := d.ready(ctx); err != nil {
		err = fmt.Errorf("%w\n%s", err, d.Tail(40))
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// ready waits for the first answer after a first start and learns the credentials and the processes.
func (d *Deployment) ready(ctx context.Context) error {
	credentials := filepath.Join(d.Data, "credentials.env")
	err := d.poll(ctx, "the credentials file", func() error {
		var err error
		d.Endpoint, err = readCredentials(credentials)
		return err
	})
	if err != nil {
		return err
	}
	if d.Kind == Nodes {
		if err := d.poll(ctx, "the list of processes", d.readNodes); err != nil {
			return err
		}
	}
	return d.Wait(ctx)
}

// Wait returns when S3 answers a signed request, within a minute.
func (d *Deployment) Wait(ctx context.Context) error {
	client := s3client.New(d.Endpoint, 1)
	defer client.HTTP.CloseIdleConnections()
	return d.poll(ctx, "S3", func() error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return client.Ready(ctx)
	})
}

func (d *Deployment) poll(ctx context.Context, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if d.supervisor != nil && !d.supervisor.Alive() {
			return fmt.Errorf("%s: the process has ended while the test waited for %s (%w)", d.Kind, what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: no answer from %s: %w (last: %w)", d.Kind, what, ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Processes returns the processes that serve, without the supervisor of separate ones.
func (d *Deployment) Processes() []*Process { return d.processes }

// Process returns the process of that name, or an error that lists the names there are.
func (d *Deployment) Process(name string) (*Process, error) {
	names := make([]string, len(d.processes))
	for i, p := range d.processes {
		if p.Name == name {
			return p, nil
		}
		names[i] = p.Name
	}
	return nil, fmt.Errorf("no process %q among %s", name, strings.Join(names, ", "))
}

// ChunkNodes returns the processes that store chunks.
func (d *Deployment) ChunkNodes() []*Process {
	var nodes []*Process
	for _, p := range d.processes {
		if d.Kind == Standalone || strings.HasPrefix(p.Name, "chunk-node") {
			nodes = append(nodes, p)
		}
	}
	return nodes
}

// KillAll ends every process with SIGKILL, all at once as far as that is possible.
func (d *Deployment) KillAll() error {
	if d.cluster != nil {
		return d.killCluster()
	}
	var errs []error
	all := append([]*Process{}, d.processes...)
	if d.Kind == Nodes {
		all = append([]*Process{d.supervisor}, all...)
	}
	for _, p := range all {
		if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, err)
		}
	}
	for _, p := range all {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}

// Stop ends the deployment as an operator does, with SIGTERM to the process that was started.
func (d *Deployment) Stop() error {
	if d.cluster != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		return d.cluster.Down(ctx)
	}
	if err := d.supervisor.Stop(); err != nil {
		return err
	}
	for _, p := range d.processes {
		if p.Alive() {
			return fmt.Errorf("%s (%d) still runs after its supervisor has stopped", p.Name, p.PID)
		}
	}
	return nil
}

// StartAll starts the deployment again on its data after [Deployment.KillAll], and returns when S3 answers.
func (d *Deployment) StartAll(ctx context.Context) error {
	if d.cluster != nil {
		return d.upCluster(ctx)
	}
	if d.Kind == Nodes {
		if err := os.Remove(filepath.Join(d.Data, "nodes.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := d.supervisor.Start(); err != nil {
		return err
	}
	if err := d.ready(ctx); err != nil {
		return fmt.Errorf("start again: %w\n%s", err, d.Tail(40))
	}
	return nil
}

// Close stops every process that was started, gracefully and then not.
func (d *Deployment) Close() error {
	if d.cluster != nil {
		return d.closeCluster()
	}
	if d.supervisor == nil {
		return nil
	}
	var errs []error
	for _, p := range d.processes {
		// A paused process cannot hear SIGTERM.
		if p.Alive() {
			errs = append(errs, p.Resume())
		}
	}
	if err := d.supervisor.Stop(); err != nil {
		errs = append(errs, err, d.supervisor.Kill())
	}
	for _, p := range d.processes {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}

// Usage sums what all serving processes took.
func (d *Deployment) Usage() (Usage, error) {
	var sum Usage
	for _, p := range d.processes {
		u, err := p.Usage()
		if err != nil {
			return Usage{}, err
		}
		sum.CPU += u.CPU
		sum.Resident += u.Resident
		sum.Peak += u.Peak
	}
	return sum, nil
}

// Tail returns the last lines of each log.
func (d *Deployment) Tail(lines int) string {
	logs := []*Process{}
	if d.supervisor != nil {
		logs = append(logs, d.supervisor)
	}
	for _, p := range d.processes {
		if p != d.supervisor && p.Log != "" {
			logs = append(logs, p)
		}
	}
	var b strings.Builder
	for _, p := range logs {
		text, err := os.ReadFile(p.Log)
		if err != nil {
			fmt.Fprintf(&b, "--- %s: %v\n", p.Name, err)
			continue
		}
		all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		fmt.Fprintf(&b, "--- end of the log of %s\n%s\n", p.Name, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return b.String()
}

// CLI runs bin/garage against this deployment with the arguments and returns its output.
func (d *Deployment) CLI(ctx context.Context, args ...string) ([]byte, error) {
	bin, err := Bin()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "garage"), args...)
	cmd.Env = append(os.Environ(), "GARAGE_ADMIN="+d.Admin, "GARAGE_DATA="+d.Data)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("garage %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return out, nil
}

func readCredentials(path string) (s3client.Endpoint, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s3client.Endpoint{}, err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok {
			values[name] = strings.Trim(value, `'"`)
		}
	}
	e := s3client.Endpoint{
		URL: values["AWS_ENDPOINT_URL"], AccessKey: values["AWS_ACCESS_KEY_ID"],
		SecretKey: values["AWS_SECRET_ACCESS_KEY"], Region: values["AWS_REGION"],
	}
	if e.URL == "" || e.AccessKey == "" || e.SecretKey == "" || e.Region == "" {
		return e, fmt.Errorf("%s is not complete", path)
	}
	return e, nil
}
