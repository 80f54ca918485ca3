package quorum

import "time"

// ReadConfig is what a Read is about.
type ReadConfig struct {
	Owners  int             // nodes 0 … Owners-1, in the order in which to ask them
	Others  int             // the nodes after them: alive, and asked when no owner has the bytes
	Hedge   []time.Duration // of each owner: how long to wait for it before another is asked
	Width   int             // how many of the others are asked at the same time
	Retries int             // how often owners that failed are asked again
	Backoff time.Duration   // before the first retry; doubles
}

// Read is one read from the owners of a partition.
//
// A node may hand a chunk over to the owners while one after the other is asked: they did not have it yet, and it has
// it no more. So the owners are asked a second time before the answer is that nobody has it.
type Read struct {
	config   ReadConfig
	nodes    []readState
	out      []Action
	hedgeAt  time.Time // zero: nobody left to hedge with
	retryAt  time.Time // zero: not waiting
	round    int
	again    bool // the owners were asked a second time
	finished bool
}

type readState uint8

const (
	unasked readState = iota
	asked
	sayNotFound
	sayBad
	sayFailed
)

// NewRead makes the machine of a read; Start begins it.
func NewRead(c ReadConfig) *Read {
	return &Read{config: c, nodes: make([]readState, c.Owners+c.Others), out: make([]Action, 0, 4)}
}

// Start asks the first owner.
func (r *Read) Start(now time.Time) []Action {
	r.out = r.out[:0]
	r.askOwner(now)
	return r.out
}

// Replied says how a call to a node ended.
func (r *Read) Replied(node int, o Outcome, now time.Time) []Action {
	r.out = r.out[:0]
	if r.finished || r.nodes[node] != asked {
		return r.out
	}
	switch o {
	case OK:
		r.found(node)
		return r.out
	case Missing:
		r.nodes[node] = sayNotFound
	case Bad:
		r.nodes[node] = sayBad
	default:
		r.nodes[node] = sayFailed
	}
	r.next(now)
	return r.out
}

// Tick says what time it is.
func (r *Read) Tick(now time.Time) []Action {
	r.out = r.out[:0]
	switch {
	case r.finished:
	case due(r.hedgeAt, now):
		r.askOwner(now)
	case due(r.retryAt, now):
		r.retryAt = time.Time{}
		for i := range r.config.Owners {
			if r.nodes[i] == sayFailed {
				r.ask(i)
			}
		}
	}
	return r.out
}

// Stop says that the caller waits no longer.
func (r *Read) Stop(time.Time) []Action {
	r.out = r.out[:0]
	if !r.finished {
		r.finish(Action{Do: Answer, Result: Unavailable})
	}
	return r.out
}

// Wake is when Tick must be called if nothing happens before, or false.
func (r *Read) Wake() (time.Time, bool) {
	switch {
	case r.finished:
		return time.Time{}, false
	case !r.hedgeAt.IsZero():
		return r.hedgeAt, true
	}
	return r.retryAt, !r.retryAt.IsZero()
}

func due(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func (r *Read) count(from, to int, s readState) int {
	n := 0
	for _, state := range r.nodes[from:to] {
		if state == s {
			n++
		}
	}
	return n
}

func (r *Read) ask(node int) {
	r.nodes[node] = asked
	r.out = append(r.out, Action{Do: Ask, Node: node})
}

// askOwner asks the first owner not asked yet and reports whether there was
// one. The next is asked when it takes longer than is usual for this one.
func (r *Read) askOwner(now time.Time) bool {
	r.hedgeAt = time.Time{}
	for i := range r.config.Owners {
		if r.nodes[i] == unasked {
			r.ask(i)
			if r.count(0, r.config.Owners, unasked) > 0 {
				r.hedgeAt = now.Add(r.config.Hedge[i])
			}
			return true
		}
	}
	return false
}

// next goes on after an answer that did not bring the bytes.
func (r *Read) next(now time.Time) {
	owners, all := r.config.Owners, len(r.nodes)
	if r.askOwner(now) || r.count(0, owners, asked) > 0 {
		return
	}
	for i := owners; i < all && r.count(owners, all, asked) < max(r.config.Width, 1); i++ {
		if r.nodes[i] == unasked {
			r.ask(i)
		}
	}
	if r.count(owners, all, asked) > 0 {
		return
	}
	switch {
	case r.count(0, owners, sayFailed) > 0 && r.round < r.config.Retries:
		r.retryAt = now.Add(r.config.Backoff << r.round)
		r.round++
	case r.count(0, all, sayFailed) > 0:
		r.finish(Action{Do: Answer, Result: Unavailable})
	case !r.again && r.count(0, owners, sayNotFound) > 0:
		r.again = true
		for i := range owners {
			if r.nodes[i] == sayNotFound {
				r.ask(i)
			}
		}
	case r.count(0, all, sayBad) > 0:
		r.finish(Action{Do: Answer, Result: Corrupted})
	default:
		r.finish(Action{Do: Answer, Result: NotFound})
	}
}

// found answers with the bytes of node and has bad copies repaired with them.
func (r *Read) found(node int) {
	r.nodes[node] = unasked // not to be given up
	r.finish(Action{Do: Answer, Node: node, Result: Found})
}

func (r *Read) finish(answer Action) {
	r.finished = true
	r.out = append(r.out, answer)
	for i, s := range r.nodes {
		switch {
		case s == asked:
			r.out = append(r.out, Action{Do: Cancel, Node: i})
		case s == sayBad && answer.Result == Found:
			r.out = append(r.out, Action{Do: Repair, Node: i})
		}
	}
	r.out = append(r.out, Action{Do: Finish})
}
