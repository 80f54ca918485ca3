package nodes

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/layout"
)

func TestThePlanIsOneClusterThatKeepsItsNodes(t *testing.T) {
	folder, err := datafolder.Open(filepath.Join(t.TempDir(), "data"), datafolder.Options{Service: "nodes"})
	require.NoError(t, err)
	defer folder.Close()
	processes, err := plan(folder, "127.0.0.1:1", "127.0.0.1:2", "garage")
	require.NoError(t, err)
	var names []string
	seen := map[string]bool{}
	for _, p := range processes {
		names = append(names, p.Name)
		require.False(t, seen[p.Admin] || seen[p.Data], "%s shares an address or a folder", p.Name)
		seen[p.Admin], seen[p.Data] = true, true
		require.Contains(t, p.args, folder.Info().ClusterID.String())
	}
	require.Equal(t, []string{"chunk-node-1", "chunk-node-2", "chunk-node-3", "metadata", "rebalancer", "s3-gateway"}, names)

	first, err := layout.ReadFile(folder.Path(layoutFile))
	require.NoError(t, err)
	require.Equal(t, 3, first.Replication)
	require.Equal(t, 3, first.Zones())

	_, err = plan(folder, "127.0.0.1:1", "127.0.0.1:2", "garage")
	require.NoError(t, err)
	again, err := layout.ReadFile(folder.Path(layoutFile))
	require.NoError(t, err)
	for i, n := range first.Nodes {
		require.Equal(t, n.ID, again.Nodes[i].ID, "a later start has the same nodes")
		require.Equal(t, n.Zone, again.Nodes[i].Zone)
	}
}

func TestAMissingProgramIsSaid(t *testing.T) {
	_, err := programPath("no-such-program")
	require.ErrorContains(t, err, "make build")
}
