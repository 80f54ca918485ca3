package consul

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/errors"
)

// Two processes with one node ID, as when a data folder was copied or a disk moved while its program still ran, would each get some of
// what is meant for both. So a chunk-node registers only when Consul knows no other live one with its ID, and holds the ID as long as it
// refreshes its check; one that could not for the time in which it counts as alive asks again. Of two that registered at the same
// time the one that came first, by Consul's index, stays.

// claimTime is how long a live registration of another process with the same ID is waited for: one that has ended without leaving
// counts as alive for less.
const claimTime = aliveTTL + 10*time.Second

// claim is what a registration knows of others with its ID.
type claim struct {
	held    time.Time // when the check was refreshed last
	refused time.Time // since when another one holds the ID; zero: none does
}

// contest looks for another live process with the same ID. Kinds: AlreadyExists of the node if this process must not serve; Unavailable
// while that is not known.
func (r *Registration) contest(ctx context.Context, registered bool) error {
	if !r.service.KeepAlive {
		return nil
	}
	now := r.client.clock.Now()
	holds := registered && now.Sub(r.claim.held) < aliveTTL
	rival, first, err := r.rival(ctx)
	switch {
	case err != nil && holds:
		return nil // Consul's servers are away, and whoever had the ID keeps it
	case err != nil:
		return err
	case rival == nil || holds && first:
		r.claim.refused = time.Time{}
		return nil
	case r.claim.refused.IsZero():
		r.claim.refused = now
		r.client.log.Error("another process has the ID of this node: this one serves only if that one goes", "id", r.service.NodeID, "other", rival.Address, "on", rival.Machine)
	}
	if holds || now.Sub(r.claim.refused) >= claimTime {
		return errors.E(errors.AlreadyExists, errors.Node, r.service.NodeID.String(),
			"another process has this ID and serves, at %s on the machine %s; only one may. If the data folder here is a copy, remove it and start with an empty one; if it is the right one, stop the other process first", rival.Address, rival.Machine)
	}
	return errors.E(errors.Unavailable, errors.Node, r.service.NodeID.String(), "the process at %s, which has this ID too, counts as alive", rival.Address)
}

// rival is another process with the same ID that lives, nil if there is none, and whether this process registered before it.
func (r *Registration) rival(ctx context.Context) (rival *Instance, first bool, err error) {
	var entries []*api.ServiceEntry
	err = r.client.ask(ctx, func(o *api.QueryOptions) (err error) {
		o.RequireConsistent = true
		o.Filter = "Service.ID == " + strconv.Quote(r.service.ID())
		entries, _, err = r.client.api.Health().Service(r.service.Name, "", false, o)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	entries = slices.DeleteFunc(entries, func(e *api.ServiceEntry) bool { return !alive(e) })
	mine, own := ^uint64(0), net.JoinHostPort(r.host, strconv.Itoa(r.port))
	for _, i := range r.client.instances(entries) {
		switch {
		case i.Address == own:
			mine = i.Index
		case rival == nil || i.Index < rival.Index:
			rival = &i
		}
	}
	return rival, rival != nil && mine < rival.Index, nil
}

// alive tells whether the process and its machine are there, well or not: only what the process answers about itself may fail.
func alive(e *api.ServiceEntry) bool {
	return !slices.ContainsFunc(e.Checks, func(c *api.HealthCheck) bool {
		return c.Status != api.HealthPassing && !strings.HasSuffix(c.CheckID, healthSuffix)
	})
}
