package body

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// Target is where a body goes: a single upload or a part.
type Target struct {
	ref     meta.UploadRef
	attempt uuid.UUID
	single  bool
	begin   func(ctx context.Context) error
}

// Single makes the target of a body that is uploaded at once. The upload gets an ID here.
func (s *Store) Single(u meta.Upload) (Target, error) {
	id, err := clock.NewUUID(s.Random)
	if err != nil {
		return Target{}, errors.Wrap(errors.Internal, err, "drawing an upload ID")
	}
	u.ID, u.Multipart = id, false
	return Target{ref: u.UploadRef, attempt: id, single: true, begin: func(ctx context.Context) error {
		return s.Meta.BeginUpload(ctx, u)
	}}, nil
}

// Part makes the target of a part of a multipart upload.
func (s *Store) Part(ref meta.UploadRef, number int) (Target, error) {
	attempt, err := clock.NewUUID(s.Random)
	if err != nil {
		return Target{}, errors.Wrap(errors.Internal, err, "drawing an attempt")
	}
	return Target{ref: ref, attempt: attempt, begin: func(ctx context.Context) error {
		return s.Meta.BeginPart(ctx, ref, number, attempt)
	}}, nil
}

// Attempt is a body that was written and waits to be committed. Commit it with
// what it says, or Discard it.
type Attempt struct {
	// ID is the attempt, and for a single upload also the upload; zero if nothing was recorded,
	// because the body is empty or inline.
	ID     uuid.UUID
	Size   int64
	Inline []byte       // the whole body, if it is small and the target a single upload
	First  meta.Chunk   // Length zero: no chunks
	Rows   []meta.Chunk // chunks not yet recorded: hand them over with the commit

	rec *recorder // nil: nothing was recorded
}

// Discard gives up what was written, after a failed check or commit. The
// request's context may have ended.
func (a *Attempt) Discard(ctx context.Context) {
	if a.rec != nil {
		a.rec.pending = a.Rows
		a.rec.discard(ctx)
	}
}

// recorder keeps the metadata of one attempt up to date while its chunks are stored.
type recorder struct {
	s       *Store
	target  Target
	started time.Time     // before the first chunk
	begun   chan struct{} // closed when begin has answered
	kick    chan struct{} // says that a batch is full
	stop    chan struct{}
	done    chan struct{}

	mu      sync.Mutex
	first   meta.Chunk
	pending []meta.Chunk // stored and not recorded
	err     error        // the first failure
	fail    func(error)  // tells the writer
}

// record begins the attempt in the background.
func (s *Store) record(ctx context.Context, t Target, fail func(error)) *recorder {
	r := &recorder{
		s: s, target: t, started: s.Clock.Now(), fail: fail,
		begun: make(chan struct{}), kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go r.run(ctx)
	return r
}

func (r *recorder) run(ctx context.Context) {
	defer close(r.done)
	// Also for a body that fails meanwhile: its chunks may be stored already, and only what was begun is collected.
	step, cancel := r.s.step(context.WithoutCancel(ctx))
	err := r.target.begin(step)
	cancel()
	if late := clock.Since(r.started, r.s.Clock.Now()); err == nil && late > beginLimit {
		err = errors.Newf(errors.Unavailable, "the upload began %v after its first chunk: what was stored of it may have been collected", late)
	}
	if err != nil {
		r.failed(errors.Annotate(err, "beginning an upload"))
		close(r.begun)
		return
	}
	close(r.begun)
	timer := r.s.Clock.NewTimer(r.s.cfg.Progress)
	defer timer.Stop()
	for {
		select {
		case <-r.stop:
			return
		case <-r.kick:
		case <-timer.C():
			timer.Reset(r.s.cfg.Progress)
		}
		if err := r.flush(ctx); err != nil {
			r.failed(err)
			return
		}
	}
}

// beginLimit is how long after its first chunk an upload may begin. Nodes remove references of what did not begin for far longer (long
// collection): a gateway that was asleep in between, whose deadlines slept with it, must not go on with such an upload.
const beginLimit = time.Hour

// flush records the chunks that wait, or that the upload is alive if none does.
func (r *recorder) flush(ctx context.Context) error {
	r.mu.Lock()
	rows := r.pending
	r.pending = nil
	r.mu.Unlock()
	ctx, cancel := r.s.step(ctx)
	defer cancel()
	var err error
	if len(rows) == 0 {
		err = r.s.Meta.Progress(ctx, r.target.ref)
	} else {
		err = r.s.Meta.AddChunks(ctx, r.target.ref, r.target.attempt, rows)
	}
	if err != nil {
		r.mu.Lock()
		r.pending = append(rows, r.pending...)
		r.mu.Unlock()
		return errors.Annotate(err, "recording the progress of an upload")
	}
	return nil
}

func (r *recorder) failed(err error) {
	r.mu.Lock()
	if r.err == nil {
		r.err = err
	}
	r.mu.Unlock()
	r.fail(err)
}

// add notes a chunk that is stored, or may be.
func (r *recorder) add(c meta.Chunk) {
	r.mu.Lock()
	r.pending = append(r.pending, c)
	if c.Offset == 0 {
		r.first = c
	}
	full := len(r.pending) >= r.s.cfg.Batch
	r.mu.Unlock()
	if full {
		select {
		case r.kick <- struct{}{}:
		default:
		}
	}
}

// finish waits until the attempt is begun and the background work has ended. What is pending is left to the commit.
func (r *recorder) finish() error {
	<-r.begun
	close(r.stop)
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// discard records the chunks that may be stored, so that they are found, and
// ends a single upload. Chunks of a part are collected with its upload.
// It is called after finish.
func (r *recorder) discard(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if len(r.pending) > 0 {
		step, cancel := r.s.step(ctx)
		err := r.s.Meta.AddChunks(step, r.target.ref, r.target.attempt, r.pending)
		cancel()
		r.left(ctx, err, "the chunks of a write that failed could not be recorded: long collection finds them", slog.Int("chunks", len(r.pending)))
	}
	if r.target.single {
		step, cancel := r.s.step(ctx)
		err := r.s.Meta.AbortUpload(step, r.target.ref)
		cancel()
		r.left(ctx, err, "a write that failed could not be given up: the sweeper does it when it has had no progress for a day")
	}
}

// left says what a failed write leaves behind. That an upload is not there, because somebody aborted it or it never began, is no news.
func (r *recorder) left(ctx context.Context, err error, what string, more ...slog.Attr) {
	if err == nil {
		return
	}
	level := slog.LevelWarn
	if errors.IsEntity(err, errors.NotFound, errors.Upload) || errors.IsEntity(err, errors.NotFound, errors.Part) || errors.IsEntity(err, errors.NotFound, errors.Bucket) {
		level = slog.LevelDebug
	}
	r.s.Log.LogAttrs(ctx, level, what, append(more, slog.String("bucket", r.target.ref.Bucket.String()), slog.String("upload", r.target.ref.ID.String()), slog.Any("error", err))...)
}

func (t Target) refAt(offset uint64) chunk.Ref { return chunk.Ref{Attempt: t.attempt, Offset: offset} }
