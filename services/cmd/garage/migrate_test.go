package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/chunk"
	chunkmemory "deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/meta"
	metamemory "deuxfleurs.fr/garage/pkg/meta/memory"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
	"deuxfleurs.fr/garage/services/metadata/migrate"
	"deuxfleurs.fr/garage/services/metadata/server"
	"deuxfleurs.fr/garage/services/rebalancer"
	"deuxfleurs.fr/garage/services/standalone/move"
)

// breaking is a database that fails to write a photograph while there is a file.
type breaking struct {
	meta.Store
	file string
}

func (s breaking) PutObject(ctx context.Context, p meta.Put) (meta.Version, error) {
	if _, err := os.Stat(s.file); err == nil && p.Key == "cat.jpg" {
		return meta.Version{}, errors.Newf(errors.Canceled, "the database does not answer")
	}
	return s.Store.PutObject(ctx, p)
}

// TestMigrations runs the command line against a cluster and a standalone of its own for each script.
func TestMigrations(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/migrate", Setup: func(env *testscript.Env) error {
		s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Request-Id", "1")
			w.WriteHeader(http.StatusForbidden)
		}))
		env.Defer(s3.Close)
		here, err := metamemory.New(clock.System{}, clock.SystemRandom)
		if err != nil {
			return err
		}
		there, err := metamemory.New(clock.System{}, clock.SystemRandom)
		if err != nil {
			return err
		}
		photos := meta.Bucket{ID: uuid.New(), Name: "photos"}
		if err := there.CreateBucket(context.Background(), photos); err != nil {
			return err
		}
		if _, err := there.PutObject(context.Background(), meta.Put{Bucket: photos.ID, Key: "cat.jpg", Inline: []byte("cat"), Size: 3}); err != nil {
			return err
		}
		folder, err := datafolder.Open(filepath.Join(env.WorkDir, "folder"), datafolder.Options{Service: "standalone"})
		if err != nil {
			return err
		}
		env.Defer(func() {
			if err := folder.Close(); err != nil {
				t.Error(err)
			}
		})
		gate, err := move.NewGate(folder, clock.System{})
		if err != nil {
			return err
		}
		standalone := uuid.New()
		source, err := administered(env, "old", func(r grpc.ServiceRegistrar) {
			server.Register(r, move.ReadOnly(there))
			move.Source{Gate: gate, Chunks: chunkmemory.New(uuid.New()), ClusterID: standalone, Clock: clock.System{}}.Register(r)
		})
		if err != nil {
			return err
		}
		active, err := twoNodes()
		if err != nil {
			return err
		}
		administration, err := rebalancer.New(rebalancer.Config{}, rebalancer.Deps{Store: here, Folder: env.WorkDir, Identities: keys.New(here, clock.System{}, 0),
			Layouts: active, Node: func(chunk.NodeID) (rebalancer.Node, error) {
				return nil, errors.Newf(errors.Unavailable, "there is no node")
			},
			Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		target, err := administered(env, "new", func(r grpc.ServiceRegistrar) {
			administration.Register(r)
			migrate.Register(r, migrate.Deps{Store: breaking{here, filepath.Join(env.WorkDir, "broken")}, Chunks: chunkmemory.New(uuid.New()), Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler),
				Room: func(context.Context) (migrate.Room, error) { return migrate.Room{Copies: 3, Free: 1 << 30}, nil }})
		})
		if err != nil {
			return err
		}
		env.Setenv("GARAGE_ADMIN", target)
		env.Setenv("GARAGE_DATA", filepath.Join(env.WorkDir, "new"))
		env.Setenv("OLD", source)
		env.Setenv("OLD_ID", standalone.String())
		env.Setenv("S3", s3.URL)
		return nil
	}})
}

// dying is a metadata service that is gone right after it has told what it is about to do.
type dying struct {
	metadatav1.UnimplementedMigrationServiceServer
}

func (dying) Migrate(r *metadatav1.MigrateRequest, stream metadatav1.MigrationService_MigrateServer) error {
	told := &metadatav1.MigrateResponse{Plan: &metadatav1.MigrationPlan{}}
	if r.GetAbandon() {
		told = &metadatav1.MigrateResponse{Copies: &metadatav1.MigrationCopies{Copies: []*metadatav1.MigrationCopy{{Bucket: "photos"}}}}
	}
	if err := stream.Send(told); err != nil || r.GetAbandon() && r.GetDryRun() {
		return err // so that the removal is come to
	}
	return grpcstatus.Error(codes.Unavailable, "the connection is gone")
}

func TestInterruptedMigrations(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/interrupted", Setup: func(env *testscript.Env) error {
		target, err := administered(env, "new", func(r grpc.ServiceRegistrar) { metadatav1.RegisterMigrationServiceServer(r, dying{}) })
		env.Setenv("GARAGE_ADMIN", target)
		env.Setenv("GARAGE_DATA", filepath.Join(env.WorkDir, "new"))
		env.Setenv("GARAGE_SOURCE_TOKEN", "t")
		return err
	}})
}

// administered serves an administration port, with the token in a data folder of that name.
func administered(env *testscript.Env, name string, register func(grpc.ServiceRegistrar)) (address string, err error) {
	data := filepath.Join(env.WorkDir, name)
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", err
	}
	token, err := adminserver.Token(filepath.Join(data, adminserver.TokenFile), "")
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s, err := adminserver.New(adminserver.Config{}, adminserver.Deps{Listener: listener, Token: token, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	if err != nil {
		return "", err
	}
	register(s.GRPC())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	env.Defer(func() { cancel(); <-done })
	return listener.Addr().String(), nil
}
