package heal_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"maps"
	"math/rand"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/adopt"
	"deuxfleurs.fr/garage/services/chunk-node/disk"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/state"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

var rules = state.Rules{Grace: time.Minute, Tombstones: 24 * time.Hour}

const week = 7 * 24 * time.Hour

// cluster is chunk-nodes in one process, with real disk stores on file systems in memory that lose at a crash what was not synced.
type cluster struct {
	t         *testing.T
	clock     *clock.Manual
	clusterID uuid.UUID
	nodes     []*node
	layouts   []layout.Placement // in force
	lost      map[chunk.NodeID]uint64
	each      func(int, func(int))
	busy      bool // clients read from every node
	metadata  *metadata

	mu      sync.Mutex
	fault   func(from, to *node, method string) error // nil: none
	methods map[string]int                            // calls
	moved   int64                                     // bytes in Puts and Gets

	stored map[chunk.Hash][]byte             // what was acknowledged
	refs   map[chunk.Hash]map[chunk.Ref]bool // live references
	serial int64
}

func newCluster(t *testing.T, n int) *cluster {
	c := &cluster{t: t, clock: clock.NewManual(time.Unix(1_800_000_000, 0)), clusterID: uuid.New(), methods: make(map[string]int),
		stored: make(map[chunk.Hash][]byte), refs: make(map[chunk.Hash]map[chunk.Ref]bool)}
	c.metadata = &metadata{cluster: c}
	for range n {
		c.add()
	}
	return c
}

// node is one chunk-node.
type node struct {
	cluster *cluster
	id      chunk.NodeID
	folder  string
	disks   []disk.Disk
	fs      *vfs.MemFS
	store   *disk.Store
	gate    *adopt.Gate
	engine  *heal.Engine
	runner  *tasks.Runner
	away    bool
	verify  func()                                      // what happens before Local.Verify; nil: nothing
	inTrash func(do func() (bool, error)) (bool, error) // what happens around Local.InTrash; nil: nothing
	untrash func() error                                // why Local.Untrash fails; nil: it does not
}

// add adds a node with these disks, or one.
func (c *cluster) add(disks ...string) *node {
	n := &node{cluster: c, folder: c.t.TempDir(), fs: vfs.NewCrashableMem()}
	if disks == nil {
		disks = []string{"/disk"}
	}
	for _, path := range disks {
		n.disks = append(n.disks, disk.Disk{Path: path})
	}
	binary.BigEndian.PutUint64(n.id[:], uint64(len(c.nodes)+1)<<56)
	c.nodes = append(c.nodes, n)
	n.open()
	c.t.Cleanup(n.close)
	return n
}

func (n *node) open() {
	t := n.cluster.t
	for _, d := range n.disks {
		_ = n.fs.MkdirAll(d.Path, 0o700) // it may be broken
	}
	store, err := disk.Open(disk.Options{Disks: n.disks, NodeID: n.id, ClusterID: n.cluster.clusterID, FS: n.fs, Clock: n.cluster.clock,
		InlineBelow: 512, Rules: rules, Cache: 1 << 20, MemTable: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	n.store = store
	n.gate, err = adopt.Open(filepath.Join(n.folder, "layouts"))
	require.NoError(t, err)
	n.engine, err = heal.New(t.Context(), heal.Config{RepairInterval: 24 * time.Hour, ScrubInterval: 30 * 24 * time.Hour,
		CollectInterval: 24 * time.Hour, CollectWait: 24 * time.Hour, Trash: week}, heal.Deps{
		ID: n.id, Local: local{store, n}, Peers: peers{n.gate, n}, Clock: n.cluster.clock, Random: rand.New(rand.NewSource(int64(n.id[0]))),
		Logger: slog.New(slog.DiscardHandler), Each: n.cluster.each, Busy: func() bool { return n.cluster.busy }, Metadata: n.cluster.metadata, ClusterID: n.cluster.clusterID})
	require.NoError(t, err)
	n.runner, err = tasks.New(t.Context(), n.engine.Jobs(), tasks.Deps{Notes: store, Clock: n.cluster.clock, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
}

func (n *node) close() { _ = n.store.Close() }

// crash has the node lose what is not synced, and start again.
func (n *node) crash() { n.restart(n.fs.CrashClone(vfs.CrashCloneCfg{})) }

func (n *node) restart(fs *vfs.MemFS) {
	n.close()
	n.fs = fs
	n.open()
	_, err := n.store.Check(n.cluster.t.Context())
	require.NoError(n.cluster.t, err)
}

// publish makes a layout of the nodes the current one; they adopt it at once. Each node is a zone.
func (c *cluster) publish(copies int, nodes ...*node) {
	var in []layout.Node
	for _, n := range nodes {
		in = append(in, layout.Node{ID: n.id, Zone: n.id.String(), Tokens: 100})
	}
	var before *layout.Assignment
	number := uint64(1)
	if len(c.layouts) > 0 {
		last := c.layouts[len(c.layouts)-1]
		before, number = last.Assignment, last.Layout.Number+1
	}
	l, err := layout.New(number, copies, in)
	require.NoError(c.t, err)
	assignment, err := layout.Assign(before, l)
	require.NoError(c.t, err)
	c.layouts = append(c.layouts, layout.Placement{Layout: l, Assignment: assignment})
	c.adopt()
}

func (c *cluster) active() *layout.Active {
	a, err := layout.NewActive(c.layouts...)
	require.NoError(c.t, err)
	return a.WithLost(c.lost)
}

// declareLost gives a node up, and tells the others.
func (c *cluster) declareLost(n *node) {
	if c.lost == nil {
		c.lost = make(map[chunk.NodeID]uint64)
	}
	c.lost[n.id] = c.active().Number()
	c.adopt()
}

func (c *cluster) adopt() {
	for _, n := range c.nodes {
		if !n.away {
			require.NoError(c.t, n.gate.Adopt(c.active()))
		}
	}
}

// retire retires all layouts but the current one, when every node that is in one of them and not lost has carried out a later one.
func (c *cluster) retire(lost ...*node) bool {
	current := c.active().Number()
	for _, l := range c.layouts[:len(c.layouts)-1] {
		for _, in := range l.Layout.Nodes {
			n := c.node(in.ID)
			if !slices.Contains(lost, n) && n.engine.Walked() < current {
				return false
			}
		}
	}
	c.layouts = c.layouts[len(c.layouts)-1:]
	c.adopt()
	return true
}

func (c *cluster) node(id chunk.NodeID) *node {
	for _, n := range c.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// put stores a chunk as a gateway does: at the owners, and at a stand-in for one that is away.
func (c *cluster) put(size int) (chunk.Hash, chunk.Ref) {
	c.serial++
	h, b := chunktest.Chunk(c.serial, size)
	return h, c.write(h, b)
}

func (c *cluster) write(h chunk.Hash, b *buffer.Buffer) chunk.Ref {
	c.serial++
	ref := chunktest.Ref(int(c.serial))
	a := c.active()
	standIns := a.StandIns(h.Partition())
	for _, o := range a.Owners(h.Partition()) {
		owner := c.node(a.Nodes()[o].ID)
		if !owner.away {
			chunktest.RequirePut(c.t, owner.store, h, b, ref)
			continue
		}
		for len(standIns) > 0 {
			s := c.node(a.Nodes()[standIns[0]].ID)
			standIns = standIns[1:]
			if s.away {
				continue
			}
			outcome, err := s.store.PutFor(c.t.Context(), h, b, ref, owner.id)
			require.NoError(c.t, err)
			require.Equal(c.t, chunk.Stored, outcome)
			break
		}
	}
	c.stored[h] = b.Bytes()
	if c.refs[h] == nil {
		c.refs[h] = make(map[chunk.Ref]bool)
	}
	c.refs[h][ref] = true
	return ref
}

// remove removes a reference at all owners of all layouts in force.
func (c *cluster) remove(h chunk.Hash, ref chunk.Ref) {
	a := c.active()
	for _, n := range slices.Concat(a.Owners(h.Partition()), a.Former(h.Partition())) {
		require.NoError(c.t, c.node(a.Nodes()[n].ID).store.Delete(c.t.Context(), h, ref))
	}
	if delete(c.refs[h], ref); len(c.refs[h]) == 0 {
		delete(c.refs, h)
	}
}

// fill stores chunks of several sizes and removes some.
func (c *cluster) fill(n int) {
	for i := range n {
		h, ref := c.put([]int{100, 3000, 20_000}[i%3])
		switch i % 7 {
		case 0:
			c.write(h, chunkOf(c.stored[h]))
		case 1:
			c.write(h, chunkOf(c.stored[h]))
			c.remove(h, ref)
		case 2:
			c.remove(h, ref)
		}
	}
}

func chunkOf(data []byte) *buffer.Buffer {
	_, b := chunktest.Of(data)
	return b
}

// heal lets all nodes work until nothing changes any more, or passes rounds.
func (c *cluster) heal(rounds int, kinds ...chunk.Task) {
	if kinds == nil {
		kinds = []chunk.Task{chunk.Rebalance, chunk.Repair}
	}
	for range rounds {
		for _, n := range c.nodes {
			if n.away {
				continue
			}
			for _, k := range kinds {
				for range 20 {
					if n.runner.Step(c.t.Context(), k) > 0 {
						break
					}
				}
			}
			_, err := n.store.Collect(c.t.Context())
			require.NoError(c.t, err)
		}
		c.clock.Advance(time.Minute)
	}
}

// healFor has every node work now and then for so long: what is tried again later and later is tried again.
func (c *cluster) healFor(d time.Duration, kinds ...chunk.Task) {
	const steps = 8
	for range steps {
		c.heal(1, kinds...)
		c.clock.Advance(d / steps)
	}
}

// requireWhole requires that exactly the owners hold exactly what is referred to.
func (c *cluster) requireWhole() {
	c.t.Helper()
	a := c.active()
	held := make(map[*node]int)
	for h, refs := range c.refs {
		var want []chunk.Ref
		for ref := range maps.Keys(refs) {
			want = append(want, ref)
		}
		slices.SortFunc(want, chunk.Ref.Compare)
		for _, o := range a.Owners(h.Partition()) {
			n := c.node(a.Nodes()[o].ID)
			e, err := n.store.Chunk(c.t.Context(), h)
			require.NoError(c.t, err, "owner %d of %v", n.id[0], h)
			require.Equal(c.t, want, e.Refs, "owner %d of %v", n.id[0], h)
			chunktest.RequireGet(c.t, n.store, h, chunkOf(c.stored[h]))
			held[n]++
		}
	}
	for _, n := range c.nodes {
		if n.away {
			continue
		}
		st := n.status()
		require.EqualValues(c.t, held[n], st.Chunks, "chunks at node %d", n.id[0])
		require.Zero(c.t, st.Owed, "node %d owes nothing", n.id[0])
		require.Zero(c.t, st.Wanted, "node %d wants nothing", n.id[0])
		require.Zero(c.t, st.Uncollected, "node %d has nothing to collect", n.id[0])
		require.Zero(c.t, n.engine.Foreign(), "foreign chunks at node %d", n.id[0])
	}
}

// requireReadable requires that somebody who is there has each chunk.
func (c *cluster) requireReadable() {
	c.t.Helper()
	for h := range c.refs {
		found := slices.ContainsFunc(c.nodes, func(n *node) bool {
			if n.away {
				return false
			}
			b, err := n.store.Get(c.t.Context(), h)
			if err == nil {
				b.Release()
			}
			return err == nil
		})
		require.True(c.t, found, "nobody has %v", h)
	}
}

func (n *node) status() chunk.NodeStatus {
	st, err := n.store.Status(n.cluster.t.Context())
	require.NoError(n.cluster.t, err)
	return st
}

func (n *node) task(k chunk.Task) chunk.TaskStatus {
	all := n.runner.Status()
	return all[slices.IndexFunc(all, func(s chunk.TaskStatus) bool { return s.Task == k })]
}

func (n *node) start(k chunk.Task) {
	_, err := n.runner.Command(n.cluster.t.Context(), chunk.Command{Task: k, Start: true})
	require.NoError(n.cluster.t, err)
}

// peers are the other nodes, as package adopt and the connections between machines have them.
type peers struct {
	*adopt.Gate
	node *node
}

func (p peers) Layouts() *layout.Active { return p.Current() }

func (p peers) Peer(id chunk.NodeID) (chunk.Peer, error) {
	if p.Current().Index(id) < 0 {
		return nil, errors.E(errors.NotFound, errors.Node, id.String(), "not in the layouts in force")
	}
	return &link{Store: p.node.cluster.node(id).store, from: p.node, to: p.node.cluster.node(id)}, nil
}

func (p peers) Alive(id chunk.NodeID) bool { return !p.node.cluster.node(id).away }

func (p peers) CatchUp(_ context.Context, id chunk.NodeID, _ error) error {
	return p.Adopt(p.node.cluster.node(id).gate.Current())
}

// blob is the file of a chunk.
func (n *node) blob(h chunk.Hash) string {
	hex := h.String()
	return "/disk/blobs/" + hex[:3] + "/" + hex[3:]
}

// damage flips a bit of a chunk's file.
func (n *node) damage(h chunk.Hash) {
	t := n.cluster.t
	f, err := n.fs.OpenReadWrite(n.blob(h), vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	one := make([]byte, 1)
	_, err = f.ReadAt(one, 100)
	require.NoError(t, err)
	one[0] ^= 1
	_, err = f.WriteAt(one, 100)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
