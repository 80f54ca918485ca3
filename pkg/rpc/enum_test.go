package rpc

import (
	"testing"

	"github.com/stretchr/testify/require"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

func TestEnumText(t *testing.T) {
	require.Equal(t, "long collection", EnumText(chunknodev1.Task_TASK_LONG_COLLECTION))
	require.Equal(t, "running", EnumText(chunknodev1.TaskState_TASK_STATE_RUNNING))
	require.Equal(t, "unspecified", EnumText(adminv1.NodeState_NODE_STATE_UNSPECIFIED))
	require.Equal(t, "99", EnumText(adminv1.NodeState(99)), "of a later version")
}
