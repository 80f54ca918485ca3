package heal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

const walkName = "walk"

// walkNote is how far the walk is.
type walkNote struct {
	Walked uint64    `json:"walked"` // the last layout that was carried out to the end
	Layout uint64    `json:"layout"` // the one that is, or was last, being carried out
	Seed   uint64    `json:"seed"`   // of the order
	Began  time.Time `json:"began"`
	Total  int64     `json:"total"` // partitions
	Done   set       `json:"done,omitempty"`
	Ended  bool      `json:"ended"`
}

// rebalance is the task that hands over what the layout gives to others: it walks over everything that the node holds.
type rebalance struct {
	*Engine
	turn turn

	mu      sync.Mutex
	note    walkNote
	served  map[chunk.Partition][]chunk.NodeID // who has got all of a partition that is not done, since others were away
	counted time.Time                          // when foreign chunks were counted
	noted   time.Time                          // when the note was last written on the way
}

// Pass implements tasks.Job.
func (w *rebalance) Pass(ctx context.Context, p *tasks.Progress) (time.Duration, error) {
	a := w.peers.Layouts()
	if a == nil {
		p.Idle()
		return idle, nil
	}
	answers := p.Asked()
	if w.note.Layout != a.Number() || w.note.Ended && answers > 0 {
		if err := w.start(ctx, a); err != nil {
			return 0, err
		}
	}
	if w.note.Ended {
		p.Idle()
		return idle, w.count(ctx, a)
	}
	settling, end := context.WithTimeout(ctx, requestTimeout)
	err := w.peers.Settled(settling, a.Number())
	end()
	if err != nil {
		return 0, errors.Annotate(err, "waiting for requests of an older layout to end")
	}
	todo, unreadable, err := w.remaining(ctx, a)
	if err != nil {
		return 0, err
	}
	left := int64(len(todo) + len(unreadable))
	w.note.Total = max(w.note.Total, left)
	p.Begin(w.note.Began, a.Number(), w.note.Total-left, w.note.Total)
	way, err := w.walk(ctx, p, a, todo)
	switch {
	case errors.IsTarget(err, errMoved):
		return 0, nil
	case err != nil:
		return 0, err
	case way == "" && len(unreadable) > 0: // there may be the last copy of something on them
		way = unreadableNote(len(unreadable))
	}
	if way != "" {
		p.Stuck("%s", way)
		return stuckPause, w.count(ctx, a)
	}
	return 0, w.end(ctx, p, a, answers)
}

// start begins a walk.
func (w *rebalance) start(ctx context.Context, a *layout.Active) error {
	seed, err := w.seed()
	if err != nil {
		return err
	}
	next := walkNote{Walked: w.note.Walked, Layout: a.Number(), Seed: seed, Began: w.deps.Clock.Now()}
	if err := w.writeNote(ctx, walkName, next); err != nil {
		return err
	}
	w.note, w.served, w.counted = next, nil, time.Time{}
	return w.count(ctx, a)
}

// end notes that the walk is finished.
func (w *rebalance) end(ctx context.Context, p *tasks.Progress, a *layout.Active, answers uint64) error {
	next := w.note
	next.Ended, next.Walked, next.Done = true, a.Number(), nil
	if err := w.writeNote(ctx, walkName, next); err != nil {
		return err
	}
	w.note, w.served, w.counted = next, nil, time.Time{}
	w.walked.Store(next.Walked)
	p.End(w.deps.Clock.Now(), answers)
	w.deps.Logger.Info("the layout is carried out: all that belongs to other nodes is handed over", "layout", a.Number(),
		"took", w.deps.Clock.Now().Sub(next.Began).Round(time.Millisecond), "partitions", next.Total)
	return w.count(ctx, a)
}

// remaining are the partitions that the walk still has to look at, in its order, and those that it would have to and that cannot be read.
func (w *rebalance) remaining(ctx context.Context, a *layout.Active) (todo, unreadable []chunk.Partition, err error) {
	held, unreadable, err := w.local.Held(ctx)
	if err != nil {
		return nil, nil, err
	}
	done := func(p chunk.Partition) bool {
		targets, _ := w.targets(a, p)
		return w.note.Done.has(p) || len(targets) == 0
	}
	return inOrder(w.note.Seed, slices.DeleteFunc(held, done)), slices.DeleteFunc(unreadable, done), nil
}

// targets are the nodes to which a partition is to be handed, and whether to drop it then: all owners if the node is none of them, else
// the other ones that have not had it all along.
func (w *rebalance) targets(a *layout.Active, p chunk.Partition) (to []chunk.NodeID, drop bool) {
	to = owners(a, p)
	if !a.Owns(w.deps.ID, p) {
		return to, true
	}
	return slices.DeleteFunc(w.others(to), func(id chunk.NodeID) bool { return ownedAlways(a, id, p) }), false
}

// walk hands over partitions, and says what was in the way of those that are not done then.
func (w *rebalance) walk(ctx context.Context, p *tasks.Progress, a *layout.Active, todo []chunk.Partition) (way string, err error) {
	var out outage
	w.deps.Each(len(todo), func(i int) {
		w.mu.Lock()
		over := err != nil
		w.mu.Unlock()
		if over {
			return
		}
		reason, failed := w.partition(ctx, p, a, todo[i], &out)
		if failed == nil && reason == "" {
			failed = w.finished(ctx, p, todo[i])
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if reason != "" {
			way = reason
		}
		if failed != nil {
			err = failed
		}
	})
	return way, err
}

// noteInterval is how much of a walk a crash may cost: what was done is noted that often.
const noteInterval = 2 * time.Second

// finished notes that a partition is done.
func (w *rebalance) finished(ctx context.Context, p *tasks.Progress, partition chunk.Partition) error {
	p.Add(1, 0)
	w.mu.Lock()
	w.note.Done.add(partition)
	delete(w.served, partition)
	now := w.deps.Clock.Now()
	if now.Sub(w.noted) < noteInterval {
		w.mu.Unlock()
		return nil
	}
	w.noted = now
	next := w.note
	next.Done = slices.Clone(next.Done)
	w.mu.Unlock()
	return w.writeNote(ctx, walkName, next)
}

// partition hands over one partition; reason is what was in the way, if it is not done.
func (w *rebalance) partition(ctx context.Context, p *tasks.Progress, a *layout.Active, partition chunk.Partition, out *outage) (reason string, err error) {
	targets, drop := w.targets(a, partition)
	ready := slices.DeleteFunc(slices.Clone(targets), func(id chunk.NodeID) bool { return out.away(w.peers, id) })
	if len(ready) < len(targets) { // who is there gets it now, and again, as the rule for a drop wants it, when all are there
		away := slices.DeleteFunc(targets, func(id chunk.NodeID) bool { return slices.Contains(ready, id) })
		reason, drop = fmt.Sprintf("it waits for node %v, which is to get chunks and is away", away[0]), false
		if a.Lost(away[0]) {
			reason += ", and was declared lost: take it out with garage layout remove and garage layout apply"
		}
	}
	bad := ""
	for {
		if !drop {
			ready = w.unserved(partition, ready)
		}
		if len(ready) == 0 {
			break
		}
		err = w.chunks(ctx, partition, func(h chunk.Hash) error {
			failed := w.yield(ctx, w.turn, func() error { return w.one(ctx, p, a, h, ready, drop) })
			if failed == nil || final(ctx, failed) {
				return failed
			}
			bad = failed.Error()
			out.note(failed)
			if chunk.DiskFailed(failed) || slices.ContainsFunc(ready, func(id chunk.NodeID) bool { return out.away(w.peers, id) }) {
				return failed
			}
			return nil
		})
		unable, failed := diskFailedAt(err)
		if !failed {
			break
		}
		// For this partition, the node is as good as away.
		reason, bad, drop, err = err.Error(), "", false, nil
		ready = slices.DeleteFunc(ready, func(id chunk.NodeID) bool { return id == unable })
	}
	switch {
	case final(ctx, err):
		return "", err
	case err != nil:
		return err.Error(), nil
	case bad != "":
		return bad, nil
	case reason != "":
		w.mu.Lock()
		if w.served == nil {
			w.served = make(map[chunk.Partition][]chunk.NodeID)
		}
		w.served[partition] = append(w.served[partition], ready...)
		w.mu.Unlock()
	}
	return reason, nil
}

func (w *rebalance) unserved(partition chunk.Partition, ready []chunk.NodeID) []chunk.NodeID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(ready, func(id chunk.NodeID) bool { return slices.Contains(w.served[partition], id) })
}

// one hands over one chunk. One of which there is no good copy anywhere stays here, wanted: there is nothing to hand over.
func (w *rebalance) one(ctx context.Context, p *tasks.Progress, a *layout.Active, h chunk.Hash, to []chunk.NodeID, drop bool) error {
	err := w.give(ctx, p, a, h, to, drop)
	if err == nil || !errors.IsTarget(err, errNoCopy) {
		return err
	}
	entry, err := w.local.Chunk(ctx, h)
	if errors.Is(err, errors.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = w.restore(ctx, p, a, entry)
	if err == nil {
		return w.give(ctx, p, a, h, to, drop)
	}
	if !final(ctx, err) {
		p.Problem("chunk %v: %v", h, err)
	}
	if errors.IsTarget(err, errNowhere) {
		return nil
	}
	return err
}

func (w *rebalance) give(ctx context.Context, p *tasks.Progress, a *layout.Active, h chunk.Hash, to []chunk.NodeID, drop bool) error {
	if drop {
		return w.release(ctx, p, a, h)
	}
	entry, err := w.local.Chunk(ctx, h)
	if errors.Is(err, errors.NotFound) {
		return nil
	}
	if err == nil {
		_, err = w.hand(ctx, p, a, entry, to)
	}
	return err
}

// countInterval is how old the number of foreign chunks may be when the walk has ended, and walkInterval while it has not: there may be many then.
const (
	countInterval = time.Minute
	walkInterval  = 5 * time.Minute
)

// count counts the chunks that the node holds and does not own, those that wait for collection too.
func (w *rebalance) count(ctx context.Context, a *layout.Active) error {
	age := w.deps.Clock.Now().Sub(w.counted)
	if age < countInterval || age < walkInterval && !w.note.Ended {
		return nil
	}
	held, _, err := w.local.Held(ctx)
	if err != nil {
		return err
	}
	n := int64(0)
	for _, p := range held {
		if a.Owns(w.deps.ID, p) {
			continue
		}
		if err := w.chunks(ctx, p, func(chunk.Hash) error { n++; return nil }); err != nil && !chunk.DiskFailed(err) {
			return err
		}
	}
	w.foreign.Store(n)
	w.counted = w.deps.Clock.Now()
	return nil
}
