package server

import (
	"context"
	"log/slog"
	"net"
	"testing"

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
