// Package faults is a chunk.Node that fails as it is told to, for tests: it
// passes every call on to another node, unless a fault stops it.
package faults

import (
	"context"
	"fmt"
	"sync"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Op is one of the methods of chunk.Node.
type Op uint8

// The methods.
const (
	Get Op = iota
	Put
	PutRef
	Delete
	Owe
	Repair
	Status
	numOps
)

var opNames = [numOps]string{"Get", "Put", "PutRef", "Delete", "Owe", "Repair", "Status"}

func (o Op) String() string {
	if o < numOps {
		return opNames[o]
	}
	return fmt.Sprintf("op %d", uint8(o))
}

// Fault decides about a call before it is passed on: an error fails it, without
// effect (but see AnswerLost). It is called by many goroutines at a time and
// may wait, until ctx ends.
type Fault func(ctx context.Context, op Op, h chunk.Hash) error

// Away fails every call at once, as a node does whose process has ended.
func Away(context.Context, Op, chunk.Hash) error {
	return errors.Newf(errors.Unavailable, "connection refused")
}

// Hang lets no call end before it is given up, as a node does that is paused.
func Hang(ctx context.Context, _ Op, _ chunk.Hash) error {
	<-ctx.Done()
	return ctx.Err()
}

// Fail fails every call with an error of the kind.
func Fail(kind errors.Kind) Fault {
	return func(_ context.Context, op Op, h chunk.Hash) error {
		return errors.E(kind, errors.Chunk, h.String(), "%v fails because the test says so", op)
	}
}

// AnswerLost passes every call on and fails it then, as a connection does that
// breaks before the answer arrives.
func AnswerLost(context.Context, Op, chunk.Hash) error { return errAnswerLost }

var errAnswerLost = errors.Newf(errors.Unavailable, "the answer was lost")

// Only limits a fault to some methods.
func Only(f Fault, ops ...Op) Fault {
	return func(ctx context.Context, op Op, h chunk.Hash) error {
		for _, o := range ops {
			if o == op {
				return f(ctx, op, h)
			}
		}
		return nil
	}
}

// Node passes calls on to another node. Make one with New.
type Node struct {
	next chunk.Node

	mu      sync.Mutex
	fault   Fault
	corrupt bool
	calls   [numOps]int
	running [numOps]int
}

var _ chunk.Node = (*Node)(nil)

// New makes a node without faults over next.
func New(next chunk.Node) *Node { return &Node{next: next} }

// Set makes f decide about later calls; nil ends all faults.
func (n *Node) Set(f Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = f
}

// Corrupt makes Get flip a bit of what it returns, without noticing, as a bad
// memory or wire does.
func (n *Node) Corrupt(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.corrupt = on
}

// Calls is how often a method was called, and Running how many of these calls
// have not ended.
func (n *Node) Calls(op Op) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls[op]
}

// Running is how many calls of a method have not ended.
func (n *Node) Running(op Op) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running[op]
}

// run decides about a call and passes it on.
func (n *Node) run(ctx context.Context, op Op, h chunk.Hash, call func() error) error {
	n.mu.Lock()
	n.calls[op]++
	n.running[op]++
	fault := n.fault
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.running[op]--
		n.mu.Unlock()
	}()
	if fault == nil {
		return call()
	}
	err := fault(ctx, op, h)
	if err == nil {
		return call()
	}
	if err == errAnswerLost {
		if failed := call(); failed != nil {
			return failed
		}
	}
	return err
}

// Get implements chunk.Store.
func (n *Node) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	var b *buffer.Buffer
	err := n.run(ctx, Get, h, func() (err error) {
		b, err = n.next.Get(ctx, h)
		return err
	})
	if err != nil {
		if b != nil { // the answer was lost
			b.Release()
		}
		return nil, err
	}
	n.mu.Lock()
	corrupt := n.corrupt
	n.mu.Unlock()
	if !corrupt {
		return b, nil
	}
	defer b.Release()
	bytes := b.Bytes()
	bytes[len(bytes)/2] ^= 1
	return buffer.FromBytes(bytes), nil
}

// Put implements chunk.Store.
func (n *Node) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (o chunk.Outcome, err error) {
	err = n.run(ctx, Put, h, func() error {
		o, err = n.next.Put(ctx, h, data, ref)
		return err
	})
	return o, err
}

// PutFor implements chunk.Node; it counts as a Put.
func (n *Node) PutFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (o chunk.Outcome, err error) {
	err = n.run(ctx, Put, h, func() error {
		o, err = n.next.PutFor(ctx, h, data, ref, owner)
		return err
	})
	return o, err
}

// PutRef implements chunk.Store.
func (n *Node) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (o chunk.Outcome, err error) {
	err = n.run(ctx, PutRef, h, func() error {
		o, err = n.next.PutRef(ctx, h, ref)
		return err
	})
	return o, err
}

// Delete implements chunk.Store.
func (n *Node) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	return n.run(ctx, Delete, h, func() error { return n.next.Delete(ctx, h, ref) })
}

// Owe implements chunk.Node.
func (n *Node) Owe(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	return n.run(ctx, Owe, h, func() error { return n.next.Owe(ctx, h, ref, owner) })
}

// Repair implements chunk.Node.
func (n *Node) Repair(ctx context.Context, h chunk.Hash, data *buffer.Buffer) error {
	return n.run(ctx, Repair, h, func() error { return n.next.Repair(ctx, h, data) })
}

// Status implements chunk.Node.
func (n *Node) Status(ctx context.Context) (s chunk.NodeStatus, err error) {
	err = n.run(ctx, Status, chunk.Hash{}, func() error {
		s, err = n.next.Status(ctx)
		return err
	})
	return s, err
}
