package cql

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/meta"
)

func partsNamed(n int) []meta.Part {
	parts := make([]meta.Part, n)
	for i := range parts {
		parts[i] = meta.Part{Number: i + 1, Attempt: uuid.New(), ETag: fmt.Sprint("etag", i)}
	}
	return parts
}

func TestRowsAndTailAreOneList(t *testing.T) {
	at := func(offsets ...uint64) (rows []meta.Chunk) {
		for _, o := range offsets {
			rows = append(rows, meta.Chunk{Offset: o, Length: 10})
		}
		return rows
	}
	for _, c := range []struct {
		rows, tail, want []meta.Chunk
		from             uint64
	}{
		{at(0, 10), nil, at(0, 10), 0},
		{nil, at(0, 10), at(0, 10), 0},
		{at(0, 10), at(20, 30), at(0, 10, 20, 30), 0},
		{at(0, 10, 20), at(20, 30), at(0, 10, 20, 30), 0},
		{at(0, 30), at(10, 20), at(0, 10, 20, 30), 0},
		{at(20), at(0, 10, 20, 30), at(20, 30), 25},
		{nil, at(0, 10, 20), at(10, 20), 10},
		{nil, at(0, 10), nil, 20},
	} {
		require.Equal(t, c.want, merge(c.rows, c.tail, c.from))
	}
}
