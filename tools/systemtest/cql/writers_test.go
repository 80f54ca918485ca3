//go:build stack

package cql

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/metadata/cql"
)

var random = clock.SystemRandom

// skewed is a clock that is wrong.
type skewed struct {
	clock.System
	by time.Duration
}

func (s skewed) Now() time.Time { return s.System.Now().Add(s.by) }

// writers are metadata services on one keyspace, whose clocks differ.
func writers(t *testing.T, step func(ctx context.Context, name string)) []*cql.Store {
	var stores []*cql.Store
	for _, by := range []time.Duration{0, -3 * time.Second, 3 * time.Second} {
		c := config(skewed{by: by})
		c.Step = step
		stores = append(stores, open(t, c))
	}
	return stores
}

// places are those between two steps of a conditional write.
var places = []string{"claimed", "read", "decided", "written", "release"}

// pause is a holder that stops at a step, until it is told to go on.
type pause struct {
	step    string
	reached chan struct{}
	resume  chan struct{}
	once    sync.Once
}

type pauseKey struct{}

// stopAt is the hook of stores whose calls may carry a pause.
func stopAt(ctx context.Context, name string) {
	if p, ok := ctx.Value(pauseKey{}).(*pause); ok && p.step == name {
		p.once.Do(func() {
			close(p.reached)
			<-p.resume
		})
	}
}

func TestAHolderOfAClaimMayPauseBetweenAnyTwoSteps(t *testing.T) {
	stores := writers(t, stopAt)
	h := newHistory(t, stores[0])
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	type operation = func(ctx context.Context, s meta.Store, key string, c meta.Condition)
	operations := map[string]operation{"put": h.put, "put upload": h.putUpload, "complete": h.complete, "delete": h.remove}
	others := map[string]operation{
		"conditional": h.put,
		"put": func(ctx context.Context, s meta.Store, key string, _ meta.Condition) {
			h.put(ctx, s, key, meta.Condition{})
		},
		"delete": func(ctx context.Context, s meta.Store, key string, _ meta.Condition) {
			h.remove(ctx, s, key, meta.Condition{})
		},
	}
	slots := make(chan struct{}, 20)
	var cases sync.WaitGroup
	for _, step := range places {
		for what, operation := range operations {
			for who, other := range others {
				cases.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					key := fmt.Sprintf("%s paused at %s, then %s", what, step, who)
					h.put(ctx, stores[2], key, meta.Condition{})
					match := meta.Condition{IfMatch: []string{h.get(ctx, stores[0], key)}}
					p := &pause{step: step, reached: make(chan struct{}), resume: make(chan struct{})}
					var holder sync.WaitGroup
					holder.Go(func() { operation(context.WithValue(ctx, pauseKey{}, p), stores[0], key, match) })
					select {
					case <-p.reached:
					case <-ctx.Done():
						t.Errorf("%s: the step is not reached", key)
					}
					other(ctx, stores[1], key, match)
					h.get(ctx, stores[2], key)
					close(p.resume)
					holder.Wait()
					h.get(ctx, stores[1], key)
					h.list(ctx, stores[2], key)
				})
			}
		}
	}
	cases.Wait()
	h.check()
}

// each is how many operations a client does; a soak run takes 300.
var each = flag.Int("each", 60, "operations of each of the clients whose history is checked")

func TestConditionalAndOtherWritersAreLinearizableUnderFaults(t *testing.T) {
	n := third(t)
	var calls, paused sync.Map
	stores := writers(t, func(ctx context.Context, name string) {
		// Some holders stop for longer than their claim lasts.
		count, _ := calls.LoadOrStore(name, new(atomic.Int64))
		if count.(*atomic.Int64).Add(1)%8 == 3 {
			paused.Store(name, true)
			_ = clock.Sleep(ctx, clock.System{}, 6*lease)
		}
	})
	h := newHistory(t, stores[0])
	clients := 3 * len(stores)
	var done atomic.Int64
	var work sync.WaitGroup
	for i := range clients {
		work.Go(func() {
			rnd := rand.New(rand.NewPCG(7, uint64(i)))
			last := make(map[string]string)
			for range *each {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				s, key := stores[i%len(stores)], fmt.Sprint("k", rnd.IntN(5))
				match := meta.Condition{IfMatch: []string{last[key]}}
				switch rnd.IntN(10) {
				case 0, 1: // no uploads: one whose commit fails is taken back, and may have been seen
					h.put(ctx, s, key, meta.Condition{})
				case 2:
					h.remove(ctx, s, key, meta.Condition{})
				case 3:
					h.put(ctx, s, key, meta.Condition{IfNoneMatch: []string{"*"}})
				case 4:
					h.put(ctx, s, key, match)
				case 5:
					h.remove(ctx, s, key, match)
				case 6:
					h.list(ctx, s, key)
				default:
					if saw := h.get(ctx, s, key); saw != "" && saw != absent {
						last[key] = saw
					}
				}
				cancel()
				done.Add(1)
			}
		})
	}
	faults := []func(){n.pause, n.resume, n.kill, n.boot}
	for i, fault := range faults {
		after := int64((i + 1) * clients * *each / (len(faults) + 2))
		require.Eventually(t, func() bool { return done.Load() >= after }, 10*time.Minute, 10*time.Millisecond)
		fault()
	}
	work.Wait()
	h.check()
	for _, step := range places {
		_, ok := paused.Load(step)
		require.True(t, ok, "no holder was paused at %q", step)
	}
}
