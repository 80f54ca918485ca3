package server

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/services/chunk-node/adopt"
	"deuxfleurs.fr/garage/services/chunk-node/disk"
)

// served is a node on a disk, its server, and a client of it.
type served struct {
	store   *disk.Store
	peers   *adopt.Peers
	id      chunk.NodeID
	address string
	memory  *buffer.Pool // of the server
	client  *remote.Client
	pool    *buffer.Pool // of the client
}

// tasklessNode is a store as a node, without tasks.
type tasklessNode struct{ *disk.Store }

func (tasklessNode) Command(context.Context, chunk.Command) (chunk.TaskStatus, error) {
	return chunk.TaskStatus{}, errors.Newf(errors.NotImplemented, "this node has no tasks")
}

func serve(t testing.TB) *served { return serveAs(t, func(n Node) Node { return n }) }

// serveAs serves what as makes of the node.
func serveAs(t testing.TB, as func(Node) Node) *served {
	s := &served{id: uuid.New(), memory: buffer.NewPool(buffer.DefaultLimit, clock.System{}), pool: buffer.NewPool(buffer.DefaultLimit, clock.System{})}
	logger := slog.New(slog.DiscardHandler)
	var err error
	s.store, err = disk.Open(disk.Options{
		Disks: []disk.Disk{{Path: t.TempDir()}}, NodeID: s.id, ClusterID: uuid.New(), Pool: s.memory, Logger: logger,
		InlineBelow: disk.DefaultInlineBelow, MemTable: 1 << 20, NoSync: true,
	})
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = listener.Addr().String()
	server := rpc.NewServer(rpc.ServerConfig{Listener: listener, Logger: logger, Grace: time.Second, Options: Options()})
	gate, err := adopt.Open(filepath.Join(t.TempDir(), "layouts"))
	require.NoError(t, err)
	s.peers = adopt.NewPeers(gate, nil, logger)
	Register(server.GRPC(), Config{Node: as(tasklessNode{s.store}), ID: s.id, Pool: s.memory, Layouts: s.peers})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
		require.NoError(t, s.store.Close())
		require.Zero(t, s.memory.Used(), "the server gave all its memory back")
	})
	s.client = s.dial(t, s.id)
	_, err = s.client.Status(t.Context()) // it serves
	require.NoError(t, err)
	return s
}

func (s *served) dial(t testing.TB, id chunk.NodeID) *remote.Client {
	c, err := remote.New(remote.Options{ID: id, Address: s.address, Pool: s.pool})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestConformanceOverTheWire(t *testing.T) {
	chunktest.Run(t, func(t *testing.T) chunk.Store { return serve(t).client })
}

func TestAnotherNodeAtTheAddressIsRefused(t *testing.T) {
	s := serve(t)
	h, b := chunktest.Chunk(1, 1000)
	chunktest.RequirePut(t, s.client, h, b, chunktest.Ref(1))
	stranger := s.dial(t, uuid.New())
	_, err := stranger.Status(t.Context())
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	_, err = stranger.Get(t.Context(), h)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	_, err = stranger.Put(t.Context(), h, b, chunktest.Ref(2))
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	require.True(t, errors.Is(stranger.Delete(t.Context(), h, chunktest.Ref(1)), errors.Unavailable))
	chunktest.RequireGet(t, s.client, h, b)
}
