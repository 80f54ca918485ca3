package sites

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/stack/links"
	"deuxfleurs.fr/garage/tools/stack/parts"
)

// Start starts a cluster and returns when its chunk-nodes are in the layout and S3 answers a signed request.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	bin, err := deploy.Bin()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Network: links.New(o.Seed), options: o, bin: bin, siteOf: map[*deploy.Process]*links.Site{}}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a cluster at %d sites: %w", o.Sites, err), c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	for i := range c.options.Sites {
		s, err := c.Network.Site(fmt.Sprintf("site-%d", i+1))
		if err != nil {
			return err
		}
		c.Sites = append(c.Sites, s)
	}
	c.Network.JoinAll(c.options.Link)
	if err := c.startConsul(ctx); err != nil {
		return err
	}
	address := c.Sites[0].Address.String()
	c.env = append(os.Environ(), "CONSUL_HTTP_ADDR=http://"+address+":8500", "CONSUL_HTTP_TOKEN=", "CONSUL_NAMESPACE=",
		"GARAGE_CONSUL_ENABLED=true", "GARAGE_RPC_TLS_SOURCE=consul", "GARAGE_ADMIN_TOKEN="+token, "GARAGE_ADMIN_INSECURE=true")
	c.env = append(c.env, c.options.Env...)
	c.Metadata = c.program(0, "metadata", "metadata")
	for i := range c.options.Rebalancers {
		c.Rebalancers = append(c.Rebalancers, c.program(i, fmt.Sprintf("rebalancer-%d", i+1), "rebalancer"))
	}
	c.Gateway = c.program(0, "s3-gateway", "s3-gateway")
	for range c.options.Nodes {
		for site := range c.Sites {
			c.node(site)
		}
	}
	for _, p := range c.programs[1:] {
		if err := p.Start(); err != nil {
			return err
		}
	}
	for _, p := range c.programs[1:] {
		if err := c.Ready(ctx, p); err != nil {
			return err
		}
	}
	if err := c.layOut(ctx); err != nil {
		return err
	}
	c.Endpoint = s3client.Endpoint{URL: fmt.Sprintf("http://%s:%d", address, portS3), Region: "garage"}
	if err := Until(ctx, "a key is made", func() error { return c.makeKey(ctx) }); err != nil {
		return err
	}
	return c.store(ctx)
}

// First is the bucket, and the object of one chunk in it, that a cluster begins with.
const First = "first"

// store returns when a chunk can be stored: each program has the layout from Consul at a time of its own.
func (c *Cluster) store(ctx context.Context) error {
	client := c.Client(1)
	defer client.HTTP.CloseIdleConnections()
	for _, r := range []s3client.Request{{Method: "PUT", Bucket: First}, {Method: "PUT", Bucket: First, Key: First, Body: make([]byte, 1<<20)}} {
		err := Until(ctx, "S3 stores what it is given", func() error {
			answer, err := client.Do(ctx, r)
			if err == nil && answer.Status != 200 {
				err = fmt.Errorf("%d %s: %s", answer.Status, answer.Code, answer.Message)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startConsul(ctx context.Context) error {
	stack, err := parts.Open(parts.Options{Data: filepath.Join(c.options.Dir, "stack")})
	if err != nil {
		return err
	}
	program, err := stack.Program(ctx, parts.Consul{})
	if err != nil {
		return err
	}
	address := c.Sites[0].Address.String()
	args := []string{
		program, "agent", "-dev", "-node=consul", "-bind=" + address, "-client=" + address, "-log-level=warn",
		"-hcl=limits { http_max_conns_per_client = 1000 }", // All clients of a site have one address.
	}
	p := deploy.Process{Name: "consul", Log: filepath.Join(c.options.Dir, "consul.log")}
	c.Consul = c.remember(0, deploy.NewProcess(p, args, append(os.Environ(), "CHECKPOINT_DISABLE=1"), c.options.Dir, c.Sites[0].Start))
	if err := c.Consul.Start(); err != nil {
		return err
	}
	// Its authority is there once it leads.
	if err := c.ask(ctx, c.Consul, "http://"+address+":8500/v1/agent/connect/ca/roots"); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(c.Consul, 20))
	}
	return nil
}

// layOut puts all chunk-nodes into the first layout, with three copies.
func (c *Cluster) layOut(ctx context.Context) error {
	return Until(ctx, "the layout is in force", func() error {
		if _, err := c.CLI(ctx, "layout", "drop"); err != nil && !strings.Contains(err.Error(), "nothing is staged") {
			return err
		}
		out, err := c.CLI(ctx, "layout", "assign", "--all")
		if err != nil {
			return err
		}
		if staged := strings.Count(out, "staged:"); staged != c.nodeCount {
			return fmt.Errorf("%d of %d chunk-nodes are staged", staged, c.nodeCount)
		}
		if _, err := c.CLI(ctx, "layout", "replication", "3"); err != nil {
			return err
		}
		_, err = c.CLI(ctx, "layout", "apply")
		return err
	})
}

var keyLine = regexp.MustCompile(`(?m)^(access|secret) key\s+(\S+)$`)

func (c *Cluster) makeKey(ctx context.Context) error {
	out, err := c.CLI(ctx, "key", "create", "test", "--create-buckets")
	if err != nil {
		return err
	}
	found := keyLine.FindAllStringSubmatch(out, -1)
	if len(found) != 2 {
		return fmt.Errorf("no key in %s", out)
	}
	c.Endpoint.AccessKey, c.Endpoint.SecretKey = found[0][2], found[1][2]
	return nil
}
