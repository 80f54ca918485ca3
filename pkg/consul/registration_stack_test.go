//go:build stack

package consul

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/rpc"
)

const patience = 30 * time.Second

// program is what a program has of Consul.
type program struct {
	*Client
	registry *prometheus.Registry
	log      *lines
	folder   string
}

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(text string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return bytes.Contains(l.text.Bytes(), []byte(text))
	}
}

// start makes a client whose keys are its own.
func start(t *testing.T, prefix string) *program {
	t.Helper()
	// The folder is made first, so that it goes after the client, which writes to it until it is closed.
	p := &program{registry: prometheus.NewRegistry(), log: &lines{}, folder: t.TempDir()}
	c, err := New(Config{Prefix: prefix}, Deps{Clock: clock.System{}, Logger: slog.New(slog.NewTextHandler(p.log, nil)), Registry: p.registry})
	require.NoError(t, err)
	p.Client = c
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		if t.Failed() {
			t.Log(p.log.text.String())
		}
	})
	return p
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 10*time.Millisecond, what)
}

// server is a gRPC server with the health service.
func server(t *testing.T, identity rpc.Identity) *rpc.Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := rpc.NewServer(rpc.ServerConfig{Listener: listener, Identity: identity, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ended) })
	return s
}

// register keeps a service registered until the returned function is called.
func (p *program) register(t *testing.T, s Service) (leave func()) {
	t.Helper()
	r, err := p.NewRegistration(s)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	var once sync.Once
	leave = func() { once.Do(func() { cancel(); require.NoError(t, <-ended) }) }
	t.Cleanup(leave)
	<-r.Ready()
	return leave
}

// service is one of a name that only this test uses, served at address.
func service(name, address string) Service {
	return Service{Name: name, NodeID: uuid.New(), Address: address, Admin: address, Zone: "home", Version: "1.2", Tags: []string{"blue"}}
}

func unique() string { return "garage-test-" + uuid.NewString() }

func TestAnotherClusterIsNotSeen(t *testing.T) {
	connect(t)
	ours, theirs, name := start(t, unique()), start(t, unique()), unique()
	ours.Join(uuid.New())
	theirs.Join(uuid.New())
	address := server(t, rpc.Identity{}).Addr().String()
	ours.register(t, service(name, address))
	theirs.register(t, service(name, server(t, rpc.Identity{}).Addr().String()))
	all, _, err := ours.API().Catalog().Service(name, "", nil)
	require.NoError(t, err)
	require.Len(t, all, 2, "both are registered")
	eventually(t, func() bool { return len(ours.Watch(name).Instances()) > 0 }, "the own one is found")
	found := ours.Watch(name).Instances()
	require.Len(t, found, 1)
	require.Equal(t, address, found[0].Address)
	target := Target(name)
	conn, err := rpc.Dial(target, nil, nil, grpc.WithResolvers(ours.Builder(nil)))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	for range 10 {
		var to peer.Peer
		_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.Peer(&to))
		require.NoError(t, err)
		require.Equal(t, address, to.Addr.String())
	}
}

func TestAProgramIsRegisteredAndLeaves(t *testing.T) {
	connect(t)
	p, address := start(t, "garage"), server(t, rpc.Identity{}).Addr().String()
	s := service(unique(), address)
	s.KeepAlive, s.Capacity = true, func() (int64, error) { return 207e9, nil }
	leave := p.register(t, s)
	w := p.Watch(s.Name)
	eventually(t, func() bool { return len(w.Instances()) == 1 }, "it is found")
	found := w.Instances()[0]
	require.Positive(t, found.Index)
	found.Machine, found.Index = "", 0
	require.Equal(t, Instance{ID: s.ID(), NodeID: s.NodeID, Address: address, Admin: address, Zone: "home", Version: "1.2", Capacity: "200 GB", Healthy: true}, found)
	entries, _, err := p.API().Health().Service(s.Name, "blue", true, nil)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	outputs := map[string]string{}
	for _, c := range entries[0].Checks {
		outputs[c.CheckID] = c.Output
	}
	require.Contains(t, outputs, s.ID()+":alive")
	require.Contains(t, outputs, s.ID()+":health")
	leave()
	left, _, err := p.API().Catalog().Service(s.Name, "", nil)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Len(t, w.Instances(), 1, "the last who left stays in the view")
}

func TestTheHealthIsThatOfTheAdministrationServer(t *testing.T) {
	connect(t)
	p := start(t, "garage")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close()) // nobody answers there
	s := service(unique(), listener.Addr().String())
	p.register(t, s)
	w := p.Watch(s.Name)
	eventually(t, func() bool { return len(w.Instances()) == 1 && !w.Instances()[0].Healthy }, "the agent finds it critical")

	ill := service(unique(), server(t, rpc.Identity{}).Addr().String())
	serving := atomic.Bool{}
	ill.Serving = serving.Load
	p.register(t, ill)
	v := p.Watch(ill.Name)
	eventually(t, func() bool { return len(v.Instances()) == 1 }, "it is found")
	eventually(t, func() bool { return v.Instances()[0].Healthy }, "and well once the agent has asked it")
}

func TestAProgramThatTheAgentLostRegistersAgain(t *testing.T) {
	connect(t)
	p := start(t, "garage")
	for _, alive := range []bool{true, false} {
		s := service(unique(), server(t, rpc.Identity{}).Addr().String())
		s.KeepAlive = alive
		p.register(t, s)
		known := func() bool {
			_, err := p.API().Agent().Services()
			require.NoError(t, err)
			found, _, err := p.API().Agent().Service(s.ID(), nil)
			return err == nil && found != nil
		}
		require.True(t, known())
		require.NoError(t, p.API().Agent().ServiceDeregister(s.ID()))
		require.False(t, known())
		eventually(t, known, "it is there again")
	}
	require.True(t, p.log.has("does not know this program any more")())
}

func TestOneOfManyDecidesTheClusterID(t *testing.T) {
	connect(t)
	prefix := unique()
	results := make(chan uuid.UUID, 8)
	var work sync.WaitGroup
	for range cap(results) {
		p := start(t, prefix)
		work.Go(func() {
			id, err := p.ClusterID(context.Background(), uuid.New())
			if err != nil {
				t.Error(err)
			}
			results <- id
		})
	}
	work.Wait()
	p := start(t, prefix)
	t.Cleanup(func() {
		_, err := p.API().KV().DeleteTree(prefix, nil)
		require.NoError(t, err)
	})
	known, err := p.KnownClusterID(context.Background())
	require.NoError(t, err)
	require.NotEqual(t, uuid.Nil, known)
	for range cap(results) {
		require.Equal(t, known, <-results)
	}
	_, err = p.API().KV().Put(&api.KVPair{Key: p.Key("cluster-id"), Value: []byte("nonsense")}, nil)
	require.NoError(t, err)
	_, err = p.ClusterID(context.Background(), uuid.New())
	require.ErrorContains(t, err, "cluster-id", "what cannot be read is not waited for")
}

// load calls the health of a target all the time.
type load struct {
	calls, failures atomic.Int64
	stop            chan struct{}
	work            sync.WaitGroup
	first           atomic.Pointer[error]
}

func begin(t *testing.T, conn *grpc.ClientConn) *load {
	l := &load{stop: make(chan struct{})}
	for range 4 {
		l.work.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
				cancel()
				l.calls.Add(1)
				if err != nil {
					l.failures.Add(1)
					l.first.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	return l
}

// goesOn waits for some more calls.
func (l *load) goesOn(t *testing.T) {
	t.Helper()
	before := l.calls.Load()
	eventually(t, func() bool { return l.calls.Load() > before+100 }, "calls go on")
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.work.Wait()
	if err := l.first.Load(); err != nil {
		require.Zero(t, l.failures.Load(), "of %d calls: %v", l.calls.Load(), *err)
	}
}

func TestAConsulThatGoesAwayAndReturnsCostsNoCall(t *testing.T) {
	between := connect(t)
	p, name := start(t, "garage"), unique()
	for range 2 {
		p.register(t, service(name, server(t, rpc.Identity{}).Addr().String()))
	}
	conn, err := rpc.Dial(Target(name), nil, nil, grpc.WithResolvers(p.Builder(nil)))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	l := begin(t, conn)
	l.goesOn(t)
	up := func() float64 {
		v, err := testutil.GatherAndCount(p.registry, "garage_consul_up")
		require.NoError(t, err)
		require.Equal(t, 1, v)
		return p.gauge()
	}
	require.Equal(t, 1.0, up())

	between.set(true, false)
	eventually(t, func() bool { return up() == 0 }, "the metric says that Consul is away")
	l.goesOn(t)
	require.True(t, p.log.has("Consul does not answer")())
	between.set(false, false)
	eventually(t, func() bool { return up() == 1 }, "and that it is back")
	l.goesOn(t)

	between.set(false, true)
	l.goesOn(t)
	between.set(false, false)

	// It comes back without what it knew.
	for _, i := range p.Watch(name).Instances() {
		require.NoError(t, p.API().Agent().ServiceDeregister(i.ID))
	}
	l.goesOn(t)
	eventually(t, func() bool {
		entries, _, err := p.API().Catalog().Service(name, "", nil)
		return err == nil && len(entries) == 2
	}, "the programs have told it everything again")
	l.goesOn(t)
	l.end(t)
}

func TestInstancesComeAndGoUnderLoad(t *testing.T) {
	connect(t)
	p, name := start(t, "garage"), unique()
	leave := p.register(t, service(name, server(t, rpc.Identity{}).Addr().String()))
	conn, err := rpc.Dial(Target(name), nil, nil, grpc.WithResolvers(p.Builder(nil)))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	l := begin(t, conn)
	l.goesOn(t)
	for range 3 {
		w := p.Watch(name)
		next := service(name, server(t, rpc.Identity{}).Addr().String())
		leaveNext := p.register(t, next)
		eventually(t, func() bool { return len(w.Instances()) == 2 }, "both are known")
		l.goesOn(t)
		leave()
		eventually(t, func() bool { return len(w.Instances()) == 1 && w.Instances()[0].ID == next.ID() }, "the first has left")
		l.goesOn(t)
		leave = leaveNext
	}
	l.end(t)
}

func TestANodeIsFoundWhereverItIs(t *testing.T) {
	connect(t)
	p, name := start(t, "garage"), unique()
	first, second := server(t, rpc.Identity{}), server(t, rpc.Identity{})
	s := service(name, first.Addr().String())
	leave := p.register(t, s)
	other := p.register(t, service(name, "127.0.0.1:1")) // another node, which nobody should call
	defer other()
	conn, err := rpc.Dial(NodeTarget(name, s.NodeID), nil, nil, grpc.WithResolvers(p.Builder(nil)))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	l := begin(t, conn)
	l.goesOn(t)
	leave()
	l.goesOn(t) // it left, and still answers where it was
	s.Address = second.Addr().String()
	p.register(t, s)
	eventually(t, func() bool {
		for _, i := range p.Watch(name).Instances() {
			if i.Address == s.Address {
				return true
			}
		}
		return false
	}, "its new address is known")
	l.goesOn(t)
	l.end(t)

	unknown, err := rpc.Dial(NodeTarget(name, uuid.New()), nil, nil, grpc.WithResolvers(p.Builder(nil)))
	require.NoError(t, err)
	defer func() { require.NoError(t, unknown.Close()) }()
	_, err = healthv1.NewHealthClient(unknown).Check(context.Background(), &healthv1.HealthCheckRequest{})
	require.ErrorContains(t, err, "Consul knows no")
}
