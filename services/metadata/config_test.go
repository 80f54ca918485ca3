package metadata_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/metadata"
)

func TestSettingsThatLoseDataAreRefused(t *testing.T) {
	c := metadata.DefaultConfig()
	require.NoError(t, c.Validate())
	c.Sweep.Grace = 0
	require.NoError(t, c.Validate(), "a store that is one service's alone knows what is being written")
	c.Store, c.CQL.Hosts = metadata.StoreCQL, []string{"127.0.0.1"}
	require.ErrorContains(t, c.Validate(), "sweep.grace")
	c.Sweep.Grace = time.Minute
	require.NoError(t, c.Validate())
	c.CQL.Hosts = nil
	require.ErrorContains(t, c.Validate(), "cql.hosts")
}
