package cluster

import (
	"context"
	"encoding/binary"
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
	"deuxfleurs.fr/garage/pkg/chunk/faults"
	"deuxfleurs.fr/garage/pkg/chunk/memory"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/quorum"
)

// ledger is a node that writes down what it holds and owes.
type ledger struct {
	*memory.Store
	mu    sync.Mutex
	debts map[debt]bool
	refs  map[debt]bool // owner left empty: references that it stored
}

type debt struct {
	hash  chunk.Hash
	ref   chunk.Ref
	owner chunk.NodeID
}

func (l *ledger) stored(h chunk.Hash, ref chunk.Ref, o chunk.Outcome, err error) (chunk.Outcome, error) {
	if err == nil && o == chunk.Stored {
		l.mu.Lock()
		l.refs[debt{hash: h, ref: ref}] = true
		l.mu.Unlock()
	}
	return o, err
}

func (l *ledger) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	o, err := l.Store.Put(ctx, h, data, ref)
	return l.stored(h, ref, o, err)
}

func (l *ledger) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	o, err := l.Store.PutRef(ctx, h, ref)
	return l.stored(h, ref, o, err)
}

func (l *ledger) PutFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	o, err := l.Store.PutFor(ctx, h, data, ref, owner)
	if err == nil && o == chunk.Stored {
		l.mu.Lock()
		l.debts[debt{h, ref, owner}] = true
		l.mu.Unlock()
	}
	return l.stored(h, ref, o, err)
}

func (l *ledger) Owe(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	l.mu.Lock()
	l.debts[debt{h, ref, owner}] = true
	l.mu.Unlock()
	return l.Store.Owe(ctx, h, ref, owner)
}

func (l *ledger) has(d debt, in map[debt]bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return in[d]
}

// unreliable is a fault that fails calls at random, until it is calmed.
type unreliable struct {
	mu   sync.Mutex
	r    *rand.Rand
	calm bool
}

func (u *unreliable) fault(ctx context.Context, op faults.Op, h chunk.Hash) error {
	u.mu.Lock()
	n, calm := u.r.IntN(100), u.calm
	u.mu.Unlock()
	switch {
	case calm:
		return nil
	case n < 8:
		return faults.Away(ctx, op, h)
	case n < 13:
		return faults.AnswerLost(ctx, op, h)
	case n < 16:
		return faults.Hang(ctx, op, h)
	case n < 18:
		return faults.Fail(errors.Overloaded)(ctx, op, h)
	}
	return nil
}

func (u *unreliable) set(calm bool) {
	u.mu.Lock()
	u.calm = calm
	u.mu.Unlock()
}

// Whatever fails, at any moment: an acknowledged write is on as many nodes as make a majority of the
// owners, and the owners that lack it are owed it; an acknowledged delete is final; no read
// returns other bytes; and nothing is left running.
func TestPromisesWhileNodesFailAtRandom(t *testing.T) {
	const nodes, workers, steps = 5, 6, 150
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	list := make([]layout.Node, nodes)
	members := make(map[chunk.NodeID]Member)
	ledgers := make(map[chunk.NodeID]*ledger)
	var moods []*unreliable
	for i := range list {
		id := nodeID(i)
		list[i] = layout.Node{ID: id, Zone: fmt.Sprint(i), Tokens: 10}
		ledgers[id] = &ledger{Store: memory.New(id), debts: map[debt]bool{}, refs: map[debt]bool{}}
		node := faults.New(ledgers[id])
		mood := &unreliable{r: rand.New(rand.NewPCG(seed, uint64(i)))}
		node.Set(mood.fault)
		moods = append(moods, mood)
		members[id] = Member{Node: node}
	}
	active := inForce(t, 1, 3, list)
	settings := Defaults
	settings.Grace, settings.Patience, settings.Backoff = 3*time.Millisecond, 10*time.Millisecond, time.Millisecond
	settings.WriteTimeout, settings.ReadTimeout, settings.SideTimeout = 100*time.Millisecond, 100*time.Millisecond, 20*time.Millisecond
	settings.LateBytes = 20 << 10
	settings.Health.Guess, settings.Health.MinHedge = time.Millisecond, time.Millisecond
	settings.Health.FirstProbe, settings.Health.LastProbe = 5*time.Millisecond, 20*time.Millisecond
	s, err := New(Config{Layouts: active, Members: members, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Settings: settings})
	require.NoError(t, err)

	type kept struct {
		hash    chunk.Hash
		data    []byte
		ref     chunk.Ref
		deleted bool // acknowledged; a delete that failed takes the reference out of the list
	}
	var mu sync.Mutex
	var acknowledged []kept
	var wg sync.WaitGroup
	var counts [4]int
	for worker := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(100+worker)))
			var mine []kept
			for step := range steps {
				ref := chunk.Ref{Attempt: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, worker)), Offset: uint64(step)}
				var target *kept
				if len(mine) > 0 {
					target = &mine[r.IntN(len(mine))]
				}
				switch n := r.IntN(10); {
				case n < 4 || target == nil:
					// Some chunks are equal, of several workers too.
					data := make([]byte, 500+r.IntN(3000))
					_, _ = rand.NewChaCha8([32]byte(binary.BigEndian.AppendUint64(make([]byte, 24), r.Uint64N(1<<uint(4+r.IntN(40)))))).Read(data)
					b := buffer.FromBytes(data)
					if o, err := s.Put(context.Background(), chunk.HashOf(b), b, ref); err == nil && o == chunk.Stored {
						mine = append(mine, kept{hash: chunk.HashOf(b), data: data, ref: ref})
						mu.Lock()
						counts[0]++
						mu.Unlock()
					}
				case n < 6:
					if o, err := s.PutRef(context.Background(), target.hash, ref); err == nil && o == chunk.Stored {
						mine = append(mine, kept{hash: target.hash, data: target.data, ref: ref})
						mu.Lock()
						counts[1]++
						mu.Unlock()
					}
				case n < 7 && !target.deleted:
					if err := s.Delete(context.Background(), target.hash, target.ref); err == nil {
						target.deleted = true
						mu.Lock()
						counts[2]++
						mu.Unlock()
						continue
					}
					*target = mine[len(mine)-1]
					mine = mine[:len(mine)-1]
				default:
					b, err := s.Get(context.Background(), target.hash)
					if err != nil {
						continue
					}
					if got := b.Bytes(); string(got) != string(target.data) {
						t.Errorf("a read returned other bytes of %v", target.hash)
					}
					b.Release()
					mu.Lock()
					counts[3]++
					mu.Unlock()
				}
			}
			mu.Lock()
			acknowledged = append(acknowledged, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	for _, m := range moods {
		m.set(true)
	}
	s.Close(time.Minute)
	forgotten := s.Counts().Forgotten
	t.Logf("%d puts, %d references, %d deletes, %d reads succeeded; %+v", counts[0], counts[1], counts[2], counts[3], s.Counts())
	require.Zero(t, s.Counts().Late)
	for _, n := range counts {
		require.NotZero(t, n, "too much fails to see anything")
	}

	unowed := int64(0)
	for _, k := range acknowledged {
		owners := active.Owners(k.hash.Partition())
		holders := 0
		for id, other := range ledgers { // those who stand in
			ref := debt{hash: k.hash, ref: k.ref}
			if !active.Owns(id, k.hash.Partition()) && other.has(ref, other.refs) && !k.deleted {
				holders++
			}
		}
		for _, o := range owners {
			id := active.Nodes()[o].ID
			node := ledgers[id]
			if k.deleted {
				out, err := node.PutRef(context.Background(), k.hash, k.ref)
				require.NoError(t, err)
				require.Equal(t, chunk.Gone, out, "a deleted reference is final")
				continue
			}
			if node.has(debt{hash: k.hash, ref: k.ref}, node.refs) {
				b, err := node.Get(context.Background(), k.hash)
				require.NoError(t, err)
				require.Equal(t, k.data, b.Bytes())
				holders++
				continue
			}
			recorded := false // a stand-in that has it, or an owner
			for _, other := range ledgers {
				recorded = recorded || other.has(debt{k.hash, k.ref, id}, other.debts)
			}
			if !recorded {
				unowed++
			}
		}
		if !k.deleted {
			require.GreaterOrEqual(t, holders, quorum.Majority(len(owners)))
		}
	}
	require.LessOrEqual(t, unowed, forgotten, "what lacks a copy is owed, or said aloud")
}
