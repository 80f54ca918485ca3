package remote

import (
	"bytes"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/buffer"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// cut makes a message of pieces, as it arrives from a connection.
func cut(p []byte, sizes ...int) mem.BufferSlice {
	var out mem.BufferSlice
	for i := 0; len(p) > 0; i++ {
		n := min(sizes[i%len(sizes)], len(p))
		out = append(out, mem.SliceBuffer(p[:n]))
		p = p[n:]
	}
	return out
}

func TestFramesAreWhatTheProtocolSays(t *testing.T) {
	data := make([]byte, 3*buffer.SegmentSize+100)
	rand.New(rand.NewSource(1)).Read(data)
	var segments [][]byte
	for rest := data; len(rest) > 0; rest = rest[min(buffer.SegmentSize, len(rest)):] {
		segments = append(segments, rest[:min(buffer.SegmentSize, len(rest))])
	}
	released := 0
	b := buffer.FromSegments(segments, func() { released++ })
	header := &chunknodev1.PutHeader{Hash: data[:32], Length: uint32(len(data)), Ref: &chunknodev1.Ref{Attempt: data[:16], Offset: 7}, Layout: 3}

	for _, f := range []*Frame{{Header: header}, {Data: b, From: 0, To: 1}, {Data: b, From: 100, To: len(data) - 50}, {Data: b, From: 0, To: len(data)}} {
		wire, err := Codec().Marshal(f)
		require.NoError(t, err)
		p := wire.Materialize()
		wire.Free()
		var plain chunknodev1.PutRequest
		require.NoError(t, proto.Unmarshal(p, &plain))
		if f.Data == nil {
			require.True(t, proto.Equal(header, plain.Header))
		} else {
			require.True(t, bytes.Equal(data[f.From:f.To], plain.Data))
		}
		// And back, from what the generated code makes.
		p, err = proto.Marshal(&plain)
		require.NoError(t, err)
		for _, sizes := range [][]int{{1 << 20}, {1}, {16384, 5, 1}} {
			got := Frame{Header: &chunknodev1.PutHeader{}}
			require.NoError(t, Codec().Unmarshal(cut(p, sizes...), &got))
			require.Equal(t, f.Data == nil, got.HasHeader)
			if f.Data == nil {
				require.True(t, proto.Equal(header, got.Header))
			} else {
				require.True(t, bytes.Equal(data[f.From:f.To], got.Received.Materialize()))
				got.Received.Free()
			}
		}
	}
	require.Zero(t, released)
	b.Release()
	require.Equal(t, 1, released, "the codec gave back what it had borrowed")
}

func TestOtherMessagesPassUnchanged(t *testing.T) {
	want := &chunknodev1.StatusResponse{Version: "1", Chunks: 7}
	wire, err := Codec().Marshal(want)
	require.NoError(t, err)
	var got chunknodev1.StatusResponse
	require.NoError(t, Codec().Unmarshal(wire, &got))
	require.True(t, proto.Equal(want, &got))
}

func FuzzFrame(f *testing.F) {
	header, _ := proto.Marshal(&chunknodev1.PutRequest{Header: &chunknodev1.PutHeader{Hash: make([]byte, 32), Length: 5}})
	data, _ := proto.Marshal(&chunknodev1.PutRequest{Data: []byte("hello")})
	for _, seed := range [][]byte{nil, header, data, append(append([]byte(nil), header...), data...), {0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}, {0x12}, {0x08, 1}, {0x80}} {
		f.Add(seed, uint8(3))
	}
	f.Fuzz(func(t *testing.T, p []byte, size uint8) {
		got := Frame{Header: &chunknodev1.PutHeader{}}
		if Codec().Unmarshal(cut(p, int(size)+1), &got) != nil {
			return
		}
		var plain chunknodev1.PutRequest
		if proto.Unmarshal(p, &plain) != nil {
			return // the general parser also looks into fields that are skipped here
		}
		require.Equal(t, len(plain.Data), got.Received.Len())
		require.True(t, bytes.Equal(plain.Data, got.Received.Materialize()))
		got.Received.Free()
	})
}
