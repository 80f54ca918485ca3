package heal

import (
	"context"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

// returnPause is between the return of a node and the comparison with it: the debts come first.
const returnPause = 30 * time.Second

const missingNote = "%d chunks have no good copy here, and none was to be had"

// repair is the task that makes whole what the node should hold: it fetches what it lacks, pays what it owes, and compares with the other
// owners, at intervals and with each node that returns. After a start it compares with all, since it may have missed anything.
type repair struct {
	*Engine
	turn turn

	creditors map[chunk.NodeID]*creditor
	returned  map[chunk.NodeID]time.Time // when a node was seen to be alive; those that are away are not in it
	compared  map[chunk.NodeID]time.Time // when the comparison with a node last began
	next      time.Time                  // of the next comparison with all; zero: none was made yet

	incarnation    uuid.UUID             // of the node's disks
	hadNoLayout    bool                  // when it started
	comparedWith   map[chunk.NodeID]bool // nodes with which all that can be compared was compared since the start, under the layouts in force
	oldest, number uint64                // of these layouts, the first and the last
}

// ComparedNote is the name of the note with the incarnation of the disks for which the node has compared with all other owners.
const ComparedNote = "compared"

// Pass implements tasks.Job.
func (r *repair) Pass(ctx context.Context, p *tasks.Progress) (time.Duration, error) {
	wait, err := r.pass(ctx, p)
	if errors.IsTarget(err, errMoved) {
		return 0, nil
	}
	return wait, err
}

func (r *repair) pass(ctx context.Context, p *tasks.Progress) (time.Duration, error) {
	a := r.peers.Layouts()
	if a == nil {
		if p.Idle(); p.Asked() > 0 {
			p.Stuck("no layout is adopted yet, so there is no node to ask")
		}
		return idle, nil
	}
	r.follow(a)
	if err := r.conclude(ctx, a); err != nil {
		return 0, err
	}
	answers := p.Asked()
	now := r.deps.Clock.Now()
	if with := r.due(a, now, answers > 0); with != nil {
		return 0, r.round(ctx, p, a, with, answers)
	}
	missing, unwanted := r.wanted(ctx, p, a, false)
	if final(ctx, unwanted) {
		return 0, unwanted
	}
	left, unpaid := r.debts(ctx, p, a, false)
	if err := errors.Join(unpaid, unwanted); err != nil {
		return 0, err
	}
	p.Idle()
	switch {
	case missing > 0:
		p.Note(missingNote, missing)
	case left != "":
		p.Note("%s", left)
	}
	return idle, nil
}

// follow takes note of who is alive, and of the layouts: under other ones there is other to compare.
func (r *repair) follow(a *layout.Active) {
	if r.returned == nil {
		r.creditors, r.returned, r.compared = make(map[chunk.NodeID]*creditor), make(map[chunk.NodeID]time.Time), make(map[chunk.NodeID]time.Time)
	}
	if r.oldest != a.Oldest() || r.number != a.Number() {
		r.oldest, r.number, r.comparedWith = a.Oldest(), a.Number(), make(map[chunk.NodeID]bool)
	}
	for _, n := range a.Nodes() {
		if n.ID == r.deps.ID {
			continue
		}
		_, was := r.returned[n.ID]
		switch is := r.peers.Alive(n.ID); {
		case is && !was:
			r.returned[n.ID] = r.deps.Clock.Now()
			delete(r.creditors, n.ID) // its debts are paid at once
		case !is && was:
			delete(r.returned, n.ID)
		}
	}
}

// open finds out whether the node has begun with an empty disk since it compared with every other owner.
func (r *repair) open(ctx context.Context) error {
	status, err := r.local.Status(ctx)
	if err != nil {
		return errors.Annotate(err, "reading the incarnation of the disks")
	}
	var last uuid.UUID
	if err := r.readNote(ctx, ComparedNote, &last); err != nil {
		return err
	}
	r.incarnation, r.hadNoLayout = status.Incarnation, r.peers.Layouts() == nil
	r.uncompared.Store(last != r.incarnation)
	return nil
}

// conclude takes note, durably, that the node is not uncompared any more, if all that it owns was compared with every other owner that is not given
// up. While an older layout is in force, a part of that comes by walks of others, which may have passed before the disk was emptied: so it ends with
// the older layouts, unless the walks are still to come. A node that begins with the first layout lacks nothing.
func (r *repair) conclude(ctx context.Context, a *layout.Active) error {
	if !r.uncompared.Load() {
		return nil
	}
	sharers := r.sharers(a)
	walksToCome := r.hadNoLayout && len(sharers) == 0 // it was new when it started, and owned nothing in the older layouts
	if a.Oldest() != a.Number() && !walksToCome {
		return nil
	}
	if r.hadNoLayout && a.Number() == 1 {
		sharers = nil
	}
	for _, id := range sharers {
		if !r.comparedWith[id] && !a.Lost(id) {
			return nil
		}
	}
	if err := r.writeNote(ctx, ComparedNote, r.incarnation); err != nil {
		return err
	}
	r.uncompared.Store(false)
	return nil
}

// sharers are the other owners of the partitions that can be compared.
func (r *repair) sharers(a *layout.Active) []chunk.NodeID {
	shares := make([]bool, len(a.Nodes()))
	for _, p := range r.comparable(a) {
		for _, n := range a.Owners(p) {
			shares[n] = true
		}
	}
	var all []chunk.NodeID
	for i, n := range a.Nodes() {
		if shares[i] && n.ID != r.deps.ID {
			all = append(all, n.ID)
		}
	}
	return all
}

// due says with which nodes to compare now: all if the time for it has come or the operator asks for it, else those that have returned; nil: with none.
func (r *repair) due(a *layout.Active, now time.Time, asked bool) func(chunk.NodeID) bool {
	uncompared := r.uncompared.Load()
	if r.next.IsZero() {
		if r.next = now.Add(returnPause); uncompared {
			r.next = now
		}
	}
	if asked || !now.Before(r.next) {
		return func(chunk.NodeID) bool { return true }
	}
	back := make(map[chunk.NodeID]bool)
	for id, since := range r.returned {
		due := r.compared[id].Before(since) && now.Sub(since) >= returnPause
		if uncompared && !r.comparedWith[id] { // it is tried again and again, and no debt comes first
			due = now.Sub(r.compared[id]) >= returnPause
		}
		if due && a.Index(id) >= 0 {
			back[id] = true
		}
	}
	if len(back) == 0 {
		return nil
	}
	return func(id chunk.NodeID) bool { return back[id] }
}

// round compares, and then fetches and pays everything, whether its time has come or not.
func (r *repair) round(ctx context.Context, p *tasks.Progress, a *layout.Active, with func(chunk.NodeID) bool, answers uint64) error {
	seed, err := r.seed()
	if err != nil {
		return err
	}
	partitions := inOrder(seed, r.comparable(a))
	began := r.deps.Clock.Now()
	p.Begin(began, a.Number(), 0, int64(len(partitions)))
	incomplete := make(map[chunk.NodeID]bool)
	problem, err := r.compare(ctx, p, a, partitions, with, incomplete)
	if final(ctx, err) {
		return err
	}
	for _, n := range a.Nodes() {
		if with(n.ID) {
			r.compared[n.ID] = began
			r.comparedWith[n.ID] = r.comparedWith[n.ID] || err == nil && !incomplete[n.ID]
		}
	}
	if err != nil { // no reason not to do the rest
		problem = err.Error()
	} else if err := r.conclude(ctx, a); err != nil {
		return err
	}
	_, unwanted := r.wanted(ctx, p, a, true)
	if final(ctx, unwanted) {
		return unwanted
	}
	left, unpaid := r.debts(ctx, p, a, true)
	if final(ctx, unpaid) {
		return unpaid
	}
	status, err := r.local.Status(ctx) // it counts those, too, that were tried so often that it was not their turn
	if err != nil {
		return err
	}
	if problem != "" {
		p.Problem("%s", problem)
	}
	if left != "" {
		p.Problem("%s", left)
	}
	if err := errors.Join(unpaid, unwanted); err != nil {
		p.Problem("%v", err)
	}
	if status.Wanted > 0 {
		p.Problem(missingNote, status.Wanted)
	}
	p.End(r.deps.Clock.Now(), answers)
	if with(r.deps.ID) {
		r.next = began.Add(r.config.RepairInterval)
	}
	return nil
}
