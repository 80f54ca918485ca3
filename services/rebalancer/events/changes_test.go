package events

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

var noon = time.Unix(1_700_000_000, 0)

const (
	healthy  = adminv1.NodeState_NODE_STATE_HEALTHY
	gone     = adminv1.NodeState_NODE_STATE_MISSING
	running  = chunknodev1.TaskState_TASK_STATE_RUNNING
	idle     = chunknodev1.TaskState_TASK_STATE_IDLE
	stuck    = chunknodev1.TaskState_TASK_STATE_STUCK
	stopped  = chunknodev1.TaskState_TASK_STATE_STOPPED
	scrub    = chunknodev1.Task_TASK_SCRUB
	mend     = chunknodev1.Task_TASK_REPAIR
	collects = chunknodev1.Task_TASK_COLLECTION
)

// attic is a node as with says.
func attic(with func(*adminv1.Node)) State {
	n := &adminv1.Node{Id: "aaaaaaaa-0000-4000-8000-000000000001", Machine: "attic", Alive: true, State: healthy, Version: "v1",
		Disks: []*adminv1.Disk{{Path: "/a"}, {Path: "/b"}}}
	if with != nil {
		with(n)
	}
	return State{Known: true, Nodes: []*adminv1.Node{n}}
}

// texts is what events say, each with the first letter of its severity.
func texts(events []*adminv1.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.GetSeverity().String()[len("SEVERITY_"):][:1]+" "+e.GetText())
	}
	return all
}

func TestWhatHappensToANodeIsAnEvent(t *testing.T) {
	away := func(n *adminv1.Node) { n.Alive, n.State, n.Problem = false, gone, "it does not report" }
	in := func(s adminv1.NodeState) func(*adminv1.Node) { return func(n *adminv1.Node) { n.State = s } }
	failing := func(n *adminv1.Node) {
		n.ReadOnly, n.Problem, n.Disks[1].Failed = true, "no medium", "no medium"
	}
	empty := func(n *adminv1.Node) { n.Uncompared = true }
	full := func(n *adminv1.Node) { n.ReadOnly, n.Problem = true, "3 GB are left" }
	inFile := func(alive bool) func(*adminv1.Node) {
		return func(n *adminv1.Node) {
			n.Alive, n.State, n.Partitions = alive, adminv1.NodeState_NODE_STATE_UNSPECIFIED, 7
		}
	}
	const name = "chunk-node attic (aaaaaaaa) "
	for _, c := range []struct {
		about         string
		before, after State
		want          []string
	}{
		{"nothing happens", attic(nil), attic(nil), nil},
		{"a first look at what is well", State{}, attic(nil), nil},
		{"a first look at a node that is away", State{}, attic(away), []string{"E " + name + "is missing: it does not report"}},
		{"a first look at a full one", State{}, attic(full), []string{"E " + name + "takes no more chunks: 3 GB are left"}},
		{"a first look at one that has found damage before", State{}, attic(func(n *adminv1.Node) { n.Damaged = 7 }), nil},
		{"a standby knows nothing", attic(nil), State{}, nil},
		{"a new node", State{Known: true}, attic(in(adminv1.NodeState_NODE_STATE_NEW)), []string{"I " + name + "was seen for the first time"}},
		{"it goes", attic(nil), attic(away), []string{"E " + name + "is missing: it does not report"}},
		{"it is away as before", attic(away), attic(away), nil},
		{"it comes", attic(away), attic(nil), []string{"I " + name + "is back"}},
		{"one of a layout file goes", attic(inFile(true)), attic(inFile(false)), []string{"E " + name + "is missing: it does not answer"}},
		{"and comes", attic(inFile(false)), attic(inFile(true)), []string{"I " + name + "is back"}},
		{"it stops as planned", attic(nil), attic(in(adminv1.NodeState_NODE_STATE_LEAVING)), []string{"I " + name + "is about to stop"}},
		{"it is drained", attic(nil), attic(in(adminv1.NodeState_NODE_STATE_DRAINING)), []string{"I " + name + "hands over what it holds: it is no longer in the layout"}},
		{"until it is empty", attic(in(adminv1.NodeState_NODE_STATE_DRAINING)), attic(in(adminv1.NodeState_NODE_STATE_EMPTY)), []string{"I " + name + "is empty: it can be switched off"}},
		{"it gets full", attic(nil), attic(full), []string{"E " + name + "takes no more chunks: 3 GB are left"}},
		{"and has room", attic(full), attic(nil), []string{"I " + name + "takes chunks again"}},
		{"a disk fails", attic(nil), attic(failing), []string{"E " + name + "has a disk that failed, /b: no medium"}},
		{"and is replaced", attic(failing), attic(nil), []string{"I " + name + "has its disk /b back", "I " + name + "takes chunks again"}},
		{"its disk is empty", attic(nil), attic(empty), []string{"W " + name + "may lack any chunk, as it began with an empty disk, and compares with the other nodes: what none of them has is lost"}},
		{"and was filled", attic(empty), attic(nil), []string{"I " + name + "has compared with all other nodes what it holds since it began with an empty disk"}},
		{"copies turn out bad", attic(func(n *adminv1.Node) { n.Damaged = 1 }), attic(func(n *adminv1.Node) { n.Damaged, n.Wanted = 3, 2 }),
			[]string{"W " + name + "found 2 copies that turned out bad or missing; good ones are looked for", "W " + name + "lacks a good copy of 2 chunks and looks for them"}},
		{"and are replaced", attic(func(n *adminv1.Node) { n.Damaged, n.Wanted = 3, 2 }), attic(func(n *adminv1.Node) { n.Damaged, n.Mended = 3, 1 }),
			[]string{"I " + name + "has replaced 1 bad copy by good ones", "I " + name + "lacks no chunk any more"}},
		{"both between two looks", attic(nil), attic(func(n *adminv1.Node) { n.Damaged, n.Mended = 1, 1 }),
			[]string{"W " + name + "found 1 copy that turned out bad or missing; good ones are looked for", "I " + name + "has replaced 1 bad copy by good ones"}},
		{"the counts begin anew", attic(func(n *adminv1.Node) { n.Damaged = 9 }), attic(func(n *adminv1.Node) { n.Damaged = 0 }), nil},
		{"another version", attic(nil), attic(func(n *adminv1.Node) { n.Version = "v2" }), []string{"I " + name + "runs version v2; it was v1"}},
	} {
		require.Equal(t, c.want, texts(Changes(c.before, c.after)), c.about)
	}
}

// round is a task in a state whose round began and ended at these minutes; ended 0: not yet.
func round(task chunknodev1.Task, state chunknodev1.TaskState, began, ended int, with ...func(*chunknodev1.TaskStatus)) []*chunknodev1.TaskStatus {
	st := &chunknodev1.TaskStatus{Task: task, State: state, Began: timestamppb.New(noon.Add(time.Duration(began) * time.Minute))}
	if ended > 0 {
		st.Ended = timestamppb.New(noon.Add(time.Duration(ended) * time.Minute))
	}
	for _, w := range with {
		w(st)
	}
	return []*chunknodev1.TaskStatus{st}
}

func TestWhatTasksBeginAndEndIsAnEvent(t *testing.T) {
	note := func(st *chunknodev1.TaskStatus) { st.Note = "the cellar is away" }
	problems := func(st *chunknodev1.TaskStatus) { st.Problems = 2 }
	some := func(st *chunknodev1.TaskStatus) { st.Done, st.Bytes = 4, 1<<20 }
	for _, c := range []struct {
		about         string
		before, after []*chunknodev1.TaskStatus
		want          []string
	}{
		{"it begins", round(scrub, idle, 1, 2), round(scrub, running, 3, 0), []string{"I scrub of chunk-node x has begun"}},
		{"it goes on", round(scrub, running, 3, 0), round(scrub, running, 3, 0, some), nil},
		{"it ends", round(scrub, running, 3, 0), round(scrub, idle, 3, 4), []string{"I scrub of chunk-node x has ended"}},
		{"a round nobody saw", round(scrub, idle, 1, 2), round(scrub, idle, 3, 4), []string{"I scrub of chunk-node x has ended"}},
		{"it finds problems", round(scrub, running, 3, 0), round(scrub, idle, 3, 4, problems), []string{"W scrub of chunk-node x has ended with problems"}},
		{"it cannot go on", round(scrub, running, 3, 0), round(scrub, stuck, 3, 0, note), []string{"W scrub of chunk-node x cannot go on, and tries again: the cellar is away"}},
		{"it can", round(scrub, stuck, 3, 0), round(scrub, running, 3, 0), []string{"I scrub of chunk-node x goes on"}},
		{"it is stopped", round(scrub, running, 3, 0), round(scrub, stopped, 3, 0), []string{"I scrub of chunk-node x was stopped"}},
		{"a repair begins", round(mend, idle, 1, 2), round(mend, running, 3, 0), nil},
		{"and had nothing to do", round(mend, running, 3, 0), round(mend, idle, 3, 4), nil},
		{"or had", round(mend, running, 3, 0), round(mend, idle, 3, 4, some), []string{"I repair of chunk-node x has ended"}},
		{"nothing was collected", round(collects, idle, 1, 2), round(collects, idle, 3, 4), nil},
		{"something was", round(collects, idle, 1, 2), round(collects, idle, 3, 4, some), []string{"I collection of chunk-node x has ended"}},
	} {
		require.Equal(t, c.want, texts(tasks("id", "x", c.before, c.after, true)), c.about)
	}
	require.Empty(t, tasks("id", "x", nil, round(scrub, running, 3, 0), false), "nothing was known of it before")
	require.Len(t, tasks("id", "x", nil, round(scrub, stuck, 3, 0), false), 1, "what is wrong is said")
}

func TestServicesAndDependencies(t *testing.T) {
	gateway := func(healthy bool, version string) State {
		s := &adminv1.Service{Name: "s3-gateway", Address: "192.0.2.1:3900", Machine: "attic", Healthy: healthy, Version: version}
		if !healthy {
			s.Problem = "its checks fail"
		}
		return State{Known: true, Services: []*adminv1.Service{s}}
	}
	for _, c := range []struct {
		before, after State
		want          []string
	}{
		{State{}, gateway(true, "v1"), nil},
		{State{Known: true}, gateway(true, "v1"), []string{"I s3-gateway on attic was seen for the first time"}},
		{State{}, gateway(false, "v1"), []string{"W s3-gateway on attic does not serve: its checks fail"}},
		{gateway(true, "v1"), gateway(false, "v1"), []string{"W s3-gateway on attic does not serve: its checks fail"}},
		{gateway(false, "v1"), gateway(false, "v1"), nil},
		{gateway(false, "v1"), gateway(true, "v2"), []string{"I s3-gateway on attic serves again", "I s3-gateway on attic runs version v2; it was v1"}},
		{gateway(true, "v1"), State{Known: true}, []string{"I s3-gateway on attic is gone: it was stopped"}},
		{State{}, State{Away: map[string]string{Consul: "no answer", LDAP: ""}}, []string{"E Consul cannot be reached from this rebalancer: no answer"}},
		{State{Away: map[string]string{Consul: "no answer", LDAP: ""}}, State{Away: map[string]string{Consul: "", LDAP: ""}}, []string{"I Consul can be reached again"}},
	} {
		before := proto.Clone(&adminv1.GetStatusResponse{Services: c.before.Services})
		require.Equal(t, c.want, texts(Changes(c.before, c.after)))
		require.True(t, proto.Equal(before, &adminv1.GetStatusResponse{Services: c.before.Services}), "states are not changed")
	}
}

func TestEveryChangeIsSaidOnce(t *testing.T) {
	states := []State{attic(nil), attic(func(n *adminv1.Node) { n.Alive, n.State = false, gone }), attic(func(n *adminv1.Node) { n.Damaged, n.Wanted = 5, 5 })}
	for a, b := range states {
		for _, c := range states[a:] {
			require.Empty(t, Changes(c, c))
			if len(Changes(b, c)) > 0 {
				require.False(t, slices.Equal(texts(Changes(b, c)), texts(Changes(c, b))))
			}
		}
	}
}
