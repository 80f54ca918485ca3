//go:build stack

package consul

import (
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
)

func TestWhenTheDatabaseWasRepaired(t *testing.T) {
	connect(t)
	p := start(t, unique())
	t.Cleanup(func() {
		_, err := p.API().KV().DeleteTree(p.Prefix(), nil)
		require.NoError(t, err)
	})
	put := func(key, value string) {
		_, err := p.API().KV().Put(&api.KVPair{Key: p.Key("database/" + key), Value: []byte(value)}, nil)
		require.NoError(t, err)
	}
	all, err := p.DatabaseRepairs(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
	put("repair/.lock", "")
	put("repaired/node-2", "")
	put("repaired/node-1", "1700000000\n")
	all, err = p.DatabaseRepairs(t.Context())
	require.NoError(t, err)
	require.Equal(t, []DatabaseMachine{{Name: "node-1", Repaired: time.Unix(1700000000, 0)}, {Name: "node-2"}}, all)
	put("repaired/node-3", "yesterday")
	_, err = p.DatabaseRepairs(t.Context())
	require.True(t, errors.Is(err, errors.Corrupted), "%v", err)
}
