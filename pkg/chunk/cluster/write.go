package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/quorum"
)

// write is a Put, PutRef or Delete under way. It belongs to one goroutine at a time.
type write struct {
	hash chunk.Hash
	ref  chunk.Ref
	verb string         // for errors
	data *buffer.Buffer // nil: no bytes are sent
	send func(context.Context, *peer) result
	feed func(context.Context, *peer) result
	all  bool // the owners themselves must do it: nobody stands in

	s        *Store
	op       *operation
	machine  *quorum.Write
	needed   int
	owners   []uint16
	looked   bool    // for stand-ins
	standIns []*peer // believed to answer
	places   []*peer // of each owner who has its place; nil: all owners have their own
	acked    int
	errs     []error // of each owner, the last
	answered bool
	answer   quorum.Result
	finished bool
}

// write runs w until it is answered, and leaves the rest to a goroutine.
func (s *Store) write(ctx context.Context, w *write, needed int) (chunk.Outcome, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	w.s, w.needed = s, needed
	standings, admitted, err := s.admit(ctx, w)
	if err != nil {
		s.end()
		return 0, err
	}
	w.op = s.operation(ctx, len(w.owners))
	w.errs = make([]error, len(w.owners))
	w.machine = quorum.NewWrite(quorum.WriteConfig{
		Owners: len(w.owners), Needed: needed, Standing: standings,
		Refer: w.data == nil, Grace: s.settings.Grace, Patience: s.settings.Patience, Retries: s.settings.Retries, Backoff: s.settings.Backoff,
	})
	if slices.Contains(standings, quorum.Away) {
		w.findStandIns()
	}
	w.perform(w.machine.Start(s.clock.Now()))
	admitted()
	cause := w.untilAnswer(ctx)
	outcome, err := w.outcome(cause)
	w.afterAnswer()
	return outcome, err
}

// size is the bytes sent to each owner.
func (w *write) size() int64 {
	if w.data == nil {
		return 0
	}
	return int64(w.data.Len())
}

// untilAnswer runs the write until it is answered. The error is why it was stopped, if it was.
func (w *write) untilAnswer(ctx context.Context) error {
	deadline := w.s.clock.Now().Add(w.s.settings.WriteTimeout)
	for !w.answered {
		until := deadline
		if wake, ok := w.machine.Wake(); ok && wake.Before(until) {
			until = wake
		}
		r, e := w.op.wait(ctx, until)
		now := w.s.clock.Now()
		switch {
		case e == replied:
			w.replied(r, now)
		case e == timePassed && now.Before(deadline):
			w.perform(w.machine.Tick(now))
		default:
			w.perform(w.machine.Stop(now))
			return stopped(ctx, e, w.s.settings.WriteTimeout)
		}
	}
	return nil
}

// afterAnswer sees to what follows the answer, in a goroutine of its own where
// there is room for one more. Otherwise the caller waits until what is missing
// is owed, which slows down who writes faster than the nodes keep up.
func (w *write) afterAnswer() {
	s := w.s
	if w.finished {
		w.op.finish()
		s.end()
		return
	}
	if w.data != nil {
		w.data.Retain() // for whoever stands in from now on
	}
	holds := w.size()
	writes, bytes := s.late.Add(1), s.bytes.Add(holds)
	crowded := writes > int64(s.settings.Late)
	rest := func() {
		w.untilFinished(crowded || bytes > s.settings.LateBytes)
		w.op.finish()
		if w.data != nil {
			w.data.Release()
		}
		s.bytes.Add(-holds)
		s.late.Add(-1)
	}
	if crowded {
		rest()
		s.end()
		return
	}
	<-s.slots
	go func() {
		defer s.work.Done()
		rest()
	}()
}

func (w *write) untilFinished(hurry bool) {
	if hurry {
		w.perform(w.machine.Stop(w.s.clock.Now()))
	}
	for !w.finished {
		wake, _ := w.machine.Wake()
		r, e := w.op.wait(context.Background(), wake)
		now := w.s.clock.Now()
		switch e {
		case replied:
			w.replied(r, now)
		case timePassed:
			w.op.expire(now)
			w.perform(w.machine.Tick(now))
		default: // the store waits no longer: every call, and every later one, is given up
			w.op.abandon()
			w.perform(w.machine.Stop(now))
			for !w.finished {
				w.replied(<-w.op.results, now)
			}
		}
	}
}

// perform carries out what the machine asks for.
func (w *write) perform(actions []quorum.Action) {
	for _, a := range actions {
		switch a.Do {
		case quorum.Send, quorum.Feed:
			switch w.place(a.Node, a.StandIn); {
			case a.StandIn > 0:
				owner := w.owner(a.Node).id
				w.s.counts.stoodIn.Add(1)
				w.call(a.Node, func(ctx context.Context, p *peer) result { return w.standIn(ctx, p, owner) })
			case a.Do == quorum.Feed:
				w.call(a.Node, w.feed)
			default:
				w.call(a.Node, w.send)
			}
		case quorum.Cancel:
			w.op.giveUp(a.Node, false)
		case quorum.Owe:
			w.owe(a.Node, w.peer(a.By))
		case quorum.Forget:
			w.s.counts.forgotten.Add(1)
			w.s.log.Error("no owner could record that a chunk lacks a copy: only the comparison of owners will find it",
				"chunk", w.hash, "node", w.owner(a.Node).id)
		case quorum.Answer:
			w.answered, w.answer = true, a.Result
		case quorum.Finish:
			w.finished = true
		}
	}
}

func (w *write) owner(i int) *peer { return w.s.peers[w.owners[i]] }

// peer is who has the place of an owner: itself, or a stand-in.
func (w *write) peer(owner int) *peer {
	if w.places == nil {
		return w.owner(owner)
	}
	return w.places[owner]
}

// place gives the place of an owner to the owner, or to a stand-in, counted from 1.
func (w *write) place(owner, standIn int) {
	if w.places == nil {
		if standIn == 0 {
			return
		}
		w.places = make([]*peer, len(w.owners))
		for i := range w.places {
			w.places[i] = w.owner(i)
		}
	}
	if standIn == 0 {
		w.places[owner] = w.owner(owner)
		return
	}
	w.places[owner] = w.standIns[standIn-1]
}

// findStandIns finds, when they are first needed, as many nodes as may be used to stand in, of those believed to answer.
func (w *write) findStandIns() {
	if w.all || w.looked {
		return
	}
	w.looked = true
	for _, n := range w.s.layouts.StandIns(w.hash.Partition()) {
		if p := w.s.peers[n]; p.standing(w.size()) == quorum.Ready {
			w.standIns = append(w.standIns, p)
		}
		if len(w.standIns) == quorum.MaxStandIns*len(w.owners) {
			break
		}
	}
	w.machine.Provide(len(w.standIns))
}

// call calls f for an owner, with the bytes kept until it returns.
func (w *write) call(owner int, f func(context.Context, *peer) result) {
	if w.data == nil {
		w.op.start(owner, w.peer(owner), 0, 0, f)
		return
	}
	data := w.data.Retain()
	w.op.start(owner, w.peer(owner), w.size(), 0, func(ctx context.Context, p *peer) result {
		defer data.Release()
		return f(ctx, p)
	})
}

// owe has by record that owner lacks the write.
func (w *write) owe(owner int, by *peer) {
	lacks := w.owner(owner).id
	w.s.counts.owed.Add(1)
	w.op.start(owner, by, 0, w.s.settings.SideTimeout, func(ctx context.Context, p *peer) result {
		return result{debt: true, err: p.node.Owe(ctx, w.hash, w.ref, lacks)}
	})
}

// replied tells the machine how a call ended.
func (w *write) replied(r result, now time.Time) {
	if !w.op.current(r) {
		return
	}
	w.s.judge(r.call, r.err)
	owner := r.call.subject
	if r.debt {
		if r.err != nil {
			w.s.log.Debug("a chunk-node could not record that another lacks a chunk",
				"chunk", w.hash, "node", r.call.peer.id, "lacking", w.owner(owner).id, "error", r.err)
		}
		w.perform(w.machine.Owed(owner, r.err == nil, now))
		return
	}
	w.errs[owner] = r.err
	switch {
	case r.outcome == quorum.OK:
		w.acked++
	case r.outcome == quorum.Silent:
		w.findStandIns()
	case w.s.newerAt(r.call.peer, r.err) != nil:
		r.outcome = quorum.Outdated
	}
	w.perform(w.machine.Replied(owner, r.outcome, now))
}

// outcome is what the caller is told; cause is why the write was stopped, or nil.
func (w *write) outcome(cause error) (chunk.Outcome, error) {
	switch w.answer {
	case quorum.Acknowledged:
		return chunk.Stored, nil
	case quorum.Gone:
		return chunk.Gone, nil
	case quorum.SendData:
		return chunk.SendData, nil
	}
	if newer := w.s.newest(w.errs, w.peer); newer != nil {
		return 0, newer
	}
	kind := kindOfFailure(cause, w.errs, w.needed, w.acked)
	return 0, errors.E(kind, errors.Chunk, w.hash.String(), "%s: %d of %d owners acknowledged, %d are needed%s",
		w.verb, w.acked, len(w.owners), w.needed, w.s.reasons(cause, w.errs, func(i int) *peer { return w.peer(i) }))
}

// kindOfFailure is the kind of an operation that too few nodes answered well:
// Unavailable, unless so many nodes say the same that they alone left too few
// of the needed ones, and it tells the caller something.
func kindOfFailure(cause error, errs []error, needed, good int) errors.Kind {
	says := func(kind errors.Kind) int {
		n := 0
		for _, err := range errs {
			if errors.Is(err, kind) {
				n++
			}
		}
		return n
	}
	switch {
	case good == 0 && says(errors.Invalid) > 0:
		return errors.Invalid // whatever the others would have said
	case errors.Is(cause, errors.Canceled):
		return errors.Canceled
	case cause != nil:
		return errors.Unavailable
	}
	for _, kind := range []errors.Kind{errors.Full, errors.Overloaded, errors.PermissionDenied} {
		if len(errs)-says(kind) < needed {
			return kind
		}
	}
	return errors.Unavailable
}

// reasons lists what each node answered, for an error.
func (s *Store) reasons(cause error, errs []error, peerOf func(int) *peer) string {
	var b strings.Builder
	for i, err := range errs {
		if err != nil {
			fmt.Fprintf(&b, "; node %v: %v", peerOf(i).id, err)
		}
	}
	if cause != nil {
		fmt.Fprintf(&b, "; %v", cause)
	}
	return b.String()
}
