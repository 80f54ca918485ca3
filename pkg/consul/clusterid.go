package consul

import (
	"context"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/errors"
)

// clusterKey holds the cluster's ID below the prefix.
const clusterKey = "cluster-id"

// Join says which cluster the program belongs to: it registers as one of that, and knows no instances of others. Call it before the
// first Watch and NewRegistration.
func (c *Client) Join(cluster uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined = cluster
}

// cluster is the ID of the cluster as services say it in Consul.
func (c *Client) cluster() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joined.String()
}

// ClusterID is the ID that the cluster has in Consul. If it has none yet it gets proposed, by compare-and-swap, so
// that of several programs that start for the first time one decides. It waits for a Consul that is away.
func (c *Client) ClusterID(ctx context.Context, proposed uuid.UUID) (uuid.UUID, error) {
	var id uuid.UUID
	var unreadable error
	err := c.persist(ctx, "the cluster's ID", func(ctx context.Context) error {
		return c.ask(ctx, func(o *api.QueryOptions) (err error) {
			id, err = c.clusterID(o, proposed)
			if errors.Is(err, errors.Corrupted) {
				unreadable, err = err, nil // waiting does not help
			}
			return err
		})
	})
	return id, errors.Join(err, unreadable)
}

// KnownClusterID asks once for the ID that the cluster has in Consul; Nil if it has none.
func (c *Client) KnownClusterID(ctx context.Context) (uuid.UUID, error) {
	var id uuid.UUID
	err := c.ask(ctx, func(o *api.QueryOptions) (err error) {
		id, err = c.readClusterID(o)
		return err
	})
	return id, err
}

func (c *Client) clusterID(o *api.QueryOptions, proposed uuid.UUID) (uuid.UUID, error) {
	id, err := c.readClusterID(o)
	if err != nil || id != uuid.Nil {
		return id, err
	}
	// ModifyIndex zero: only if there is none.
	pair := &api.KVPair{Key: c.Key(clusterKey), Value: []byte(proposed.String())}
	won, _, err := c.api.KV().CAS(pair, (&api.WriteOptions{}).WithContext(o.Context()))
	if err != nil {
		return uuid.Nil, err
	}
	if won {
		return proposed, nil
	}
	id, err = c.readClusterID(o)
	if err == nil && id == uuid.Nil {
		err = errors.Newf(errors.Conflict, "the key %s comes and goes", c.Key(clusterKey))
	}
	return id, err
}

func (c *Client) readClusterID(o *api.QueryOptions) (uuid.UUID, error) {
	o.RequireConsistent = true
	pair, _, err := c.api.KV().Get(c.Key(clusterKey), o)
	if err != nil || pair == nil {
		return uuid.Nil, err
	}
	id, err := uuid.ParseBytes(pair.Value)
	if err != nil {
		return uuid.Nil, errors.Wrap(errors.Corrupted, err, "the key %s of Consul holds no ID; write the cluster's ID into it (garage.json of any data folder has it)", c.Key(clusterKey))
	}
	return id, nil
}
