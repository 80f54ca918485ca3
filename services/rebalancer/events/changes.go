package events

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"deuxfleurs.fr/garage/pkg/rpc"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// State is the cluster as one rebalancer sees it at a moment.
type State struct {
	// Known tells whether Nodes and Services are: a rebalancer that is not the active one does not know.
	Known    bool
	Nodes    []*adminv1.Node
	Services []*adminv1.Service
	// Away says why what the rebalancer depends on, by its name for people, cannot be reached; empty: it can.
	Away map[string]string
}

// Names of what Away is about.
const (
	Database = "the metadata's database"
	Consul   = "Consul"
	LDAP     = "LDAP"
)

const (
	info    = adminv1.Severity_SEVERITY_INFO
	warning = adminv1.Severity_SEVERITY_WARNING
	severe  = adminv1.Severity_SEVERITY_ERROR
)

// Changes are the events between two states, without their time. Where nothing was known before, what is wrong now is an event, and what is
// well is not. Neither state is changed.
func Changes(before, after State) []*adminv1.Event {
	var all []*adminv1.Event
	if after.Known {
		all = append(all, nodes(before, after)...)
		all = append(all, services(before, after)...)
	}
	return append(all, dependencies(before.Away, after.Away)...)
}

func event(kind adminv1.EventKind, severity adminv1.Severity, subject, text string, args ...any) *adminv1.Event {
	return &adminv1.Event{Kind: kind, Severity: severity, Subject: subject, Text: fmt.Sprintf(text, args...)}
}

func nodes(before, after State) (all []*adminv1.Event) {
	was := map[string]*adminv1.Node{}
	for _, n := range before.Nodes {
		was[n.GetId()] = n
	}
	for _, n := range after.Nodes {
		b, seen := was[n.GetId()], before.Known
		if b == nil && seen && n.GetAlive() {
			all = append(all, event(adminv1.EventKind_EVENT_KIND_NODE, info, n.GetId(), "chunk-node %s was seen for the first time", name(n)))
		}
		if b == nil {
			b = &adminv1.Node{Alive: true, State: n.GetState(), Version: n.GetVersion(), Damaged: n.GetDamaged(), Mended: n.GetMended()}
			if missing(n) || n.GetState() == adminv1.NodeState_NODE_STATE_LOST {
				b.State = adminv1.NodeState_NODE_STATE_HEALTHY
			}
			seen = false
		}
		all = append(all, presence(b, n)...)
		if n.GetAlive() {
			all = append(all, condition(b, n)...)
			all = append(all, tasks(n.GetId(), name(n), statuses(b), statuses(n), seen)...)
		}
	}
	return all
}

// name is how people know a node.
func name(n *adminv1.Node) string {
	short, _, _ := strings.Cut(n.GetId(), "-")
	switch {
	case n.GetMachine() != "":
		return fmt.Sprintf("%s (%s)", n.GetMachine(), short)
	case n.GetZone() != "":
		return fmt.Sprintf("%s in %s", short, n.GetZone())
	}
	return short
}

// missing is that a node should be there and is not.
func missing(n *adminv1.Node) bool {
	switch n.GetState() {
	case adminv1.NodeState_NODE_STATE_MISSING:
		return true
	case adminv1.NodeState_NODE_STATE_UNSPECIFIED: // the layout is a file: its nodes are all that there are
		return !n.GetAlive() && n.GetPartitions() > 0
	}
	return false
}

// presence is whether a node is there, and where it stands.
func presence(b, n *adminv1.Node) []*adminv1.Event {
	node := func(severity adminv1.Severity, text string, args ...any) []*adminv1.Event {
		return []*adminv1.Event{event(adminv1.EventKind_EVENT_KIND_NODE, severity, n.GetId(), "chunk-node "+name(n)+" "+text, args...)}
	}
	switch {
	case missing(n) && !missing(b):
		return node(severe, "is missing: %s", cmp.Or(n.GetProblem(), "it does not answer"))
	case missing(b) && n.GetAlive():
		return node(info, "is back")
	case b.GetState() == n.GetState():
		return nil
	}
	switch n.GetState() {
	case adminv1.NodeState_NODE_STATE_LEAVING:
		return node(info, "is about to stop")
	case adminv1.NodeState_NODE_STATE_DRAINING:
		return node(info, "hands over what it holds: it is no longer in the layout")
	case adminv1.NodeState_NODE_STATE_EMPTY:
		return node(info, "is empty: it can be switched off")
	case adminv1.NodeState_NODE_STATE_LOST:
		return node(warning, "is away and was declared lost")
	case adminv1.NodeState_NODE_STATE_HEALTHY:
		if b.GetState() != adminv1.NodeState_NODE_STATE_MISSING && n.GetAlive() {
			return node(info, "is in the layout")
		}
	}
	return nil
}

// condition is how a node that is there is.
func condition(b, n *adminv1.Node) (all []*adminv1.Event) {
	add := func(kind adminv1.EventKind, severity adminv1.Severity, text string, args ...any) {
		all = append(all, event(kind, severity, n.GetId(), "chunk-node "+name(n)+" "+text, args...))
	}
	if v := n.GetVersion(); v != b.GetVersion() && v != "" && b.GetVersion() != "" {
		add(adminv1.EventKind_EVENT_KIND_VERSION, info, "runs version %s; it was %s", v, b.GetVersion())
	}
	broken := map[string]string{}
	for _, d := range b.GetDisks() {
		broken[d.GetPath()] = d.GetFailed()
	}
	failing := false
	for _, d := range n.GetDisks() {
		was := broken[d.GetPath()]
		failing = failing || d.GetFailed() != ""
		switch {
		case d.GetFailed() != "" && was == "":
			add(adminv1.EventKind_EVENT_KIND_DISK, severe, "has a disk that failed, %s: %s", d.GetPath(), d.GetFailed())
		case d.GetFailed() == "" && was != "":
			add(adminv1.EventKind_EVENT_KIND_DISK, info, "has its disk %s back", d.GetPath())
		}
	}
	switch {
	case n.GetReadOnly() && !b.GetReadOnly() && !failing:
		add(adminv1.EventKind_EVENT_KIND_NODE, severe, "takes no more chunks: %s", cmp.Or(n.GetProblem(), "it is nearly full"))
	case !n.GetReadOnly() && b.GetReadOnly():
		add(adminv1.EventKind_EVENT_KIND_NODE, info, "takes chunks again")
	}
	switch {
	case n.GetUncompared() && !b.GetUncompared():
		add(adminv1.EventKind_EVENT_KIND_DISK, warning, "may lack any chunk, as it began with an empty disk, and compares with the other nodes: what none of them has is lost")
	case !n.GetUncompared() && b.GetUncompared():
		add(adminv1.EventKind_EVENT_KIND_DISK, info, "has compared with all other nodes what it holds since it began with an empty disk")
	}
	// The counts begin anew with the program.
	if found := more(b.GetDamaged(), n.GetDamaged()); found > 0 {
		add(adminv1.EventKind_EVENT_KIND_DAMAGE, warning, "found %s that turned out bad or missing; good ones are looked for", count(found, "copy", "copies"))
	}
	if mended := more(b.GetMended(), n.GetMended()); mended > 0 {
		add(adminv1.EventKind_EVENT_KIND_DAMAGE, info, "has replaced %s by good ones", count(mended, "bad copy", "bad copies"))
	}
	switch {
	case n.GetWanted() > 0 && b.GetWanted() == 0:
		add(adminv1.EventKind_EVENT_KIND_DAMAGE, warning, "lacks a good copy of %s and looks for them", count(n.GetWanted(), "chunk", "chunks"))
	case n.GetWanted() == 0 && b.GetWanted() > 0:
		add(adminv1.EventKind_EVENT_KIND_DAMAGE, info, "lacks no chunk any more")
	}
	return all
}

// more is how far a counter has grown that begins at 0 with its program.
func more(before, after int64) int64 {
	if after < before {
		return after
	}
	return after - before
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + many
}

// tasks are what has begun, ended or failed of a node's tasks. A round that began and ended in between counts; where nothing was seen before,
// only what is stuck does. Rounds that come by themselves and found nothing to do are no events.
func tasks(node, name string, before, after []*chunknodev1.TaskStatus, seen bool) (all []*adminv1.Event) {
	was := map[chunknodev1.Task]*chunknodev1.TaskStatus{}
	for _, st := range before {
		was[st.GetTask()] = st
	}
	for _, st := range after {
		b := was[st.GetTask()]
		say := func(severity adminv1.Severity, text string) {
			e := event(adminv1.EventKind_EVENT_KIND_TASK, severity, node, "%s of chunk-node %s %s", rpc.EnumText(st.GetTask()), name, text)
			e.Details = details(st)
			if st.GetNote() != "" {
				e.Text += ": " + st.GetNote()
			}
			all = append(all, e)
		}
		if st.GetState() == chunknodev1.TaskState_TASK_STATE_STUCK {
			if b.GetState() != chunknodev1.TaskState_TASK_STATE_STUCK {
				say(warning, "cannot go on, and tries again")
			}
			continue
		}
		if !seen {
			continue
		}
		began, ended := st.GetBegan().AsTime(), st.GetEnded().AsTime()
		switch {
		case st.GetState() == chunknodev1.TaskState_TASK_STATE_STOPPED:
			if b.GetState() != chunknodev1.TaskState_TASK_STATE_STOPPED {
				say(info, "was stopped")
			}
		case st.GetState() == chunknodev1.TaskState_TASK_STATE_RUNNING:
			switch {
			case b.GetState() == chunknodev1.TaskState_TASK_STATE_STUCK, b.GetState() == chunknodev1.TaskState_TASK_STATE_STOPPED:
				say(info, "goes on")
			case loud(st.GetTask()) && !began.Equal(b.GetBegan().AsTime()):
				say(info, "has begun")
			}
		case st.GetEnded() != nil && !ended.Equal(b.GetEnded().AsTime()), b.GetState() == chunknodev1.TaskState_TASK_STATE_RUNNING, b.GetState() == chunknodev1.TaskState_TASK_STATE_STUCK:
			switch {
			case st.GetProblems() > 0:
				say(warning, "has ended with problems")
			case loud(st.GetTask()), st.GetBytes() > 0, st.GetTask() == chunknodev1.Task_TASK_COLLECTION && st.GetDone() > 0:
				say(info, "has ended")
			}
		}
	}
	return all
}

func statuses(n *adminv1.Node) (all []*chunknodev1.TaskStatus) {
	for _, t := range n.GetTasks() {
		all = append(all, t.GetStatus())
	}
	return all
}

// loud are the tasks of which every round is an event: the others look every few minutes, and mostly find nothing.
func loud(t chunknodev1.Task) bool {
	return t == chunknodev1.Task_TASK_REBALANCE || t == chunknodev1.Task_TASK_SCRUB || t == chunknodev1.Task_TASK_LONG_COLLECTION
}

func details(st *chunknodev1.TaskStatus) map[string]string {
	d := map[string]string{"task": rpc.EnumText(st.GetTask())}
	for key, n := range map[string]int64{"done": st.GetDone(), "total": st.GetTotal(), "bytes": st.GetBytes(), "problems": st.GetProblems()} {
		if n != 0 {
			d[key] = strconv.FormatInt(n, 10)
		}
	}
	return d
}

func services(before, after State) (all []*adminv1.Event) {
	was := map[string]*adminv1.Service{}
	for _, s := range before.Services {
		was[key(s)] = s
	}
	there := map[string]bool{}
	for _, s := range after.Services {
		there[key(s)] = true
		b := was[key(s)]
		say := func(kind adminv1.EventKind, severity adminv1.Severity, text string, args ...any) {
			where := cmp.Or(s.GetMachine(), s.GetAddress())
			if where != "" {
				where = " on " + where
			}
			all = append(all, event(kind, severity, cmp.Or(s.GetAddress(), s.GetName()), s.GetName()+where+" "+text, args...))
		}
		switch {
		case b == nil && before.Known && s.GetHealthy():
			say(adminv1.EventKind_EVENT_KIND_SERVICE, info, "was seen for the first time")
		case !s.GetHealthy() && (b == nil || b.GetHealthy()):
			say(adminv1.EventKind_EVENT_KIND_SERVICE, warning, "does not serve: %s", s.GetProblem())
		case s.GetHealthy() && b != nil && !b.GetHealthy():
			say(adminv1.EventKind_EVENT_KIND_SERVICE, info, "serves again")
		}
		if v := s.GetVersion(); b != nil && v != b.GetVersion() && v != "" && b.GetVersion() != "" {
			say(adminv1.EventKind_EVENT_KIND_VERSION, info, "runs version %s; it was %s", v, b.GetVersion())
		}
	}
	for _, b := range before.Services {
		if before.Known && !there[key(b)] && b.GetAddress() != "" {
			all = append(all, event(adminv1.EventKind_EVENT_KIND_SERVICE, info, b.GetAddress(), "%s on %s is gone: it was stopped", b.GetName(), cmp.Or(b.GetMachine(), b.GetAddress())))
		}
	}
	return all
}

// key is the same for a service that was started again.
func key(s *adminv1.Service) string { return s.GetName() + "/" + cmp.Or(s.GetNodeId(), s.GetAddress()) }

func dependencies(before, after map[string]string) (all []*adminv1.Event) {
	names := make([]string, 0, len(after))
	for name := range after {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch why, was := after[name], before[name]; {
		case why != "" && was == "":
			all = append(all, event(adminv1.EventKind_EVENT_KIND_DEPENDENCY, severe, name, "%s cannot be reached from this rebalancer: %s", name, why))
		case why == "" && was != "":
			all = append(all, event(adminv1.EventKind_EVENT_KIND_DEPENDENCY, info, name, "%s can be reached again", name))
		}
	}
	return all
}
