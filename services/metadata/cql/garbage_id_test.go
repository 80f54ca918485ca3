package cql

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

func TestIDsOfGarbageSurvive(t *testing.T) {
	for _, g := range []garbageID{
		{kind: garbageVersions, at: place{uuid.New(), 15, "a/\xff\x00b"}, newest: 9, oldest: 1 << 60},
		{kind: garbageSingle, at: place{uuid.New(), 0, "k"}, upload: uuid.New()},
		{kind: garbageMultipart, at: place{uuid.New(), 300, "k"}, upload: uuid.New()},
		{kind: garbageParts, at: place{uuid.New(), 1, "k"}, upload: uuid.New(), replace: []partName{{10000, 7, uuid.New()}, {1, 8, uuid.New()}}},
	} {
		b := g.encode()
		got, err := parseGarbageID(b)
		require.NoError(t, err)
		require.Equal(t, g, got)
		for n := range len(b) - len(g.at.key) {
			_, err := parseGarbageID(b[:n])
			require.True(t, errors.Is(err, errors.Invalid), "%d bytes", n)
		}
	}
}

func TestCursorsOfAWalkSurvive(t *testing.T) {
	for _, c := range []cursor{
		{bucket: uuid.New()},
		{bucket: uuid.New(), phase: walkSingles, shard: 15, found: true, key: "k\x00", upload: uuid.New(), below: clock.Timestamp(7)},
	} {
		got, err := parseCursor(c.encode())
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
	for _, b := range [][]byte{{}, []byte("x"), make([]byte, cursorHead)} {
		_, err := parseCursor(b)
		require.True(t, errors.Is(err, errors.Invalid))
	}
}

func TestASelectionOfParts(t *testing.T) {
	parts := partsNamed(10000)
	b := appendSelection(parts)
	require.Len(t, b, 32+18*10000)
	sel, err := parseSelection(b)
	require.NoError(t, err)
	require.Equal(t, nameOf(parts), sel.named)
	require.Len(t, sel.kept, 10000)
	require.True(t, sel.kept[parts[77].Attempt])
	parts[5].ETag = "other"
	require.NotEqual(t, nameOf(parts), sel.named)
	_, err = parseSelection(b[:40])
	require.True(t, errors.Is(err, errors.Corrupted))
}
