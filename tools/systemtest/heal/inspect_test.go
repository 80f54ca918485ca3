//go:build stack

package heal

import (
	"context"
	"encoding/hex"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/layout"
	chunknode "deuxfleurs.fr/garage/services/chunk-node"
	"deuxfleurs.fr/garage/services/chunk-node/adopt"
	"deuxfleurs.fr/garage/tools/deploy"
)

// holding is what lies on the disks of one node.
type holding struct {
	id      chunk.NodeID
	name    string
	chunks  map[chunk.Hash][]chunk.Ref
	layouts *layout.Active
}

// inspect stops the chunk-nodes, reads all that lies on their disks, and starts them again. Every chunk must be on its owners, whole, with
// the same references, and nowhere else; and there is no file without a reference.
func (r *run) inspect() {
	r.t.Helper()
	alive := slices.DeleteFunc(r.Nodes(), func(p *deploy.Process) bool { return !p.Alive() })
	each(r.t, alive, (*deploy.Process).Kill)
	var all []holding
	for _, p := range alive {
		all = append(all, r.read(p))
	}
	newest := all[0].layouts
	for _, h := range all {
		if h.layouts.Newer(newest) {
			newest = h.layouts
		}
	}
	require.Len(r.t, newest.Placements(), 1, "one layout is in force")
	places := map[chunk.Hash]int{}
	for _, h := range all {
		for hash, refs := range h.chunks {
			owners := ownersOf(newest, hash)
			require.Contains(r.t, owners, h.id, "%s holds %v, and does not own it", h.name, hash)
			require.NotEmpty(r.t, refs, "%s holds %v without a reference", h.name, hash)
			for _, other := range all {
				if slices.Contains(owners, other.id) {
					require.ElementsMatch(r.t, refs, other.chunks[hash], "the references of %v at %s and %s", hash, h.name, other.name)
				}
			}
			places[hash]++
		}
	}
	require.NotEmpty(r.t, places, "the load has stored chunks")
	for hash, n := range places {
		require.Equal(r.t, copies, n, "copies of %v", hash)
	}
	r.t.Logf("%d chunks, each on its %d owners, in layout %d", len(places), copies, newest.Number())
	each(r.t, alive, (*deploy.Process).Start)
	each(r.t, alive, func(p *deploy.Process) error { return r.Ready(r.t.Context(), p) })
}

func ownersOf(a *layout.Active, h chunk.Hash) (owners []chunk.NodeID) {
	for _, i := range a.Owners(h.Partition()) {
		owners = append(owners, a.Nodes()[i].ID)
	}
	return owners
}

// read opens the folder of a node that does not run, and checks every copy in it.
func (r *run) read(p *deploy.Process) holding {
	r.t.Helper()
	info := folderOf(r.t, p)
	pool := buffer.NewPool(64<<20, clock.System{})
	config := chunknode.DefaultConfig()
	if disk := r.disks[p.Name]; disk != "" {
		config.Disks = []string{disk}
	}
	service, err := chunknode.New(config, chunknode.Deps{Folder: p.Data, NodeID: info.NodeID, ClusterID: info.ClusterID, Version: "test",
		Clock: clock.System{}, Random: clock.SystemRandom, Pool: pool, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(r.t, err, p.Name)
	defer func() { require.NoError(r.t, service.Close()) }()
	gate, err := adopt.Open(filepath.Join(p.Data, "layouts"))
	require.NoError(r.t, err)
	h := holding{id: info.NodeID, name: p.Name, chunks: map[chunk.Hash][]chunk.Ref{}, layouts: gate.Current()}
	ctx := r.t.Context()
	var inventory chunk.Inventory = service.Node()
	for _, e := range entries(ctx, r, inventory) {
		require.True(r.t, e.Good, "%s has no good copy of %v", p.Name, e.Hash)
		data, err := service.Node().Get(ctx, e.Hash) // It compares the bytes with the hash.
		require.NoError(r.t, err, "%s: %v", p.Name, e.Hash)
		data.Release()
		h.chunks[e.Hash] = e.Refs
	}
	for _, path := range blobs(r.t, p) {
		name := filepath.Base(filepath.Dir(path)) + strings.TrimSuffix(filepath.Base(path), ".zst")
		var hash chunk.Hash
		n, err := hex.Decode(hash[:], []byte(name))
		require.NoError(r.t, err, path)
		require.Equal(r.t, chunk.HashSize, n, path)
		require.Contains(r.t, h.chunks, hash, "%s: nothing refers to the file %s", p.Name, path)
	}
	return h
}

// entries are all chunks with references.
func entries(ctx context.Context, r *run, inventory chunk.Inventory) (all []chunk.Entry) {
	r.t.Helper()
	partitions := make([]chunk.Partition, chunk.Partitions)
	for i := range partitions {
		partitions[i] = chunk.Partition(i)
	}
	sums, err := inventory.PartitionSums(ctx, partitions)
	require.NoError(r.t, err)
	for _, p := range partitions {
		if sums[p] == (chunk.Sum{}) {
			continue
		}
		buckets, err := inventory.BucketSums(ctx, p)
		require.NoError(r.t, err)
		for b, sum := range buckets {
			if sum == (chunk.Sum{}) {
				continue
			}
			const limit = 1000
			found, err := inventory.Entries(ctx, p, uint8(b), chunk.Hash{}, limit)
			require.NoError(r.t, err)
			require.Less(r.t, len(found), limit)
			all = append(all, found...)
		}
	}
	return all
}
