package rebalancer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

const (
	running = chunknodev1.TaskState_TASK_STATE_RUNNING
	idle    = chunknodev1.TaskState_TASK_STATE_IDLE
)

func scrubbing(state chunknodev1.TaskState, done int64) *chunknodev1.TaskStatus {
	return &chunknodev1.TaskStatus{Task: chunknodev1.Task_TASK_SCRUB, State: state, Done: done, Total: 400, Began: timestamppb.New(noon)}
}

func TestWhatATaskStillTakesFollowsFromItsSpeed(t *testing.T) {
	require.Equal(t, 3*time.Hour, taskMessage(scrubbing(running, 100), noon.Add(time.Hour)).GetLeft().AsDuration())
	require.Nil(t, taskMessage(scrubbing(running, 0), noon.Add(time.Hour)).GetLeft(), "it has no speed yet")
	require.Nil(t, taskMessage(scrubbing(idle, 100), noon.Add(time.Hour)).GetLeft())
	require.Nil(t, taskMessage(scrubbing(running, 100), noon.Add(-time.Hour)).GetLeft(), "its clock is ahead of this one")
}
