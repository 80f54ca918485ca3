package server

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
	"deuxfleurs.fr/garage/pkg/meta/remote"
	"deuxfleurs.fr/garage/pkg/rpc"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// serve makes a store reachable and returns its client.
func serve(t *testing.T, store meta.Store) meta.Store {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := rpc.NewServer(rpc.ServerConfig{Listener: listener, Logger: slog.New(slog.DiscardHandler)})
	Register(s.GRPC(), store)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, err := rpc.Dial(listener.Addr().String(), nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		cancel()
		require.NoError(t, <-ended)
	})
	return remote.New(conn)
}

func TestStoreOverTheWire(t *testing.T) {
	metatest.Run(t, func(t *testing.T, c clock.Clock) meta.Store {
		s, err := memory.New(c, clock.SystemRandom)
		require.NoError(t, err)
		return serve(t, s)
	})
}

func TestRandomOperationsAgreeOverTheWire(t *testing.T) {
	open := func(t *testing.T, c clock.Clock) meta.Store {
		s, err := memory.New(c, clock.SystemRandom)
		require.NoError(t, err)
		return s
	}
	for seed := range uint64(3) {
		metatest.Compare(t, seed, 700, open, func(t *testing.T, c clock.Clock) meta.Store { return serve(t, open(t, c)) })
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	s := &server{}
	_, err := s.GetObject(context.Background(), &metadatav1.GetObjectRequest{Bucket: []byte("short")})
	require.True(t, errors.Is(err, errors.Invalid))
	_, err = s.AddChunks(context.Background(), &metadatav1.AddChunksRequest{Chunks: []*metadatav1.Chunk{{Hash: []byte("short")}}})
	require.True(t, errors.Is(err, errors.Invalid))
}

// asked counts how often a store is asked what it is.
type asked struct {
	meta.Store
	infos int
	err   error
}

func (a *asked) Info(ctx context.Context) (meta.Info, error) {
	a.infos++
	if a.err != nil {
		return meta.Info{}, a.err
	}
	return a.Store.Info(ctx)
}

func TestAttemptsAreToldOnlyInTheClusterThatWasMeant(t *testing.T) {
	m, err := memory.New(clock.System{}, clock.SystemRandom)
	require.NoError(t, err)
	info, err := m.Info(t.Context())
	require.NoError(t, err)
	a := &asked{Store: m, err: errors.Newf(errors.Unavailable, "away")}
	s, id, other := &server{store: a}, uuid.New(), uuid.New()
	find := func(cluster uuid.UUID) error {
		_, err := s.FindAttempts(t.Context(), &metadatav1.FindAttemptsRequest{Ids: [][]byte{id[:]}, ClusterId: cluster[:]})
		return err
	}
	require.True(t, errors.Is(find(info.ClusterID), errors.Unavailable))
	a.err = nil
	for range 3 {
		require.NoError(t, find(info.ClusterID))
		require.True(t, errors.Is(find(other), errors.Conflict))
	}
	require.Equal(t, 2, a.infos, "which cluster it is does not change")
}
