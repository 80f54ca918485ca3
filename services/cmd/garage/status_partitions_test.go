package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func TestPartitionsAreSummedUpTheWorstFirst(t *testing.T) {
	answer := &adminv1.GetPartitionsResponse{ByCopies: []uint32{1, 2, 3, 4}, ByState: []uint32{0, 2, 0, 1, 1}}
	require.Equal(t, "1 without any owner alive, 1 with too few good copies, 2 complete", newPartitions(answer).text())
	require.Nil(t, newPartitions(&adminv1.GetPartitionsResponse{}), "without a layout there is nothing to sum up")
}
