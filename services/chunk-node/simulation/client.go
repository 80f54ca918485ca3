package simulation

import (
	"bytes"
	"context"
	"slices"
	"time"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// client is a gateway and what metadata knows through it: it writes references, removes them and reads chunks.
type client struct {
	w       *World
	id      chunk.NodeID // as which the network knows it
	layouts *layout.Active
	open    int // removals under way
}

// run does random things until the clients are to stop.
func (c *client) run() {
	for !c.w.stopping {
		c.w.pause(c.w.between(0, 10*time.Second))
		if c.w.chance(2) {
			c.learn()
		}
		if c.layouts == nil {
			continue
		}
		switch roll := c.w.random.IntN(10); {
		case roll < 4:
			c.put()
		case roll < 6:
			c.remove()
		default:
			c.get()
		}
	}
}

// peer is a node of layouts as this client sees it.
func (c *client) peer(a *layout.Active, n uint16) *remote {
	return &remote{w: c.w, from: c.id, to: a.Nodes()[n].ID, layouts: a}
}

// learn takes over the layouts in force as Consul knows them.
func (c *client) learn() {
	if a := c.w.published(c.id); a != nil && a.Newer(c.layouts) {
		c.layouts = a
	}
}

// catchUp takes over the layouts of a node that refused a request because it is ahead.
func (c *client) catchUp(p *remote, err error) {
	if _, differs := layout.Differing(err); !differs {
		return
	}
	if a, err := p.current(); err == nil && a != nil && a.Newer(c.layouts) {
		c.layouts = a
	}
}

// at asks several nodes at the same time, and lets decide look at each answer until it says that it has seen enough.
// What is under way then goes on without the caller.
func at[T any](c *client, peers []*remote, ask func(i int, p *remote) (T, error), decide func(i int, value T, err error) (enough bool)) {
	type reply struct {
		i     int
		value T
		err   error
	}
	var inbox []reply
	var waiting func()
	for i, p := range peers {
		c.w.scheduler.start(func() {
			value, err := ask(i, p)
			if inbox = append(inbox, reply{i, value, err}); waiting != nil {
				c.w.after(0, waiting)
				waiting = nil
			}
		})
	}
	for seen := range peers {
		if len(inbox) <= seen {
			c.w.wait(func(wake func()) { waiting = wake })
		}
		if r := inbox[seen]; decide(r.i, r.value, r.err) {
			return
		}
	}
}

// generations is how often something is done again with newer layouts.
const generations = 3

// put writes a new reference of a chunk, a new one or one that is there.
func (c *client) put() {
	ref, h, data := c.w.model.newRef()
	byRef := c.w.chance(2)
	for range generations {
		used := c.layouts
		if c.write(used, ref, h, data, byRef) {
			c.w.note("client %d: %v of %x acknowledged", c.id[1], ref.Offset, h[:2])
			c.w.model.acknowledge(ref)
			return
		}
		if c.layouts == used {
			break
		}
	}
	c.w.note("client %d: %v of %x not acknowledged", c.id[1], ref.Offset, h[:2])
	c.w.model.abandon(ref)
	c.erase(ref, h)
}

// write sends a reference to all owners, or to others in the place of those that are away, and reports whether a majority has it.
func (c *client) write(used *layout.Active, ref chunk.Ref, h chunk.Hash, data []byte, byRef bool) bool {
	standIns := used.StandIns(h.Partition())
	var targets []*remote
	var standing, late []chunk.NodeID // of each: for whom it stands in, or nobody; who is not known to have it, or nobody
	for _, o := range used.Owners(h.Partition()) {
		to, id := o, used.Nodes()[o].ID
		for !c.w.believed(used.Nodes()[to].ID) && len(standIns) > 0 {
			to, standIns = standIns[0], standIns[1:]
		}
		targets, late = append(targets, c.peer(used, to)), append(late, id)
		if to == o {
			id = chunk.NodeID{}
		} else {
			c.w.model.standIn(ref)
		}
		standing = append(standing, id)
	}
	needed, held, removed, holder := len(targets)/2+1, 0, false, 0
	at(c, targets, func(i int, p *remote) (chunk.Outcome, error) {
		ctx := context.Background()
		if byRef && standing[i] == (chunk.NodeID{}) {
			if outcome, err := p.PutRef(ctx, h, ref); err != nil || outcome != chunk.SendData {
				return outcome, err
			}
		}
		return p.PutFor(ctx, h, buffer.FromBytes(data), ref, standing[i])
	}, func(i int, outcome chunk.Outcome, err error) bool {
		switch {
		case err != nil:
			c.catchUp(targets[i], err)
		case outcome == chunk.Gone:
			removed = true
		default:
			held, holder, late[i] = held+1, i, chunk.NodeID{}
		}
		return held >= needed && c.w.chance(2) || removed
	})
	if held < needed || removed {
		return false
	}
	for _, owner := range late { // whoever has it is told about those of which that is not known
		if owner != (chunk.NodeID{}) {
			c.w.scheduler.start(func() { _ = targets[holder].Owe(context.Background(), h, ref, owner) }) // a debt that is lost is found by a comparison
		}
	}
	return true
}

// remove removes a reference that is there.
func (c *client) remove() {
	if ref, h, found := c.w.model.pick(); found {
		c.w.model.remove(ref)
		c.erase(ref, h)
	}
}

// erase removes a reference everywhere, and tries until it has, as the sweeper does.
func (c *client) erase(ref chunk.Ref, h chunk.Hash) {
	c.open++
	c.w.scheduler.start(func() {
		defer func() { c.open-- }()
		for !c.eraseOnce(c.layouts, ref, h) {
			c.w.pause(c.w.between(time.Second, 30*time.Second))
			c.learn()
		}
		c.w.note("client %d: %v of %x removed", c.id[1], ref.Offset, h[:2])
		c.w.model.removed(ref)
	})
}

func (c *client) eraseOnce(used *layout.Active, ref chunk.Ref, h chunk.Hash) bool {
	var targets []*remote
	for _, n := range slices.Concat(used.Owners(h.Partition()), used.Former(h.Partition())) {
		targets = append(targets, c.peer(used, n))
	}
	everywhere := true
	at(c, targets, func(_ int, p *remote) (struct{}, error) {
		return struct{}{}, p.Delete(context.Background(), h, ref)
	}, func(i int, _ struct{}, err error) bool {
		if err != nil {
			everywhere = false
			c.catchUp(targets[i], err)
		}
		return false
	})
	return everywhere
}

// get reads a chunk, which must be there if a reference needs it all the time.
func (c *client) get() {
	ref, h, found := c.w.model.pick()
	if !found {
		return
	}
	for range generations {
		used := c.layouts
		data, err := c.read(used, h)
		switch {
		case err == nil:
			if !bytes.Equal(data, c.w.model.data[h]) {
				c.w.fail("a reader got other bytes of %x", h[:2])
			}
			c.w.Counts.Read++
			return
		case used != c.layouts:
			continue
		case c.w.model.needs(ref) && !c.w.model.mistaken(h) && (errors.Is(err, errors.NotFound) || errors.Is(err, errors.Corrupted)):
			c.w.fail("the chunk %x, which %v needs, was not found: %v", h[:2], ref.Offset, err)
		}
		return
	}
}

// read asks the owners, the former owners, then all other nodes that are alive, and the owners once more: one of those asked
// before may have got the chunk meanwhile from one that was asked later.
func (c *client) read(used *layout.Active, h chunk.Hash) ([]byte, error) {
	owners := used.Owners(h.Partition())
	asked := slices.Concat(owners, used.Former(h.Partition()))
	c.w.random.Shuffle(len(asked), func(i, j int) { asked[i], asked[j] = asked[j], asked[i] })
	for n := range used.Nodes() {
		if !slices.Contains(asked, uint16(n)) && c.w.believed(used.Nodes()[n].ID) {
			asked = append(asked, uint16(n))
		}
	}
	var unknown, bad error
	var repair []*remote
	for _, n := range slices.Concat(asked, owners) {
		p := c.peer(used, n)
		b, err := p.Get(context.Background(), h)
		switch {
		case err == nil:
			for _, p := range repair {
				c.w.scheduler.start(func() { _ = p.Repair(context.Background(), h, b) }) // or the node finds a copy itself
			}
			return b.Bytes(), nil
		case errors.Is(err, errors.Corrupted):
			bad, repair = err, append(repair, p)
		case !errors.Is(err, errors.NotFound):
			c.catchUp(p, err)
			unknown = err
		}
	}
	switch {
	case unknown != nil:
		return nil, errors.Wrap(errors.Unavailable, unknown, "reading")
	case bad != nil:
		return nil, bad
	}
	return nil, errors.Newf(errors.NotFound, "no node has it")
}
