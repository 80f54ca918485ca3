package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	metamemory "deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/services/rebalancer"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"garage": main})
}

// TestScripts runs the command line against a server of its own for each script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: setup})
}

// node is a chunk-node that answers as its fields say.
type node struct {
	status chunk.NodeStatus
	err    error
}

func (n node) Status(context.Context) (chunk.NodeStatus, error) { return n.status, n.err }

var (
	cluster = uuid.MustParse("00000000-0000-4000-8000-0000000000aa")
	nodeOne = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	nodeTwo = uuid.MustParse("00000000-0000-4000-8000-000000000002")
)

func setup(env *testscript.Env) error {
	data := filepath.Join(env.WorkDir, "server")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	token, err := adminserver.Token(filepath.Join(data, adminserver.TokenFile), "")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	server, err := adminserver.New(adminserver.Config{}, adminserver.Deps{Listener: listener, Token: token, Logger: log, Registry: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	service, err := newService(log)
	if err != nil {
		return err
	}
	service.Register(server.GRPC())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	env.Defer(func() { cancel(); <-done })
	env.Setenv("GARAGE_ADMIN", listener.Addr().String())
	env.Setenv("GARAGE_DATA", data)
	return nil
}

func newService(log *slog.Logger) (*rebalancer.Service, error) {
	store, err := metamemory.New(clock.System{}, clock.SystemRandom)
	if err != nil {
		return nil, err
	}
	l, err := layout.New(3, 2, []layout.Node{
		{ID: nodeOne, Zone: "home", Tokens: 10, Address: "192.0.2.1:3901"},
		{ID: nodeTwo, Zone: "office", Tokens: 10, Address: "192.0.2.2:3901"},
	})
	if err != nil {
		return nil, err
	}
	owners, err := layout.Assign(nil, l)
	if err != nil {
		return nil, err
	}
	active, err := layout.NewActive(layout.Placement{Layout: l, Assignment: owners})
	if err != nil {
		return nil, err
	}
	nodes := map[chunk.NodeID]rebalancer.Node{
		nodeOne: node{status: chunk.NodeStatus{ID: nodeOne, ClusterID: cluster, Chunks: 12, Bytes: 3 << 20, Capacity: 10 << 30, Free: 9 << 30}},
		nodeTwo: node{err: errors.Newf(errors.Unavailable, "the office has no power")},
	}
	return rebalancer.New(rebalancer.Config{}, rebalancer.Deps{
		Store: store, ClusterID: cluster, Layouts: active, Clock: clock.System{}, Random: clock.SystemRandom, Logger: log, Version: "v-test",
		Node:  func(id chunk.NodeID) (rebalancer.Node, error) { return nodes[id], nil },
		Peers: []rebalancer.Peer{{Name: "metadata", Address: "192.0.2.1:3902", Check: func(context.Context) error { return nil }}},
	})
}
