package migrate

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/remote"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// Room is what the cluster has for chunks.
type Room struct {
	Copies int   // of each chunk
	Free   int64 // bytes left on all nodes
	// Problems are nodes that did not answer or take nothing, for people.
	Problems []string
}

// Deps are what a migration works with.
type Deps struct {
	Store  meta.Store
	Chunks chunk.Store
	// Room looks at the nodes of the layout. Kinds: Unavailable if there is no layout.
	Room   func(context.Context) (Room, error)
	Clock  clock.Clock
	Random clock.Random
	Logger *slog.Logger
	// Settle is how long gateways may know rights as they were.
	Settle time.Duration
}

// Register adds migrations into this cluster to an administration server.
func Register(r grpc.ServiceRegistrar, d Deps) {
	metadatav1.RegisterMigrationServiceServer(r, &server{deps: d})
}

type server struct {
	metadatav1.UnimplementedMigrationServiceServer
	deps Deps
	busy sync.Mutex
}

func (s *server) Migrate(r *metadatav1.MigrateRequest, stream metadatav1.MigrationService_MigrateServer) error {
	if r.GetSource() == "" || r.GetEndpoint() == "" && !r.GetAbandon() || r.GetRate() < 0 || r.GetHoldWrites() < 0 {
		return errors.Newf(errors.Invalid, "a migration needs the administration address of the standalone and the URL of the cluster's S3, and no rate or time that is negative")
	}
	if !s.busy.TryLock() {
		return errors.Newf(errors.Conflict, "another migration into this cluster is under way; try again when that has ended")
	}
	defer s.busy.Unlock()
	conn, err := adminserver.Dial(adminserver.DialConfig{Address: r.GetSource(), Token: r.GetSourceToken(), CAFile: r.GetSourceCaFile()})
	if err != nil {
		return err
	}
	defer conn.Close()
	m := &migration{
		Deps: s.deps, options: r, source: remote.New(conn), peer: metadatav1.NewMigrationSourceServiceClient(conn), send: stream.Send,
		limit: limit{clock: s.deps.Clock, rate: r.GetRate()}, damaged: make(map[string]error),
		notes: notes{failed: make(map[place]bool), copies: make(map[uuid.UUID]meta.Bucket)},
	}
	return m.run(stream.Context())
}
