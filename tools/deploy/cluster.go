package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"deuxfleurs.fr/garage/tools/cluster/local"
	"deuxfleurs.fr/garage/tools/stack/parts"
)

// startCluster starts a cluster on Nomad, Consul, Cassandra, LDAP and Traefik; or, in a folder that is given, brings the cluster
// there to the settings that are asked for.
func (d *Deployment) startCluster(ctx context.Context, o Options) error {
	bin, err := Bin()
	if err != nil {
		return err
	}
	// What goes wrong is told with what went well before.
	progress, err := os.OpenFile(filepath.Join(o.Dir, "cluster.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	options := local.Options{Data: d.Data, Nodes: 3, Zones: 3, CQLNodes: o.CQLNodes, Env: environment(o.Env), Bin: bin, Progress: progress}
	if options.CQLNodes == 0 {
		options.CQLNodes = 1
	}
	if o.Cluster != "" {
		running, err := local.Open(local.Options{Data: o.Cluster})
		if err != nil {
			return err
		}
		used := running.Options()
		options.Data, options.Offset, options.Nodes, options.Zones, options.CQLNodes = o.Cluster, used.Offset, used.Nodes, used.Zones, used.CQLNodes
		d.keep = true
	} else if options.Offset, err = local.FreeOffset(); err != nil {
		return err
	}
	if d.cluster, err = local.Open(options); err != nil {
		return err
	}
	d.Data, d.Admin = d.cluster.Data(), d.cluster.Admin()
	if d.Endpoint, err = d.cluster.Endpoint(); err != nil {
		return err
	}
	if err := d.upCluster(ctx); err != nil {
		text, _ := os.ReadFile(progress.Name()) // it is only told besides
		return errors.Join(fmt.Errorf("%w\n%s%s", err, text, d.Tail(30)), d.Close())
	}
	return nil
}

// environment makes a map of NAME=value.
func environment(list []string) map[string]string {
	env := map[string]string{}
	for _, pair := range list {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

func (d *Deployment) upCluster(ctx context.Context) error {
	if err := d.cluster.Up(ctx); err != nil {
		return err
	}
	return d.Refresh(ctx)
}

// Cluster is the cluster that the deployment runs on, for those who hurt its parts; nil if its kind is another.
func (d *Deployment) Cluster() *local.Cluster { return d.cluster }

// Refresh learns which processes serve now: in a cluster, Nomad starts one that has ended again by itself, perhaps on another
// machine. Elsewhere they stay those that were started.
func (d *Deployment) Refresh(ctx context.Context) error {
	if d.cluster == nil {
		return nil
	}
	tasks, err := d.cluster.Tasks(ctx)
	if err != nil {
		return err
	}
	d.processes = d.processes[:0]
	for _, t := range tasks {
		if t.Job == local.JobTraefik || t.PID == 0 {
			continue
		}
		d.processes = append(d.processes, &Process{Name: t.Name, PID: t.PID, Data: t.Data, Admin: t.Admin, Log: t.Log, nomad: &onNomad{d: d, node: t.Node}})
	}
	return nil
}

// onNomad is how a process that Nomad runs is ended and started again. Nomad's agent on the machine is frozen while the process is
// to stay away, because it would start it again at once.
type onNomad struct {
	d    *Deployment
	node string
}

func (n *onNomad) agent() string { return "nomad-" + n.node }

func (n *onNomad) freeze() error {
	p, err := n.d.cluster.Stack().Process(n.agent())
	if err != nil {
		return err
	}
	return p.Pause()
}

// thaw lets the agent go on, and returns when it has started the process again.
func (n *onNomad) thaw(p *Process) error {
	agent, err := n.d.cluster.Stack().Process(n.agent())
	if err != nil {
		return err
	}
	if err := agent.Resume(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		tasks, err := n.d.cluster.Tasks(ctx)
		if err == nil {
			err = fmt.Errorf("%s has not started", p.Name)
			for _, t := range tasks {
				if t.Name == p.Name && t.PID != 0 && t.PID != p.PID {
					p.PID, p.Data, p.Admin, p.Log, n.node = t.PID, t.Data, t.Admin, t.Log, t.Node
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("Nomad on %s: %w (last: %w)", n.node, ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// killCluster ends everything with SIGKILL at once: Garage's processes, and what they run on.
func (d *Deployment) killCluster() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	states, err := d.cluster.Stack().Status(ctx)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(states)+len(d.processes))
	for i, p := range d.processes {
		wg.Go(func() { errs[i] = p.end(syscall.SIGKILL, 10*time.Second) })
	}
	for i, s := range states {
		wg.Go(func() { errs[len(d.processes)+i] = s.Process.KillAll(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// closeCluster stops everything, unless somebody else started it.
func (d *Deployment) closeCluster() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	errs := []error{}
	states, err := d.cluster.Stack().Status(ctx)
	errs = append(errs, err)
	for _, s := range states {
		// A frozen one cannot hear that it is to end.
		if parts.PartOf(s.Name) == "nomad" && s.Alive() {
			errs = append(errs, s.Process.Resume())
		}
	}
	for _, p := range d.processes {
		if p.Alive() {
			errs = append(errs, p.Resume())
		}
	}
	if !d.keep {
		errs = append(errs, d.cluster.Down(ctx))
	}
	return errors.Join(errs...)
}
