package sites

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/stack/links"
)

const (
	// patience bounds each wait for a process, on a machine with much else to do.
	patience = 4 * time.Minute
	token    = "0123456789abcdef0123456789abcdef"
	portS3   = 3900
	// firstPort is that of the first program; each has two.
	firstPort = 4000
)

// Options say what to run.
type Options struct {
	// Dir takes data and logs. It must exist and be empty.
	Dir string
	// Sites is how many there are, Nodes how many chunk-nodes each has, Rebalancers how many of the sites have one.
	Sites, Nodes, Rebalancers int
	// Link is between each two sites; Seed decides what it loses.
	Link links.Link
	Seed uint64
	// Env is added to the environment of every program, as NAME=value.
	Env []string
}

// Cluster is a running Garage at several sites.
type Cluster struct {
	Network *links.Network
	Sites   []*links.Site
	// Consul, Metadata and Gateway are in the first site.
	Consul, Metadata, Gateway *deploy.Process
	// Rebalancers are in the first sites, in their order.
	Rebalancers []*deploy.Process
	// Endpoint is where S3 answers, for who asks from the first site: see [Cluster.Client].
	Endpoint s3client.Endpoint

	options Options
	bin     string
	env     []string

	mu        sync.Mutex
	programs  []*deploy.Process
	siteOf    map[*deploy.Process]*links.Site
	nodeCount int
}

// NodesAt returns the chunk-nodes of a site, by its place in Sites.
func (c *Cluster) NodesAt(site int) []*deploy.Process {
	return c.nodes(func(p *deploy.Process) bool { return c.siteOf[p] == c.Sites[site] })
}

// Nodes returns all chunk-nodes, in the order in which they were added.
func (c *Cluster) Nodes() []*deploy.Process {
	return c.nodes(func(*deploy.Process) bool { return true })
}

func (c *Cluster) nodes(chosen func(*deploy.Process) bool) []*deploy.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	var nodes []*deploy.Process
	for _, p := range c.programs {
		if strings.HasPrefix(p.Name, "chunk-node") && chosen(p) {
			nodes = append(nodes, p)
		}
	}
	return nodes
}

// Site is where a program runs.
func (c *Cluster) Site(p *deploy.Process) *links.Site {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.siteOf[p]
}

// AddNode starts another chunk-node at a site, in the zone of that site, with more in its environment, and returns when it is ready. It is
// not in the layout.
func (c *Cluster) AddNode(ctx context.Context, site int, env ...string) (*deploy.Process, error) {
	p := c.node(site, env...)
	if err := p.Start(); err != nil {
		return nil, err
	}
	return p, c.Ready(ctx, p)
}

// Zone is the name of the zone of a site.
func Zone(site int) string { return fmt.Sprintf("zone-%d", site+1) }

func (c *Cluster) node(site int, env ...string) *deploy.Process {
	c.mu.Lock()
	c.nodeCount++
	name := fmt.Sprintf("chunk-node-%d", c.nodeCount)
	c.mu.Unlock()
	return c.program(site, name, "chunk-node", append([]string{"GARAGE_ZONE=" + Zone(site)}, env...)...)
}

// program describes a program at a site. Its administration server is open there, and speaks in clear: no link is real.
func (c *Cluster) program(site int, name, program string, env ...string) *deploy.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	address := c.Sites[site].Address.String()
	port := firstPort + 2*len(c.programs)
	argv := []string{filepath.Join(c.bin, program), "--data", filepath.Join(c.options.Dir, name), "--admin", fmt.Sprintf("0.0.0.0:%d", port)}
	if program == "s3-gateway" {
		argv = append(argv, "--s3", fmt.Sprintf("%s:%d", address, portS3))
	} else {
		argv = append(argv, "--listen", fmt.Sprintf("%s:%d", address, port+1))
	}
	p := deploy.Process{Name: name, Data: filepath.Join(c.options.Dir, name), Admin: fmt.Sprintf("127.0.0.1:%d", port), Log: filepath.Join(c.options.Dir, name+".log")}
	return c.remember(site, deploy.NewProcess(p, argv, slices.Concat(c.env, []string{"GARAGE_CONSUL_ADVERTISE=" + address}, env), c.options.Dir, c.Sites[site].Start))
}

func (c *Cluster) remember(site int, p *deploy.Process) *deploy.Process {
	c.programs = append(c.programs, p)
	c.siteOf[p] = c.Sites[site]
	return p
}

// Client returns a client that asks from the first site, with up to so many idle connections.
func (c *Cluster) Client(conns int) *s3client.Client {
	client := s3client.New(c.Endpoint, conns)
	client.HTTP.Transport.(*http.Transport).DialContext = c.Sites[0].DialContext
	return client
}

// Ready returns when the program says that it can serve.
func (c *Cluster) Ready(ctx context.Context, p *deploy.Process) error {
	err := c.ask(ctx, p, "http://"+p.Admin+"/healthz")
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", p.Name, err, tail(p, 20))
	}
	return err
}

// ask asks a program, from its site, until the answer is 200, as long as it lives.
func (c *Cluster) ask(ctx context.Context, p *deploy.Process, url string) error {
	transport := &http.Transport{DialContext: c.Site(p).DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	return Until(ctx, p.Name+" is ready", func() error {
		if !p.Alive() {
			return final{errors.New("the process has ended")}
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		if err := answer.Body.Close(); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, answer.Status)
		}
		return nil
	})
}

// CLI runs bin/garage in the site of the first rebalancer that runs, against it, and returns what it prints.
func (c *Cluster) CLI(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i, p := range c.Rebalancers {
		if !p.Alive() {
			continue
		}
		var out strings.Builder
		cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "garage"), args...)
		cmd.Env = append(slices.Clone(c.env), "GARAGE_ADMIN="+p.Admin)
		cmd.Stdout, cmd.Stderr = &out, &out
		err := c.Sites[i].Start(cmd)
		if err == nil {
			err = cmd.Wait()
		}
		if err != nil {
			err = fmt.Errorf("garage %s: %w\n%s", strings.Join(args, " "), err, out.String())
		}
		return out.String(), err
	}
	return "", errors.New("no rebalancer runs")
}

// Tail returns the last lines of each log.
func (c *Cluster) Tail(lines int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, p := range c.programs {
		fmt.Fprintf(&b, "--- end of the log of %s\n%s\n", p.Name, tail(p, lines))
	}
	return b.String()
}

func tail(p *deploy.Process, lines int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Close kills all processes and removes the network. The data stays.
func (c *Cluster) Close() error {
	c.mu.Lock()
	programs := slices.Clone(c.programs)
	c.mu.Unlock()
	errs := make([]error, len(programs))
	var wg sync.WaitGroup
	for i, p := range programs {
		wg.Go(func() { errs[i] = p.Kill() })
	}
	wg.Wait()
	return errors.Join(append(errs, c.Network.Close())...)
}

// final is an error that trying again cannot mend.
type final struct{ error }

// Until tries until it works, and no longer than a process may take on a slow machine.
func Until(ctx context.Context, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		var end final
		if err == nil || errors.As(err, &end) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w (last: %w)", what, ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
