package cluster

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/layout"
)

// nowhere is a node that costs nothing.
type nowhere struct {
	chunk.Node
	data *buffer.Buffer
}

func (nowhere) Put(context.Context, chunk.Hash, *buffer.Buffer, chunk.Ref) (chunk.Outcome, error) {
	return chunk.Stored, nil
}

func (n nowhere) Get(context.Context, chunk.Hash) (*buffer.Buffer, error) {
	return n.data.Retain(), nil
}

// What the store itself adds to a Put and a Get of three copies.
func BenchmarkOverhead(b *testing.B) {
	data := buffer.FromBytes(make([]byte, 1<<20))
	h := chunk.HashOf(data)
	list := make([]layout.Node, 3)
	members := make(map[chunk.NodeID]Member)
	for i := range list {
		list[i] = layout.Node{ID: nodeID(i), Zone: "here", Tokens: 10}
		members[list[i].ID] = Member{Node: nowhere{data: data}, Verified: true}
	}
	s, err := New(Config{Layouts: inForce(b, 1, 3, list), Members: members, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Settings: Defaults})
	require.NoError(b, err)
	defer s.Close(0)
	ref := chunk.Ref{Attempt: uuid.New()}
	b.Run("Put", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := s.Put(ctx, h, data, ref)
			require.NoError(b, err)
		}
	})
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			got, err := s.Get(ctx, h)
			require.NoError(b, err)
			got.Release()
		}
	})
}
