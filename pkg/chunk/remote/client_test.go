package remote

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// liar is a node that answers as it is told, with the generated code alone.
type liar struct {
	chunknodev1.UnimplementedChunkNodeServiceServer
	get func(grpc.ServerStreamingServer[chunknodev1.GetResponse]) error
	put func(grpc.ClientStreamingServer[chunknodev1.PutRequest, chunknodev1.PutResponse]) error
}

func (l *liar) Get(_ *chunknodev1.GetRequest, s grpc.ServerStreamingServer[chunknodev1.GetResponse]) error {
	return l.get(s)
}

func (l *liar) Put(s grpc.ClientStreamingServer[chunknodev1.PutRequest, chunknodev1.PutResponse]) error {
	return l.put(s)
}

func (l *liar) Status(context.Context, *chunknodev1.StatusRequest) (*chunknodev1.StatusResponse, error) {
	return StatusTo(chunk.NodeStatus{}), nil
}

func talkTo(t *testing.T, l *liar) (*Client, *buffer.Pool) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := rpc.NewServer(rpc.ServerConfig{Listener: listener, Logger: slog.New(slog.DiscardHandler), Grace: time.Second})
	chunknodev1.RegisterChunkNodeServiceServer(server.GRPC(), l)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	pool := buffer.NewPool(32<<20, clock.System{})
	c, err := New(Options{ID: uuid.New(), Address: listener.Addr().String(), Pool: pool})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, c.Close())
		stop()
		require.NoError(t, <-done)
		require.Zero(t, pool.Used(), "the client gave all its memory back")
	})
	_, err = c.Status(t.Context())
	require.True(t, errors.Is(err, errors.Unavailable), "it is another node: %v", err)
	return c, pool
}

func TestNothingWrongIsBelieved(t *testing.T) {
	h, b := chunktest.Chunk(1, 600_000)
	data := b.Bytes()
	header := func(length int) *chunknodev1.GetResponse {
		return &chunknodev1.GetResponse{Header: &chunknodev1.GetHeader{Length: uint32(length)}}
	}
	frames := func(p []byte) (all []*chunknodev1.GetResponse) {
		for len(p) > 0 {
			n := min(FrameSize, len(p))
			all = append(all, &chunknodev1.GetResponse{Data: p[:n]})
			p = p[n:]
		}
		return all
	}
	flipped := append([]byte(nil), data...)
	flipped[300_000] ^= 1
	for name, c := range map[string]struct {
		answer []*chunknodev1.GetResponse
		end    error
		want   errors.Kind // 0xff: it is right
	}{
		"the right bytes":        {append(frames(data), nil), nil, 0xff},
		"a flipped bit":          {frames(flipped), nil, errors.Corrupted},
		"bytes missing":          {frames(data[:len(data)-1]), nil, errors.Internal},
		"bytes too many":         {frames(append(append([]byte(nil), data...), 0)), nil, errors.Internal},
		"no bytes":               {nil, nil, errors.Internal},
		"cut short by an error":  {frames(data)[:1], errors.Newf(errors.Overloaded, "later"), errors.Overloaded},
		"an error after the end": {frames(data), errors.Newf(errors.Unavailable, "gone"), errors.Unavailable},
		"too large a frame":      {[]*chunknodev1.GetResponse{{Data: data}}, nil, errors.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			l := &liar{get: func(s grpc.ServerStreamingServer[chunknodev1.GetResponse]) error {
				if err := s.Send(header(len(data))); err != nil {
					return err
				}
				for _, f := range c.answer {
					if f == nil {
						continue
					}
					if err := s.Send(f); err != nil {
						return err
					}
				}
				return c.end
			}}
			client, _ := talkTo(t, l)
			got, err := client.Get(t.Context(), h)
			if c.want == 0xff {
				require.NoError(t, err)
				require.Equal(t, data, got.Bytes())
				got.Release()
				return
			}
			require.True(t, errors.Is(err, c.want), "%v", err)
		})
	}
	for _, length := range []int{0, chunk.MaxSize + 1} {
		client, _ := talkTo(t, &liar{get: func(s grpc.ServerStreamingServer[chunknodev1.GetResponse]) error { return s.Send(header(length)) }})
		_, err := client.Get(t.Context(), h)
		require.True(t, errors.Is(err, errors.Internal), "%v", err)
	}
}

func TestAnAnswerMayComeBeforeAllWasSent(t *testing.T) {
	h, b := chunktest.Chunk(1, 8<<20)
	client, _ := talkTo(t, &liar{put: func(grpc.ClientStreamingServer[chunknodev1.PutRequest, chunknodev1.PutResponse]) error {
		return errors.Newf(errors.Full, "no room")
	}})
	_, err := client.Put(t.Context(), h, b, chunktest.Ref(1))
	require.True(t, errors.Is(err, errors.Full), "%v", err)

	client, _ = talkTo(t, &liar{put: func(s grpc.ClientStreamingServer[chunknodev1.PutRequest, chunknodev1.PutResponse]) error {
		return s.SendAndClose(&chunknodev1.PutResponse{Outcome: chunknodev1.Outcome_OUTCOME_GONE})
	}})
	outcome, err := client.Put(t.Context(), h, b, chunktest.Ref(1))
	require.NoError(t, err)
	require.Equal(t, chunk.Gone, outcome)
}

func TestANodeThatDoesNotAnswerCostsNoMoreThanTheDeadline(t *testing.T) {
	release := make(chan struct{})
	client, _ := talkTo(t, &liar{
		get: func(grpc.ServerStreamingServer[chunknodev1.GetResponse]) error { <-release; return nil },
		put: func(grpc.ClientStreamingServer[chunknodev1.PutRequest, chunknodev1.PutResponse]) error {
			<-release
			return nil
		},
	})
	defer close(release)
	h, b := chunktest.Chunk(1, 1<<20)
	client.o.Timeout = 50 * time.Millisecond
	_, err := client.Get(t.Context(), h)
	require.True(t, errors.Is(err, errors.Deadline), "%v", err)
	_, err = client.Put(t.Context(), h, b, chunktest.Ref(1))
	require.True(t, errors.Is(err, errors.Deadline), "%v", err)
}

func TestANodeThatIsNotThereIsUnavailable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	client, err := New(Options{ID: uuid.New(), Address: listener.Addr().String(), Pool: buffer.NewPool(1<<20, clock.System{})})
	require.NoError(t, err)
	defer client.Close()
	h, b := chunktest.Chunk(1, 1000)
	_, err = client.Get(t.Context(), h)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	_, err = client.Put(t.Context(), h, b, chunktest.Ref(1))
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
}
