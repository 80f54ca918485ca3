package tasks

import (
	"context"
	"fmt"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
)

// Job is the work of a task.
type Job interface {
	// Pass does what is due and returns how long there is nothing to do then; it may be called before that. Work that takes long is
	// kept in rounds, on which Progress tells. An error is shown as what the task is stuck at, and the pass repeated after a pause.
	// When ctx ends, it returns soon, and its next pass goes on where it was.
	Pass(ctx context.Context, p *Progress) (wait time.Duration, err error)
}

// JobFunc is a Job that keeps nothing.
type JobFunc func(ctx context.Context, p *Progress) (time.Duration, error)

// Pass implements Job.
func (f JobFunc) Pass(ctx context.Context, p *Progress) (time.Duration, error) { return f(ctx, p) }

// Progress is how far a task is. Its methods may be called by several goroutines.
type Progress struct {
	limit limit

	mu        sync.Mutex
	status    chunk.TaskStatus // its Rate is limit's
	asked     uint64           // how many rounds were asked for and have not ended
	confirmed int64
}

// Asked is how many times the operator asked for a round, since the last one that was asked for has ended: 0 if none is to be made now.
func (p *Progress) Asked() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Confirmed is up to how much the operator, who asked for the round, said yes to what the task asks about.
func (p *Progress) Confirmed() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.confirmed
}

// Begin says that a round is under way: one that began at that moment, or goes on. layout is the one it carries out, or 0;
// total is how much there is to do and done what was done before, in the unit of the task.
func (p *Progress) Begin(began time.Time, layout uint64, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.State, p.status.Note = chunk.Running, ""
	if !p.status.Began.Equal(began) || !p.status.Ended.IsZero() {
		p.status.Layout, p.status.Began, p.status.Ended = layout, began, time.Time{}
		p.status.Bytes, p.status.Problems = 0, 0
	}
	p.status.Done, p.status.Total = done, total
}

// Add counts work, in the unit of the task, and bytes that were moved or read.
func (p *Progress) Add(done, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Done += done
	p.status.Bytes += bytes
}

// Problem counts one, and notes what it is.
func (p *Progress) Problem(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Problems++
	p.status.Note = fmt.Sprintf(format, args...)
}

// Note says what is in the way, or what was found.
func (p *Progress) Note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Note = fmt.Sprintf(format, args...)
}

// Stuck says that the round cannot go on for now, and why.
func (p *Progress) Stuck(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.State, p.status.Note = chunk.Stuck, fmt.Sprintf(format, args...)
}

// Working says that the task does something that is no round.
func (p *Progress) Working() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.State = chunk.Running
}

// Idle says that there is nothing to do. A round that was under way has not ended: End says that.
func (p *Progress) Idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.State = chunk.Idle
}

// End says that the round has ended. answers is what Asked was when that was as good as a round that would begin now.
func (p *Progress) End(now time.Time, answers uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.State, p.status.Ended = chunk.Idle, now
	if p.asked == answers {
		p.asked, p.confirmed = 0, 0
	}
}

// Take takes bytes of the task's rate, and returns when they may be used.
func (p *Progress) Take(ctx context.Context, bytes int64) error { return p.limit.take(ctx, bytes) }

// Status is what to report: a task of which a round was asked for is Running, though it is about to begin.
func (p *Progress) Status() chunk.TaskStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	if p.asked > 0 && s.State == chunk.Idle {
		s.State = chunk.Running
	}
	s.Rate = p.limit.current()
	return s
}
