package simulation

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// operator changes layouts, retires them as the rebalancer does, and is where disasters come from.
type operator struct {
	w       *World
	id      chunk.NodeID
	members []*node // of the current layout
	copies  int
	spared  time.Time // when a disk last lost something
}

// layouts at most in force: a change beyond it waits.
const activeAtMost = 4

// assign makes an assignment as no planner would: owners are drawn for each partition, so that every change moves much.
func (w *World) assign(l layout.Layout, salt uint64) *layout.Assignment {
	b := binary.BigEndian.AppendUint64([]byte("GLA1"), l.Number)
	b = binary.BigEndian.AppendUint64(b, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(l.Replication))
	b = binary.BigEndian.AppendUint16(b, uint16(len(l.Nodes)))
	for _, n := range l.Nodes {
		b = append(b, n.ID[:]...)
	}
	rank := make([]uint64, len(l.Nodes))
	order := make([]uint16, len(l.Nodes))
	for p := range uint64(chunk.Partitions) {
		for i, n := range l.Nodes {
			x := (p+1)*0x9e3779b97f4a7c15 ^ (uint64(n.ID[0])+salt<<8)*0xbf58476d1ce4e5b9
			x ^= x >> 29
			x *= 0x94d049bb133111eb
			rank[i], order[i] = x^x>>32, uint16(i)
		}
		slices.SortFunc(order, func(a, b uint16) int {
			if rank[a] < rank[b] {
				return -1
			}
			return 1
		})
		for _, n := range order[:l.Replication] {
			b = binary.BigEndian.AppendUint16(b, n)
		}
	}
	a := new(layout.Assignment)
	if err := a.UnmarshalBinary(b); err != nil {
		w.fail("the assignment of layout %d: %v", l.Number, err)
	}
	return a
}

// publish puts a layout of the members into force beside those that are.
func (o *operator) publish() {
	var nodes []layout.Node
	for _, n := range o.members {
		nodes = append(nodes, layout.Node{ID: n.id, Zone: n.zone, Tokens: 1})
	}
	number := uint64(1)
	var all []layout.Placement
	if o.w.active != nil {
		number, all = o.w.active.Number()+1, slices.Clone(o.w.active.Placements())
	}
	l, err := layout.New(number, o.copies, nodes)
	if err != nil {
		o.w.fail("layout %d: %v", number, err)
		return
	}
	salt := uint64(0)
	if o.w.chance(4) { // everything moves
		salt = number
	}
	if o.w.active, err = layout.NewActive(append(all, layout.Placement{Layout: l, Assignment: o.w.assign(l, salt)})...); err != nil {
		o.w.fail("layout %d: %v", number, err)
		return
	}
	o.w.Counts.Layouts++
	var ids []byte
	for _, n := range o.members {
		ids = append(ids, n.id[0])
	}
	o.w.note("layout %d: %d copies on %v", number, o.copies, ids)
}

// change draws the members of the next layout.
func (o *operator) change() {
	if len(o.w.active.Placements()) >= activeAtMost {
		return
	}
	switch out := slices.DeleteFunc(slices.Clone(o.w.order), func(n *node) bool { return slices.Contains(o.members, n) }); {
	case len(out) > 0 && o.w.chance(2):
		o.members = append(slices.Clone(o.members), out[o.w.random.IntN(len(out))])
	case len(o.members) > o.copies && o.w.chance(3):
		i := o.w.random.IntN(len(o.members))
		o.members = slices.Delete(slices.Clone(o.members), i, i+1)
	case o.w.chance(3):
		o.copies = 2 + o.w.random.IntN(2)
	}
	o.copies = min(o.copies, len(o.members))
	o.publish()
}

// retire takes the oldest layout out of force once all its nodes have carried out a later one.
func (o *operator) retire() {
	all := o.w.active.Placements()
	if len(all) == 1 {
		return
	}
	oldest := all[0].Layout
	for _, n := range oldest.Nodes {
		st, err := (&remote{w: o.w, from: o.id, to: n.ID, layouts: o.w.active}).Status(context.Background())
		if err != nil || st.Walked <= oldest.Number {
			return
		}
	}
	a, err := layout.NewActive(all[1:]...)
	if err != nil {
		o.w.fail("retiring layout %d: %v", oldest.Number, err)
		return
	}
	if o.w.active.Oldest() != oldest.Number || o.w.active.Number() != a.Number() {
		return // it was changed meanwhile
	}
	o.w.active = a
	o.w.Counts.Retired++
	o.w.note("layout %d is retired", oldest.Number)
	o.w.model.retired(a)
}

// run changes layouts and retires them.
func (o *operator) run() {
	next := o.w.now
	for {
		o.w.pause(o.w.between(time.Second, 10*time.Second))
		o.retire()
		if !o.w.stopping && !o.w.now.Before(next) {
			o.change()
			next = o.w.now.Add(o.w.between(time.Second, 5*time.Minute))
		}
	}
}

// crash stops a node for a while.
func (o *operator) crash(n *node) {
	if n.up && !o.w.stopping {
		o.w.Counts.Crashes++
		n.crash(o.w.chance(2))
		o.w.after(o.away(), func() { o.start(n) })
	}
}

// blackout takes the power of all machines at once.
func (o *operator) blackout() {
	if o.w.stopping {
		return
	}
	o.w.Counts.Blackouts++
	for _, n := range o.w.order {
		if n.up {
			n.crash(true)
			o.w.after(o.w.between(time.Millisecond, 2*time.Minute), func() { o.start(n) })
		}
	}
}

// disaster lets something happen. It is no process: what it stops may be at anything.
func (o *operator) disaster() {
	if o.w.stopping {
		return
	}
	n := o.w.order[o.w.random.IntN(len(o.w.order))]
	switch roll := o.w.random.IntN(22); {
	case roll < 8:
		o.crash(n)
	case roll < 12:
		m := o.w.order[o.w.random.IntN(len(o.w.order))]
		links := [][2]chunk.NodeID{{n.id, m.id}, {m.id, n.id}}[:1+o.w.random.IntN(2)]
		for _, l := range links {
			o.w.cut[l] = true
		}
		o.w.note("no messages between %d and %d", n.id[0], m.id[0])
		o.w.after(o.away(), func() {
			for _, l := range links {
				delete(o.w.cut, l)
			}
		})
	case roll < 15:
		o.rot(n)
	case roll < 17:
		o.wipe(n)
	case roll < 19:
		o.copy(n)
	default:
		o.w.rough = !o.w.rough
	}
	o.w.after(o.w.between(time.Second, time.Minute), o.disaster)
}

// away is for how long something is: mostly shortly, at times for hours.
func (o *operator) away() time.Duration {
	if o.w.chance(8) {
		return o.w.between(time.Minute, 3*time.Hour)
	}
	return o.w.between(time.Millisecond, 2*time.Minute)
}

// faultPause is between two things that disks lose: what is decided on an answer of before has ended then.
const faultPause = 5 * time.Minute

// rot damages a copy, or takes it away.
func (o *operator) rot(n *node) {
	all := slices.DeleteFunc(slices.Clone(o.w.model.hashes), func(h chunk.Hash) bool {
		return len(n.contents.copyOf(h)) == 0 || n.up && n.disk.busy[h]
	})
	if len(all) == 0 || o.w.now.Sub(o.spared) < faultPause {
		return
	}
	h := all[o.w.random.IntN(len(all))]
	if !o.w.model.spared(n, &h) {
		return
	}
	n.contents.damage(h, o.w.chance(2))
	o.spared = o.w.now
	o.w.Counts.Rotten++
	o.w.note("node %d: the copy of %x goes bad", n.id[0], h[:2])
}

// mayLose reports whether a node may lose its disk now.
func (o *operator) mayLose(n *node) bool {
	return o.w.now.Sub(o.spared) >= faultPause && o.copies >= 2 && o.w.model.spared(n, nil)
}

// wipe gives a node an empty disk. If the layouts are lost, too, it takes itself for a new node, to which walks are still to come.
func (o *operator) wipe(n *node) {
	if !o.mayLose(n) {
		return
	}
	o.spared = o.w.now
	o.w.Counts.Wiped++
	if n.up {
		n.crash(false)
	}
	o.w.note("node %d has an empty disk", n.id[0])
	layouts := n.contents.layouts
	n.contents = o.w.newContents()
	if !o.w.chance(4) {
		n.contents.layouts, n.contents.before = layouts, o.w.model.living()
	}
	n.boot()
}
