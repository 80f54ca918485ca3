package cql

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDatacentersOfAKeyspaceAreThoseWithCopies(t *testing.T) {
	const topology = "org.apache.cassandra.locator.NetworkTopologyStrategy"
	nodes := []string{"paris", "lyon", "paris"}
	for _, c := range []struct {
		copies map[string]string
		want   []string
	}{
		{map[string]string{"class": topology, "paris": "3"}, []string{"paris"}},
		{map[string]string{"class": topology, "paris": "3", "lyon": "0"}, []string{"paris"}},
		{map[string]string{"class": topology, "paris": "3", "lyon": "1"}, []string{"lyon", "paris"}},
		{map[string]string{"class": "org.apache.cassandra.locator.SimpleStrategy", "replication_factor": "3"}, []string{"lyon", "paris"}},
	} {
		require.Equal(t, c.want, datacentersOf(c.copies, nodes), "%v", c.copies)
	}
}
