package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/chunk/faults"
	"deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// gated is a node that lets in only requests of the layout it has adopted, as chunk-nodes do.
type gated struct {
	*memory.Store
	id chunk.NodeID

	mu     sync.Mutex
	own    *layout.Active
	under  map[uint64]int // requests under way, by layout
	walked uint64
}

func (g *gated) number() uint64 {
	if g.own == nil {
		return 0
	}
	return g.own.Number()
}

func (g *gated) adopted() *layout.Active {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.own
}

func (g *gated) adopt(a *layout.Active) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.Newer(g.own) {
		g.own = a
	}
}

func (g *gated) enter(number uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if number != g.number() {
		return layout.Differs(g.number())
	}
	g.under[number]++
	return nil
}

func (g *gated) leave(number uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.under[number]--
}

// settled reports whether no request of an older layout is under way.
func (g *gated) settled(number uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for n, count := range g.under {
		if n < number && count > 0 {
			return false
		}
	}
	return true
}

// seen is a node as who has some layouts in force sees it: it hands them over where they are newer.
type seen struct {
	*gated
	layouts *layout.Active
	repeat  func(func()) // may make a call once more, later
}

func (s *seen) agreed(call func() error) error {
	try := func() error {
		if err := s.enter(s.layouts.Number()); err != nil {
			return err
		}
		defer s.leave(s.layouts.Number())
		return call()
	}
	err := try()
	if number, differs := layout.Differing(err); differs && number < s.layouts.Number() {
		s.adopt(s.layouts)
		return try()
	}
	return err
}

func (s *seen) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	b, err := s.Store.Get(ctx, h)
	if !errors.Is(err, errors.NotFound) {
		return b, err
	}
	if differs := s.agreed(func() error { return err }); differs != nil {
		return nil, differs
	}
	return nil, err
}

func (s *seen) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (o chunk.Outcome, err error) {
	bytes := data.Bytes()
	s.repeat(func() {
		_ = s.agreed(func() error { _, err := s.Store.Put(context.Background(), h, buffer.FromBytes(bytes), ref); return err })
	})
	err = s.agreed(func() error { o, err = s.Store.Put(ctx, h, data, ref); return err })
	return o, err
}

func (s *seen) PutFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (o chunk.Outcome, err error) {
	err = s.agreed(func() error { o, err = s.Store.PutFor(ctx, h, data, ref, owner); return err })
	return o, err
}

func (s *seen) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (o chunk.Outcome, err error) {
	s.repeat(func() {
		_ = s.agreed(func() error { _, err := s.Store.PutRef(context.Background(), h, ref); return err })
	})
	err = s.agreed(func() error { o, err = s.Store.PutRef(ctx, h, ref); return err })
	return o, err
}

func (s *seen) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	return s.agreed(func() error { return s.Store.Delete(ctx, h, ref) })
}

// changing is a cluster whose layouts change under load.
type changing struct {
	t     *testing.T
	nodes map[chunk.NodeID]*gated
	ids   []chunk.NodeID
	moods []*unreliable

	mu        sync.Mutex
	published *layout.Active
	work      sync.WaitGroup // calls that are repeated later
	r         *rand.Rand
}

func newChanging(t *testing.T, seed uint64, nodes int) *changing {
	c := &changing{t: t, nodes: map[chunk.NodeID]*gated{}, r: rand.New(rand.NewPCG(seed, 77))}
	for i := range nodes {
		id := nodeID(i)
		c.ids = append(c.ids, id)
		c.nodes[id] = &gated{Store: memory.New(id), id: id, under: map[uint64]int{}}
		c.moods = append(c.moods, &unreliable{r: rand.New(rand.NewPCG(seed, uint64(i)))})
	}
	c.publish()
	return c
}

func (c *changing) current() *layout.Active {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.published
}

// publish puts one more layout in force, of some of the nodes.
func (c *changing) publish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var nodes []layout.Node
	for _, i := range c.r.Perm(len(c.ids))[:3+c.r.IntN(len(c.ids)-2)] {
		nodes = append(nodes, layout.Node{ID: c.ids[i], Zone: fmt.Sprint(i % 3), Tokens: 1 + c.r.IntN(20)})
	}
	number, before := uint64(1), []layout.Placement(nil)
	var previous *layout.Assignment
	if c.published != nil {
		number, before, previous = c.published.Number()+1, c.published.Placements(), c.published.Current().Assignment
	}
	l, err := layout.New(number, 3, nodes)
	require.NoError(c.t, err)
	a, err := layout.Assign(previous, l)
	require.NoError(c.t, err)
	c.published, err = layout.NewActive(append(append([]layout.Placement(nil), before...), layout.Placement{Layout: l, Assignment: a})...)
	require.NoError(c.t, err)
}

// retire takes layouts out of force whose nodes have all walked under a newer one.
func (c *changing) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for all := c.published.Placements(); len(all) > 1; all = all[1:] {
		for _, n := range all[0].Layout.Nodes {
			if g := c.nodes[n.ID]; g.walked <= all[0].Layout.Number {
				return
			}
		}
		next, err := layout.NewActive(all[1:]...)
		require.NoError(c.t, err)
		c.published = next
	}
}

// walk hands over what the node holds for others, by the layout that it has adopted: heal does it in a chunk-node, with more care for
// the links and less for a test.
func (c *changing) walk(g *gated) {
	a := g.adopted()
	if a == nil || !g.settled(a.Number()) {
		return
	}
	for _, h := range g.Hashes() {
		refs := g.Live(h)
		data, err := g.Get(context.Background(), h)
		if err != nil {
			return // another owner brings it here, or a later walk finds it
		}
		stored := true
		for _, o := range a.Owners(h.Partition()) {
			if to := a.Nodes()[o].ID; to != g.id {
				stored = c.offer(g, &seen{gated: c.nodes[to], layouts: a, repeat: func(func()) {}}, h, data, refs) && stored
			}
		}
		data.Release()
		if !stored {
			return
		}
		g.mu.Lock()
		if g.own.Number() == a.Number() && !a.Owns(g.id, h.Partition()) {
			stored = g.Drop(h, refs)
		}
		g.mu.Unlock()
		if !stored {
			return
		}
	}
	g.walked = a.Number()
}

// offer gives a node a chunk with its references; one that was removed there is removed here.
func (c *changing) offer(g *gated, to *seen, h chunk.Hash, data *buffer.Buffer, refs []chunk.Ref) bool {
	all := true
	for _, ref := range refs {
		switch o, err := to.Put(context.Background(), h, data, ref); {
		case err != nil:
			return false
		case o == chunk.Gone:
			require.NoError(c.t, g.Delete(context.Background(), h, ref))
			all = false // these are not the references any more
		}
	}
	return all
}

// heal has some of the nodes, in any order, learn of the layouts and walk; the others go on with what they know.
func (c *changing) heal(some int) {
	for _, i := range c.r.Perm(len(c.ids))[:some] {
		g := c.nodes[c.ids[i]]
		if now := c.current(); now.Index(g.id) >= 0 && c.r.IntN(3) > 0 {
			g.adopt(now)
		}
		c.walk(g)
	}
	c.retire()
}

// client is a caller with layouts of its own, which may lag behind.
type client struct {
	c     *changing
	r     *rand.Rand
	own   *layout.Active
	store *Store
	olds  []*Store
}

func (k *client) follow(a *layout.Active) {
	if !a.Newer(k.own) {
		return
	}
	if k.store != nil {
		k.olds = append(k.olds, k.store)
	}
	members := make(map[chunk.NodeID]Member)
	for i, id := range k.c.ids {
		node := faults.New(&seen{gated: k.c.nodes[id], layouts: a, repeat: k.later})
		node.Set(k.c.moods[i].fault)
		members[id] = Member{Node: node}
	}
	settings := Defaults
	settings.Grace, settings.Patience, settings.Backoff = 3*time.Millisecond, 10*time.Millisecond, time.Millisecond
	settings.WriteTimeout, settings.ReadTimeout, settings.SideTimeout = 200*time.Millisecond, 200*time.Millisecond, 20*time.Millisecond
	settings.Health.Guess, settings.Health.MinHedge = time.Millisecond, time.Millisecond
	settings.Health.FirstProbe, settings.Health.LastProbe = 5*time.Millisecond, 20*time.Millisecond
	var err error
	k.own = a
	k.store, err = New(Config{Layouts: a, Members: members, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Settings: settings})
	require.NoError(k.c.t, err)
}

// later makes a call once more, a little later, now and then.
func (k *client) later(call func()) {
	if rand.IntN(10) > 0 {
		return
	}
	k.c.work.Go(func() {
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		call()
	})
}

// do makes an operation, again with the layouts of a node that has newer ones, as package membership does.
func (k *client) do(operation func(*Store) error) error {
	if k.r.IntN(20) == 0 {
		k.follow(k.c.current())
	}
	for range 3 {
		err := operation(k.store)
		newer := (*Newer)(nil)
		if !errors.As(err, &newer) {
			return err
		}
		k.follow(k.c.nodes[newer.Node].adopted())
	}
	return operation(k.store)
}

func (k *client) close() {
	for _, s := range append(k.olds, k.store) {
		s.Close(time.Minute)
	}
}

// Layouts change while nodes fail, calls are lost and repeated, and callers lag behind: what was acknowledged is found at every moment,
// and what was removed is gone in the end.
func TestLayoutsChangeUnderLoad(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := newChanging(t, seed, 7)
	type kept struct {
		hash chunk.Hash
		data []byte
		ref  chunk.Ref
	}
	var mu sync.Mutex
	var live, removed []kept
	var counts struct{ puts, reads, deletes, lost int }
	var load sync.WaitGroup
	stop := make(chan struct{})
	for worker := range 4 {
		load.Go(func() {
			k := &client{c: c, r: rand.New(rand.NewPCG(seed, uint64(100+worker)))}
			k.follow(c.current())
			defer k.close()
			var mine []kept
			for step := 0; ; step++ {
				select {
				case <-stop:
					mu.Lock()
					live = append(live, mine...)
					mu.Unlock()
					return
				default:
				}
				ref := chunk.Ref{Attempt: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, worker)), Offset: uint64(step)}
				switch n := k.r.IntN(10); {
				case n < 3 || len(mine) == 0:
					h, data := chunktest.Chunk(k.r.Int64N(1000), 400)
					bytes := data.Bytes()
					var o chunk.Outcome
					err := k.do(func(s *Store) (err error) { o, err = s.Put(ctx, h, data, ref); return err })
					if err == nil && o == chunk.Stored {
						mine = append(mine, kept{h, bytes, ref})
						mu.Lock()
						counts.puts++
						mu.Unlock()
					}
				case n < 4:
					at := k.r.IntN(len(mine))
					gone := mine[at]
					err := k.do(func(s *Store) error { return s.Delete(ctx, gone.hash, gone.ref) })
					mine = append(mine[:at], mine[at+1:]...) // it may be there or not, unless it was acknowledged
					if err == nil {
						mu.Lock()
						removed = append(removed, gone)
						counts.deletes++
						mu.Unlock()
					}
				default:
					want := mine[k.r.IntN(len(mine))]
					var b *buffer.Buffer
					err := k.do(func(s *Store) (err error) { b, err = s.Get(ctx, want.hash); return err })
					switch {
					case err == nil:
						if string(b.Bytes()) != string(want.data) {
							t.Errorf("other bytes of %v", want.hash)
						}
						b.Release()
						mu.Lock()
						counts.reads++
						mu.Unlock()
					case errors.Is(err, errors.NotFound):
						t.Errorf("%v is not found by layout %d: %v", want.hash, k.own.Number(), err)
						return
					default: // too many nodes failed, which is said
						mu.Lock()
						counts.lost++
						mu.Unlock()
					}
				}
			}
		})
	}
	progress := func() int {
		mu.Lock()
		defer mu.Unlock()
		return counts.puts + counts.reads + counts.deletes
	}
	for range 25 {
		for range c.r.IntN(5) {
			before := progress()
			c.heal(1 + c.r.IntN(len(c.ids)))
			require.Eventually(t, func() bool { return t.Failed() || progress() >= before+10 }, time.Minute, 100*time.Microsecond)
		}
		if len(c.current().Placements()) < 5 {
			c.publish()
		}
	}
	close(stop)
	load.Wait()
	c.work.Wait()
	for _, m := range c.moods {
		m.set(true)
	}
	t.Logf("%+v in layouts %d to %d", counts, c.current().Oldest(), c.current().Number())
	require.NotZero(t, counts.puts)
	require.NotZero(t, counts.reads)
	require.NotZero(t, counts.deletes)

	for range 40 {
		c.heal(len(c.ids))
	}
	now := c.current()
	require.Equal(t, now.Oldest(), now.Number(), "all that moved has moved")
	for _, k := range live {
		for _, o := range now.Owners(k.hash.Partition()) {
			require.Contains(t, c.nodes[now.Nodes()[o].ID].Live(k.hash), k.ref)
		}
	}
	for _, k := range removed {
		for _, g := range c.nodes {
			require.NotContains(t, g.Live(k.hash), k.ref, "removed, and back at %v", g.id)
		}
	}
}
