package rebalancer

import (
	"log/slog"
	"strings"
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

// event is something that a node's task has begun or ended.
type event struct {
	level      slog.Level
	text       string
	attributes []slog.Attr
}

// events are what has happened to tasks between two reports of a node. The first report only says how it is.
func events(before, after []*chunknodev1.TaskStatus) []event {
	if before == nil {
		return nil
	}
	was := map[chunknodev1.Task]*chunknodev1.TaskStatus{}
	for _, st := range before {
		was[st.GetTask()] = st
	}
	var all []event
	for _, st := range after {
		if st.GetState() == was[st.GetTask()].GetState() {
			continue
		}
		e := event{level: slog.LevelInfo, attributes: []slog.Attr{slog.String("task", taskName(st.GetTask())), slog.Int64("done", st.GetDone()), slog.Int64("of", st.GetTotal()),
			slog.Int64("bytes", st.GetBytes()), slog.Int64("problems", st.GetProblems())}}
		if st.GetNote() != "" {
			e.attributes = append(e.attributes, slog.String("note", st.GetNote()))
		}
		switch st.GetState() {
		case chunknodev1.TaskState_TASK_STATE_RUNNING:
			e.text = "a task of a node has begun"
		case chunknodev1.TaskState_TASK_STATE_STOPPED:
			e.text = "a task of a node was stopped"
		case chunknodev1.TaskState_TASK_STATE_STUCK:
			e.level, e.text = slog.LevelWarn, "a task of a node cannot go on; it tries again"
		default:
			e.text = "a task of a node has ended"
		}
		if st.GetTask() == chunknodev1.Task_TASK_COLLECTION && st.GetDone() == 0 && e.level == slog.LevelInfo {
			e.level = slog.LevelDebug // it looks every minute, and mostly finds nothing
		}
		all = append(all, e)
	}
	return all
}

func taskName(t chunknodev1.Task) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(t.String(), "TASK_")), "_", " ")
}
