package simulation

import (
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// callTimeout is how long the answer to a request is waited for.
const callTimeout = 10 * time.Second

// network carries requests between machines: nodes, clients and the operator.
type network struct {
	*scheduler
	nodes   map[chunk.NodeID]*node            // those that Consul knows
	reach   func(from, to chunk.NodeID) *node // who is there for one who asks; nil: nobody
	rough   bool                              // messages are lost, late and come twice
	cut     map[[2]chunk.NodeID]bool          // links that carry nothing, each way for itself
	reached int                               // requests that arrived
}

// answer is what a request brought.
type answer struct {
	value any
	err   error
}

// delay draws how long a message takes; lost says that it never arrives.
func (n *network) delay(from, to chunk.NodeID) (d time.Duration, lost bool) {
	d = n.between(500*time.Microsecond, 20*time.Millisecond)
	if !n.rough {
		return d, n.cut[[2]chunk.NodeID{from, to}]
	}
	if n.chance(20) {
		d = n.between(0, 30*time.Second)
	}
	return d, n.chance(30) || n.cut[[2]chunk.NodeID{from, to}]
}

// call makes a request to a node and waits for the answer. handle runs there, in a process of its own.
func (n *network) call(from, to chunk.NodeID, handle func(*node) (any, error)) (any, error) {
	var got *answer
	n.wait(func(wake func()) {
		once := func(a answer) {
			if got == nil {
				got = &a
				wake()
			}
		}
		times := 1
		if n.rough && n.chance(30) {
			times = 2
		}
		for range times {
			n.request(from, to, handle, once)
		}
		n.after(callTimeout, func() {
			once(answer{err: errors.E(errors.Deadline, errors.Node, to.String(), "no answer came")})
		})
	})
	return got.value, got.err
}

// request carries a request and its answer once, unless they are lost.
func (n *network) request(from, to chunk.NodeID, handle func(*node) (any, error), answered func(answer)) {
	d, lost := n.delay(from, to)
	if lost {
		return
	}
	n.after(d, func() {
		at := n.reach(from, to)
		reply := func(a answer) {
			if d, lost := n.delay(to, from); !lost {
				n.after(d, func() { answered(a) })
			}
		}
		if at == nil || !at.up {
			reply(answer{err: errors.E(errors.Unavailable, errors.Node, to.String(), "nobody listens there")})
			return
		}
		n.reached++
		at.start(func() {
			value, err := handle(at)
			reply(answer{value, err})
		})
	})
}
