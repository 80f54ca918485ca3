package chunknode

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/measured"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/telemetry"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
	"deuxfleurs.fr/garage/services/chunk-node/adopt"
	"deuxfleurs.fr/garage/services/chunk-node/disk"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/report"
	"deuxfleurs.fr/garage/services/chunk-node/server"
	"deuxfleurs.fr/garage/services/chunk-node/state"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

// Deps are what the service works with.
type Deps struct {
	// Folder is the data folder, open and locked by the program (package
	// datafolder), whose IDs these are.
	Folder    string
	NodeID    chunk.NodeID
	ClusterID uuid.UUID
	Version   string // of this program

	Clock  clock.Clock
	Random clock.Random
	Pool   *buffer.Pool // memory of the process for bodies
	Logger *slog.Logger
	// Registry takes the metrics; nil: they are not published.
	Registry prometheus.Registerer

	// Claimed is closed once this process holds the node's ID, or nobody can be asked whether another one does: tasks and reports begin
	// only then. nil: there can be no other.
	Claimed <-chan struct{}
	// Members reach the other nodes of the adopted layouts, and are applied by the service alone; nil: there are no others.
	Members *membership.Members
	// Rebalancer, if set, finds the active rebalancer: the node reports to it, and asks it for leave.
	Rebalancer report.Finder
	// Metadata, if set, is asked what references belong to: those that belong to nothing are removed in the end.
	Metadata heal.Metadata
}

// layoutsFile is where the data folder keeps the layouts that the node has adopted.
const layoutsFile = "layouts"

// Service stores chunks. New makes one, which can be used at once; Run keeps
// it in order and closes it.
type Service struct {
	config   Config
	deps     Deps
	store    *disk.Store
	disks    []disk.Disk
	peers    *adopt.Peers
	healing  *heal.Engine
	tasks    *tasks.Runner
	meter    *measured.Meter
	traffic  traffic
	reporter *report.Reporter // nil: there is nobody to report to

	collecting atomic.Bool
	collected  atomic.Int64 // chunks whose time had come
}

// New opens the disks. Kinds: Invalid if a setting is wrong or a disk belongs
// to another node; others as the disks' errors are. Call Run, or Close, after it.
func New(c Config, d Deps) (*Service, error) {
	if d.Folder == "" || d.NodeID == uuid.Nil || d.ClusterID == uuid.Nil || d.Clock == nil || d.Random == nil || d.Pool == nil || d.Logger == nil {
		return nil, errors.Newf(errors.Invalid, "the chunk-node needs a folder, its ID, the cluster's ID, a clock, a source of randomness, memory and a logger")
	}
	if d.Claimed == nil {
		claimed := make(chan struct{})
		close(claimed)
		d.Claimed = claimed
	}
	disks, err := c.disks(d.Folder)
	if err != nil {
		return nil, err
	}
	store, err := disk.Open(disk.Options{
		Disks: disks, NodeID: d.NodeID, ClusterID: d.ClusterID, Version: d.Version,
		Clock: d.Clock, Random: d.Random, Pool: d.Pool, Logger: d.Logger, Registry: d.Registry,
		Rules:       state.Rules{Grace: c.Grace, Tombstones: c.Tombstones},
		InlineBelow: int(c.InlineBelow), Compression: c.Compression, NoSync: !c.Fsync, Direct: c.Direct, Separate: c.Separate,
		Cache: int64(c.IndexCache), MemTable: int64(c.IndexBuffer), Reserve: int64(c.Reserve),
	})
	if err != nil {
		return nil, errors.Annotate(err, "opening the chunk-node's disks")
	}
	gate, err := adopt.Open(filepath.Join(d.Folder, layoutsFile))
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	s := &Service{config: c, deps: d, store: store, disks: disks, peers: adopt.NewPeers(gate, d.Members, d.Logger),
		meter: measured.NewMeter(d.Registry, "chunk_node", "node")}
	if err := errors.Join(s.openTasks(), s.openReporter()); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if d.Registry != nil {
		telemetry.RegisterNode(d.Registry, s.Node().Status)
		d.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: telemetry.Namespace, Subsystem: "node",
			Name: "collected_chunks_total", Help: "Chunks that were collected, as nothing had referred to them for long enough."},
			func() float64 { return float64(s.collected.Load()) }))
	}
	return s, nil
}

func (s *Service) openReporter() error {
	if s.deps.Rebalancer == nil {
		return nil
	}
	process, err := clock.NewUUID(s.deps.Random)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "drawing the ID of this process")
	}
	s.reporter = report.New(s.config.Config, report.Deps{NodeID: s.deps.NodeID, Process: process, Finder: s.deps.Rebalancer,
		Status: s.Node().Status, Traffic: s.traffic.message, Collection: s.collection, Term: s.tasks.Term, Clock: s.deps.Clock, Logger: s.deps.Logger})
	return nil
}

func (s *Service) collection() *clusterv1.Collection {
	return &clusterv1.Collection{Running: s.collecting.Load(), Collected: s.collected.Load()}
}

// Node is the store and its tasks, for direct calls. After Run returned its calls
// fail with kind Unavailable.
func (s *Service) Node() *Node { return &Node{Store: s.store, service: s} }

// Folders are those that the disks' chunks and indexes are in.
func (s *Service) Folders() (all []string) {
	for _, d := range s.disks {
		all = append(all, d.Path)
		if d.Index != "" {
			all = append(all, d.Index)
		}
	}
	return all
}

// Register adds the service to a gRPC server that was made with ServerOptions.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	server.Register(r, server.Config{Node: &counted{Node: s.Node(), traffic: &s.traffic}, ID: s.deps.NodeID, Pool: s.deps.Pool, Layouts: s.peers})
}

// Adopt makes layouts those of the node, if they are newer than its own; they are on disk when it returns nil. Kinds: Conflict if
// others have the same number; Internal.
func (s *Service) Adopt(a *layout.Active) error { return s.peers.Adopt(a) }

// ServerOptions are what the gRPC server must be made with, besides those of package rpc.
func ServerOptions() []grpc.ServerOption { return server.Options() }

// Run carries out the tasks and reports, once the node's ID is this process's, and forgets old tombstones, until ctx ends; then it waits
// for the calls under way and closes the disks.
func (s *Service) Run(ctx context.Context) error {
	var work sync.WaitGroup
	if s.reporter != nil {
		work.Go(func() { s.onceClaimed(ctx, s.reporter.Run) })
	}
	work.Go(func() { s.follow(ctx) })
	if s.store.Unclean() {
		s.do(ctx, "checking the disks after a stop that was not in order", s.store.Check)
	}
	work.Go(func() { s.onceClaimed(ctx, s.tasks.Run) })
	s.expire(ctx)
	work.Wait()
	return s.Close()
}

// onceClaimed does work, which ends with ctx, once the node's ID is this process's.
func (s *Service) onceClaimed(ctx context.Context, work func(context.Context)) {
	select {
	case <-s.deps.Claimed:
		work(ctx)
	case <-ctx.Done():
	}
}

// Leave asks for leave to stop and returns when it is given, or when it was waited for long enough; at once where there
// is nobody to ask, or another process may have the node's ID. A program calls it while it still serves.
func (s *Service) Leave(ctx context.Context) {
	if s.reporter == nil {
		return
	}
	select {
	case <-s.deps.Claimed:
		s.reporter.Leave(ctx)
	default:
	}
}

// Close waits for the calls under way and closes the disks.
func (s *Service) Close() error { return s.store.Close() }

// tombstonePasses is how often, in the time a tombstone is kept, old ones are looked for.
const tombstonePasses = 24

// expire forgets old tombstones.
func (s *Service) expire(ctx context.Context) {
	for clock.Sleep(ctx, s.deps.Clock, s.config.Tombstones/tombstonePasses) == nil {
		s.do(ctx, "forgetting old tombstones", s.store.Expire)
	}
}

// do runs a piece of work. What fails is tried again the next time.
func (s *Service) do(ctx context.Context, what string, work func(context.Context) (int, error)) {
	began := s.deps.Clock.Now()
	n, err := work(ctx)
	took := s.deps.Clock.Now().Sub(began).Round(time.Millisecond)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.deps.Logger.Warn(what+" failed; it will be tried again", "error", err)
	case n > 0:
		s.deps.Logger.Debug(what, "seen", n, "took", took)
	}
}
