package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/diagnose"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/meta"
	metamemory "deuxfleurs.fr/garage/pkg/meta/memory"
	"deuxfleurs.fr/garage/services/rebalancer"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"garage": main})
}

// TestScripts runs the command line against a server of its own for each script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status, "watch": watch}})
}

// twoNodes is a layout of nodeOne and nodeTwo.
func twoNodes() (*layout.Active, error) {
	l, err := layout.New(3, 2, []layout.Node{
		{ID: nodeOne, Zone: "home", Tokens: 10, Address: "192.0.2.1:3901"},
		{ID: nodeTwo, Zone: "office", Tokens: 10, Address: "192.0.2.2:3901"},
	})
	if err != nil {
		return nil, err
	}
	owners, err := layout.Assign(nil, l)
	if err != nil {
		return nil, err
	}
	return layout.NewActive(layout.Placement{Layout: l, Assignment: owners})
}

// node is a chunk-node that answers as its fields say. A task that it is told to begin runs for two looks at its status.
type node struct {
	status  chunk.NodeStatus
	damaged []chunk.Damage
	err     error

	mu    sync.Mutex
	tasks map[chunk.Task]*chunk.TaskStatus
	looks map[chunk.Task]int
}

func (n *node) Status(context.Context) (chunk.NodeStatus, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	status := n.status
	for task := chunk.Rebalance; task <= chunk.LongCollection; task++ {
		if st := n.tasks[task]; st != nil {
			if n.looks[task]++; n.looks[task] > 2 && st.State == chunk.Running {
				st.State, st.Done, st.Ended = chunk.Idle, st.Total, st.Began.Add(time.Minute)
			}
			status.Tasks = append(status.Tasks, *st)
		}
	}
	return status, n.err
}

func (n *node) Command(_ context.Context, c chunk.Command) (chunk.TaskStatus, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return chunk.TaskStatus{}, n.err
	}
	st := &chunk.TaskStatus{Task: c.Task, State: chunk.Running, Done: 1024, Total: 4096, Bytes: 5 << 20, Rate: 40 << 20, Began: time.Now().Add(-time.Minute)}
	switch {
	case !c.Start:
		st.State = chunk.Stopped
	case c.Task == chunk.LongCollection && c.Confirm < 3:
		st.State, st.Note = chunk.Stuck, "3 of 100 references belong to nothing"
	}
	switch {
	case c.Rate > 0:
		st.Rate = c.Rate
	case c.Rate < 0:
		st.Rate = 0
	}
	n.tasks[c.Task], n.looks[c.Task] = st, 0
	return *st, nil
}

func (n *node) Damaged(_ context.Context, after chunk.Hash, limit int) ([]chunk.Damage, error) {
	var list []chunk.Damage
	for _, d := range n.damaged {
		if bytes.Compare(d.Hash[:], after[:]) > 0 && len(list) < limit {
			list = append(list, d)
		}
	}
	return list, n.err
}

func (n *node) Gaps(context.Context) (*chunk.Gaps, error) { return &chunk.Gaps{}, n.err }

var (
	cluster = uuid.MustParse("00000000-0000-4000-8000-0000000000aa")
	nodeOne = uuid.MustParse("00000000-0000-4000-8000-000000000001")
	nodeTwo = uuid.MustParse("00000000-0000-4000-8000-000000000002")
)

// objectIn writes the object archive/cat.jpg of one chunk, and returns its attempt.
func objectIn(store meta.Store) (uuid.UUID, error) {
	ctx := context.Background()
	attempt, err := meta.NewUploadID(time.Now(), clock.SystemRandom)
	if err != nil {
		return attempt, err
	}
	b := meta.Bucket{ID: cluster, Name: "archive", Created: time.Unix(1_700_000_000, 0)}
	if err := store.CreateBucket(ctx, b); err != nil {
		return attempt, err
	}
	ref := meta.UploadRef{Bucket: b.ID, Key: "cat.jpg", ID: attempt}
	if err := store.BeginUpload(ctx, meta.Upload{UploadRef: ref}); err != nil {
		return attempt, err
	}
	one := meta.Chunk{Length: 1000, Hash: chunk.Hash{1}}
	_, err = store.PutObject(ctx, meta.Put{Bucket: b.ID, Key: ref.Key, Upload: attempt, Size: 1000, ETag: "etag", First: one, Chunks: []meta.Chunk{one}})
	return attempt, err
}

func setup(env *testscript.Env) error {
	data := filepath.Join(env.WorkDir, "server")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	token, err := adminserver.Token(filepath.Join(data, adminserver.TokenFile), "")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	server, err := adminserver.New(adminserver.Config{}, adminserver.Deps{Listener: listener, Token: token, Logger: log, Registry: prometheus.NewRegistry()})
	if err != nil {
		return err
	}
	service, err := newService(log, filepath.Join(data, "rebalancer"))
	if err != nil {
		return err
	}
	service.Register(server.GRPC())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	env.Defer(func() { cancel(); <-done })
	env.Setenv("GARAGE_ADMIN", listener.Addr().String())
	env.Setenv("GARAGE_DATA", data)
	return nil
}

// store is a metadata service that answers unless there is that file.
type store struct {
	meta.Store
	away string
}

func (s *store) Info(ctx context.Context) (meta.Info, error) {
	if _, err := os.Stat(s.away); err == nil {
		return meta.Info{}, errors.Newf(errors.Unavailable, "connection refused")
	}
	return s.Store.Info(ctx)
}

func newService(log *slog.Logger, folder string) (*rebalancer.Service, error) {
	memory, err := metamemory.New(clock.System{}, clock.SystemRandom)
	if err != nil {
		return nil, err
	}
	active, err := twoNodes()
	if err != nil {
		return nil, err
	}
	// One object has lost a chunk; the other chunk belongs to nothing any more and is still looked for.
	attempt, err := objectIn(memory)
	if err != nil {
		return nil, err
	}
	since := time.Unix(1_700_000_000, 0)
	damage := []chunk.Damage{
		{Hash: chunk.Hash{1}, Refs: []chunk.Ref{{Attempt: attempt}}, Since: since, Problem: chunk.NoGoodCopy + ": 2 nodes were asked"},
		{Hash: chunk.Hash{2}, Refs: []chunk.Ref{{Attempt: nodeTwo, Offset: 7}}, Since: since, Problem: "node away"},
	}
	nodes := map[chunk.NodeID]rebalancer.Node{
		nodeOne: &node{tasks: map[chunk.Task]*chunk.TaskStatus{}, looks: map[chunk.Task]int{}, damaged: damage, status: chunk.NodeStatus{ID: nodeOne, ClusterID: cluster, Chunks: 12, Bytes: 3 << 20, Capacity: 10 << 30, Free: 9 << 30}},
		nodeTwo: &node{err: errors.Newf(errors.Unavailable, "the office has no power")},
	}
	return rebalancer.New(rebalancer.Config{}, rebalancer.Deps{
		Store: &store{memory, filepath.Join(filepath.Dir(folder), "..", "metadata-is-away")}, Folder: folder, Identities: keys.New(memory, clock.System{}, 0), ClusterID: cluster, Layouts: active, Diagnosis: diagnose.New("rebalancer", "v-test", nodeOne, clock.System{}).Diagnose,
		Clock: clock.System{}, Random: clock.SystemRandom, Logger: log, Version: "v-test",
		Node:  func(id chunk.NodeID) (rebalancer.Node, error) { return nodes[id], nil },
		Peers: []rebalancer.Peer{{Name: "metadata", Address: "192.0.2.1:3902", Check: func(context.Context) error { return nil }}},
	})
}
