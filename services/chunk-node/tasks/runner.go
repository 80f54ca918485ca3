package tasks

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// firstPause follows the first pass that failed; each further one doubles it, up to longestPause.
	firstPause   = time.Second
	longestPause = time.Minute
	// note is the name under which the commands are kept.
	note = "tasks"
)

// Notes keep small values durably. A note that was never set is nil.
type Notes interface {
	Note(ctx context.Context, name string) ([]byte, error)
	SetNote(ctx context.Context, name string, value []byte) error
}

// Deps are what a Runner works with.
type Deps struct {
	Notes  Notes
	Clock  clock.Clock
	Logger *slog.Logger
	// Rates are the configured bytes a second of each task; 0 or absent: no limit.
	Rates map[chunk.Task]int64
}

// Runner runs jobs. Make it with New.
type Runner struct {
	deps  Deps
	tasks map[chunk.Task]*task

	commanding sync.Mutex // held by who changes what is kept, never by a pass; may be waited for
	kept       kept
	term       atomic.Uint64 // that of kept, for who must not wait
}

// kept is what the operator commanded, as it is kept.
type kept struct {
	Term  uint64                 `json:"term,omitempty"`
	Tasks map[chunk.Task]command `json:"tasks"`
}

type command struct {
	Stopped bool  `json:"stopped,omitempty"`
	Asked   bool  `json:"asked,omitempty"`
	Confirm int64 `json:"confirm_up_to,omitempty"`
	Rate    int64 `json:"rate,omitempty"` // as in chunk.Command; 0: as configured
}

type task struct {
	id       chunk.Task
	job      Job
	progress Progress
	woken    chan struct{} // holds one value when it is to be called before its time

	mu      sync.Mutex
	stopped bool
	end     context.CancelFunc // of the pass under way, or nil
	fails   int                // in a row
	said    string             // the failure that was logged last
}

// New makes a Runner of jobs that goes on as it was commanded before. Kinds: those of Notes; Corrupted.
func New(ctx context.Context, jobs map[chunk.Task]Job, d Deps) (*Runner, error) {
	r := &Runner{deps: d, tasks: make(map[chunk.Task]*task)}
	value, err := d.Notes.Note(ctx, note)
	if err != nil {
		return nil, errors.Annotate(err, "reading what the tasks were commanded")
	}
	if value != nil {
		if err := json.Unmarshal(value, &r.kept); err != nil {
			return nil, errors.Wrap(errors.Corrupted, err, "reading what the tasks were commanded")
		}
	}
	r.term.Store(r.kept.Term)
	if r.kept.Tasks == nil {
		r.kept.Tasks = make(map[chunk.Task]command)
	}
	for id, job := range jobs {
		t := &task{id: id, job: job, woken: make(chan struct{}, 1)}
		t.progress.limit.clock = d.Clock
		t.progress.status = chunk.TaskStatus{Task: id}
		t.obey(r.kept.Tasks[id], d.Rates[id])
		r.tasks[id] = t
	}
	return r, nil
}

// obey does as commanded. configured is the rate where the command has none.
func (t *task) obey(c command, configured int64) {
	rate := configured
	if c.Rate != 0 {
		rate = max(c.Rate, 0)
	}
	if rate != t.progress.limit.current() {
		t.progress.limit.set(rate)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = c.Stopped
	t.progress.command(c)
	if t.stopped && t.end != nil {
		t.end()
	}
}

func (p *Progress) command(c command) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case c.Stopped:
		p.status.State, p.asked, p.confirmed = chunk.Stopped, 0, 0
	case p.status.State == chunk.Stopped:
		p.status.State = chunk.Idle
	}
	if c.Asked {
		if p.status.State == chunk.Stuck { // it is looked at anew, maybe with a yes to what it was stuck at
			p.status.State, p.status.Note = chunk.Idle, ""
		}
		p.asked++
		p.confirmed = c.Confirm
	}
}

// Command starts or stops a task, as chunk.Controlled says.
func (r *Runner) Command(ctx context.Context, c chunk.Command) (chunk.TaskStatus, error) {
	t := r.tasks[c.Task]
	if t == nil {
		return chunk.TaskStatus{}, errors.Newf(errors.NotImplemented, "this chunk-node has no task %d; is its program older than the rebalancer's?", c.Task)
	}
	if c.Rate < -1 {
		return chunk.TaskStatus{}, errors.Newf(errors.Invalid, "a rate is in bytes a second, or -1 for no limit, not %d", c.Rate)
	}
	r.commanding.Lock()
	defer r.commanding.Unlock()
	if c.Term != 0 && c.Term < r.kept.Term {
		return chunk.TaskStatus{}, errors.Newf(errors.Conflict, "the command is of the rebalancer of the term %d, and this node obeys that of the term %d", c.Term, r.kept.Term)
	}
	next := kept{Term: max(c.Term, r.kept.Term), Tasks: maps.Clone(r.kept.Tasks)}
	told := command{Stopped: !c.Start, Asked: c.Start, Rate: c.Rate}
	if c.Start {
		told.Confirm = c.Confirm
	}
	if c.Rate == 0 {
		told.Rate = next.Tasks[c.Task].Rate
	}
	next.Tasks[c.Task] = told
	if err := r.keep(ctx, next); err != nil {
		return chunk.TaskStatus{}, err
	}
	t.obey(told, r.deps.Rates[c.Task])
	r.Wake(c.Task)
	return t.progress.Status(), nil
}

// keep makes commands durable. The caller holds the lock.
func (r *Runner) keep(ctx context.Context, next kept) error {
	value, err := json.Marshal(next)
	if err != nil {
		return errors.Wrap(errors.Internal, err, "keeping what the tasks are commanded")
	}
	if err := r.deps.Notes.SetNote(ctx, note, value); err != nil {
		return errors.Annotate(err, "keeping what the tasks are commanded")
	}
	r.kept = next
	r.term.Store(next.Term)
	return nil
}

// answered forgets, durably, that a round was asked for, once it has ended.
func (r *Runner) answered(ctx context.Context, t *task) error {
	r.commanding.Lock()
	defer r.commanding.Unlock()
	told := r.kept.Tasks[t.id]
	if !told.Asked || t.progress.Asked() > 0 {
		return nil
	}
	told.Asked, told.Confirm = false, 0
	next := kept{Term: r.kept.Term, Tasks: maps.Clone(r.kept.Tasks)}
	next.Tasks[t.id] = told
	return r.keep(ctx, next)
}

// Term is the highest one of a command that was obeyed.
func (r *Runner) Term() uint64 { return r.term.Load() }

// Status is how far each task is, in order.
func (r *Runner) Status() []chunk.TaskStatus {
	var all []chunk.TaskStatus
	for _, id := range slices.Sorted(maps.Keys(r.tasks)) {
		all = append(all, r.tasks[id].progress.Status())
	}
	return all
}

// Wake has the next pass of a task begin now, or right after the one under way. A task that there is not is not woken.
func (r *Runner) Wake(id chunk.Task) {
	if t := r.tasks[id]; t != nil {
		select {
		case t.woken <- struct{}{}:
		default: // it is going to be
		}
	}
}

// Run runs the tasks, each in a goroutine, until ctx ends and all have stopped.
func (r *Runner) Run(ctx context.Context) {
	var work sync.WaitGroup
	for _, t := range r.tasks {
		work.Go(func() {
			for ctx.Err() == nil {
				pause := r.deps.Clock.NewTimer(r.Step(ctx, t.id))
				select {
				case <-pause.C():
				case <-t.woken:
				case <-ctx.Done():
				}
				pause.Stop()
			}
		})
	}
	work.Wait()
}

// Step makes one pass of a task, unless it is stopped, in the caller's goroutine, and returns how long to wait before the next.
func (r *Runner) Step(ctx context.Context, id chunk.Task) time.Duration {
	t := r.tasks[id]
	pass, end := context.WithCancel(ctx)
	defer end()
	if !t.begin(end) {
		return longestPause
	}
	wait, err := t.job.Pass(pass, &t.progress)
	if err == nil {
		err = r.answered(ctx, t)
	}
	ended := pass.Err() != nil
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = nil
	switch {
	case ended: // the service ends, or the task was stopped
		if t.stopped {
			t.progress.command(command{Stopped: true})
		}
		return 0
	case err == nil:
		t.fails, t.said = 0, ""
		return wait
	}
	t.progress.Stuck("%v", err)
	if err.Error() != t.said {
		t.said = err.Error()
		r.deps.Logger.Warn("a task cannot go on; it is tried again", "task", Name(id), "error", err)
	}
	t.fails++
	return min(firstPause<<min(t.fails-1, 10), longestPause)
}

// begin makes end what ends the pass; it reports false if the task is stopped.
func (t *task) begin(end context.CancelFunc) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	t.end = end
	return true
}

// Name is what the operator calls a task.
func Name(t chunk.Task) string {
	switch t {
	case chunk.Rebalance:
		return "rebalance"
	case chunk.Repair:
		return "repair"
	case chunk.Scrub:
		return "scrub"
	case chunk.Collection:
		return "collection"
	case chunk.LongCollection:
		return "long collection"
	}
	return "unknown"
}
