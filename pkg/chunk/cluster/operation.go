package cluster

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/quorum"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// operation makes the calls of one Put, PutRef, Delete or Get and waits for
// their results, for the machine that decides. It belongs to one goroutine.
type operation struct {
	s       *Store
	ctx     context.Context // what the calls inherit: values, no end
	calls   []*call         // for each node of the machine the call under way, or nil
	results chan result
	over    chan struct{} // closed when nobody takes results any more
	timer   clock.Timer   // made when first needed
}

// call is one call to a peer, on behalf of a node of the machine.
type call struct {
	subject int
	peer    *peer
	cancel  context.CancelFunc
	bytes   int64 // that it sends
	began   time.Time
	expires time.Time // zero: when the operation ends it
}

// result is how a call ended. Whoever takes it out of the channel owns the data.
type result struct {
	call    *call
	debt    bool // it recorded a debt, or did not
	outcome quorum.Outcome
	data    *buffer.Buffer
	err     error
}

func (s *Store) operation(ctx context.Context, nodes int) *operation {
	return &operation{
		s: s, ctx: context.WithoutCancel(ctx), calls: make([]*call, nodes), results: make(chan result), over: make(chan struct{}),
	}
}

// start calls f, which sends that many bytes, in a goroutine of its own. limit
// bounds the call where the machine does not; zero is none.
func (o *operation) start(subject int, p *peer, bytes int64, limit time.Duration, f func(context.Context, *peer) result) {
	ctx, cancel := context.WithCancel(o.ctx)
	c := &call{subject: subject, peer: p, cancel: cancel, bytes: bytes, began: o.s.clock.Now()}
	p.begin(bytes)
	if limit > 0 {
		c.expires = c.began.Add(limit)
	}
	o.calls[subject] = c
	o.s.work.Add(1) // the operation is counted, so this is not the first
	go func() {
		defer o.s.work.Done()
		defer cancel()
		ctx, span := telemetry.StartSpan(ctx, "chunk.owner")
		if span.IsRecording() {
			span.SetAttributes(attribute.String("garage.node", p.id.String()), attribute.String("garage.zone", p.zone))
		}
		r := f(ctx, p)
		p.ended(r.err)
		telemetry.EndSpan(span, r.err)
		r.call = c
		select {
		case o.results <- r:
		case <-o.over:
			if r.data != nil {
				r.data.Release()
			}
		}
	}()
}

// current reports whether the result is that of a call not given up, and ends the call.
func (o *operation) current(r result) bool {
	if o.calls[r.call.subject] != r.call {
		if r.data != nil {
			r.data.Release()
		}
		return false
	}
	o.calls[r.call.subject] = nil
	return true
}

// busy reports whether a call is under way.
func (o *operation) busy() bool {
	return slices.ContainsFunc(o.calls, func(c *call) bool { return c != nil })
}

// giveUp cancels the call for a node. outrun says that it was a read, and another was faster.
func (o *operation) giveUp(subject int, outrun bool) {
	if c := o.calls[subject]; c != nil {
		o.calls[subject] = nil
		c.cancel()
		o.s.judgeLate(c, outrun)
	}
}

// abandon cancels all calls, and those that are still to be made; their results still come.
func (o *operation) abandon() {
	o.ctx = o.s.root
	for _, c := range o.calls {
		if c != nil {
			c.cancel()
		}
	}
}

// expire cancels the calls whose limit has passed; their results still come.
func (o *operation) expire(now time.Time) {
	for _, c := range o.calls {
		if c != nil && !c.expires.IsZero() && !now.Before(c.expires) {
			c.cancel()
			c.expires = time.Time{}
		}
	}
}

// wait waits until one of these happens, and says which: a result, the time
// (zero: no such time), the end of ctx or of the store.
func (o *operation) wait(ctx context.Context, until time.Time) (result, event) {
	for _, c := range o.calls {
		if c != nil && !c.expires.IsZero() && (until.IsZero() || c.expires.Before(until)) {
			until = c.expires
		}
	}
	var fires <-chan time.Time
	if !until.IsZero() {
		fires = o.fires(until)
	}
	select {
	case r := <-o.results:
		return r, replied
	case <-fires:
		return result{}, timePassed
	case <-ctx.Done():
		return result{}, callerLeft
	case <-o.s.root.Done():
		return result{}, storeClosed
	}
}

type event uint8

const (
	replied event = iota
	timePassed
	callerLeft
	storeClosed
)

func (o *operation) fires(until time.Time) <-chan time.Time {
	d := until.Sub(o.s.clock.Now())
	if o.timer == nil {
		o.timer = o.s.clock.NewTimer(d)
		return o.timer.C()
	}
	if !o.timer.Stop() {
		select {
		case <-o.timer.C(): // it fired and nobody looked
		default:
		}
	}
	o.timer.Reset(d)
	return o.timer.C()
}

// finish ends the operation; calls that are still under way were given up.
func (o *operation) finish() {
	close(o.over)
	if o.timer != nil {
		o.timer.Stop()
	}
}

// stopped is why an operation ended before it was answered.
func stopped(ctx context.Context, e event, limit time.Duration) error {
	switch e {
	case storeClosed:
		return errors.New("the chunk store is shutting down")
	case callerLeft:
		return ctx.Err()
	}
	return errors.Newf(errors.Deadline, "no answer in %v", limit)
}
