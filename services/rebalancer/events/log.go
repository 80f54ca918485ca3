package events

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/journal"
)

const (
	// queued is how many events wait for the disk at most.
	queued = 1024
	// durably bounds the wait for the disk.
	durably = 5 * time.Second
)

// Config is how much is kept.
type Config struct {
	Keep    time.Duration `conf:"keep" help:"how long events and the audit log are kept" min:"24h"`
	MaxSize config.Size   `conf:"max-size" help:"how many bytes of events are kept at most; the oldest go first" min:"64KiB" max:"1GiB"`
}

// DefaultConfig keeps 90 days, which take a few megabytes where little happens.
func DefaultConfig() Config { return Config{Keep: 90 * 24 * time.Hour, MaxSize: 64 << 20} }

// Deps are what a Log works with.
type Deps struct {
	Folder string // of its files
	Self   string // ID of the rebalancer that notes
	Clock  clock.Clock
	Logger *slog.Logger
}

// Log is the durable log of one rebalancer. It is safe for concurrent use. While Run runs it writes what is noted;
// before and after it, who notes does so.
type Log struct {
	deps    Deps
	journal *journal.Journal
	work    chan struct{} // of one: there is something in waiting
	reading chan struct{} // of one: held by a reader

	writing sync.Mutex // one batch at a time

	mu      sync.Mutex
	waiting []entry
	lost    int // events that found the queue full or the disk failing
	running bool
}

type entry struct {
	line []byte
	done chan<- error // nil: nobody waits
}

// Open opens the log of a folder. Kinds: Unavailable.
func Open(c Config, d Deps) (*Log, error) {
	if c.Keep <= 0 {
		c.Keep = DefaultConfig().Keep
	}
	if c.MaxSize <= 0 {
		c.MaxSize = DefaultConfig().MaxSize
	}
	j, err := journal.Open(journal.Options{Folder: d.Folder, Keep: c.Keep, MaxBytes: int64(c.MaxSize)})
	if err != nil {
		return nil, err
	}
	return &Log{deps: d, journal: j, work: make(chan struct{}, 1), reading: make(chan struct{}, 1)}, nil
}

// Run writes what is noted until ctx ends, and then what is left.
func (l *Log) Run(ctx context.Context) {
	l.mu.Lock()
	l.running = true
	l.mu.Unlock()
	for {
		select {
		case <-l.work:
			l.write()
		case <-ctx.Done():
			l.mu.Lock()
			l.running = false
			l.mu.Unlock()
			l.write()
			return
		}
	}
}

// Note keeps events, soon. It gives them the time now unless they have one, and does not wait.
func (l *Log) Note(events ...*adminv1.Event) {
	for _, e := range events {
		l.put(e, nil)
	}
}

// NoteDurably keeps an event and returns when it is on disk. Kinds: Overloaded, Unavailable, Deadline, Canceled: it may not be.
func (l *Log) NoteDurably(ctx context.Context, e *adminv1.Event) error {
	done := make(chan error, 1)
	l.put(e, done)
	timer := l.deps.Clock.NewTimer(durably)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C():
		return errors.Newf(errors.Deadline, "the disk has not taken the event within %s", durably)
	case <-ctx.Done():
		return errors.Wrap(errors.KindOf(context.Cause(ctx)), context.Cause(ctx), "waiting until an event is on disk")
	}
}

func (l *Log) put(e *adminv1.Event, done chan<- error) {
	if e.GetTime() == nil {
		e.Time = timestamppb.New(l.deps.Clock.Now())
	}
	line, err := protojson.Marshal(e)
	if err != nil { // as of text that is not UTF-8
		l.deps.Logger.Error("an event cannot be kept", "text", e.GetText(), "error", err)
		if done != nil {
			done <- errors.Wrap(errors.Internal, err, "an event")
		}
		return
	}
	l.mu.Lock()
	full, running := len(l.waiting) >= queued, l.running
	if full {
		l.lost++
	} else {
		l.waiting = append(l.waiting, entry{line, done})
	}
	l.mu.Unlock()
	switch {
	case full && done != nil:
		done <- errors.Newf(errors.Overloaded, "%d events wait for the disk", queued)
	case full:
	case !running:
		l.write()
	default:
		select {
		case l.work <- struct{}{}:
		default:
		}
	}
}

// write puts on disk what waits, with one sync.
func (l *Log) write() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	batch, lost := l.waiting, l.lost
	l.waiting, l.lost = nil, 0
	l.mu.Unlock()
	if len(batch) == 0 {
		l.mu.Lock()
		l.lost += lost
		l.mu.Unlock()
		return
	}
	now := l.deps.Clock.Now()
	lines := make([][]byte, 0, len(batch)+1)
	if lost > 0 {
		lines = append(lines, l.gap(lost, now))
	}
	for _, e := range batch {
		lines = append(lines, e.line)
	}
	err := l.journal.Append(now, lines...)
	if err != nil {
		l.deps.Logger.Error("events are not kept", "events", len(batch), "error", err)
		l.mu.Lock()
		l.lost += lost + len(batch)
		l.mu.Unlock()
	}
	for _, e := range batch {
		if e.done != nil {
			e.done <- err
		}
	}
}

// gap is the line that says that events are missing.
func (l *Log) gap(lost int, now time.Time) []byte {
	line, err := protojson.Marshal(&adminv1.Event{Time: timestamppb.New(now), Kind: adminv1.EventKind_EVENT_KIND_LOG, Severity: adminv1.Severity_SEVERITY_WARNING,
		Text: strconv.Itoa(lost) + " events before this one were not kept: there were too many at once, or the disk failed", Subject: l.deps.Self})
	if err != nil {
		panic("events: " + err.Error()) // it is made of text that is always valid
	}
	return line
}

// Query is which events to read.
type Query struct {
	Before uint64 // numbers below this; 0: all
	Limit  int
	Kinds  []adminv1.EventKind // none: all
	Since  time.Time
	// Subject, if not empty, and Least, if set, leave out others and what is less severe.
	Subject string
	Least   adminv1.Severity
}

func (q Query) wants(e *adminv1.Event) bool {
	return (len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.GetKind())) && (q.Subject == "" || q.Subject == e.GetSubject()) && e.GetSeverity() >= q.Least
}

// List reads events, the newest first, with their IDs. next is Query.Before of the next page; Exhausted: there is none. Kinds: Unavailable, Canceled, Deadline.
func (l *Log) List(ctx context.Context, q Query) (events []*adminv1.Event, next uint64, err error) {
	select {
	case l.reading <- struct{}{}:
		defer func() { <-l.reading }()
	case <-ctx.Done():
		return nil, 0, errors.Wrap(errors.KindOf(context.Cause(ctx)), context.Cause(ctx), "waiting for others who read events")
	}
	next = Exhausted
	err = l.journal.Newest(ctx, q.Before, func(number uint64, line []byte) bool {
		e := &adminv1.Event{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, e); err != nil {
			l.deps.Logger.Debug("a line of the events cannot be read", "number", number, "error", err)
			return true
		}
		// Times of one log grow, but where the clock was set back: a little further is read.
		if !q.Since.IsZero() && e.GetTime().AsTime().Before(q.Since) {
			return !e.GetTime().AsTime().Before(q.Since.Add(-slack))
		}
		if !q.wants(e) {
			return true
		}
		if len(events) == q.Limit {
			next = number + 1
			return false
		}
		e.Id = l.deps.Self + "/" + strconv.FormatUint(number, 10)
		events = append(events, e)
		return true
	})
	return events, next, err
}

// slack is how far a clock is set back without hiding events.
const slack = time.Hour
