package simulation

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// World is a cluster with all that happens to it.
type World struct {
	network
	Broken Broken
	Counts Counts

	model    model
	order    []*node // all nodes there are, of the layout or not
	spare    []*node // what runs, or ran, on folders with the ID of one of them
	former   map[chunk.NodeID]*former
	clients  []*client
	operator *operator
	active   *layout.Active // the layouts in force, as Consul knows them
	stopping bool           // clients begin nothing any more, and there are no more disasters

	wrong     bool // the metadata is, at times
	forgetful int  // it does not know one in so many of the living references now; 0: it knows all
	lapses    int  // how often it was wrong
}

// Broken says which rules are not kept, to see that this is found.
type Broken struct {
	Drop       bool // a chunk is dropped though no owner was asked whether it has it
	Still      bool // a chunk is dropped though a newer layout was adopted meanwhile
	Settled    bool // a walk begins while requests of an older layout are under way
	Tombstones bool // a removed reference is taken again
	Trash      bool // what a long collection removes is not kept
	Gate       bool // requests of any layout are let in
	Sync       bool // what is answered is not synced
	Folder     bool // a file is put in place, and its folder is not synced
	Bytes      bool // a file is put in place before its bytes are synced
	Check      bool // files and entries are not compared after a crash
	Found      bool // files without entry are taken up unread
	Verify     bool // a scrub takes every copy for good
	Empty      bool // an empty disk looks like the one before
	Claim      bool // a second process of a node serves though it does not hold its ID
}

// Counts are how often things happened.
type Counts struct {
	Written, Removed, Read, StandIns int
	Layouts, Retired, Dropped        int
	Crashes, Wiped, Rotten, Leftover int
	Blackouts, Torn, Adopted         int // power cuts everywhere, writes that a crash left in part, files that were taken up after one
	Compared                         int // emptied disks for which all other owners were compared with
	Seconds, Replaced, Lingered      int // processes that do not hold their ID; folders that took the place of others, and of some in use
	Forgotten, Mistaken, HadBack     int
}

// Result is how a run went.
type Result struct {
	Trace   uint64 // of all that happened
	Failure string // what was not as promised; empty: nothing
	Counts  Counts
	Took    time.Duration // in simulated time
}

// How long things last, in simulated time.
const (
	rampage         = 20 * time.Minute // at most
	healing         = 4 * time.Hour    // at most
	confirmInterval = 10 * time.Minute // between two times at which the operator has the nodes remove what they ask about
	rashInterval    = time.Minute      // the same, of one who believes the metadata when it is wrong
)

// Options are what a run depends on besides its seed.
type Options struct {
	Broken  Broken
	Forgets bool              // the metadata is wrong at times about what lives
	Log     func(line string) // gets all that happens; nil: nobody
}

// Run runs a cluster from a seed: for a while anything may happen; then all is whole again, and it gets time to heal.
func Run(seed uint64, o Options) Result {
	w := newWorld(seed, o)
	defer w.close()
	w.scheduler.run(w.between(time.Minute, rampage), func() bool { return false })
	w.calm()
	healed := ""
	looked := w.now
	w.scheduler.run(healing, func() bool {
		if w.now.Sub(looked) < 30*time.Second {
			return false
		}
		looked = w.now
		healed = w.unfinished()
		return healed == ""
	})
	if w.failure == "" && healed != "" {
		w.fail("it does not heal: %s", healed)
	}
	return Result{Trace: w.trace, Failure: w.failure, Counts: w.Counts, Took: w.now.Sub(time.Unix(1_700_000_000, 0))}
}

func newWorld(seed uint64, o Options) *World {
	w := &World{Broken: o.Broken, wrong: o.Forgets}
	w.scheduler = newScheduler(seed)
	w.log = o.Log
	w.former = make(map[chunk.NodeID]*former)
	w.network.nodes, w.network.reach, w.cut = make(map[chunk.NodeID]*node), w.reach, make(map[[2]chunk.NodeID]bool)
	w.model = model{w: w, data: make(map[chunk.Hash][]byte)}
	for i := range 4 + w.random.IntN(3) {
		n := &node{w: w, id: chunk.NodeID{byte(i + 1)}, zone: string(rune('a' + i%3)), contents: w.newContents()}
		n.clock = simulatedClock{w.scheduler, w.between(-time.Minute, time.Minute)}
		w.network.nodes[n.id] = n
		w.order = append(w.order, n)
		n.boot()
	}
	w.operator = &operator{w: w, id: chunk.NodeID{0, 0, 1}, members: slices.Clone(w.order[:3+w.random.IntN(len(w.order)-2)]), copies: 2 + w.random.IntN(2)}
	w.operator.publish()
	w.scheduler.start(w.operator.run)
	w.after(w.between(0, time.Minute), w.operator.disaster)
	w.after(confirmInterval, w.confirm)
	if w.wrong {
		w.after(w.between(0, time.Minute), w.forget)
	}
	for i := range 3 {
		c := &client{w: w, id: chunk.NodeID{0, byte(i + 1)}}
		w.clients = append(w.clients, c)
		w.scheduler.start(c.run)
	}
	return w
}

// calm ends what is broken.
func (w *World) calm() {
	w.note("all is whole again")
	w.stopping, w.rough = true, false
	clear(w.cut)
	for _, n := range w.spare {
		w.end(n.id)
		if n.up {
			n.crash(false)
		}
	}
	for _, n := range w.order {
		if !n.up {
			n.boot()
		}
	}
}

// confirm has every node make a long collection, again and again, however much it would remove: of so few references one is many.
func (w *World) confirm() {
	for _, n := range w.order {
		if !n.up || n.runner == nil {
			continue
		}
		n.start(func() {
			_, err := n.runner.Command(context.Background(), chunk.Command{Task: chunk.LongCollection, Start: true, Confirm: math.MaxInt64})
			if err != nil {
				w.fail("node %d is to make a long collection: %v", n.id[0], err)
			}
		})
	}
	interval := confirmInterval
	if w.wrong {
		interval = rashInterval
	}
	w.after(interval, w.confirm)
}

// unfinished says what is not yet as it is to be in the end, or is empty.
func (w *World) unfinished() string {
	for _, c := range w.clients {
		if c.open > 0 {
			return fmt.Sprintf("%d removals are under way", c.open)
		}
	}
	if w.forgetful > 0 {
		return "the metadata is wrong"
	}
	return w.model.unfinished()
}

// believed reports whether a node is thought to be alive: others hear of a change a while later.
func (w *World) believed(id chunk.NodeID) bool {
	n := w.nodes[id]
	if n == nil {
		return false
	}
	hear := 5 * time.Second
	if !n.up {
		hear = 30 * time.Second
	}
	return n.up == (w.now.Sub(n.changed) >= hear)
}

// published are the layouts in force as a machine learns of them, or nil while it cannot.
func (w *World) published(id chunk.NodeID) *layout.Active {
	if w.rough && w.chance(3) || w.cut[[2]chunk.NodeID{id, id}] {
		return nil
	}
	return w.active
}

// bytes is the source of a node's random numbers.
func (w *World) bytes() *source { return &source{w.random} }

type source struct{ *rand.Rand }

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 8 {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], s.Uint64())
		copy(p[i:], b[:])
	}
	return len(p), nil
}

// all are the counts by their names.
func (c *Counts) all() map[string]*int {
	return map[string]*int{
		"written": &c.Written, "removed": &c.Removed, "read": &c.Read, "stand-ins": &c.StandIns, "layouts": &c.Layouts, "retired": &c.Retired,
		"dropped": &c.Dropped, "crashes": &c.Crashes, "wiped": &c.Wiped, "rotten": &c.Rotten,
		"compared": &c.Compared, "blackouts": &c.Blackouts, "torn": &c.Torn, "adopted": &c.Adopted,
		"seconds": &c.Seconds, "replaced": &c.Replaced, "lingered": &c.Lingered,
	}
}

func (c *Counts) add(o Counts) {
	others := o.all()
	for name, n := range c.all() {
		*n += *others[name]
	}
	c.Leftover += o.Leftover
	c.Forgotten += o.Forgotten
	c.Mistaken += o.Mistaken
	c.HadBack += o.HadBack
}
