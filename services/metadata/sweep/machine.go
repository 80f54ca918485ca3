// Package sweep decides how garbage is swept: when to look for it, what to
// clean, what to drop, when to try again. It is a state machine: an event and the time in,
// actions out; no clock, goroutine, randomness or I/O. The metadata service carries the actions out.
//
// Order (invariant B of package meta): all references of an entry are deleted
// in the chunk store before the entry is dropped. An entry that could not be
// cleaned is left where it is; the next walk finds it again, with back-off, so
// what cannot be cleaned does not stand in the way of the rest and takes no memory.
// When many fail one after the other the chunk store is taken to be away: the
// walk ends, and the next one begins where it ended.
//
// What became garbage is left alone for a grace: who reads a large version that
// was replaced meanwhile still finds its chunk rows. New garbage calls for a walk
// a grace later, and what comes until then for one at most another grace later.
package sweep

import (
	"time"

	"deuxfleurs.fr/garage/pkg/meta"
)

// Rules are the settings.
type Rules struct {
	Interval time.Duration // between walks that nothing calls for
	Pause    time.Duration // between walks that new garbage calls for
	Grace    time.Duration // from when something became garbage until it is cleaned
	Idle     time.Duration // a single upload without progress for so long is given up
	RetryMin time.Duration // after a walk with failures
	RetryMax time.Duration // after many in a row
	Page     int           // entries listed at a time
	Cleaning int           // entries cleaned at the same time
	Batch    int           // entries dropped at a time
	GiveUp   int           // entries that fail to be cleaned one after the other before a walk ends
}

// Event is what happened.
type Event interface{ event() }

// Tick says that time passed.
type Tick struct{}

// Poke says that there is new garbage.
type Poke struct{}

// Listed answers List.
type Listed struct {
	Garbage []meta.Garbage
	Next    []byte // nil: the end
	Err     error
}

// Cleaned answers Clean.
type Cleaned struct {
	ID  []byte
	Err error
}

// Dropped answers Drop.
type Dropped struct{ Err error }

func (Tick) event()    {}
func (Poke) event()    {}
func (Listed) event()  {}
func (Cleaned) event() {}
func (Dropped) event() {}

// Action is what to do; each is answered by one event.
type Action interface{ action() }

// List asks for a page of garbage.
type List struct{ meta.ListGarbage }

// Clean deletes all references of an entry in the chunk store.
type Clean struct{ Garbage meta.Garbage }

// Drop removes entries whose references are deleted.
type Drop struct{ IDs [][]byte }

func (List) action()  {}
func (Clean) action() {}
func (Drop) action()  {}

// Machine is the sweeper's state. Its zero value is not usable: see New.
type Machine struct {
	rules Rules

	poked    bool      // there is garbage, or something to be tried again
	first    time.Time // the oldest garbage that no walk was for may be from here
	last     time.Time // and the newest
	fullAt   time.Time // when the next walk is due in any case
	pokedAt  time.Time // from when on a poke may start one
	failing  int       // walks with failures in a row
	walking  bool
	full     bool // the walk also looks for idle uploads
	listing  bool
	more     bool
	cursor   []byte
	resume   []byte         // where the next walk begins
	failures int            // to clean, one after the other
	queue    []meta.Garbage // listed and not begun
	cleaning int
	cleaned  [][]byte // to be dropped
	dropping bool
	failed   bool // something in this walk
}

// New makes a sweeper whose first walk is due at once.
func New(r Rules) *Machine { return &Machine{rules: r} }

// Step takes an event and says what to do.
func (m *Machine) Step(now time.Time, e Event) []Action {
	switch e := e.(type) {
	case Poke:
		if !m.poked {
			m.first = now
		}
		m.poked, m.last = true, now
	case Listed:
		m.listing = false
		if e.Err == nil { // else it may not be durably garbage
			m.queue = append(m.queue, e.Garbage...)
		}
		m.cursor, m.more = e.Next, e.Next != nil && e.Err == nil
		m.failed = m.failed || e.Err != nil
	case Cleaned:
		m.cleaning--
		m.failures++
		if e.Err == nil {
			m.cleaned = append(m.cleaned, e.ID)
			m.failures = 0
		}
		if m.failures >= m.rules.GiveUp {
			m.giveUp()
		}
		m.failed = m.failed || e.Err != nil
	case Dropped:
		m.dropping = false
		m.failed = m.failed || e.Err != nil
	}
	var actions []Action
	if !m.walking && m.due(now) {
		actions = append(actions, m.begin(now))
	}
	if m.walking {
		actions = append(actions, m.proceed(now)...)
	}
	return actions
}

func (m *Machine) due(now time.Time) bool {
	return !now.Before(m.fullAt) || m.poked && !now.Before(m.calledAt())
}

// calledAt is when the walk that the poke calls for is due.
func (m *Machine) calledAt() time.Time {
	if at := m.first.Add(m.patience()); at.After(m.pokedAt) {
		return at
	}
	return m.pokedAt
}

// patience is from the poke to the walk that finds its garbage: a little longer than the grace, because
// the store's clock may run ahead.
func (m *Machine) patience() time.Duration {
	if m.rules.Grace == 0 {
		return 0
	}
	return m.rules.Grace + m.rules.Pause
}

// Wake is when the machine next needs a Tick, if nothing else happens; ok is false while it waits for answers.
func (m *Machine) Wake() (at time.Time, ok bool) {
	switch {
	case m.walking:
		return time.Time{}, false
	case m.poked && m.calledAt().Before(m.fullAt):
		return m.calledAt(), true
	}
	return m.fullAt, true
}

// Busy is the number of entries that are listed, and not cleaned and dropped.
func (m *Machine) Busy() int { return len(m.queue) + m.cleaning + len(m.cleaned) }

func (m *Machine) begin(now time.Time) Action {
	m.full = !now.Before(m.fullAt)
	m.walking, m.failed, m.failures = true, false, 0
	// What came within the grace is left to another walk.
	m.poked, m.first = m.poked && m.last.Add(m.patience()).After(now), m.last
	m.cursor, m.resume = m.resume, nil
	return m.list(now)
}

func (m *Machine) list(now time.Time) Action {
	m.listing, m.more = true, false
	list := List{meta.ListGarbage{Cursor: m.cursor, Limit: m.rules.Page}}
	if m.rules.Grace > 0 {
		list.Before = now.Add(-m.rules.Grace)
	}
	if m.full {
		list.IdleBefore = now.Add(-m.rules.Idle)
	}
	return list
}

// giveUp leaves the rest of a walk to the next one.
func (m *Machine) giveUp() {
	if len(m.queue) > 0 || m.more {
		m.resume = m.cursor // behind the page at hand, or nil: the beginning
	}
	m.queue, m.more = nil, false
}

// proceed goes on with a walk, and ends it when nothing is left to do.
func (m *Machine) proceed(now time.Time) []Action {
	var actions []Action
	for m.cleaning < m.rules.Cleaning && len(m.queue) > 0 {
		actions = append(actions, Clean{m.queue[0]})
		m.queue = m.queue[1:]
		m.cleaning++
	}
	if m.more && !m.listing && len(m.queue) == 0 {
		actions = append(actions, m.list(now))
	}
	rest := m.cleaning > 0 || m.listing
	if !m.dropping && (len(m.cleaned) >= m.rules.Batch || len(m.cleaned) > 0 && !rest) {
		n := min(len(m.cleaned), m.rules.Batch)
		actions = append(actions, Drop{m.cleaned[:n:n]})
		m.cleaned = m.cleaned[n:]
		m.dropping = true
	}
	if !rest && !m.dropping && len(m.cleaned) == 0 {
		m.finish(now)
	}
	return actions
}

func (m *Machine) finish(now time.Time) {
	m.walking, m.queue, m.cleaned = false, nil, nil
	if m.failed {
		m.failing++
		wait := m.rules.RetryMax
		if shift := m.failing - 1; shift < 30 && m.rules.RetryMin<<shift < wait {
			wait = m.rules.RetryMin << shift
		}
		m.pokedAt, m.poked, m.first = now.Add(wait), true, time.Time{}
		if m.full {
			// What failed may be the part that only a full walk does.
			m.fullAt = now.Add(min(wait, m.rules.Interval))
		}
		return
	}
	m.failing = 0
	m.pokedAt = now.Add(m.rules.Pause)
	if m.full {
		m.fullAt = now.Add(m.rules.Interval)
	}
}
