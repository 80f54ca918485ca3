package rebalancer

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// taskMessage is a node's task with the time that it will take at the speed of this round.
func taskMessage(st *chunknodev1.TaskStatus, now time.Time) *adminv1.NodeTask {
	m := &adminv1.NodeTask{Status: st}
	if st.GetState() != chunknodev1.TaskState_TASK_STATE_RUNNING || st.GetDone() <= 0 || st.GetTotal() < st.GetDone() || st.GetBegan() == nil {
		return m
	}
	if took := now.Sub(st.GetBegan().AsTime()); took > 0 {
		m.Left = durationpb.New(time.Duration(float64(took) / float64(st.GetDone()) * float64(st.GetTotal()-st.GetDone())))
	}
	return m
}

func taskMessages(all []*chunknodev1.TaskStatus, now time.Time) []*adminv1.NodeTask {
	var messages []*adminv1.NodeTask
	for _, st := range all {
		messages = append(messages, taskMessage(st, now))
	}
	return messages
}
