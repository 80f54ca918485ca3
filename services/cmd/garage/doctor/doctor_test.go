package doctor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

var now = time.Unix(1_700_000_000, 0)

const giB = 1 << 30

// well is a cluster of three nodes in three zones in which everything is as it should be, and everything is known.
func well() *Facts {
	f := &Facts{Now: now,
		Status: &adminv1.GetStatusResponse{Layout: 4, OldestLayout: 4, Replication: 3, Database: []*adminv1.DatabaseMachine{{Machine: "db", Repaired: timestamppb.New(now.Add(-48 * time.Hour))}}},
		Layout: &adminv1.GetLayoutResponse{Current: &adminv1.Layout{Number: 4, Replication: 3, Usable: 100 * giB}}}
	for _, zone := range []string{"home", "office", "attic"} {
		f.Status.Nodes = append(f.Status.Nodes, &adminv1.Node{Id: zone + "-node", Zone: zone, Alive: true, State: adminv1.NodeState_NODE_STATE_HEALTHY, Version: "v1",
			Partitions: 4096, Capacity: 100 * giB, Free: 60 * giB, Tasks: []*adminv1.NodeTask{{Status: &chunknodev1.TaskStatus{State: chunknodev1.TaskState_TASK_STATE_IDLE}}}})
		f.Layout.Current.Nodes = append(f.Layout.Current.Nodes, &adminv1.LayoutNode{Id: zone + "-node", Zone: zone, Capacity: 100 * giB})
		f.Parts = append(f.Parts, part("chunk-node", zone+"-node"))
	}
	for _, service := range []string{"rebalancer", "metadata", "s3-gateway"} {
		f.Status.Services = append(f.Status.Services, &adminv1.Service{Name: service, Healthy: true, Version: "v1"})
		f.Parts = append(f.Parts, part(service, service+"-1"))
	}
	return f
}

// part is a program in which everything is as it should be.
func part(service, node string) *adminv1.Part {
	return &adminv1.Part{Service: service, NodeId: node, Clock: durationpb.New(-20 * time.Millisecond), ClockError: durationpb.New(5 * time.Millisecond),
		Diagnosis: &clusterv1.DiagnoseResponse{Service: service, NodeId: node, Version: "v1", OpenFiles: 100, MaxFiles: 65536,
			Folders: []*clusterv1.Folder{{Path: "/srv", FileSystem: "ext4", Size: 1000 * giB, Free: 500 * giB, Inodes: 1000, FreeInodes: 900,
				Sync: durationpb.New(4 * time.Millisecond), SlowestSync: durationpb.New(20 * time.Millisecond)}},
			Links:        []*clusterv1.Link{{Name: "consul", Took: durationpb.New(time.Millisecond)}, {Name: "chunk-node", Peer: "home-node"}},
			Certificates: []*clusterv1.Certificate{{Name: "rpc.tls", Expires: timestamppb.New(now.Add(24 * time.Hour)), Renewed: true}, {Name: "s3.tls", Expires: timestamppb.New(now.Add(60 * 24 * time.Hour))}},
			Settings:     []*clusterv1.Setting{{Name: "consul.acl", Value: "deny"}, {Name: "database.commitlog_sync", Value: "batch,group"}}}}
}

func TestNothingIsFoundWhereAllIsWell(t *testing.T) {
	require.Empty(t, Examine(well()))
	one := part("chunk-node", "n")
	require.Empty(t, Examine(&Facts{Now: now, Parts: []*adminv1.Part{one}}), "a program that is examined alone")
	var seen []string
	for _, c := range Checks {
		if c.Can(&Facts{Now: now}) {
			seen = append(seen, c.Name)
		}
		require.True(t, c.Can(well()), c.Name)
	}
	require.Equal(t, []string{"reachability"}, seen, "where nothing was learned, nothing is called fine")
	file := well()
	file.Layout = nil
	require.Empty(t, Examine(file), "a layout that is a file")
	alone := well()
	alone.Layout, alone.Status.Replication, alone.Status.Nodes = nil, 1, alone.Status.Nodes[:1]
	require.Empty(t, Examine(alone), "one machine has one copy, as its operator wanted it")
}

func TestEachCheckFindsWhatIsWrong(t *testing.T) {
	node := func(f *Facts) *adminv1.Node { return f.Status.Nodes[0] }
	own := func(f *Facts) *clusterv1.DiagnoseResponse { return f.Parts[0].Diagnosis }
	folder := func(f *Facts) *clusterv1.Folder { return own(f).Folders[0] }
	task := func(f *Facts, state chunknodev1.TaskState) {
		node(f).Tasks = []*adminv1.NodeTask{{Status: &chunknodev1.TaskStatus{Task: chunknodev1.Task_TASK_REBALANCE, State: state, Note: "the disk is full"}}}
	}
	for _, c := range []struct {
		check  string
		level  Level
		says   string
		advice string
		break_ func(*Facts)
	}{
		{"reachability", Error, "refused", "log", func(f *Facts) { f.Failed = []string{"the layout is not known: refused"} }},
		{"reachability", Error, "Consul does not answer", "log", func(f *Facts) { f.Status.Problem = "Consul does not answer" }},
		{"reachability", Error, "chunk-node home-node: it is away", "garage layout lost", func(f *Facts) {
			node(f).Alive, node(f).State = false, adminv1.NodeState_NODE_STATE_MISSING
		}},
		{"reachability", Error, "metadata: it does not serve: no disk", "start it", func(f *Facts) { f.Status.Services[1].Healthy, f.Status.Services[1].Problem = false, "no disk" }},
		{"reachability", Error, "chunk-node home-node: it does not answer: refused", "network", func(f *Facts) { f.Parts[0].Problem, f.Parts[0].Diagnosis = "refused", nil }},
		{"reachability", Note, "s3-gateway s3-gateway-1: it could not be examined: refused", "garage doctor", func(f *Facts) { f.Parts[5].Problem, f.Parts[5].Diagnosis = "refused", nil }},
		{"reachability", Error, "it does not reach consul: refused", "CONSUL_HTTP_TOKEN", func(f *Facts) { own(f).Links[0].Problem = "refused" }},
		{"reachability", Error, "it does not reach chunk-node home-node: refused", "certificates", func(f *Facts) { own(f).Links[1].Problem = "refused" }},
		{"reachability", Error, "it does not reach ldap: refused", "identity.ldap", func(f *Facts) { own(f).Links[0].Name, own(f).Links[0].Problem = "ldap", "refused" }},
		{"reachability", Error, "it does not reach database: refused", "quorum", func(f *Facts) { own(f).Links[0].Name, own(f).Links[0].Problem = "database", "refused" }},
		{"reachability", Warning, "consul took 3s to answer", "busy", func(f *Facts) { own(f).Links[0].Took = durationpb.New(3 * time.Second) }},

		{"damage", Error, "at least 1 chunks have no good copy on any node, among them of photos/cat.jpg", "garage repair report", func(f *Facts) {
			f.Damaged = []*adminv1.DamagedChunk{{Lost: true, Objects: []*adminv1.DamagedObject{{Bucket: "photos", Key: "cat.jpg"}}}}
		}},
		{"damage", Warning, "of at least 1 chunks a node lacks its good copy", "garage repair", func(f *Facts) { f.Damaged = []*adminv1.DamagedChunk{{}} }},
		{"damage", Warning, "still comparing with other nodes", "take no other node away", func(f *Facts) { node(f).Uncompared = true }},
		{"damage", Warning, "2 chunks were found damaged", "smartctl", func(f *Facts) { node(f).Quarantined = 2 }},

		{"layout", Error, "no layout is in force", "garage layout assign", func(f *Facts) { f.Status.Layout = 0 }},
		{"layout", Warning, "one copy of each chunk", "replication 3", func(f *Facts) { f.Status.Replication = 1 }},
		{"layout", Error, "4 copies are wanted of each chunk, and 3 nodes hold data", "add nodes", func(f *Facts) { f.Status.Replication = 4 }},
		{"layout", Warning, "3 copies are in 2 zones", "zones", func(f *Facts) { node(f).Zone = "office" }},
		{"layout", Warning, "only 60 % can be used", "capacity", func(f *Facts) { f.Layout.Current.Usable = 60 * giB }},
		{"layout", Warning, "chunk-node home-node: it is 90 % full, and the others together are 40 %", "garage layout assign", func(f *Facts) { node(f).Free = 10 * giB }},
		{"layout", Error, "its rebalance cannot go on: the disk is full", "reason", func(f *Facts) { task(f, chunknodev1.TaskState_TASK_STATE_STUCK) }},
		{"layout", Warning, "its rebalance was stopped", "garage rebalance start", func(f *Facts) { task(f, chunknodev1.TaskState_TASK_STATE_STOPPED) }},
		{"layout", Warning, "its long collection was stopped", "garage collect start --long", func(f *Facts) {
			task(f, chunknodev1.TaskState_TASK_STATE_STOPPED)
			node(f).Tasks[0].Status.Task = chunknodev1.Task_TASK_LONG_COLLECTION
		}},
		{"layout", Note, "layout 3 waits for it: it hands over", "makes progress", func(f *Facts) {
			f.Status.Waiting = []*adminv1.Waiting{{Node: "home-node", Layout: 3, Reason: "it hands over"}}
		}},
		{"layout", Error, "layout 3 waits for it: it has not adopted it, and it is away", "garage layout lost gone", func(f *Facts) {
			f.Status.Waiting = []*adminv1.Waiting{{Node: "gone", Layout: 3, Reason: "it has not adopted it"}}
		}},
		{"layout", Note, "no layout has it", "garage layout assign new-one", func(f *Facts) {
			f.Status.Nodes = append(f.Status.Nodes, &adminv1.Node{Id: "new-one", Alive: true, State: adminv1.NodeState_NODE_STATE_NEW})
		}},
		{"layout", Note, "a change is staged", "garage layout plan", func(f *Facts) { f.Layout.Staged = &adminv1.LayoutChange{Replication: 2} }},

		{"disks", Error, "it takes no more chunks", "make room", func(f *Facts) { node(f).ReadOnly = true }},
		{"disks", Error, "/disks/b failed", "replaced", func(f *Facts) { node(f).Problem = "/disks/b failed" }},
		{"disks", Error, "chunk-node home-node, /srv: it cannot be written as it should: input/output error", "dmesg", func(f *Facts) { folder(f).Problem = "input/output error" }},
		{"disks", Error, "mounted read-only", "dmesg", func(f *Facts) { folder(f).ReadOnly = true }},
		{"disks", Warning, "few bytes are left: 80.0 GiB of 1000.0 GiB, 8 %", "make room", func(f *Facts) { folder(f).Free = 80 * giB }},
		{"disks", Error, "few bytes are left: 40.0 GiB", "make room", func(f *Facts) { folder(f).Free = 40 * giB }},
		{"disks", Error, "few bytes are left: 900 MiB", "make room", func(f *Facts) { folder(f).Size, folder(f).Free = 2*giB, 900<<20 }},
		{"disks", Error, "few inodes are left: 10 of 1000, 1 %", "make room", func(f *Facts) { folder(f).FreeInodes = 10 }},
		{"disks", Error, "in memory (tmpfs)", "to a disk", func(f *Facts) { folder(f).FileSystem = "tmpfs" }},
		{"disks", Error, "network file system (nfs)", "to a disk", func(f *Facts) { folder(f).FileSystem = "nfs" }},
		{"disks", Warning, "container's own layer", "volume", func(f *Facts) { folder(f).FileSystem = "overlayfs" }},
		{"disks", Warning, "no journal", "ext4", func(f *Facts) { folder(f).FileSystem = "vfat" }},

		{"database", Error, "acknowledges before it syncs (commitlog_sync: batch,periodic)", "commitlog_sync: batch", func(f *Facts) { own(f).Settings[1].Value = "batch,periodic" }},
		{"database", Note, "could not be seen: no such table", "batch or group", func(f *Facts) { own(f).Settings[1].Value, own(f).Settings[1].Problem = "", "no such table" }},
		{"database", Warning, "database on db: it was never repaired", "nodetool repair", func(f *Facts) { f.Status.Database[0].Repaired = nil }},
		{"database", Warning, "9 days ago", "nodetool repair", func(f *Facts) { f.Status.Database[0].Repaired = timestamppb.New(now.Add(-9 * 24 * time.Hour)) }},
		{"database", Error, "11 days ago", "nodetool repair", func(f *Facts) { f.Status.Database[0].Repaired = timestamppb.New(now.Add(-11 * 24 * time.Hour)) }},

		{"clocks", Warning, "its clock is 2s ahead of the rebalancer's", "chrony", func(f *Facts) { f.Parts[0].Clock = durationpb.New(2 * time.Second) }},
		{"clocks", Error, "its clock is 1m0s behind the rebalancer's", "chrony", func(f *Facts) { f.Parts[0].Clock = durationpb.New(-time.Minute) }},

		{"certificates", Error, "expired at 2023-11-14T22:13:19Z", "Consul", func(f *Facts) { own(f).Certificates[0].Expires = timestamppb.New(now.Add(-time.Second)) }},
		{"certificates", Error, "should have been renewed before", "Consul", func(f *Facts) { own(f).Certificates[0].Expires = timestamppb.New(now.Add(time.Hour)) }},
		{"certificates", Warning, "s3.tls: the certificate expires at", "renew it", func(f *Facts) { own(f).Certificates[1].Expires = timestamppb.New(now.Add(20 * 24 * time.Hour)) }},
		{"certificates", Error, "s3.tls: the certificate expires at", "renew it", func(f *Facts) { own(f).Certificates[1].Expires = timestamppb.New(now.Add(2 * 24 * time.Hour)) }},
		{"certificates", Error, "cannot be read", "rights", func(f *Facts) { own(f).Certificates[1].Expires = timestamppb.New(time.Time{}) }},

		{"access", Warning, "to anybody who asks", "default_policy", func(f *Facts) { own(f).Settings[0].Value = "allow" }},
		{"access", Note, "could not be seen: refused", "default_policy", func(f *Facts) { own(f).Settings[0].Value, own(f).Settings[0].Problem = "", "refused" }},

		{"sync", Warning, "takes 150ms, up to 20ms", "SSD", func(f *Facts) { folder(f).Sync = durationpb.New(150 * time.Millisecond) }},
		{"sync", Error, "takes 2s", "SSD", func(f *Facts) { folder(f).Sync = durationpb.New(2 * time.Second) }},

		{"files", Warning, "may open 1024 files", "LimitNOFILE", func(f *Facts) { own(f).MaxFiles = 1024 }},
		{"files", Error, "has 900 files open and may open 1024", "LimitNOFILE", func(f *Facts) { own(f).MaxFiles, own(f).OpenFiles = 1024, 900 }},

		{"versions", Warning, "v1 (chunk-node office-node, chunk-node attic-node, others); v2 (chunk-node home-node)", "upgrade", func(f *Facts) { own(f).Version, node(f).Version = "v2", "v2" }},
	} {
		t.Run(c.check+" "+c.says, func(t *testing.T) {
			f := well()
			c.break_(f)
			var of []Finding
			for _, found := range Examine(f) {
				if found.Check == c.check {
					of = append(of, found)
				}
			}
			require.Len(t, of, 1, "one cause is one finding: %v", Examine(f))
			require.Equal(t, c.level, of[0].Level)
			require.Contains(t, strings.TrimPrefix(strings.Join(of[0].Subjects, ", ")+": "+of[0].Problem, ": "), c.says)
			require.Contains(t, of[0].Advice, c.advice)
		})
	}
}

func TestEveryCheckHasATestInWhichItFinds(t *testing.T) {
	f := well()
	for _, p := range f.Parts {
		d := p.Diagnosis
		p.Clock, d.Links[0].Problem, d.Folders[0].ReadOnly, d.Folders[0].Sync, d.MaxFiles = durationpb.New(time.Hour), "refused", true, durationpb.New(time.Minute), 10
		d.Certificates[0].Expires, d.Settings[0].Value, d.Settings[1].Value = timestamppb.New(now.Add(-time.Hour)), "allow", "periodic"
	}
	f.Status.Replication, f.Parts[0].Diagnosis.Version = 1, "v2"
	f.Damaged = []*adminv1.DamagedChunk{{Lost: true}}
	all := Examine(f)
	found := map[string]bool{}
	for i, one := range all {
		found[one.Check] = true
		require.NotEmpty(t, one.Advice, "%v", one)
		require.True(t, i == 0 || one.Level <= all[i-1].Level, "the worst come first")
	}
	for _, c := range Checks {
		require.True(t, found[c.Name], c.Name)
	}
	require.Equal(t, Error, Worst(all))
	require.Equal(t, Note, Worst(nil))
}

func TestWhatFollowsFromAnotherFindingIsNotToldAgain(t *testing.T) {
	f := well()
	f.Status.Nodes[0].Alive, f.Status.Nodes[0].State = false, adminv1.NodeState_NODE_STATE_MISSING
	f.Parts[0].Problem, f.Parts[0].Diagnosis = "refused", nil
	for _, p := range f.Parts[1:] {
		p.Diagnosis.Links[1].Problem = "refused"
	}
	require.Len(t, Examine(f), 1, "a node that is away: %v", Examine(f))
}

func TestWhatIsTheSameOfSeveralIsOneFinding(t *testing.T) {
	f := well()
	for _, p := range f.Parts[:2] {
		p.Diagnosis.Links[0].Problem = "refused"
	}
	found := Examine(f)
	require.Len(t, found, 1)
	require.Equal(t, []string{"chunk-node home-node", "chunk-node office-node"}, found[0].Subjects)
}

func TestAServiceThatDoesNotServeIsToldOnceAndANodeThatNobodyNeedsNotAtAll(t *testing.T) {
	f := well()
	f.Status.Services[1].Healthy, f.Status.Services[1].Address, f.Parts[4].Address, f.Parts[4].Problem = false, "192.0.2.1:3902", "192.0.2.1:3902", "refused"
	f.Status.Nodes = append(f.Status.Nodes, &adminv1.Node{Id: "taken-out"})
	f.Parts = append(f.Parts, &adminv1.Part{Service: "chunk-node", NodeId: "taken-out", Problem: "refused"})
	require.Len(t, Examine(f), 1, "%v", Examine(f))
}

func TestAClockThatCannotBeReadExactlyIsNotAccused(t *testing.T) {
	f := well()
	f.Parts[0].Clock, f.Parts[0].ClockError = durationpb.New(3*time.Second), durationpb.New(2900*time.Millisecond)
	require.Empty(t, Examine(f))
	f.Parts[0].ClockError = durationpb.New(time.Second)
	require.Equal(t, "[{warning clocks}]", fmt.Sprintf("[{%v %v}]", Examine(f)[0].Level, Examine(f)[0].Check))
}
