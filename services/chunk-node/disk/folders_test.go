package disk

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
)

// TestAFolderThatAKilledProcessMadeIsDurable stops the process between making a partition's folder and syncing
// its parent; after the next start a chunk comes into it, and then the power goes.
func TestAFolderThatAKilledProcessMadeIsDurable(t *testing.T) {
	fs := memFS(t)
	h, b := chunktest.Chunk(1, 100_000)
	killed, err := Open(options(fs))
	require.NoError(t, err)
	require.NoError(t, fs.MkdirAll(killed.owners[h.Partition()].partitionPath(h.Partition()), 0o700))
	require.NoError(t, killed.Close())

	chunktest.RequirePut(t, open(t, options(fs)), h, b, chunktest.Ref(1))
	after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 2))})
	chunktest.RequireGet(t, open(t, options(after)), h, b)
}
