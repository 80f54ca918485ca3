package buffer

import (
	"container/list"
	"context"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// DefaultLimit is the default size of a process's pool in bytes.
const DefaultLimit = 256 << 20

const (
	// evictAfter is how long a caller waits for the pool before the slowest account is evicted.
	evictAfter = 500 * time.Millisecond
	// evictPause is the time between two evictions, in which memory comes back: many wait at the same time.
	evictPause = 50 * time.Millisecond
)

// quiet is how long a pool must not have been used before it gives its memory back.
const quiet = time.Minute

// Pool bounds the memory that bodies take in a process.
type Pool struct {
	clock clock.Clock
	limit int // segments

	mu       sync.Mutex
	used     int
	evicted  time.Time // when an account was last evicted
	free     [][]byte
	touched  bool      // since Run last looked
	waiters  list.List // of *waiter, in order of arrival
	accounts map[*Account]struct{}
}

type waiter struct {
	account *Account
	ready   chan []byte // gets one segment, or nil on eviction; whoever sends takes the waiter out of the list
}

// NewPool makes a pool of limit bytes, at least four segments.
func NewPool(limit int, c clock.Clock) *Pool {
	return &Pool{clock: c, limit: max(limit/SegmentSize, 4), accounts: make(map[*Account]struct{})}
}

// Used is the number of bytes taken, and Limit how many there are.
func (p *Pool) Used() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used * SegmentSize
}

// Limit is the size of the pool in bytes.
func (p *Pool) Limit() int { return p.limit * SegmentSize }

// Open starts an account. evict, if not nil, is called at most once, from
// another goroutine's call, when the account is evicted: it should end the
// account's work, for example by closing its connection.
func (p *Pool) Open(evict func()) *Account {
	now := p.clock.Now()
	a := &Account{pool: p, evict: evict, opened: now, moved: now}
	p.mu.Lock()
	p.accounts[a] = struct{}{}
	p.mu.Unlock()
	return a
}

// Account is what one request or connection holds of a pool.
type Account struct {
	pool    *Pool
	evict   func()
	release func() // of a buffer that belongs to no pool
	opened  time.Time

	// Guarded by pool.mu.
	held    int           // segments, including those waited for
	waiting int           // segments waited for
	since   time.Time     // when it began to wait, if it does
	waited  time.Duration // in total, until it last stopped
	carried int           // bytes held in buffers that others took
	bytes   int64         // passed in total
	moved   time.Time     // when bytes last passed, or a wait for memory ended
	closed  bool
	evicted bool
}

func releaseOnly(release func()) *Account {
	if release == nil {
		return nil
	}
	return &Account{release: release}
}

// New makes an empty buffer that takes its segments from the account's pool.
func (a *Account) New() *Buffer {
	b := &Buffer{account: a}
	b.refs.Store(1)
	return b
}

// Carry says that the account now holds n bytes in buffers that others took from the
// pool, and that passed bytes went on since it was last called: for who sends what
// others read, so that it can be evicted when it is slow.
func (a *Account) Carry(n, passed int) {
	a.pool.mu.Lock()
	a.carried = n
	a.bytes += int64(passed)
	a.moved = a.pool.clock.Now()
	a.pool.mu.Unlock()
}

// Close ends the account. Buffers that are still referenced stay valid and
// give their segments back when they are released.
func (a *Account) Close() {
	p := a.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	a.closed = true
	delete(p.accounts, a)
}

// take waits for a segment.
func (a *Account) take(ctx context.Context) ([]byte, error) {
	if a == nil || a.pool == nil {
		panic("buffer: a buffer without a pool cannot grow")
	}
	p := a.pool
	p.mu.Lock()
	if err := a.refused(); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	a.held++
	if p.used < p.limit && p.waiters.Len() == 0 {
		p.used++
		s := p.segment()
		p.mu.Unlock()
		return s, nil
	}
	a.beginWait()
	w := &waiter{account: a, ready: make(chan []byte, 1)}
	place := p.waiters.PushBack(w)
	p.mu.Unlock()
	return a.wait(ctx, w, place)
}

func (a *Account) wait(ctx context.Context, w *waiter, place *list.Element) ([]byte, error) {
	p := a.pool
	timer := p.clock.NewTimer(evictAfter)
	defer timer.Stop()
	for {
		select {
		case s := <-w.ready:
			if s == nil { // evicted while it waited
				return nil, errEvicted()
			}
			return s, nil
		case <-timer.C():
			p.evictSlowest()
			timer.Reset(evictPause)
		case <-ctx.Done():
			p.mu.Lock()
			select {
			case s := <-w.ready: // it came at the same moment: pass it on
				if s != nil {
					a.held--
					p.putBack(s)
				}
			default:
				p.waiters.Remove(place)
				a.endWait()
				a.held--
			}
			p.mu.Unlock()
			return nil, errors.Wrap(errors.KindOf(ctx.Err()), ctx.Err(), "waiting for memory")
		}
	}
}

// refused is called with the pool's lock held.
func (a *Account) refused() error {
	switch {
	case a.evicted:
		return errEvicted()
	case a.held >= max(a.pool.limit/4, 1):
		return errors.Newf(errors.Overloaded, "one request may hold at most %d bytes of memory", a.pool.limit/4*SegmentSize)
	}
	return nil
}

func errEvicted() error {
	return errors.Newf(errors.Overloaded, "memory is short and this was the slowest request: slow down and try again")
}

// passed counts bytes that arrived.
func (a *Account) passed(n int) {
	if a == nil || a.pool == nil {
		return
	}
	now := a.pool.clock.Now()
	a.pool.mu.Lock()
	a.bytes += int64(n)
	a.moved = now
	a.pool.mu.Unlock()
}

// give returns segments.
func (a *Account) give(segments [][]byte) {
	if a == nil {
		return
	}
	if a.pool == nil {
		a.release()
		return
	}
	p := a.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	a.held -= len(segments)
	for _, s := range segments {
		p.putBack(s[:0])
	}
}

// putBack hands a segment to the first waiter or keeps it. Called with the lock held.
func (p *Pool) putBack(s []byte) {
	s = s[:cap(s)]
	if first := p.waiters.Front(); first != nil {
		p.waiters.Remove(first)
		w := first.Value.(*waiter)
		w.account.endWait()
		w.ready <- s
		return
	}
	p.used--
	p.free = append(p.free, s)
}

// Run gives the memory of unused segments back to the Go runtime whenever the
// pool was not used for a minute, until ctx ends.
func (p *Pool) Run(ctx context.Context) error {
	for clock.Sleep(ctx, p.clock, quiet) == nil {
		p.mu.Lock()
		if !p.touched {
			p.free = nil
		}
		p.touched = p.used > 0
		p.mu.Unlock()
	}
	return nil
}

// segment is called with the lock held.
func (p *Pool) segment() []byte {
	p.touched = true
	if last := len(p.free) - 1; last >= 0 {
		s := p.free[last]
		p.free = p.free[:last]
		return s
	}
	return make([]byte, SegmentSize)
}

// beginWait and endWait are called with the pool's lock held.
func (a *Account) beginWait() {
	if a.waiting == 0 {
		a.since = a.pool.clock.Now()
	}
	a.waiting++
}

func (a *Account) endWait() {
	if a.waiting--; a.waiting == 0 {
		a.moved = a.pool.clock.Now()
		a.waited += a.moved.Sub(a.since)
	}
}

// slowness says how fast an account was while it did not wait for memory. It is not to be
// judged while it is new. Who has stopped is no faster than what it has in hand
// over the time since: what was swallowed at first, by buffers on the way, does not count for long.
func (a *Account) slowness(now time.Time) (rate float64, judged bool) {
	active, idle := now.Sub(a.opened)-a.waited, now.Sub(a.moved)
	if a.waiting > 0 {
		active -= now.Sub(a.since)
		idle = 0
	}
	seconds := func(d time.Duration) float64 { return max(d.Seconds(), 0.001) }
	return min(float64(a.bytes)/seconds(active), float64(max(a.carried, SegmentSize))/seconds(idle)), a.waiting > 0 || active >= evictAfter
}

// evictSlowest evicts the account with the lowest rate among those that hold
// something. Who waits for memory is not slow by itself: it is evicted only if nobody else can be.
func (p *Pool) evictSlowest() {
	now := p.clock.Now()
	p.mu.Lock()
	if now.Sub(p.evicted) < evictPause {
		p.mu.Unlock()
		return
	}
	var slowest *Account
	var rate float64
	for a := range p.accounts {
		if a.held == a.waiting && a.carried == 0 || a.evicted || a.evict == nil {
			continue
		}
		r, judged := a.slowness(now)
		if !judged {
			continue
		}
		if slowest == nil || (a.waiting > 0) == (slowest.waiting > 0) && r < rate || a.waiting == 0 && slowest.waiting > 0 {
			slowest, rate = a, r
		}
	}
	if slowest == nil {
		p.mu.Unlock()
		return
	}
	slowest.evicted = true
	p.evicted = now
	var next *list.Element
	for e := p.waiters.Front(); e != nil; e = next {
		next = e.Next()
		if w := e.Value.(*waiter); w.account == slowest {
			p.waiters.Remove(e)
			slowest.endWait()
			slowest.held--
			w.ready <- nil
		}
	}
	evict := slowest.evict
	p.mu.Unlock()
	evict()
}
