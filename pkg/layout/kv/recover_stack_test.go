//go:build stack

package kv

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

func read(t *testing.T, s *Store) Snapshot {
	t.Helper()
	seen, err := s.Read(t.Context())
	require.NoError(t, err)
	return seen
}

func TestLayoutsThatConsulHasLostArePutBack(t *testing.T) {
	s, client := open(t)
	require.NoError(t, publish(t, s, 1, 2))
	require.NoError(t, publish(t, s, 2))
	require.NoError(t, publish(t, s, 1, 2, 3))
	seen := read(t, s)
	require.NoError(t, s.Retire(t.Context(), Lock{}, seen, 2))
	kept, from, now := read(t, s).Active, uuid.New(), time.Unix(1_700_000_000, 0)

	require.True(t, errors.Is(s.Recover(t.Context(), Lock{}, read(t, s), kept, from, now), errors.Invalid), "Consul has it")
	_, err := client.KV().DeleteTree(s.prefix, nil)
	require.NoError(t, err)
	stage(t, s, assign(4))
	seen = read(t, s)
	require.Nil(t, seen.Active)
	given := kept.WithLost(map[chunk.NodeID]uint64{node(1).ID: 3})
	require.NoError(t, s.Recover(t.Context(), Lock{}, seen, given, from, now))
	require.True(t, errors.Is(s.Recover(t.Context(), Lock{}, seen, kept, from, now), errors.Conflict), "somebody else was faster")
	seen = read(t, s)
	require.Equal(t, []Lost{{Node: node(1).ID, Layout: 3, At: now.UTC()}}, seen.Lost)
	require.Equal(t, kept, seen.Active)
	require.Equal(t, &Recovered{Layout: 3, From: from, At: now.UTC()}, seen.Recovered)
	require.Len(t, seen.Staged.Assign, 1, "what is staged since stays")
	_, err = apply(t.Context(), s, Lock{}, seen)
	require.NoError(t, err)
	seen = read(t, s)
	require.EqualValues(t, []uint64{2, 4}, []uint64{seen.Active.Oldest(), seen.Active.Number()})
	require.Nil(t, seen.Recovered, "it is about layout 3")
}

func TestALayoutIsNotPutBackInPlaceOfAnother(t *testing.T) {
	s, client := open(t)
	require.NoError(t, publish(t, s, 1, 2))
	require.NoError(t, publish(t, s, 1))
	kept := read(t, s).Active
	_, err := client.KV().DeleteTree(s.prefix, nil)
	require.NoError(t, err)
	require.NoError(t, publish(t, s, 5))
	mine := read(t, s)
	err = s.Recover(t.Context(), Lock{}, mine, kept, uuid.New(), time.Now())
	require.True(t, errors.IsEntity(err, errors.Conflict, errors.Layout), "%v", err)
	require.Equal(t, mine.Active, read(t, s).Active)

	// Of an older backup the rest is put back.
	_, err = client.KV().DeleteTree(s.prefix, nil)
	require.NoError(t, err)
	first, err := layout.NewActive(kept.Placements()[0])
	require.NoError(t, err)
	require.NoError(t, s.Recover(t.Context(), Lock{}, read(t, s), first, uuid.New(), time.Now()))
	require.NoError(t, s.Recover(t.Context(), Lock{}, read(t, s), kept, uuid.New(), time.Now()))
	again := read(t, s)
	require.Equal(t, kept, again.Active)
	require.EqualValues(t, 1, again.Recovered.Lost)
}

func TestWhoHasLostTheLockPutsNothingBack(t *testing.T) {
	s, client := open(t)
	require.NoError(t, publish(t, s, 1))
	kept := read(t, s).Active
	_, err := client.KV().DeleteTree(s.prefix, nil)
	require.NoError(t, err)
	lock := Lock{Key: s.consul.Key("lock"), Session: uuid.NewString()}
	require.True(t, errors.Is(s.Recover(t.Context(), lock, read(t, s), kept, uuid.New(), time.Now()), errors.Conflict))
	require.Nil(t, read(t, s).Active)
	history, err := s.History(t.Context())
	require.NoError(t, err)
	require.Empty(t, history)
}
