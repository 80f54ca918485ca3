package consul

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"
)

// Keys of a service's metadata.
const (
	metaNode     = "node_id"
	metaCluster  = "cluster_id"
	metaZone     = "zone"
	metaVersion  = "version"
	metaCapacity = "capacity"
	metaAdmin    = "admin"
	metaTLS      = "tls" // "true", or not there
)

// Instance is a program as Consul knows it.
type Instance struct {
	ID       string    // name and node ID
	NodeID   uuid.UUID // of its data folder
	Address  string    // host:port where others connect
	TLS      bool      // an s3-gateway speaks TLS there
	Admin    string    // host:port of its administration server
	Machine  string    // name of Consul's node that it runs on
	Zone     string
	Version  string
	Capacity string // coarse, for people; of chunk-nodes
	Healthy  bool   // all its checks pass
	// Index is Consul's index of when it was registered first: of two, the one with the lower index came first.
	Index uint64
}

// View is the instances of a service as Consul said last.
type View struct {
	// Instances are in the order of their IDs. The slice must not be changed.
	Instances []Instance
	// Known is false until Consul has answered for the first time.
	Known bool
	// Changed is closed when there is another view.
	Changed <-chan struct{}
}

// Watch follows the instances of one service until its Client is closed.
type Watch struct {
	mu      sync.Mutex
	view    View
	changed chan struct{}
}

// Watch follows the instances of a service that belong to the cluster (see [Client.Join]); the same one for all who ask.
func (c *Client) Watch(service string) *Watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.watches[service]; w != nil {
		return w
	}
	w := newWatch()
	c.watches[service] = w
	if !c.closed {
		c.work.Go(func() { c.follow(service, w) })
	}
	return w
}

func newWatch() *Watch {
	w := &Watch{changed: make(chan struct{})}
	w.view.Changed = w.changed
	return w
}

// View is the instances now.
func (w *Watch) View() View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

// Instances are those of the View now.
func (w *Watch) Instances() []Instance { return w.View().Instances }

func (c *Client) follow(service string, w *Watch) {
	// It ends with the client, which needs no error.
	_ = c.Follow(c.ctx, "instances of "+service, func(o *api.QueryOptions) (*api.QueryMeta, error) {
		entries, meta, err := c.api.Health().Service(service, "", false, o)
		switch {
		case err == nil && w.set(c.instances(entries)):
			c.log.Debug("the instances of a service have changed", "of", service, "instances", len(entries))
			c.keep()
		case away(err) && c.ctx.Err() == nil && !w.View().Known:
			c.recall(service, w)
		}
		return meta, err
	})
}

// set makes instances the view, if it says something else. That nobody is there is not believed when somebody
// was: either Consul lost its data and will be told again, or all have stopped and it makes no difference.
func (w *Watch) set(instances []Instance) (changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.view.Known && (len(instances) == 0 || slices.Equal(w.view.Instances, instances)) {
		return false
	}
	close(w.changed)
	w.changed = make(chan struct{})
	w.view = View{Instances: instances, Known: true, Changed: w.changed}
	return true
}

// instances are those of the client's cluster: another one in the same datacentre has services of the same names.
func (c *Client) instances(entries []*api.ServiceEntry) []Instance {
	list, own := make([]Instance, 0, len(entries)), c.cluster()
	for _, e := range entries {
		if e.Service.Meta[metaCluster] != own {
			continue
		}
		host := e.Service.Address
		if host == "" {
			host = e.Node.Address
		}
		i := Instance{
			ID: e.Service.ID, Address: net.JoinHostPort(host, strconv.Itoa(e.Service.Port)), Admin: e.Service.Meta[metaAdmin],
			TLS:     e.Service.Meta[metaTLS] == "true",
			Machine: e.Node.Node, Zone: e.Service.Meta[metaZone], Version: e.Service.Meta[metaVersion], Capacity: e.Service.Meta[metaCapacity],
			Healthy: e.Checks.AggregatedStatus() == api.HealthPassing, Index: e.Service.CreateIndex,
		}
		// What somebody else registered under this name has no node ID, and nobody asks for it by that.
		i.NodeID, _ = uuid.Parse(e.Service.Meta[metaNode])
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
	return list
}
