package server

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/remote"
)

// listed is a node that has these entries.
type listed struct {
	Node
	entries []chunk.Entry
}

func (l listed) Entries(_ context.Context, _ chunk.Partition, _ uint8, after chunk.Hash, limit int) ([]chunk.Entry, error) {
	all := slices.DeleteFunc(slices.Clone(l.entries), func(e chunk.Entry) bool { return bytes.Compare(e.Hash[:], after[:]) <= 0 })
	return all[:min(len(all), limit)], nil
}

func TestAChunkWithAnyNumberOfReferencesIsListed(t *testing.T) {
	var entries []chunk.Entry
	for i, n := range []int{2, 2*remote.MaxReferences + 50_000, 3, remote.MaxReferences, 1, remote.MaxReferences + 1} {
		e := chunk.Entry{Hash: chunk.Hash{0, 0, 0, byte(i + 1)}, Length: 1000, Good: true}
		attempt := uuid.UUID{byte(i)}
		for offset := range n {
			e.Refs = append(e.Refs, chunk.Ref{Attempt: attempt, Offset: uint64(offset) << 20})
		}
		entries = append(entries, e)
	}
	s := serveAs(t, func(n Node) Node { return listed{n, entries} })
	for _, limit := range []int{1, 2, 4, 6, 256} {
		var got []chunk.Entry
		var after chunk.Hash
		for {
			some, err := s.client.Entries(t.Context(), 0, 0, after, limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(some), limit)
			got = append(got, some...)
			if len(some) < limit {
				break
			}
			after = some[len(some)-1].Hash
		}
		require.Len(t, got, len(entries))
		for i := range got {
			require.True(t, slices.Equal(entries[i].Refs, got[i].Refs), "limit %d, chunk %d: %d references of %d", limit, i, len(got[i].Refs), len(entries[i].Refs))
			require.Equal(t, entries[i].Hash, got[i].Hash)
		}
	}
}
