package quorum

import "time"

// WriteConfig is what a Write is about. Durations of zero mean at once.
type WriteConfig struct {
	Owners   int
	Needed   int           // acknowledgements before the answer, usually Majority(Owners)
	Standing []Standing    // of each owner, or nil: all are ready
	Refer    bool          // it is a reference without the bytes: stand-ins are fed
	Grace    time.Duration // how long owners may go on after the answer
	Patience time.Duration // how long to wait once an owner that seems away is needed
	Retries  int           // how often each owner is tried again, while needed
	Backoff  time.Duration // before the first retry; doubles
}

// Standing is what is known of an owner before a write.
type Standing uint8

// The standings. Owners that are not ready are left out, and owed the write,
// unless they are needed. One that is away is replaced by a stand-in, if there is one.
const (
	Ready Standing = iota
	Busy           // it has as much under way as it can take
	Away           // it seems dead
)

// Write is one write to the owners of a partition.
//
// Until the answer, an owner that failed is tried again, and one that is not
// ready is tried, only when the owners still at work are too few. After the answer,
// an owner that has not acknowledged within Grace is owed the write.
//
// For an owner that is away from the start, or gives no answer, a stand-in takes the write, if there are any
// (Provide): one that acknowledges counts as the owner, and keeps the debt itself. A stand-in
// that fails is replaced by the next one, a few times; then the owner itself counts again.
type Write struct {
	config   WriteConfig
	standIns int  // that there are
	used     int  // of these, each for one owner
	outdated bool // an owner has a newer layout
	owners   []writeOwner
	out      []Action
	answered bool
	result   Result
	finished bool
	deadline time.Time // of the grace, or of the wait for an answer; zero: none
}

type writeOwner struct {
	state   writeState
	tries   int       // calls made
	retryAt time.Time // when waiting
	asked   uint32    // whom it was tried to record the debt with, a bit each
	standIn int       // who has its place, from 1; 0: itself
	stoodIn int       // how many had it
}

// MaxStandIns is how many nodes one after the other may stand in for an owner.
const MaxStandIns = 2

type writeState uint8

const (
	untried writeState = iota // not ready, so left out
	working                   // a call is under way
	waiting                   // for retryAt
	acked                     // durable there
	removed                   // the reference was removed there
	wanting                   // lacks the bytes
	failed                    // and may be tried again, if needed
	refused                   // and will not be
	owing                     // a debt is being recorded
	settled                   // it was recorded, or nobody could
	dropped                   // its call was given up, and nothing follows
)

// NewWrite makes the machine of a write; Start begins it. There are at most 32 owners.
func NewWrite(c WriteConfig) *Write {
	return &Write{config: c, owners: make([]writeOwner, c.Owners), out: make([]Action, 0, 2*c.Owners+2)}
}

// Provide says how many nodes can stand in for owners that are away, in the order in which they are asked to; none until it is called.
func (w *Write) Provide(standIns int) { w.standIns = standIns }

// Start sends the write to all owners that are ready, or to their stand-ins, and to others that are needed.
func (w *Write) Start(now time.Time) []Action {
	w.out = w.out[:0]
	for i := range w.owners {
		switch w.standing(i) {
		case Ready:
			w.send(i, Send)
		case Away:
			w.replace(i)
		}
	}
	return w.decide(now)
}

// Replied says how a call to an owner ended.
func (w *Write) Replied(owner int, o Outcome, now time.Time) []Action {
	w.out = w.out[:0]
	at := &w.owners[owner]
	if at.state != working {
		return w.out
	}
	switch o {
	case OK:
		at.state = acked
	case Removed:
		at.state = removed
	case Missing:
		at.state = wanting
	case Failed, Silent:
		at.state = failed
	default:
		at.state = refused
	}
	w.outdated = w.outdated || o == Outdated
	if (at.standIn > 0 || o == Silent) && (at.state == failed || at.state == refused) && !(w.answered && w.expired(now)) {
		w.replace(owner)
	}
	return w.decide(now)
}

// replace gives the place of an owner that is away to the next stand-in. When there is none it is the owner's again.
func (w *Write) replace(owner int) {
	o := &w.owners[owner]
	if o.stoodIn < MaxStandIns && w.used < w.standIns && !w.outdated {
		w.used++
		o.stoodIn++
		o.standIn = w.used
		if w.config.Refer {
			o.state = wanting
			return
		}
		w.send(owner, Send)
		return
	}
	if o.standIn > 0 {
		o.standIn, o.state = 0, untried
		if o.tries > 0 {
			o.state = failed
		}
	}
}

// Owed says whether the debt to owner was recorded by the node asked.
func (w *Write) Owed(owner int, recorded bool, now time.Time) []Action {
	w.out = w.out[:0]
	at := &w.owners[owner]
	if at.state != owing {
		return w.out
	}
	if recorded {
		at.state = settled
	} else {
		w.owe(owner)
	}
	return w.decide(now)
}

// Tick says what time it is.
func (w *Write) Tick(now time.Time) []Action {
	w.out = w.out[:0]
	return w.decide(now)
}

// Stop says that nobody waits any longer: what was not answered fails, and what
// was acknowledged is owed at once to the owners that are late.
func (w *Write) Stop(now time.Time) []Action {
	w.out = w.out[:0]
	w.deadline = now
	return w.decide(now)
}

// Wake is when Tick must be called if nothing happens before, or false.
func (w *Write) Wake() (time.Time, bool) {
	next := w.deadline
	for _, o := range w.owners {
		if o.state == waiting && (next.IsZero() || o.retryAt.Before(next)) {
			next = o.retryAt
		}
	}
	return next, !next.IsZero() && !w.finished
}

func (w *Write) count(states ...writeState) int {
	n := 0
	for _, o := range w.owners {
		for _, s := range states {
			if o.state == s {
				n++
			}
		}
	}
	return n
}

func (w *Write) standing(owner int) Standing {
	if w.config.Standing == nil {
		return Ready
	}
	return w.config.Standing[owner]
}

func (w *Write) do(a Action) { w.out = append(w.out, a) }

func (w *Write) send(owner int, how Do) {
	o := &w.owners[owner]
	o.state = working
	if o.standIn == 0 {
		o.tries++
	}
	w.do(Action{Do: how, Node: owner, StandIn: o.standIn})
}

// decide looks at the state after an event and at the time.
func (w *Write) decide(now time.Time) []Action {
	if w.finished {
		return w.out
	}
	if !w.answered {
		w.beforeAnswer(now)
	}
	if w.answered {
		w.afterAnswer(now)
	}
	return w.out
}

func (w *Write) expired(now time.Time) bool { return !w.deadline.IsZero() && !now.Before(w.deadline) }

func (w *Write) beforeAnswer(now time.Time) {
	acks := w.count(acked)
	switch {
	case w.count(removed) > 0:
		w.answer(Gone)
	case acks >= w.config.Needed:
		w.answer(Acknowledged)
		w.deadline = now.Add(w.config.Grace)
	case w.expired(now):
		w.giveUp()
	default:
		w.recruit(now)
		if !w.answered && w.count(working, waiting) == 0 {
			w.giveUp()
		}
	}
}

// giveUp answers a write that cannot be acknowledged any more.
func (w *Write) giveUp() {
	if w.nowhere() {
		w.answer(SendData)
		return
	}
	w.answer(Unavailable)
}

// nowhere reports whether nobody is known to have the bytes, and the owners that lack them are enough to acknowledge.
func (w *Write) nowhere() bool {
	n := 0
	for _, o := range w.owners {
		if o.state == wanting && o.standIn == 0 {
			n++
		}
	}
	return n >= w.config.Needed && w.count(acked) == 0
}

// recruit finds enough owners to reach the number needed: first those whose
// wait is over, then those that lack only the bytes, then those that are busy,
// then those that seem away, then those to try again. Where these are not enough it gives up.
func (w *Write) recruit(now time.Time) {
	for i := range w.owners {
		if o := &w.owners[i]; o.state == waiting && !now.Before(o.retryAt) {
			w.send(i, Send)
		}
	}
	acks := w.count(acked)
	if w.nowhere() {
		// Others may have the bytes, but that is worth no more than the grace.
		w.limit(now.Add(w.config.Grace))
		return
	}
	lacking := w.config.Needed - acks - w.count(working, waiting)
	if w.outdated && lacking > 0 {
		w.giveUp() // by the newer layout others may be needed
		return
	}
	recruited := func(o *writeOwner, from writeState) bool {
		if lacking <= 0 || o.state != from {
			return false
		}
		lacking--
		return true
	}
	for i := range w.owners {
		if acks > 0 && recruited(&w.owners[i], wanting) {
			w.send(i, Feed)
		}
	}
	for i := range w.owners {
		if w.standing(i) == Busy && recruited(&w.owners[i], untried) {
			w.send(i, Send)
		}
	}
	for i := range w.owners {
		if recruited(&w.owners[i], untried) {
			w.send(i, Send)
			w.limit(now.Add(w.config.Patience))
		}
	}
	for tries := 1; tries <= w.config.Retries; tries++ {
		for i := range w.owners {
			if o := &w.owners[i]; o.tries == tries && recruited(o, failed) {
				o.state = waiting
				o.retryAt = now.Add(w.config.Backoff << (tries - 1))
			}
		}
	}
	if acks == 0 && w.count(working, waiting) > 0 {
		lacking -= w.count(wanting) // they can be fed as soon as one acknowledges
	}
	if lacking > 0 {
		w.giveUp()
	}
}

// limit makes the write fail at t, if it is not to fail before.
func (w *Write) limit(t time.Time) {
	if w.deadline.IsZero() || t.Before(w.deadline) {
		w.deadline = t
	}
}

func (w *Write) answer(r Result) {
	w.answered, w.result, w.deadline = true, r, time.Time{}
	w.do(Action{Do: Answer, Result: r})
}

// afterAnswer winds the write up: it gives up what is late and has it owed.
func (w *Write) afterAnswer(now time.Time) {
	if w.result != Acknowledged {
		for i := range w.owners {
			if o := &w.owners[i]; o.state == working {
				w.do(Action{Do: Cancel, Node: i})
				o.state = dropped
			}
		}
		w.finish()
		return
	}
	late := w.expired(now)
	for i := range w.owners {
		switch o := &w.owners[i]; o.state {
		case working:
			if late {
				w.do(Action{Do: Cancel, Node: i})
				w.owe(i)
			}
		case wanting:
			if o.standIn > 0 && !late {
				w.send(i, Feed)
			} else {
				w.owe(i)
			}
		case untried, waiting, failed, refused:
			w.owe(i)
		}
	}
	if late {
		w.deadline = time.Time{}
	}
	if w.count(working, owing) == 0 {
		w.finish()
	}
}

// owe asks the next owner that acknowledged to record what owner lacks.
func (w *Write) owe(owner int) {
	o := &w.owners[owner]
	for by := range w.owners {
		if w.owners[by].state == acked && o.asked&(1<<by) == 0 {
			o.asked |= 1 << by
			o.state = owing
			w.do(Action{Do: Owe, Node: owner, By: by})
			return
		}
	}
	o.state = settled
	w.do(Action{Do: Forget, Node: owner})
}

func (w *Write) finish() {
	w.finished = true
	w.do(Action{Do: Finish})
}
