package membership

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/rpc"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

func deps() Deps {
	return Deps{Pool: buffer.NewPool(1<<20, clock.System{}), Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)}
}

func members(t *testing.T, d Deps) *Members {
	t.Helper()
	m := New(d)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func assigned(t *testing.T, number uint64, nodes ...layout.Node) *layout.Active {
	t.Helper()
	l, err := layout.New(number, 1, nodes)
	require.NoError(t, err)
	a, err := layout.Assign(nil, l)
	require.NoError(t, err)
	active, err := layout.NewActive(layout.Placement{Layout: l, Assignment: a})
	require.NoError(t, err)
	return active
}

func node(address string) layout.Node {
	return layout.Node{ID: uuid.New(), Zone: "z", Tokens: 1, Address: address}
}

// server is a chunk-node that says how it is when it is let.
type server struct {
	chunknodev1.UnimplementedChunkNodeServiceServer
	address string
	asked   chan struct{}  // for each deletion that arrived
	answer  chan struct{}  // one for each that may be answered; closed: all
	adopted *layout.Active // nil: it takes requests of any layout
}

func serve(t *testing.T) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &server{address: listener.Addr().String(), asked: make(chan struct{}, 100), answer: make(chan struct{})}
	g := rpc.NewServer(rpc.ServerConfig{Listener: listener, Logger: slog.New(slog.DiscardHandler),
		Options: []grpc.ServerOption{grpc.ForceServerCodecV2(remote.Codec())}})
	chunknodev1.RegisterChunkNodeServiceServer(g.GRPC(), s)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	return s
}

func (s *server) GetLayouts(context.Context, *chunknodev1.GetLayoutsRequest) (*chunknodev1.GetLayoutsResponse, error) {
	b, err := s.adopted.MarshalBinary()
	return &chunknodev1.GetLayoutsResponse{Layouts: b}, err
}

func (s *server) Delete(ctx context.Context, r *chunknodev1.DeleteRequest) (*chunknodev1.DeleteResponse, error) {
	if s.adopted != nil && r.Layout != s.adopted.Number() {
		return nil, layout.Differs(s.adopted.Number())
	}
	s.asked <- struct{}{}
	select {
	case <-s.answer:
		return &chunknodev1.DeleteResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestWithoutALayoutChunksSayWhatToDo(t *testing.T) {
	c, err := members(t, deps()).Chunks(DefaultStoreConfig())
	require.NoError(t, err)
	ctx, h, data := context.Background(), chunk.Hash{1}, (*buffer.Buffer)(nil)
	_, get := c.Get(ctx, h)
	_, put := c.Put(ctx, h, data, chunk.Ref{})
	_, verified := c.PutVerified(ctx, h, data, chunk.Ref{})
	_, ref := c.PutRef(ctx, h, chunk.Ref{})
	for _, err := range []error{get, put, verified, ref, c.Delete(ctx, h, chunk.Ref{})} {
		require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
		require.ErrorContains(t, err, "garage layout apply")
	}
	registry := prometheus.NewRegistry()
	require.NoError(t, registry.Register(c.Collector()))
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Empty(t, families)
}

func TestALayoutThatCannotBeUsedChangesNothing(t *testing.T) {
	d := deps()
	d.CheckAddress = func(setting, address string) error {
		if address == "192.0.2.1:1" {
			return errors.Newf(errors.Invalid, "%s: not %s", setting, address)
		}
		return nil
	}
	m := members(t, d)
	_, err := m.Chunks(DefaultStoreConfig())
	require.NoError(t, err)
	require.ErrorContains(t, m.Apply(assigned(t, 1, node(""))), "no address")
	require.ErrorContains(t, m.Apply(assigned(t, 1, node("192.0.2.1:1"))), "cluster.layout: not 192.0.2.1:1")
	_, known := m.Current()
	require.False(t, known)

	a := assigned(t, 1, node("127.0.0.1:1"))
	require.NoError(t, m.Apply(a))
	require.Error(t, m.Apply(assigned(t, 2, node("127.0.0.1:1"), node(""))))
	view, known := m.Current()
	require.True(t, known)
	require.Same(t, a, view.Layouts)
	later := assigned(t, 3, node("127.0.0.1:1"))
	require.NoError(t, m.Apply(later))
	require.NoError(t, m.Apply(a), "an older one")
	require.Same(t, later, m.Layouts())
}

func TestNodesAreFoundWhereTheLayoutHasNoAddress(t *testing.T) {
	s := serve(t)
	close(s.answer)
	d, n := deps(), node("")
	d.Find = func(id chunk.NodeID) string {
		require.Equal(t, n.ID, id)
		return s.address
	}
	m := members(t, d)
	require.NoError(t, m.Apply(assigned(t, 1, n)))
	c, err := m.Chunks(DefaultStoreConfig())
	require.NoError(t, err)
	require.NoError(t, c.Delete(context.Background(), chunk.Hash{1}, chunk.Ref{}))
}

func TestANewLayoutLeavesOperationsWhereTheyBegan(t *testing.T) {
	before, after := serve(t), serve(t)
	close(after.answer)
	m := members(t, deps())
	c, err := m.Chunks(DefaultStoreConfig())
	require.NoError(t, err)
	stays, goes, comes := node("127.0.0.1:1"), node(before.address), node(after.address)
	require.NoError(t, m.Apply(assigned(t, 1, goes)))
	result := make(chan error, 1)
	go func() { result <- c.Delete(context.Background(), chunk.Hash{1}, chunk.Ref{}) }()
	<-before.asked

	require.NoError(t, m.Apply(assigned(t, 2, comes)))
	require.NoError(t, c.Delete(context.Background(), chunk.Hash{1}, chunk.Ref{}), "what begins now goes to the new node")
	require.Len(t, before.asked, 0)
	select {
	case err := <-result:
		require.Fail(t, "an operation was ended by the new layout", "%v", err)
	default:
	}
	close(before.answer)
	require.NoError(t, <-result)

	// A node that stays keeps its client, and so its connections.
	require.NoError(t, m.Apply(assigned(t, 3, comes, stays)))
	clientOf := func(n layout.Node) *remote.Client { return m.members[n.ID].client }
	first := clientOf(stays)
	require.NoError(t, m.Apply(assigned(t, 4, stays)))
	require.Same(t, first, clientOf(stays))
	stays.Address = "127.0.0.1:2"
	require.NoError(t, m.Apply(assigned(t, 5, stays)))
	require.NotSame(t, first, clientOf(stays))
}

func TestLayoutsChangeUnderLoadWithoutAFailedOperation(t *testing.T) {
	servers := []*server{serve(t), serve(t)}
	var nodes []layout.Node
	for _, s := range servers {
		close(s.answer)
		s.asked = make(chan struct{}, 1<<20)
		nodes = append(nodes, node(s.address))
	}
	m := members(t, deps())
	c, err := m.Chunks(DefaultStoreConfig())
	require.NoError(t, err)
	require.NoError(t, m.Apply(assigned(t, 1, nodes[0])))
	var work sync.WaitGroup
	stop := make(chan struct{})
	failures := make(chan error, 4)
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := c.Delete(context.Background(), chunk.Hash{1}, chunk.Ref{}); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	for i := range uint64(20) {
		require.NoError(t, m.Apply(assigned(t, i+2, nodes[i%2])))
	}
	close(stop)
	work.Wait()
	select {
	case err := <-failures:
		require.NoError(t, err)
	default:
	}
}

func TestAStoreOverNodesThatAreAwayAnswersInTime(t *testing.T) {
	// An address on which nobody listens any more.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	c := write(t, fmt.Sprintf(`{"number": 1, "replication": 1, "nodes": [{"id": "00000000-0000-4000-8000-000000000001", "zone": "z", "address": %q}]}`, l.Addr()))
	c.WriteTimeout, c.ReadTimeout, c.Patience = 200*time.Millisecond, 200*time.Millisecond, 10*time.Millisecond
	m := members(t, deps())
	a, err := c.Read()
	require.NoError(t, err)
	require.NoError(t, m.Apply(a))
	store, err := m.Chunks(c)
	require.NoError(t, err)
	_, err = store.Get(context.Background(), chunk.Hash{1})
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
}

func TestAnOperationGoesOnWithTheNewerLayoutsOfANode(t *testing.T) {
	before, after := serve(t), serve(t)
	close(before.answer)
	close(after.answer)
	goes, comes := node(before.address), node(after.address)
	before.adopted = assigned(t, 3, comes)
	after.adopted = before.adopted
	m := members(t, deps())
	c, err := m.Chunks(DefaultStoreConfig())
	require.NoError(t, err)
	require.NoError(t, m.Apply(assigned(t, 1, goes)))
	require.NoError(t, c.Delete(context.Background(), chunk.Hash{1}, chunk.Ref{}))
	require.EqualValues(t, 3, m.Layouts().Number())
	require.Empty(t, before.asked)
	require.Len(t, after.asked, 1)
}

func TestWhoAnswersIsAlive(t *testing.T) {
	s := serve(t)
	close(s.answer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	there, away := node(s.address), node(listener.Addr().String())
	m := members(t, deps())
	require.NoError(t, m.Apply(assigned(t, 1, there, away)))
	for range 3 {
		for _, n := range []layout.Node{there, away} {
			client, err := m.Client(n.ID)
			require.NoError(t, err)
			err = client.Delete(context.Background(), chunk.Hash{1}, chunk.Ref{})
			require.Equal(t, n.ID == there.ID, err == nil, "%v", err)
		}
	}
	require.True(t, m.Alive(there.ID))
	require.False(t, m.Alive(away.ID))
	require.False(t, m.Alive(uuid.New()), "it is in no layout")
	_, err = m.Client(uuid.New())
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Node), "%v", err)

	told := deps()
	told.Alive = func(id chunk.NodeID) bool { return id == away.ID }
	m = members(t, told)
	require.NoError(t, m.Apply(assigned(t, 1, there, away)))
	require.True(t, m.Alive(away.ID))
	require.False(t, m.Alive(there.ID))
}
