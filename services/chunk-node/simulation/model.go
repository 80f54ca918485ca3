package simulation

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// model knows what was acknowledged, and so what must be there.
type model struct {
	w      *World
	data   map[chunk.Hash][]byte
	hashes []chunk.Hash // of data, in the order in which they came
	refs   []*reference // in the order in which they were given out
}

// reference is what metadata knows of one.
type reference struct {
	chunk.Ref
	hash    chunk.Hash
	state   refState
	stoodIn bool // it was sent to a node that does not own the chunk

	forgotten int // in which of its lapses metadata did not know it, though it lived; 0: in none
}

type refState uint8

const (
	writing  refState = iota // it may be anywhere
	living                   // it was acknowledged
	removing                 // it may be anywhere
	gone                     // its removal was acknowledged
)

// chunksAtMost is how many different chunks there are, so that they are written again.
const chunksAtMost = 40

// newRef gives out a reference that was never used, and a chunk for it.
func (m *model) newRef() (chunk.Ref, chunk.Hash, []byte) {
	var h chunk.Hash
	if len(m.hashes) >= chunksAtMost || len(m.hashes) > 0 && m.w.chance(3) {
		h = m.hashes[m.w.random.IntN(len(m.hashes))]
	} else {
		data := binary.BigEndian.AppendUint64([]byte("a chunk"), m.w.random.Uint64())
		h = chunk.HashOf(buffer.FromBytes(data))
		m.data[h] = data
		m.hashes = append(m.hashes, h)
	}
	r := &reference{Ref: chunk.Ref{Attempt: uuid.UUID{byte(m.w.random.IntN(4))}, Offset: uint64(len(m.refs))}, hash: h}
	binary.BigEndian.PutUint64(r.Attempt[8:], r.Offset) // each has an attempt of its own
	m.refs = append(m.refs, r)
	return r.Ref, h, m.data[h]
}

func (m *model) set(ref chunk.Ref, to refState) { m.refs[ref.Offset].state = to }

func (m *model) acknowledge(ref chunk.Ref) {
	m.set(ref, living)
	m.w.Counts.Written++
	m.answered()
}
func (m *model) abandon(ref chunk.Ref) { m.set(ref, removing) }
func (m *model) remove(ref chunk.Ref)  { m.set(ref, removing) }
func (m *model) standIn(ref chunk.Ref) { m.refs[ref.Offset].stoodIn = true; m.w.Counts.StandIns++ }
func (m *model) removed(ref chunk.Ref) {
	m.set(ref, gone)
	m.w.Counts.Removed++
	m.answered()
}

// blackoutAfter is how many answers there are to a blackout right after one.
const blackoutAfter = 250

// answered is told when a client may rely on something. That is the worst moment for the power to go.
func (m *model) answered() {
	if m.w.chance(blackoutAfter) {
		m.w.after(0, m.w.operator.blackout)
	}
}

// needs reports whether the chunk of a reference must be there now.
func (m *model) needs(ref chunk.Ref) bool { return m.refs[ref.Offset].state == living }

// trashed is told when a long collection removes a reference. It may be left at a node, though it was removed everywhere, only if
// a node that stood in for an owner handed it over to those who own the chunk by then, or one on a copied folder, from which it was not
// removed, did: these need not know that it was removed.
func (m *model) trashed(n *node, ref chunk.Ref) {
	m.w.note("node %d: long collection removes %v", n.id[0], ref.Offset)
	if m.refs[ref.Offset].forgotten > 0 { // as it was told to; who hands it over later may not know that it is removed
		m.w.Counts.Mistaken++
		return
	}
	m.w.Counts.Leftover++
	if r := m.refs[ref.Offset]; r.state != gone || !r.stoodIn && m.w.Counts.Seconds+m.w.Counts.Replaced == 0 {
		m.w.fail("node %d: long collection removes %v, which is in state %d and stood in %v", n.id[0], ref.Offset, r.state, r.stoodIn)
	}
}

// mistaken reports whether the metadata was wrong about a reference of a chunk. Then it may be that nobody who is asked for the chunk has it,
// until a node that is not asked has it back from its trash.
func (m *model) mistaken(h chunk.Hash) bool {
	return slices.ContainsFunc(m.refs, func(r *reference) bool { return r.hash == h && r.forgotten > 0 })
}

// living are the references that live.
func (m *model) living() []*reference {
	return slices.DeleteFunc(slices.Clone(m.refs), func(r *reference) bool { return r.state != living })
}

// compared is told when a node notes that it has compared with all other owners since its disk was empty. Then it knows of all that it owns and
// that lived when its disk was emptied.
func (m *model) compared(n *node) {
	for _, r := range n.contents.before {
		if r.state != living || r.forgotten > 0 || !owner(n.layouts(), r.hash)(n) {
			continue
		}
		if known := n.contents.chunks[r.hash]; known == nil || known.refs[r.Ref] != state.Live {
			m.w.fail("node %d says that it has compared with all owners, and does not know of %v of %x; all have %s", n.id[0], r.Offset, r.hash[:2], m.everywhere(r.hash))
		}
	}
	if n.contents.before != nil {
		n.contents.before = nil
		m.w.Counts.Compared++
	}
}

// pick picks a living reference.
func (m *model) pick() (chunk.Ref, chunk.Hash, bool) {
	all := m.living()
	if len(all) == 0 {
		return chunk.Ref{}, chunk.Hash{}, false
	}
	r := all[m.w.random.IntN(len(all))]
	return r.Ref, r.hash, true
}

// needed are the chunks that living references need, with these references, in order.
func (m *model) needed() map[chunk.Hash][]chunk.Ref {
	all := make(map[chunk.Hash][]chunk.Ref)
	for _, r := range m.refs {
		if r.state == living {
			all[r.hash] = append(all[r.hash], r.Ref)
		}
	}
	for _, refs := range all {
		slices.SortFunc(refs, chunk.Ref.Compare)
	}
	return all
}

// copies are the nodes that have a good copy that a crash leaves, of those that which says.
func (m *model) copies(h chunk.Hash, which func(*node) bool) (n int) {
	for _, at := range m.w.nodes {
		r := at.contents.chunks[h]
		if which(at) && r != nil && at.contents.good(h) && (len(r.live()) > 0 || slices.ContainsFunc(r.of(state.InTrash), m.needs)) {
			n++
		}
	}
	return n
}

// owner says which nodes own a chunk in the current layout.
func owner(a *layout.Active, h chunk.Hash) func(*node) bool {
	return func(n *node) bool { return a.Owns(n.id, h.Partition()) }
}

// lost is told when a node lets a good copy go.
func (m *model) lost(n *node, h chunk.Hash) {
	if !n.holds() {
		return
	}
	if _, needed := m.needed()[h]; needed && m.copies(h, func(o *node) bool { return o != n }) == 0 {
		m.w.fail("node %d let the last good copy of %x go", n.id[0], h[:2])
	}
}

// retired is told when there are fewer layouts in force.
func (m *model) retired(a *layout.Active) {
	for _, h := range m.hashes {
		// Those who stood in for owners may be the only ones that have it.
		in := func(n *node) bool { return a.Index(n.id) >= 0 || m.mistaken(h) }
		if _, needed := m.needed()[h]; needed && m.copies(h, in) == 0 {
			m.w.fail("layout %d is the oldest now, and no node of it or of a later one has %x", a.Oldest(), h[:2])
		}
	}
}

// spared reports whether every chunk that is needed, or only one, keeps a good copy at an owner when n loses its own; and, when n loses all it has,
// whether each reference that lives is there with such a copy, too.
func (m *model) spared(n *node, only *chunk.Hash) bool {
	for h, refs := range m.needed() {
		owns := owner(m.w.active, h)
		others := func(o *node) bool { return o != n && owns(o) }
		if only != nil {
			if h == *only && m.copies(h, others) == 0 {
				return false
			}
			continue
		}
		for _, ref := range refs {
			has := func(o *node) bool {
				r := o.contents.chunks[h]
				return others(o) && r != nil && r.refs[ref] == state.Live
			}
			if m.copies(h, has) == 0 {
				return false
			}
		}
	}
	return true
}

// unfinished says what is not yet as it is to be in the end, or is empty.
func (m *model) unfinished() string {
	a := m.w.active
	if a.Oldest() != a.Number() {
		return fmt.Sprintf("layout %d is still in force beside %d", a.Oldest(), a.Number())
	}
	needed := m.needed()
	for _, n := range m.w.order {
		if n.engine == nil || n.engine.Uncompared() {
			return fmt.Sprintf("node %d has not compared with all other owners since its disk was empty", n.id[0])
		}
		if len(n.contents.debts) > 0 {
			return fmt.Sprintf("node %d owes %d references", n.id[0], len(n.contents.debts))
		}
		for _, h := range m.hashes {
			refs, owns := needed[h], owner(a, h)(n)
			r := n.contents.chunks[h]
			switch {
			case len(refs) == 0 || !owns:
				if r != nil && r.Known() {
					return fmt.Sprintf("node %d still has %x; an owner: %v, needed: %v; all have %s", n.id[0], h[:2], owns, len(refs) > 0, m.everywhere(h))
				}
			case r == nil || !n.contents.good(h):
				return fmt.Sprintf("node %d owns %x and has no good copy", n.id[0], h[:2])
			case !slices.Equal(refs, r.live()):
				return fmt.Sprintf("node %d has %x with the references %v and not %v", n.id[0], h[:2], r.live(), refs)
			}
		}
		for h, r := range n.contents.chunks {
			if m.data[h] == nil && r.Place != state.Nowhere {
				return fmt.Sprintf("node %d has a chunk %x that nobody wrote", n.id[0], h[:2])
			}
		}
		if all := n.contents.strays(); len(all) > 0 {
			return fmt.Sprintf("node %d has a file of %x, and no entry says so", n.id[0], all[0][:2])
		}
	}
	return ""
}

// everywhere describes what each node knows of a chunk.
func (m *model) everywhere(h chunk.Hash) (all string) {
	for _, n := range m.w.order {
		r := n.contents.chunks[h]
		if r == nil {
			continue
		}
		var live, removed []uint64
		for ref, s := range r.refs {
			if s == state.Live {
				live = append(live, ref.Offset)
			} else {
				removed = append(removed, ref.Offset)
			}
		}
		slices.Sort(live)
		slices.Sort(removed)
		all += fmt.Sprintf("; node %d: place %d, live %v, removed %v", n.id[0], r.Place, live, removed)
	}
	return all
}
