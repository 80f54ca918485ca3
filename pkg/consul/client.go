package consul

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// requestTimeout bounds requests that do not block.
const requestTimeout = 5 * time.Second

// Deps are what a Client works with.
type Deps struct {
	Clock    clock.Clock
	Logger   *slog.Logger
	Registry prometheus.Registerer // nil: no metrics
}

// Client is a program's one connection to Consul. Close it.
type Client struct {
	config Config
	api    *api.Client
	clock  clock.Clock
	log    *slog.Logger
	random func() float64 // 0 to 1

	ctx    context.Context // of what runs in the background
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	watches map[string]*Watch
	kept    string // file with the last instances of each service; empty: none
	joined  uuid.UUID
	up      bool
	lost    time.Time // when it stopped answering, while it does not
	closed  bool

	registry prometheus.Registerer // nil: no metrics
}

// New makes a client from Consul's environment; it connects when first used. Kinds: Invalid.
func New(c Config, d Deps) (*Client, error) {
	consul, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "Consul's environment (CONSUL_HTTP_ADDR and the others)")
	}
	client := &Client{config: c, api: consul, clock: d.Clock, log: d.Logger, random: rand.Float64, watches: map[string]*Watch{}, up: true}
	client.ctx, client.cancel = context.WithCancel(context.Background())
	if d.Registry == nil {
		return client, nil
	}
	client.registry = d.Registry
	for _, c := range []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: telemetry.Namespace, Subsystem: "consul", Name: "up",
			Help: "1 while Consul answers; 0 while what it said last serves.",
		}, client.gauge),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: telemetry.Namespace, Subsystem: "consul", Name: "view_age_seconds",
			Help: "Age of what is known from Consul: 0 while it answers, as changes then come at once; else the time since it stopped.",
		}, client.age),
		&viewCollector{client},
	} {
		if err := d.Registry.Register(c); err != nil {
			return nil, errors.Wrap(errors.Internal, err, "metrics of Consul")
		}
	}
	return client, nil
}

// API is Consul's own client, for what this package has no words for.
func (c *Client) API() *api.Client { return c.api }

// Key is the full name of a key of the key-value store, as garage/layout/current for layout/current.
func (c *Client) Key(name string) string { return c.Prefix() + name }

// Prefix begins the keys of the cluster, and ends in a slash.
func (c *Client) Prefix() string { return strings.Trim(c.config.Prefix, "/") + "/" }

// Close ends everything that runs in the background.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.work.Wait()
	return nil
}

// Up tells whether Consul answered the last time it was asked.
func (c *Client) Up() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

// Check returns nil if Consul answers, and its servers have a leader. Kinds: Unavailable.
func (c *Client) Check(ctx context.Context) error {
	return c.ask(ctx, func(o *api.QueryOptions) error {
		leader, err := c.api.Status().LeaderWithQueryOptions(o)
		if err == nil && leader == "" {
			err = errors.Newf(errors.Unavailable, "Consul's servers have no leader")
		}
		return err
	})
}

func (c *Client) gauge() float64 {
	if c.Up() {
		return 1
	}
	return 0
}

func (c *Client) age() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up {
		return 0
	}
	return c.clock.Now().Sub(c.lost).Seconds()
}

// judge learns from the result of a request whether Consul is there, and says when that changes.
func (c *Client) judge(err error) {
	up := !away(err)
	c.mu.Lock()
	changed := c.up != up
	c.up = up
	if changed && !up {
		c.lost = c.clock.Now()
	}
	c.mu.Unlock()
	switch {
	case changed && up:
		c.log.Info("Consul answers again")
	case changed:
		c.log.Warn("Consul does not answer: what it said last serves until it does", "error", err)
	}
}

// away tells whether an error means that Consul is not there, rather than that it refuses something.
func away(err error) bool {
	if err == nil {
		return false
	}
	var refused api.StatusError
	return !errors.As(err, &refused) || refused.Code >= http.StatusInternalServerError
}

// isStatus tells whether Consul answered with that HTTP status.
func isStatus(err error, code int) bool {
	var refused api.StatusError
	return errors.As(err, &refused) && refused.Code == code
}

// ask makes a request that does not block, with a deadline.
func (c *Client) ask(ctx context.Context, request func(*api.QueryOptions) error) error {
	attempt, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := request((&api.QueryOptions{}).WithContext(attempt))
	if ctx.Err() == nil {
		c.judge(err)
	}
	return err
}

// failed gives an error of Consul its kind and says what was being done.
func failed(err error, doing string) error {
	switch {
	case err == nil:
		return nil
	case isStatus(err, http.StatusForbidden):
		return errors.Wrap(errors.PermissionDenied, err, "Consul: %s: the token in CONSUL_HTTP_TOKEN does not allow it", doing)
	case away(err):
		return errors.Wrap(errors.Unavailable, err, "Consul: %s", doing)
	}
	return errors.Wrap(errors.Internal, err, "Consul: %s", doing)
}

// persist repeats something until it succeeds or ctx ends; it says that it waits when it begins to.
func (c *Client) persist(ctx context.Context, doing string, try func(context.Context) error) error {
	for failures := 0; ; failures++ {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if failures == 0 {
			c.log.Warn("waiting for Consul", "for", doing, "error", err)
		}
		if clock.Sleep(ctx, c.clock, backoff(failures, c.random())) != nil {
			return failed(err, doing)
		}
	}
}
