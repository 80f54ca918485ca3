package cluster

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/faults"
	"deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/layout"
)

// world is a store over nodes in memory, with a clock that stands still.
type world struct {
	*Store
	t      *testing.T
	clock  *clock.Manual
	memory []*memory.Store // in the order of the layout
	nodes  []*faults.Node
	next   uint64 // to make different chunks and references
}

func newWorld(t *testing.T, copies, nodes int, change func(*Settings)) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewManual(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))}
	list := make([]layout.Node, nodes)
	for i := range list {
		list[i] = layout.Node{ID: nodeID(i), Zone: fmt.Sprint("zone ", i), Tokens: 10}
	}
	first := inForce(t, 1, copies, list)
	members := make(map[chunk.NodeID]Member)
	for i, n := range first.Nodes() {
		w.memory = append(w.memory, memory.New(n.ID))
		w.nodes = append(w.nodes, faults.New(w.memory[i]))
		members[n.ID] = Member{Node: w.nodes[i]}
	}
	settings := Defaults
	if change != nil {
		change(&settings)
	}
	var err error
	w.Store, err = New(Config{
		Layouts: first, Members: members, Clock: w.clock,
		Log: slog.New(slog.DiscardHandler), Settings: settings,
	})
	require.NoError(t, err)
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for _, n := range w.nodes {
			n.Set(nil)
		}
		w.passTimeUntil(in(func() { w.Close(time.Minute) }))
		w.eventually(func() bool { return runtime.NumGoroutine() <= before }, "goroutines that outlive the store")
		for i, p := range w.peers {
			require.True(t, p.window.Fits(1<<60), "bytes counted as sent to node %d that are not", i)
		}
	})
	return w
}

// inForce is one layout of the nodes, alone in force.
func inForce(t testing.TB, number uint64, copies int, nodes []layout.Node) *layout.Active {
	t.Helper()
	l, err := layout.New(number, copies, nodes)
	require.NoError(t, err)
	a, err := layout.Assign(nil, l)
	require.NoError(t, err)
	active, err := layout.NewActive(layout.Placement{Layout: l, Assignment: a})
	require.NoError(t, err)
	return active
}

func nodeID(i int) chunk.NodeID {
	var id chunk.NodeID
	id[0], id[15] = byte(i+1), 1
	return id
}

// eventually waits for what other goroutines are about to do.
func (w *world) eventually(done func() bool, what string) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(deadline) {
			require.Fail(w.t, "it did not happen", what)
		}
	}
}

// chunk is a chunk that was not used before.
func (w *world) chunk() (chunk.Hash, *buffer.Buffer) {
	w.next++
	data := make([]byte, 1000)
	_, _ = rand.NewChaCha8([32]byte(binary.BigEndian.AppendUint64(make([]byte, 24), w.next))).Read(data)
	b := buffer.FromBytes(data)
	return chunk.HashOf(b), b
}

func (w *world) ref() chunk.Ref {
	w.next++
	return chunk.Ref{Attempt: uuid.NewSHA1(uuid.Nil, binary.BigEndian.AppendUint64(nil, w.next)), Offset: w.next}
}

// put stores a new chunk and waits for what follows the answer.
func (w *world) put() (chunk.Hash, *buffer.Buffer, chunk.Ref) {
	w.t.Helper()
	h, data := w.chunk()
	ref := w.ref()
	o, err := w.Put(context.Background(), h, data, ref)
	require.NoError(w.t, err)
	require.Equal(w.t, chunk.Stored, o)
	w.quiet()
	return h, data, ref
}

// quiet waits until no write goes on after its answer.
func (w *world) quiet() {
	w.t.Helper()
	w.eventually(func() bool { return w.Counts().Late == 0 }, "the end of what follows the answers")
}

// has reports whether a node has the chunk.
func (w *world) has(node int, h chunk.Hash) bool {
	b, err := w.memory[node].Get(context.Background(), h)
	if err != nil {
		return false
	}
	b.Release()
	return true
}

func (w *world) requireGets(h chunk.Hash, want *buffer.Buffer) {
	w.t.Helper()
	b, err := w.Get(context.Background(), h)
	require.NoError(w.t, err)
	require.Equal(w.t, want.Bytes(), b.Bytes())
	b.Release()
}

// owed is how many debts a node has recorded.
func (w *world) owed(node int) int64 {
	st, err := w.memory[node].Status(context.Background())
	require.NoError(w.t, err)
	return st.Owed
}

// passTimeUntil lets time pass while somebody waits for it, until ended is closed.
func (w *world) passTimeUntil(ended <-chan struct{}) {
	w.t.Helper()
	w.eventually(func() bool {
		select {
		case <-ended:
			return true
		default:
			if w.clock.Timers() > 0 {
				w.clock.Advance(10 * time.Millisecond)
			}
			return false
		}
	}, "the end of the operation")
}

// in runs f in a goroutine and returns a channel that is closed when it has ended.
func in(f func()) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	return ended
}
