package rebalancer

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

const (
	running = chunknodev1.TaskState_TASK_STATE_RUNNING
	idle    = chunknodev1.TaskState_TASK_STATE_IDLE
	stuck   = chunknodev1.TaskState_TASK_STATE_STUCK
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

func TestWhatTasksBeginAndEndIsAnEvent(t *testing.T) {
	list := func(st *chunknodev1.TaskStatus) []*chunknodev1.TaskStatus { return []*chunknodev1.TaskStatus{st} }
	require.Empty(t, events(nil, list(scrubbing(running, 1))), "the first report only says how it is")
	require.Empty(t, events(list(scrubbing(running, 1)), list(scrubbing(running, 2))))
	for state, text := range map[chunknodev1.TaskState]string{idle: "has ended", stuck: "cannot go on", chunknodev1.TaskState_TASK_STATE_STOPPED: "was stopped"} {
		all := events(list(scrubbing(running, 1)), list(scrubbing(state, 2)))
		require.Len(t, all, 1)
		require.Contains(t, all[0].text, text)
	}
	require.Contains(t, events(list(scrubbing(idle, 1)), list(scrubbing(running, 0)))[0].text, "has begun")
	collecting := func(state chunknodev1.TaskState, done int64) *chunknodev1.TaskStatus {
		return &chunknodev1.TaskStatus{Task: chunknodev1.Task_TASK_COLLECTION, State: state, Done: done}
	}
	require.Equal(t, slog.LevelDebug, events(list(collecting(running, 0)), list(collecting(idle, 0)))[0].level, "nothing was found")
	require.Equal(t, slog.LevelInfo, events(list(collecting(running, 0)), list(collecting(idle, 1)))[0].level)
}
