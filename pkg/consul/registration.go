package consul

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// refreshInterval is how often the agent is asked whether it still knows the program, and the TTL check
	// of a chunk-node is refreshed.
	refreshInterval = 10 * time.Second
	// aliveTTL without a refresh is not alive.
	aliveTTL = 30 * time.Second
	// healthInterval is how often the agent asks the program's gRPC health.
	healthInterval = 5 * time.Second
	healthTimeout  = 3 * time.Second
	// forgetAfter is how long a program that keeps nothing, and went without leaving, is still listed.
	forgetAfter = time.Hour
	// aliveOutput is short and constant: Consul holds back changes of output alone, and each is a write.
	aliveOutput = "alive"
	// healthSuffix ends the ID of the check in which the agent asks the program.
	healthSuffix = ":health"
)

// Service is what a program says about itself.
type Service struct {
	Name     string    // one of the Service names
	NodeID   uuid.UUID // of its data folder
	Address  string    // host:port where others connect
	TLS      bool      // an s3-gateway speaks TLS there
	Admin    string    // host:port of the administration server, whose gRPC health Consul's agent asks
	AdminTLS bool      // that server speaks TLS
	Zone     string
	Version  string
	Tags     []string
	// Serving says what the health is at this moment; nil: it is well.
	Serving func() bool
	// Capacity is the bytes that a chunk-node may use; nil for other services. What is shown is rounded, and
	// changes only when the capacity changes by a tenth.
	Capacity func() (bytes int64, err error)
	// KeepAlive adds the TTL check of a chunk-node, which is refreshed by the program itself. Such a service
	// stays listed when it is gone, so that the operator sees it; and only one process with its ID serves.
	KeepAlive bool
}

// ID is the service's stable ID.
func (s *Service) ID() string { return s.Name + "-" + s.NodeID.String() }

func (s *Service) aliveCheck() string { return s.ID() + ":alive" }

// Registration keeps a program registered as long as it runs.
type Registration struct {
	client   *Client
	service  Service
	host     string
	port     int
	capacity coarse
	ready    chan struct{}
	claim    claim
	told     bool // the agent, about this program, even if it did not answer
}

// NewRegistration makes a registration; Run it. Kinds: Invalid.
func (c *Client) NewRegistration(s Service) (*Registration, error) {
	host, portText, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "the address to register in Consul")
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port == 0 {
		return nil, errors.Newf(errors.Invalid, "the address to register in Consul, %s, has no port number", s.Address)
	}
	return &Registration{client: c, service: s, host: host, port: port, ready: make(chan struct{})}, nil
}

// Ready is closed when the program has tried to register, with success or not, and nobody else has its ID.
func (r *Registration) Ready() <-chan struct{} { return r.ready }

// Run registers the program, again whenever Consul's agent has lost it, until ctx ends. Then it leaves, and
// returns after the time of drain. A Consul that is away is told later. It fails only where KeepAlive is set and another process has the
// same ID and came first. Kinds: AlreadyExists.
func (r *Registration) Run(ctx context.Context) error {
	registered, failures := false, 0
	var first sync.Once
	for {
		err := r.refresh(ctx, registered)
		if r.claim.refused.IsZero() {
			first.Do(func() { close(r.ready) })
		}
		pause := refreshInterval
		switch {
		case ctx.Err() != nil:
		case errors.IsEntity(err, errors.AlreadyExists, errors.Node):
			return errors.Join(err, r.leave(context.WithoutCancel(ctx)))
		case err != nil:
			if failures == 0 && !away(err) {
				r.client.log.Error("Consul refuses the registration; it is repeated", "id", r.service.ID(), "error", failed(err, "registering"))
			}
			pause = min(backoff(failures, r.client.random()), refreshInterval)
			failures++
			// Whatever the agent knows, it is told everything once more when it answers.
			registered = registered && away(err)
		default:
			if !registered {
				r.client.log.Info("registered in Consul", "id", r.service.ID(), "address", r.service.Address)
			}
			registered, failures, r.claim.held = true, 0, r.client.clock.Now()
		}
		if clock.Sleep(ctx, r.client.clock, pause) != nil {
			return r.leave(context.WithoutCancel(ctx))
		}
	}
}

// refresh tells the agent that the program lives, and everything about it if the agent does not know it.
func (r *Registration) refresh(ctx context.Context, registered bool) error {
	if err := r.contest(ctx, registered); err != nil {
		return err
	}
	changed := r.measure()
	if registered && !changed {
		err := r.client.ask(ctx, r.alive)
		if !isStatus(err, http.StatusNotFound) {
			return err
		}
		r.client.log.Warn("Consul's agent does not know this program any more: it registers again", "id", r.service.ID())
	}
	r.told = true
	return r.client.ask(ctx, func(o *api.QueryOptions) error {
		return r.client.api.Agent().ServiceRegisterOpts(r.description(), api.ServiceRegisterOpts{}.WithContext(o.Context()))
	})
}

// alive answers NotFound if the agent does not know the program.
func (r *Registration) alive(o *api.QueryOptions) error {
	if r.service.KeepAlive {
		return r.client.api.Agent().UpdateTTLOpts(r.service.aliveCheck(), aliveOutput, api.HealthPassing, o)
	}
	_, _, err := r.client.api.Agent().Service(r.service.ID(), o)
	return err
}

// measure looks at the capacity and tells whether what is shown of it has changed.
func (r *Registration) measure() bool {
	if r.service.Capacity == nil {
		return false
	}
	bytes, err := r.service.Capacity()
	if err != nil {
		r.client.log.Debug("the capacity is not known now", "error", err)
		return false
	}
	return r.capacity.set(bytes)
}

func (r *Registration) description() *api.AgentServiceRegistration {
	s := &r.service
	status := api.HealthPassing
	if s.Serving != nil && !s.Serving() {
		status = api.HealthCritical
	}
	health := &api.AgentServiceCheck{
		CheckID: s.ID() + healthSuffix, Name: "serving", Status: status,
		GRPC: s.Admin, GRPCUseTLS: s.AdminTLS,
		// Nothing secret is said; what the certificate is issued for is not for the agent to know.
		TLSSkipVerify: s.AdminTLS,
		Interval:      healthInterval.String(), Timeout: healthTimeout.String(),
	}
	d := &api.AgentServiceRegistration{
		ID: s.ID(), Name: s.Name, Address: r.host, Port: r.port, Tags: s.Tags,
		Meta:   map[string]string{metaNode: s.NodeID.String(), metaCluster: r.client.cluster(), metaZone: s.Zone, metaVersion: s.Version, metaAdmin: s.Admin},
		Checks: api.AgentServiceChecks{health},
	}
	if s.TLS {
		d.Meta[metaTLS] = "true"
	}
	if s.Capacity != nil {
		d.Meta[metaCapacity] = r.capacity.String()
	}
	if s.KeepAlive {
		d.Checks = append(d.Checks, &api.AgentServiceCheck{CheckID: s.aliveCheck(), Name: "alive", TTL: aliveTTL.String(), Status: api.HealthPassing})
	} else {
		health.DeregisterCriticalServiceAfter = forgetAfter.String()
	}
	return d
}

// leave takes the program out of Consul and waits for the time of drain.
func (r *Registration) leave(ctx context.Context) error {
	if !r.told {
		return nil // what the agent knows under this ID is another process
	}
	err := r.client.ask(ctx, func(o *api.QueryOptions) error {
		return r.client.api.Agent().ServiceDeregisterOpts(r.service.ID(), o)
	})
	if err != nil {
		if !isStatus(err, http.StatusNotFound) {
			r.client.log.Warn("this program could not leave Consul, which will find it critical", "id", r.service.ID(), "error", err)
		}
		return nil
	}
	r.client.log.Info("left Consul", "id", r.service.ID(), "drain", r.client.config.Drain.String())
	return clock.Sleep(ctx, r.client.clock, r.client.config.Drain)
}
