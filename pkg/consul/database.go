package consul

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/errors"
)

// repairedKeys are, below the prefix, a key for each machine of the database, which the job of the weekly repair
// (nomad/cql-repair.nomad.hcl) writes: when a repair succeeded there last, in seconds since 1970, or nothing for never.
const repairedKeys = "database/repaired/"

// DatabaseMachine is a machine with a node of the database.
type DatabaseMachine struct {
	Name     string
	Repaired time.Time // zero: never
}

// DatabaseRepairs are the machines of the database whose repair was recorded, in the order of their names. Kinds: Unavailable;
// PermissionDenied; Corrupted if a record cannot be read.
func (c *Client) DatabaseRepairs(ctx context.Context) ([]DatabaseMachine, error) {
	var pairs api.KVPairs
	err := c.ask(ctx, func(o *api.QueryOptions) (err error) {
		pairs, _, err = c.api.KV().List(c.Key(repairedKeys), o)
		return err
	})
	if err != nil && !isStatus(err, http.StatusNotFound) {
		return nil, failed(err, "reading when the database was repaired")
	}
	var all []DatabaseMachine
	for _, p := range pairs {
		m := DatabaseMachine{Name: strings.TrimPrefix(p.Key, c.Key(repairedKeys))}
		if text := strings.TrimSpace(string(p.Value)); text != "" {
			seconds, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return nil, errors.Wrap(errors.Corrupted, err, "Consul's key %s does not say when the database was repaired: remove it, and repair again", p.Key)
			}
			m.Repaired = time.Unix(seconds, 0)
		}
		all = append(all, m)
	}
	return all, nil
}
