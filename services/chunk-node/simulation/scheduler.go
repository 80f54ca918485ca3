package simulation

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
)

// scheduler runs processes one at a time, in simulated time.
type scheduler struct {
	now     time.Time
	random  *rand.Rand
	queue   events
	serial  uint64 // of events: those of the same moment happen in the order in which they were planned
	running *process
	yielded chan struct{}
	all     []*process
	idle    []chan *process // turns of goroutines without a process
	trace   uint64
	log     func(string) // of every event; nil: none
	failure string       // what went wrong first
}

func newScheduler(seed uint64) *scheduler {
	return &scheduler{
		now: time.Unix(1_700_000_000, 0).UTC(), random: rand.New(rand.NewPCG(seed, seed)), yielded: make(chan struct{}),
	}
}

type event struct {
	at     time.Time
	serial uint64
	do     func()
}

func (e *event) before(o *event) bool {
	return e.at.Before(o.at) || e.serial < o.serial && e.at.Equal(o.at)
}

// events are a heap: the next one is the first.
type events []event

func (q *events) push(e event) {
	*q = append(*q, e)
	for i := len(*q) - 1; i > 0; {
		parent := (i - 1) / 2
		if !(*q)[i].before(&(*q)[parent]) {
			return
		}
		(*q)[i], (*q)[parent] = (*q)[parent], (*q)[i]
		i = parent
	}
}

func (q *events) pop() event {
	all := *q
	first, last := all[0], len(all)-1
	all[0], all[last] = all[last], event{}
	all = all[:last]
	*q = all
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if all[child].before(&all[least]) {
				least = child
			}
		}
		if least == i {
			return first
		}
		all[i], all[least] = all[least], all[i]
		i = least
	}
}

// after plans something, which must not wait.
func (s *scheduler) after(d time.Duration, do func()) {
	s.serial++
	s.queue.push(event{s.now.Add(max(d, 0)), s.serial, do})
}

// note adds something that happened to the trace.
func (s *scheduler) note(format string, args ...any) {
	line := fmt.Sprintf("%v ", s.now.Sub(time.Unix(1_700_000_000, 0))) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%x %s", s.trace, line) // never fails
	s.trace = h.Sum64()
	if s.log != nil {
		s.log(line)
	}
}

// fail ends the run with what went wrong.
func (s *scheduler) fail(format string, args ...any) {
	s.note("FAILED: "+format, args...)
	if s.failure == "" {
		s.failure = fmt.Sprintf("after %v: ", s.now.Sub(time.Unix(1_700_000_000, 0))) + fmt.Sprintf(format, args...)
	}
}

// run lets things happen until done says so, which is asked between events, something failed, or the time limit has passed.
func (s *scheduler) run(limit time.Duration, done func() bool) {
	until := s.now.Add(limit)
	for s.failure == "" && len(s.queue) > 0 && !s.queue[0].at.After(until) && !done() {
		e := s.queue.pop()
		s.now = e.at
		e.do()
	}
}

// close ends all processes.
func (s *scheduler) close() {
	for _, p := range s.all {
		s.kill(p)
	}
	for _, turn := range s.idle {
		close(turn)
	}
}

// process runs in a goroutine when it has the turn.
type process struct {
	s      *scheduler
	body   func()
	turn   chan *process // gets the process; closed when the goroutine is to end
	ticket uint64        // of the wait that it is in
	killed bool
	ended  bool
}

// start makes a process that begins now.
func (s *scheduler) start(body func()) *process {
	p := &process{s: s, body: body}
	if last := len(s.idle) - 1; last >= 0 {
		p.turn, s.idle = s.idle[last], s.idle[:last]
	} else {
		p.turn = make(chan *process)
		go s.work(p.turn)
	}
	if len(s.all) > 1000 {
		s.forget()
	}
	s.all = append(s.all, p)
	s.after(0, func() { s.give(p) })
	return p
}

// work runs one process after the other in a goroutine, until one is killed.
func (s *scheduler) work(turn chan *process) {
	for p := range turn {
		s.perform(p)
	}
}

func (s *scheduler) perform(p *process) {
	defer func() {
		if r := recover(); r != nil {
			s.fail("a process panicked: %v\n%s", r, debug.Stack())
		}
		if p.ended = true; !p.killed {
			s.idle = append(s.idle, p.turn)
		}
		s.yielded <- struct{}{}
	}()
	if p.killed {
		runtime.Goexit()
	}
	p.body()
}

// forget lets go of the processes that have ended.
func (s *scheduler) forget() {
	living := s.all[:0]
	for _, p := range s.all {
		if !p.ended {
			living = append(living, p)
		}
	}
	clear(s.all[len(living):])
	s.all = living
}

// give hands a process the turn and returns when it waits or has ended.
func (s *scheduler) give(p *process) {
	if p.ended {
		return
	}
	before := s.running
	s.running = p
	p.turn <- p
	<-s.yielded
	s.running = before
}

// kill ends a process where it waits, without another step. It must not be called by that process.
func (s *scheduler) kill(p *process) {
	p.killed = true
	s.give(p)
}

// wait gives the turn back until the process is woken with the ticket that plan gets.
func (s *scheduler) wait(plan func(wake func())) {
	p := s.running
	p.ticket++
	ticket := p.ticket
	if !p.killed {
		plan(func() {
			if p.ticket == ticket {
				p.ticket++
				s.give(p)
			}
		})
		s.yielded <- struct{}{}
		<-p.turn
	}
	if p.killed {
		runtime.Goexit()
	}
}

// pause waits for d.
func (s *scheduler) pause(d time.Duration) {
	s.wait(func(wake func()) { s.after(d, wake) })
}

// between draws a duration.
func (s *scheduler) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.random.Int64N(int64(most-least)+1))
}

// chance says yes once in n times.
func (s *scheduler) chance(n int) bool { return s.random.IntN(n) == 0 }

// simulatedClock is a machine's: what waits for one of its timers gives the turn back.
type simulatedClock struct {
	s    *scheduler
	skew time.Duration
}

var _ clock.Clock = simulatedClock{}

// Now implements clock.Clock.
func (c simulatedClock) Now() time.Time { return c.s.now.Add(c.skew) }

// NewTimer implements clock.Clock.
func (c simulatedClock) NewTimer(d time.Duration) clock.Timer {
	return &timer{s: c.s, due: c.s.now.Add(d)}
}

type timer struct {
	s   *scheduler
	due time.Time
}

// C implements clock.Timer: it waits itself, so the channel that it returns has the time in it.
func (t *timer) C() <-chan time.Time {
	if left := t.due.Sub(t.s.now); left > 0 {
		t.s.pause(left)
	}
	c := make(chan time.Time, 1)
	c <- t.due
	return c
}

// Stop implements clock.Timer.
func (t *timer) Stop() bool { return t.due.After(t.s.now) }

// Reset implements clock.Timer.
func (t *timer) Reset(d time.Duration) bool {
	waiting := t.Stop()
	t.due = t.s.now.Add(d)
	return waiting
}
