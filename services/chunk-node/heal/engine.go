package heal

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

const (
	// requestTimeout bounds one request to another node, also one that moves a chunk over a slow line.
	requestTimeout = time.Minute
	// page is how many chunks are listed at a time.
	page = 256
	// idle is the longest pause between two looks at what there is to do; whoever knows that there is something wakes the task.
	idle = 10 * time.Second
	// stuckPause is between two tries of what other nodes are in the way of.
	stuckPause = 15 * time.Second
)

// Config says how often.
type Config struct {
	RepairInterval time.Duration // between two comparisons with the other owners
	ScrubInterval  time.Duration // in which every copy is read once

	CollectInterval time.Duration // between two rounds of the long collection, of the time in which the node runs; 0: only when asked for
	CollectWait     time.Duration // for which metadata must not know an attempt before its references go
	Trash           time.Duration // for which they stay in the trash then, at least
}

// Deps are what an Engine works with.
type Deps struct {
	ID     chunk.NodeID
	Local  Local
	Peers  Peers
	Clock  clock.Clock
	Random clock.Random
	Logger *slog.Logger
	// Each calls do with 0 … n-1, some at a time, and returns when all calls have; nil: one after the other.
	Each func(n int, do func(i int))
	// Busy reports whether clients read from the node just now; nil: never.
	Busy func() bool

	// Metadata is asked why chunks are kept; nil: there is no long collection. It is asked only if it is of the cluster ClusterID.
	Metadata  Metadata
	ClusterID uuid.UUID
}

// Engine makes the tasks that heal a node. Make it with New.
type Engine struct {
	config Config
	deps   Deps
	local  Local
	peers  Peers

	rebalance  rebalance
	repair     repair
	scrub      scrub
	collection collection

	walked  atomic.Uint64
	foreign atomic.Int64

	uncompared atomic.Bool
}

// New makes an Engine. Kinds: those of Local.Note and Local.Status; Corrupted.
func New(ctx context.Context, c Config, d Deps) (*Engine, error) {
	if d.Each == nil {
		d.Each = func(n int, do func(int)) {
			for i := range n {
				do(i)
			}
		}
	}
	if d.Busy == nil {
		d.Busy = func() bool { return false }
	}
	e := &Engine{config: c, deps: d, local: d.Local, peers: d.Peers}
	e.rebalance.Engine, e.rebalance.turn = e, make(turn, 1)
	e.repair.Engine, e.repair.turn = e, make(turn, 1)
	e.scrub.Engine, e.scrub.turn = e, make(turn, 1)
	e.collection = collection{Engine: e, turn: make(turn, 1), known: make(map[uuid.UUID]bool)}
	if err := e.readNote(ctx, walkName, &e.rebalance.note); err != nil {
		return nil, err
	}
	e.walked.Store(e.rebalance.note.Walked)
	switch err := e.readNote(ctx, collectName, &e.collection.note); {
	case errors.Is(err, errors.Corrupted): // a round more, and suspects of before it are none: rounds are far apart from 0
		d.Logger.Warn("how far the long collection is cannot be read: it begins anew", "error", err)
		e.collection.note = collectNote{Round: uint64(d.Clock.Now().UnixNano())}
	case err != nil:
		return nil, err
	}
	if err := e.repair.open(ctx); err != nil {
		return nil, err
	}
	return e, e.readNote(ctx, scrubName, &e.scrub.note)
}

// Jobs are the tasks, for a tasks.Runner.
func (e *Engine) Jobs() map[chunk.Task]tasks.Job {
	jobs := map[chunk.Task]tasks.Job{chunk.Rebalance: &e.rebalance, chunk.Repair: &e.repair, chunk.Scrub: &e.scrub}
	if e.deps.Metadata != nil {
		jobs[chunk.LongCollection] = &e.collection
	}
	return jobs
}

// Walked is the number of the last layout that the node has carried out, as chunk.NodeStatus says.
func (e *Engine) Walked() uint64 { return e.walked.Load() }

// Foreign is how many chunks the node holds that it does not own, as far as was counted last.
func (e *Engine) Foreign() int64 { return max(e.foreign.Load(), 0) }

// Uncompared reports whether the node may lack any chunk, as chunk.NodeStatus says.
func (e *Engine) Uncompared() bool { return e.uncompared.Load() }

// errMoved ends what was begun under a layout that is not the adopted one any more. It begins anew under the new one.
var errMoved = errors.Newf(errors.Conflict, "the node has adopted a newer layout")

// current reports whether a is still what the node has adopted.
func (e *Engine) current(a *layout.Active) bool {
	now := e.peers.Layouts()
	return now != nil && now.Number() == a.Number()
}

// ask makes a request to another node under the layouts a.
func (e *Engine) ask(ctx context.Context, a *layout.Active, id chunk.NodeID, request func(ctx context.Context, p chunk.Peer) error) error {
	for again := false; ; again = true {
		if !e.current(a) {
			return errMoved
		}
		peer, err := e.peers.Peer(id)
		if err != nil {
			return fromPeer(id, err)
		}
		asking, end := context.WithTimeout(ctx, requestTimeout)
		err = request(asking, peer)
		end()
		if _, differs := layout.Differing(err); !differs || again {
			return fromPeer(id, err)
		}
		catching, end := context.WithTimeout(ctx, requestTimeout)
		err = e.peers.CatchUp(catching, id, err)
		end()
		if err != nil {
			return fromPeer(id, errors.Annotate(err, "agreeing about the layouts"))
		}
	}
}

// peerError is an error of a request to another node.
type peerError struct {
	id  chunk.NodeID
	err error
}

func (e *peerError) Error() string { return "node " + e.id.String() + ": " + e.err.Error() }
func (e *peerError) Unwrap() error { return e.err }

func fromPeer(id chunk.NodeID, err error) error {
	if err == nil {
		return nil
	}
	return &peerError{id, err}
}

// final reports whether an error ends a pass: others concern a chunk, a node or a disk, and the pass goes on with the rest.
func final(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.IsTarget(err, errMoved)
}

// outage is which nodes did not answer in a pass: they are not asked again in it, as each question may cost its whole timeout.
type outage struct {
	mu    sync.Mutex
	nodes map[chunk.NodeID]bool
}

// away reports whether a node is not to be asked.
func (o *outage) away(peers Peers, id chunk.NodeID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.nodes[id] || !peers.Alive(id)
}

// note takes note of an error that says something about the node that was asked.
func (o *outage) note(err error) {
	var of *peerError
	if !errors.As(err, &of) || chunk.DiskFailed(err) {
		return
	}
	switch errors.KindOf(err) {
	case errors.NotFound, errors.Corrupted, errors.Invalid:
		return // about the chunk
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.nodes == nil {
		o.nodes = make(map[chunk.NodeID]bool)
	}
	o.nodes[of.id] = true
}

// diskFailedAt is the node that failed to do something because one of its disks is out of use.
func diskFailedAt(err error) (id chunk.NodeID, failed bool) {
	var of *peerError
	if !chunk.DiskFailed(err) || !errors.As(err, &of) {
		return id, false
	}
	return of.id, true
}

// unreadableNote says what is in the way of n partitions that cannot be read.
func unreadableNote(n int) string {
	return fmt.Sprintf("%d partitions are on a disk that cannot be used: repair it, put an empty one in its place, or take it out of the configuration; then start the program again", n)
}

// owners are the owners of a partition in the current layout of a.
func owners(a *layout.Active, p chunk.Partition) []chunk.NodeID { return ids(a, a.Owners(p)) }

func ids(a *layout.Active, indexes []uint16) []chunk.NodeID {
	all := make([]chunk.NodeID, len(indexes))
	for i, n := range indexes {
		all[i] = a.Nodes()[n].ID
	}
	return all
}

// ownedAlways reports whether a node owned a partition in every layout in force but the current one.
func ownedAlways(a *layout.Active, id chunk.NodeID, p chunk.Partition) bool {
	all := a.Placements()
	for _, l := range all[:len(all)-1] {
		nodes := l.Assignment.Nodes()
		if !slices.ContainsFunc(l.Assignment.Owners(p), func(n uint16) bool { return nodes[n] == id }) {
			return false
		}
	}
	return true
}

// others are the IDs but the node's own.
func (e *Engine) others(all []chunk.NodeID) []chunk.NodeID {
	return slices.DeleteFunc(all, func(id chunk.NodeID) bool { return id == e.deps.ID })
}

// chunks calls do with every chunk of a partition.
func (e *Engine) chunks(ctx context.Context, p chunk.Partition, do func(chunk.Hash) error) error {
	var after chunk.Hash
	for {
		hashes, err := e.local.Hashes(ctx, p, after, page)
		if err != nil {
			return err
		}
		for _, h := range hashes {
			if err := do(h); err != nil {
				return err
			}
		}
		if len(hashes) < page {
			return nil
		}
		after = hashes[len(hashes)-1]
	}
}

// seed draws a seed for the order of a round.
func (e *Engine) seed() (seed uint64, err error) {
	var b [8]byte
	_, err = io.ReadFull(e.deps.Random, b[:])
	return binary.BigEndian.Uint64(b[:]), errors.Wrap(errors.Internal, err, "drawing the order of a round")
}

// inOrder puts partitions into the random order that belongs to a seed; which of all there are does not change the order of the others.
func inOrder(seed uint64, partitions []chunk.Partition) []chunk.Partition {
	var place [chunk.Partitions]int
	for i, p := range rand.New(rand.NewPCG(seed, 0)).Perm(chunk.Partitions) {
		place[p] = i
	}
	slices.SortFunc(partitions, func(a, b chunk.Partition) int { return place[a] - place[b] })
	return partitions
}

// set is a set of partitions, as notes keep it.
type set []byte

func (s *set) add(p chunk.Partition) {
	if *s == nil {
		*s = make(set, chunk.Partitions/8)
	}
	(*s)[p/8] |= 1 << (p % 8)
}

func (s set) has(p chunk.Partition) bool { return len(s) > int(p/8) && s[p/8]&(1<<(p%8)) != 0 }

func (e *Engine) readNote(ctx context.Context, name string, into any) error {
	value, err := e.local.Note(ctx, name)
	if err != nil || len(value) == 0 {
		return errors.Annotate(err, "reading how far the task %s is", name)
	}
	return errors.Wrap(errors.Corrupted, json.Unmarshal(value, into), "reading how far the task %s is", name)
}

func (e *Engine) writeNote(ctx context.Context, name string, from any) error {
	value, err := json.Marshal(from)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "noting how far the task %s is", name)
	}
	return errors.Annotate(e.local.SetNote(ctx, name, value), "noting how far the task %s is", name)
}
