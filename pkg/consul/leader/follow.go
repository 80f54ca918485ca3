package leader

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
)

// RebalancerKey is the lock of the active rebalancer, in Garage's folder of Consul's store.
const RebalancerKey = "rebalancer/leader"

// Leader is the active instance.
type Leader struct {
	NodeID  uuid.UUID `json:"node_id"`
	Address string    `json:"address"` // host:port where other services reach it
	// Term is higher than that of all before it. It is Consul's index of when the lock was taken, which grows
	// even if somebody deletes the key.
	Term uint64 `json:"-"`
}

// holder reads the lock's key; nil if nobody holds it.
func holder(pair *api.KVPair) (*Leader, error) {
	if pair == nil || pair.Session == "" {
		return nil, nil
	}
	l := &Leader{Term: pair.ModifyIndex}
	if err := json.Unmarshal(pair.Value, l); err != nil {
		return nil, errors.Wrap(errors.Corrupted, err, "Consul's key %s does not say who holds it", pair.Key)
	}
	return l, nil
}

// Follow calls found with the active instance, and again whenever another one or none (nil) is, until ctx ends, whose
// error it returns. While Consul is away, the last one stays. key is the lock's full name.
func Follow(ctx context.Context, c *consul.Client, key string, log *slog.Logger, found func(*Leader)) error {
	var last *Leader
	known := false
	return c.Follow(ctx, "the holder of "+key, func(options *api.QueryOptions) (*api.QueryMeta, error) {
		pair, meta, err := c.API().KV().Get(key, options)
		if err != nil {
			return nil, err
		}
		now, err := holder(pair)
		if err != nil {
			log.Error("the active instance is not known", "error", err)
		}
		if !known || !same(last, now) {
			last, known = now, true
			found(now)
		}
		return meta, nil
	})
}

func same(a, b *Leader) bool { return a == b || a != nil && b != nil && *a == *b }

// Active is the active instance as others reach it.
type Active struct {
	Leader
	Conn grpc.ClientConnInterface
}

// Dial makes a connection to one instance of a service.
type Dial func(service string, node uuid.UUID) (*grpc.ClientConn, error)

// Finder finds the active instance of a service and connects to it.
type Finder struct {
	consul  *consul.Client
	key     string
	service string
	dial    Dial
	log     *slog.Logger
}

// NewFinder makes a Finder of who holds the lock with that full name among the instances of a service.
func NewFinder(c *consul.Client, key, service string, dial Dial, log *slog.Logger) *Finder {
	return &Finder{consul: c, key: key, service: service, dial: dial, log: log}
}

// Follow calls found with the active instance, and again whenever another one or none (nil) is, until ctx ends, whose
// error it returns. The connection is closed after found has returned with another one, and when Follow ends.
func (f *Finder) Follow(ctx context.Context, found func(*Active)) error {
	var conn *grpc.ClientConn
	var node uuid.UUID
	closeConn := func(c *grpc.ClientConn) {
		if c == nil {
			return
		}
		if err := c.Close(); err != nil {
			f.log.Debug("closing the connection to who was active", "error", err)
		}
	}
	defer func() { closeConn(conn) }()
	return Follow(ctx, f.consul, f.key, f.log, func(l *Leader) {
		if l == nil {
			found(nil)
			return
		}
		if conn == nil || node != l.NodeID {
			next, err := f.dial(f.service, l.NodeID)
			if err != nil {
				f.log.Error("the active instance cannot be reached", "node", l.NodeID, "error", err)
				found(nil)
				return
			}
			defer closeConn(conn) // of who was active before
			conn, node = next, l.NodeID
		}
		found(&Active{Leader: *l, Conn: conn})
	})
}
