package metadata

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/diagnose"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/metadata/measured"
	"deuxfleurs.fr/garage/services/metadata/server"
)

// Deps are what the service works with.
type Deps struct {
	// Folder is the data folder, open and locked by the program (package
	// datafolder); the database, if it is not elsewhere, is the folder "metadata" in it.
	Folder    string
	ClusterID uuid.UUID
	// NodeID names the service among those that share a database; a store of its own needs none.
	NodeID uuid.UUID
	// Chunks is where the references of garbage are deleted.
	Chunks   chunk.Store
	Clock    clock.Clock
	Random   clock.Random
	Logger   *slog.Logger
	Registry prometheus.Registerer // nil: no metrics
	FS       vfs.FS                // nil: the machine's
}

// Service keeps metadata. New makes one, which can be used at once; Run keeps it in order and closes it.
type Service struct {
	store     meta.Store
	database  database
	sweeper   *sweeper
	snapshots *snapshots

	operations *operations
}

// New opens the database. Kinds: Invalid if something it cannot do without is
// missing, or the database is of another cluster or a newer format; Unavailable if a database elsewhere
// does not answer for as long as the settings say. Call Run, or Close, after it.
func New(c Config, d Deps) (*Service, error) {
	if d.Folder == "" || d.ClusterID == uuid.Nil || d.Chunks == nil || d.Clock == nil || d.Random == nil || d.Logger == nil {
		return nil, errors.Newf(errors.Invalid, "the metadata service needs a folder, the cluster's ID, a chunk store, a clock, a source of randomness and a logger")
	}
	s := &Service{sweeper: newSweeper(c.Sweep, d), operations: newOperations()}
	store, db, err := open(c, d, s.sweeper.poke)
	if err != nil {
		return nil, err
	}
	s.sweeper.leaser, _ = db.(leaser)
	guard := newGuarded(store, db, s.sweeper.leaser != nil, d.Clock)
	s.store, s.database, s.sweeper.store = measured.New(guard, s.operations), db, store
	s.snapshots = &snapshots{config: c.Snapshot, folder: filepath.Join(d.Folder, snapshotFolder), store: store, marks: guard, deps: d, leaser: s.sweeper.leaser, taken: newTaken()}
	if d.Registry != nil {
		s.register(d.Registry)
	}
	return s, nil
}

// Store is the store itself, for direct calls. After Run returned its calls
// fail with kind Unavailable; what clients begin with does so too while the metadata is being restored.
func (s *Service) Store() meta.Store { return s.store }

// Check returns nil if the service can serve, and otherwise why it cannot.
func (s *Service) Check(context.Context) error { return s.database.Problem() }

// Register adds the service to a gRPC server.
func (s *Service) Register(r grpc.ServiceRegistrar) { server.Register(r, s.store) }

// AddTo has diagnoses of the program see the database, where it is a program of its own.
func (s *Service) AddTo(p *diagnose.Program) {
	remote, ok := s.database.(interface {
		Reach(ctx context.Context) error
		CommitLogSync(ctx context.Context) (string, error)
	})
	if ok {
		p.AddLink(diagnose.Link{Name: "database", Check: remote.Reach})
		p.AddSetting("database.commitlog_sync", remote.CommitLogSync)
	}
}

// Run sweeps and takes snapshots until ctx ends; then it waits for the calls under way and closes the database.
func (s *Service) Run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() { s.snapshots.run(ctx) })
	s.sweeper.run(ctx)
	work.Wait()
	return s.Close()
}

// Close waits for the calls under way and closes the database.
func (s *Service) Close() error { return s.database.Close() }
