package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Ports of the services, before the offset.
const (
	portS3         = 3900
	portChunkNode  = 3901
	portMetadata   = 3902
	portAdmin      = 3903 // of the rebalancers, and of Traefik in front of them
	portRebalancer = 3904 // for other services
	portS3TLS      = 3943
	portPing       = 3944 // Traefik's own state
	adminOffset    = 10   // chunk-node and metadata serve administration that much higher
)

// traefikAddress is where Traefik listens: one address for clients, whichever node runs it.
const traefikAddress = "127.0.0.1"

// TrustedProxy is an address whose word about clients Traefik takes, as that of a proxy in front of it.
const TrustedProxy = "127.0.0.2"

// Jobs, in the order in which they start.
const (
	JobChunkNode  = "garage-chunk-node"
	JobMetadata   = "garage-metadata"
	JobRebalancer = "garage-rebalancer"
	JobGateway    = "garage-s3-gateway"
	JobTraefik    = "garage-traefik"
)

// startTimeout is how long a job may take until all of it is healthy.
const startTimeout = 6 * time.Minute

// job is one of the job files with its variables.
type job struct {
	id, file  string
	variables map[string]any
	secrets   map[string]string
}

// Address returns where Traefik serves HTTP.
func (c *Cluster) Address() string { return c.traefik(portS3) }

// AddressTLS returns where Traefik serves HTTPS, with a certificate that it made for itself.
func (c *Cluster) AddressTLS() string { return c.traefik(portS3TLS) }

// Admin returns where Traefik passes on connections to a rebalancer.
func (c *Cluster) Admin() string { return c.traefik(portAdmin) }

func (c *Cluster) traefik(port int) string {
	return net.JoinHostPort(traefikAddress, strconv.Itoa(port+c.o.Offset))
}

// jobs says what runs, given the folder of the programs, Traefik's program and the services' tokens for Consul.
func (c *Cluster) jobs(bin, traefik string, tokens map[string]string) ([]job, error) {
	env, err := c.stack.Env()
	if err != nil {
		return nil, err
	}
	token, err := c.secret("admin.token")
	if err != nil {
		return nil, err
	}
	offset := c.o.Offset
	consul := "${meta.address}:" + port(env["GARAGE_STACK_CONSUL"])
	common := map[string]any{
		"driver": "raw_exec", "bin": bin, "address": "${meta.address}", "admin_address": "${meta.address}", "consul_address": consul,
		"env": maps.Clone(c.o.Env),
	}
	secrets := func(service string) map[string]string {
		return map[string]string{"GARAGE_ADMIN_TOKEN": token, "CONSUL_HTTP_TOKEN": tokens[service]}
	}
	gatewaySecrets := secrets("s3-gateway")
	gatewaySecrets["GARAGE_IDENTITY_LDAP_BIND_PASSWORD"] = gatewayPassword
	with := func(more map[string]any) map[string]any {
		all := maps.Clone(common)
		maps.Copy(all, more)
		return all
	}
	two := min(2, c.o.Nodes)
	// What suits one machine; what was asked for comes above it.
	settings := func(name, value string) map[string]string {
		env := map[string]string{name: value}
		maps.Copy(env, c.o.Env)
		return env
	}
	return []job{
		{JobChunkNode, "chunk-node", with(map[string]any{
			"ports":            map[string]int{"rpc": portChunkNode + offset, "admin": portChunkNode + adminOffset + offset},
			"min_healthy_time": "2s",
			// Down ends the rebalancers first.
			"env": settings("GARAGE_CHUNK_LEAVE_WITHOUT", "1s"),
		}), secrets("chunk-node")},
		{JobMetadata, "metadata", with(map[string]any{
			"instances": two,
			"ports":     map[string]int{"rpc": portMetadata + offset, "admin": portMetadata + adminOffset + offset},
			"cql_hosts": strings.Split(env["GARAGE_STACK_CQL"], ","), "cql_keyspace": Keyspace,
			"cql_replication": strconv.Itoa(c.o.CQLNodes),
		}), secrets("metadata")},
		{JobRebalancer, "rebalancer", with(map[string]any{
			"instances": two,
			"ports":     map[string]int{"rpc": portRebalancer + offset, "admin": portAdmin + offset},
			"tags": []string{
				"traefik.enable=true",
				"traefik.tcp.routers.garage-admin.entrypoints=admin",
				"traefik.tcp.routers.garage-admin.rule=HostSNI(`*`)",
				fmt.Sprintf("traefik.tcp.services.garage-admin.loadbalancer.server.port=%d", portAdmin+offset),
			},
		}), secrets("rebalancer")},
		{JobGateway, "s3-gateway", with(map[string]any{
			"instances": two, "region": Region, "env": settings("GARAGE_S3_ROOT_DOMAINS", RootDomain),
			"ldap": map[string]any{
				"url": []string{env["GARAGE_STACK_LDAP"]}, "bind_dn": gatewayDN, "people": env["GARAGE_STACK_LDAP_BASE"], "groups": "ou=groups," + env["GARAGE_STACK_LDAP_BASE"],
			},
		}), gatewaySecrets},
		{JobTraefik, "traefik", map[string]any{
			"driver": "raw_exec", "bin": filepath.Dir(traefik), "program": filepath.Base(traefik),
			"type": "service", "address": traefikAddress, "local_address": traefikAddress, "consul_address": consul,
			"ports": map[string]int{"s3": portS3 + offset, "s3s": portS3TLS + offset, "admin": portAdmin + offset, "ping": portPing + offset},
			// The version that is built here allows all of them, and does not know the settings.
			"encoded_characters": false,
			"trusted_proxies":    []string{TrustedProxy + "/32"},
		}, map[string]string{"consul_token": tokens["traefik"]}},
	}, nil
}

// runJobs brings the jobs to what they should be, all at once, and returns when their deployments have succeeded.
func (c *Cluster) runJobs(ctx context.Context, bin, traefik string) error {
	n, err := c.nomad()
	if err != nil {
		return err
	}
	tokens, err := c.tokens(ctx)
	if err != nil {
		return err
	}
	jobs, err := c.jobs(bin, traefik, tokens)
	if err != nil {
		return err
	}
	if err := n.allowMore(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, j := range jobs {
		g.Go(func() error {
			if err := n.setVariable(ctx, "nomad/jobs/"+j.id, j.secrets); err != nil {
				return err
			}
			if err := c.run(ctx, n, j); err != nil {
				return fmt.Errorf("%w\n%s", err, c.jobTail(n, j.id))
			}
			c.say("%s runs", j.id)
			return nil
		})
	}
	return g.Wait()
}

// run runs a job file and waits until all of it runs and is healthy.
func (c *Cluster) run(ctx context.Context, n nomad, j job) error {
	args := []string{"job", "run", "-detach", "-no-color"}
	for name, value := range j.variables {
		text, ok := value.(string)
		if !ok {
			encoded, err := json.Marshal(value)
			if err != nil {
				return err
			}
			text = string(encoded)
		}
		args = append(args, "-var", name+"="+text)
	}
	if _, err := n.command(ctx, append(args, filepath.Join(c.root, "nomad", j.file+".nomad.hcl"))...); err != nil {
		return err
	}
	return c.settle(ctx, n, j.id)
}

// settle waits until all that a job wants runs in its newest version and is healthy.
func (c *Cluster) settle(ctx context.Context, n nomad, id string) error {
	asked := time.Now()
	return poll(ctx, startTimeout, id, func(ctx context.Context) error {
		missing, err := c.healthy(ctx, n, id)
		if missing && time.Since(asked) > 10*time.Second {
			// On a busy machine the plans of several jobs get into each other's way, and Nomad takes minutes before it tries again.
			asked = time.Now()
			err = errors.Join(err, n.call(ctx, http.MethodPut, "/v1/job/"+id+"/evaluate", map[string]any{"JobID": id}, nil))
		}
		return err
	})
}

// healthy tells whether all that a job wants runs in its newest version and is healthy; and, if not, whether Nomad has not even
// placed it all.
func (c *Cluster) healthy(ctx context.Context, n nomad, id string) (missing bool, err error) {
	var spec struct {
		Version    uint64
		Type       string
		TaskGroups []struct{ Count int }
	}
	if err := n.get(ctx, "/v1/job/"+id, &spec); err != nil {
		return false, err
	}
	want := c.o.Nodes
	if spec.Type != "system" {
		want = spec.TaskGroups[0].Count
	}
	all, err := n.allocations(ctx, id)
	if err != nil {
		return false, err
	}
	good := 0
	for _, a := range all {
		if a.ClientStatus == "running" && a.JobVersion == spec.Version && (a.DeploymentStatus == nil || a.DeploymentStatus.Healthy != nil && *a.DeploymentStatus.Healthy) {
			good++
		}
	}
	if good < want || len(all) > want {
		return len(all) < want, fmt.Errorf("of %d that run, %d of %d are new and healthy", len(all), good, want)
	}
	var deployment *struct {
		JobVersion                uint64
		Status, StatusDescription string
	}
	if err := n.get(ctx, "/v1/job/"+id+"/deployment", &deployment); err != nil {
		return false, err
	}
	if deployment != nil && deployment.JobVersion == spec.Version && deployment.Status == "running" {
		return false, errors.New(deployment.StatusDescription)
	}
	return false, nil
}

// stopJobs ends the services, those that call others first.
func (c *Cluster) stopJobs(ctx context.Context) error {
	n, err := c.nomad()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var errs []error
	for _, group := range [][]string{{JobTraefik}, {JobGateway, JobRebalancer}, {JobMetadata, JobChunkNode}} {
		var g errgroup.Group
		for _, id := range group {
			g.Go(func() error { return c.stopJob(ctx, n, id) })
		}
		errs = append(errs, g.Wait())
	}
	return errors.Join(errs...)
}

// stopJob ends a job and waits until nothing of it runs.
func (c *Cluster) stopJob(ctx context.Context, n nomad, id string) error {
	var known []struct{ ID string }
	if err := n.get(ctx, "/v1/jobs?prefix="+id, &known); err != nil {
		return err
	}
	if len(known) == 0 {
		return nil
	}
	if err := n.call(ctx, http.MethodDelete, "/v1/job/"+id, nil, nil); err != nil {
		return err
	}
	for {
		var all []allocation
		if err := n.get(ctx, "/v1/job/"+id+"/allocations", &all); err != nil {
			return err
		}
		running := 0
		for _, a := range all {
			if a.ClientStatus == "running" || a.ClientStatus == "pending" {
				running++
			}
		}
		if running == 0 {
			c.say("%s has stopped", id)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %d still run: %w", id, running, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// port is the port of a URL or an address.
func port(address string) string {
	return address[strings.LastIndexByte(address, ':')+1:]
}
