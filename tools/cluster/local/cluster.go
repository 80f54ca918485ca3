package local

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"deuxfleurs.fr/garage/tools/repo"
	"deuxfleurs.fr/garage/tools/stack/parts"
	"deuxfleurs.fr/garage/tools/stack/process"
)

// RootDomain is below which host names are those of buckets.
const RootDomain = "s3.garage.localhost"

// Region is the region that S3 requests are signed for.
const Region = "garage"

// Options say what a cluster consists of.
type Options struct {
	// Data is the folder of everything.
	Data string `json:"-"`
	// Nodes is how many machines there are to be, each with a chunk-node, in Zones zones.
	Nodes, Zones int
	// CQLNodes is how many nodes the database has: 1 or 3. The metadata is kept that many times.
	CQLNodes int
	// Offset is added to every port.
	Offset int
	// Env are settings for all services, as NAME to value.
	Env map[string]string `json:",omitempty"`
	// Bin is the folder of Garage's programs.
	Bin string `json:"-"`
	// Progress is told what is done; nil means nobody.
	Progress io.Writer `json:"-"`
}

// Cluster is a data folder and what runs on it.
type Cluster struct {
	o     Options
	root  string // of the repository
	stack *parts.Stack
	began time.Time
}

const optionsFile = "cluster.json"

// Open returns the cluster of a data folder. A folder keeps the offset that it was first used with; without Nodes, it is as it was
// last used.
func Open(o Options) (*Cluster, error) {
	root, err := repo.Root()
	if err != nil {
		return nil, err
	}
	if o.Data, err = filepath.Abs(o.Data); err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	stack, err := parts.Open(parts.Options{Data: filepath.Join(o.Data, "stack"), Offset: o.Offset, Progress: o.Progress})
	if err != nil {
		return nil, err
	}
	return &Cluster{o: o, root: root, stack: stack, began: time.Now()}, nil
}

// complete adds what the data folder remembers.
func (o *Options) complete() error {
	text, err := os.ReadFile(filepath.Join(o.Data, optionsFile))
	if errors.Is(err, fs.ErrNotExist) && o.Nodes > 0 {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no cluster was ever started in %s", o.Data)
	}
	if err != nil {
		return err
	}
	var before Options
	if err := json.Unmarshal(text, &before); err != nil {
		return fmt.Errorf("%s: %w", optionsFile, err)
	}
	o.Offset = before.Offset
	if o.Nodes == 0 {
		o.Nodes, o.Zones, o.CQLNodes, o.Env = before.Nodes, before.Zones, before.CQLNodes, before.Env
	}
	return nil
}

func (o *Options) check() error {
	o.Zones = min(o.Zones, o.Nodes)
	switch {
	case o.Nodes < 1 || o.Nodes > 9:
		return fmt.Errorf("a cluster has 1 to 9 nodes, not %d", o.Nodes)
	case o.Zones < 1:
		return fmt.Errorf("nodes are in 1 zone or more, not %d", o.Zones)
	case o.CQLNodes != 1 && o.CQLNodes != 3:
		return fmt.Errorf("the database has 1 or 3 nodes, not %d", o.CQLNodes)
	}
	return nil
}

// Options are those that the cluster was opened with, or last used with.
func (c *Cluster) Options() Options { return c.o }

// Data is the data folder, absolute.
func (c *Cluster) Data() string { return c.o.Data }

// Stack is what the cluster's services run on: Cassandra, Consul, Nomad and LDAP.
func (c *Cluster) Stack() *parts.Stack { return c.stack }

// ChunkNode is the data folder of the chunk-node of node i, counted from 1.
func (c *Cluster) ChunkNode(i int) string {
	return filepath.Join(c.o.Data, fmt.Sprintf("chunk-node-%d", i))
}

// Replication is how many copies of a chunk the first layout asks for.
func (c *Cluster) Replication() int { return min(3, c.o.Nodes) }

// say tells of progress.
func (c *Cluster) say(format string, args ...any) {
	fmt.Fprintf(c.o.Progress, "%5.1fs  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// Up starts everything that does not run yet and returns when S3 answers through Traefik.
func (c *Cluster) Up(ctx context.Context) error {
	if err := c.prepare(); err != nil {
		return err
	}
	if err := c.stack.Up(ctx, c.parts()...); err != nil {
		return err
	}
	bin, err := c.installPrograms(ctx)
	if err != nil {
		return err
	}
	traefik, err := c.stack.Program(ctx, parts.Traefik{})
	if err != nil {
		return err
	}
	if err := c.runJobs(ctx, bin, traefik); err != nil {
		return err
	}
	if err := c.dropPrograms(bin); err != nil {
		return err
	}
	if err := c.firstLayout(ctx, bin); err != nil {
		return err
	}
	if err := c.writeEnv(ctx); err != nil {
		return err
	}
	if err := c.Wait(ctx); err != nil {
		return err
	}
	c.say("ready: %s", filepath.Join(c.o.Data, envFile))
	return nil
}

// prepare makes the folders, and remembers the options.
func (c *Cluster) prepare() error {
	for i := range c.o.Nodes {
		if err := os.MkdirAll(c.ChunkNode(i+1), 0o700); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(c.o, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.o.Data, optionsFile), append(text, '\n'), 0o600)
}

func (c *Cluster) parts() []parts.Part {
	agents := parts.Agents(c.o.Nodes, c.o.Zones)
	nomad := parts.Nomad{}
	for i, a := range agents {
		// The second is for trying the job of a database; the first machine is for trying that of its repair.
		folder, database := c.ChunkNode(i+1), filepath.Join(c.o.Data, fmt.Sprintf("cql-%d", i+1))
		nomad.Clients = append(nomad.Clients, parts.Client{
			Agent: a, Volumes: map[string]string{"garage-chunk-node": folder, "garage-cql": database},
			Meta: map[string]string{"garage_data": folder, "cql_data": database},
		})
	}
	nomad.Clients[0].Meta["garage_cql"] = "yes"
	return []parts.Part{
		parts.Cassandra{Nodes: c.o.CQLNodes},
		parts.Consul{Agents: agents, ACL: true},
		nomad,
		parts.LDAP{},
	}
}

// Down stops everything and keeps the data.
func (c *Cluster) Down(ctx context.Context) error {
	// The services end as an operator ends them; what does not answer any more is ended with the parts.
	if err := c.stopJobs(ctx); err != nil {
		c.say("the jobs did not all stop by themselves: %v", err)
	}
	if err := c.stack.Down(ctx); err != nil {
		return err
	}
	c.say("stopped; the data stays in %s", c.o.Data)
	return nil
}

// secret returns the secret in a file of the data folder, which is made when it is not there.
func (c *Cluster) secret(name string) (string, error) {
	path := filepath.Join(c.o.Data, name)
	text, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	value := hex.EncodeToString(random)
	return value, os.WriteFile(path, []byte(value+"\n"), 0o600)
}

// FreeOffset returns an offset by which all ports of a cluster are free now.
func FreeOffset() (int, error) {
	var last error
	for range 20 {
		offset, err := parts.FreeOffset()
		if err != nil {
			return 0, err
		}
		if last = free(offset); last == nil {
			return offset, nil
		}
	}
	return 0, fmt.Errorf("no free ports for a cluster: %w", last)
}

// free tells whether nobody listens on the services' ports.
func free(offset int) error {
	for port := portS3; port <= portPing; port++ {
		for _, host := range []string{"127.0.0.1", "127.0.0.11", "127.0.0.12", "127.0.0.13"} {
			if err := process.Unused(net.JoinHostPort(host, strconv.Itoa(port+offset))); err != nil {
				return err
			}
		}
	}
	return nil
}
