package simulation

import (
	"slices"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// A folder of a node is copied now and then, and a second process started on the copy, or on the original once the copy has its place. Consul
// knows one process of a node, which holds its ID, and only that is reached by others, once they have heard of it. A second one takes its
// place when it counts as away. What the other one got since they parted is missing then: to the cluster a disk was lost, so that comes only when a loss may.

// A process that lost its ID serves those who have not heard of that until it has asked Consul again and waited for the other one to go (package
// consul), and for longer where it and they cannot ask.
const (
	lingers     = 70 * time.Second
	lingersLong = 10 * time.Minute
)

// former is a process that lost its ID and still serves.
type former struct {
	*node
	lost  time.Time
	lasts time.Duration
	heard map[chunk.NodeID]time.Time // when who asks hears of the new one
}

// reach is the process of a node that one who asks reaches.
func (w *World) reach(from, to chunk.NodeID) *node {
	if f := w.former[to]; f != nil {
		heard, known := f.heard[from]
		if !known {
			heard = f.lost.Add(w.between(0, f.lasts))
			f.heard[from] = heard
		}
		if w.now.Before(heard) {
			return f.node
		}
	}
	if w.Broken.Claim && w.chance(2) {
		for _, c := range w.spare {
			if c.id == to && c.up {
				return c
			}
		}
	}
	return w.nodes[to]
}

// holds reports whether a process is the one that Consul knows.
func (n *node) holds() bool { return n.w.nodes[n.id] == n }

// spareAtMost is how many folders there are at most that no node uses.
const spareAtMost = 3

// copy makes a copy of a node's folder, also of one in use, and has somebody start a process on it later.
func (o *operator) copy(n *node) {
	if len(o.w.spare) >= spareAtMost {
		return
	}
	c := &node{w: o.w, id: n.id, zone: n.zone, clock: simulatedClock{o.w.scheduler, o.w.between(-time.Minute, time.Minute)}, contents: n.contents.clone()}
	if n.up {
		n.disk.interrupt(c.contents)
		o.tear(c.contents)
	}
	o.w.note("node %d: its folder is copied", n.id[0])
	o.w.spare = append(o.w.spare, c)
	o.w.after(o.away(), func() { o.start(c) })
}

// tear makes contents those of a copy that was made while the folder was in use, or not to its end: files are missing or have no end, or came
// after the index was copied.
func (o *operator) tear(c *contents) {
	for _, h := range c.hashes(func(r *record) bool { return r.Place == state.InFile }) {
		data := c.files[h]
		if data == nil {
			continue
		}
		switch roll := o.w.random.IntN(20); {
		case roll < 2:
			delete(c.files, h)
		case roll < 4:
			c.files[h] = data[:o.w.random.IntN(len(data))]
		}
		if o.w.chance(10) {
			delete(c.chunks, h)
		}
	}
}

// start starts a process that is not running.
func (o *operator) start(n *node) {
	switch {
	case n.up || o.w.stopping && !n.holds():
	case n.holds():
		n.boot()
	case o.replace(n):
		n.boot()
	default:
		o.second(n)
	}
	if !n.holds() && !o.w.stopping { // and once more
		o.w.after(o.w.between(10*time.Second, 5*time.Minute), func() { o.start(n) })
	}
}

// second lets a process run for a while that does not hold its ID. One that has asked Consul does nothing, and one that could not ask works
// on what it has, though nobody asks it for anything.
func (o *operator) second(n *node) {
	o.w.Counts.Seconds++
	if o.w.chance(2) && !o.w.Broken.Claim {
		o.w.note("node %d: a second process is refused", n.id[0])
		return
	}
	n.boot()
	o.w.after(o.away(), func() {
		if n.up && !n.holds() {
			n.crash(false)
		}
	})
}

// replace gives a node's place to a process on another folder, if the one that has it counts as away, or loses touch with Consul now.
func (o *operator) replace(n *node) bool {
	old := o.w.nodes[n.id]
	if o.w.former[n.id] != nil || old.up && o.w.chance(2) || !old.up && o.w.believed(n.id) || !o.mayLose(old) {
		return false
	}
	o.w.Counts.Replaced++
	o.w.note("node %d: a process on another folder takes its place", n.id[0])
	o.spared = o.w.now
	o.w.nodes[n.id] = n
	for _, all := range [][]*node{o.w.order, o.members} {
		if i := slices.Index(all, old); i >= 0 {
			all[i] = n
		}
	}
	o.w.spare = append(slices.DeleteFunc(o.w.spare, func(c *node) bool { return c == n }), old)
	if old.up {
		o.w.Counts.Lingered++
		lasts := lingers
		if o.w.chance(3) {
			lasts = lingersLong
		}
		o.spared = o.w.now.Add(lasts)
		o.w.former[n.id] = &former{old, o.w.now, lasts, make(map[chunk.NodeID]time.Time)}
		o.w.after(lasts, func() { o.w.end(n.id) })
	}
	o.w.after(o.w.between(10*time.Second, 5*time.Minute), func() { o.start(old) })
	return true
}

// end stops the process of a node that lost its ID.
func (w *World) end(id chunk.NodeID) {
	f := w.former[id]
	if f == nil {
		return
	}
	delete(w.former, id)
	if f.up {
		f.crash(false)
	}
}
