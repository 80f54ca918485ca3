package leader

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// HighestTerm is more than any term.
	HighestTerm = math.MaxInt64
	// baseTimeout bounds a question to Consul about the base.
	baseTimeout = 10 * time.Second
)

// Base is what is added to the index of a lock to make terms that grow also when Consul, which counts the index, has lost its data.
// The zero Base is that of a lock which has none.
type Base struct {
	Number uint64
	key    string
	index  uint64 // when Consul has changed it; 0: it has none
}

// ReadBase is the base that belongs to a lock's key. Kinds: Unavailable; Corrupted.
func ReadBase(ctx context.Context, c *consul.Client, lock string) (Base, error) {
	ctx, cancel := context.WithTimeout(ctx, baseTimeout)
	defer cancel()
	b := Base{key: lock + "-base"}
	pair, _, err := c.API().KV().Get(b.key, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	if err != nil {
		return Base{}, errors.Wrap(errors.Unavailable, err, "reading the base of terms")
	}
	if pair == nil {
		return b, nil
	}
	if b.Number, err = strconv.ParseUint(string(pair.Value), 10, 64); err != nil || b.Number > HighestTerm {
		return Base{}, errors.Newf(errors.Corrupted, "Consul's key %s holds %q instead of a number: delete it", pair.Key, pair.Value)
	}
	b.index = pair.ModifyIndex
	return b, nil
}

// Raise makes the base that number, if held holds the lock still and the base is as it was read; otherwise it says that nothing was changed. Kinds:
// Unavailable: it may or may not be raised then.
func (b Base) Raise(ctx context.Context, c *consul.Client, held Held, number uint64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, baseTimeout)
	defer cancel()
	ok, _, _, err := c.API().KV().Txn(api.KVTxnOps{
		{Verb: api.KVCheckSession, Key: held.Key, Session: held.Session},
		{Verb: api.KVCAS, Key: b.key, Value: strconv.AppendUint(nil, number, 10), Index: b.index},
	}, (&api.QueryOptions{}).WithContext(ctx))
	return ok, errors.Wrap(errors.Unavailable, err, "raising the base of terms")
}
