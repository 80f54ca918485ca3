package disk

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"deuxfleurs.fr/garage/pkg/errors"
)

// commit applies a batch and waits until it is durable.
func (v *volume) commit(b *pebble.Batch) error {
	if err := v.failed(); err != nil {
		return err
	}
	// In a goroutine of its own: when the disk fails meanwhile, in one of
	// Pebble's goroutines, this one may never return, and nor may the batch.
	done := make(chan error, 1)
	go func() { done <- v.timed(context.Background(), syncIndex, func() error { return v.apply(b) }) }()
	select {
	case err := <-done:
		if err != nil {
			return v.fail(err, "writing the index")
		}
	case <-v.broken:
	}
	return v.failed()
}

// closeIndex closes the database, or leaves it as it is when the disk fails
// meanwhile: the database would then wait for ever.
func (v *volume) closeIndex() error {
	done := make(chan error, 1)
	go func() { done <- v.db.Close() }()
	select {
	case err := <-done:
		return err
	case <-v.broken:
		return v.failed()
	}
}

// closeBatch gives a batch back, unless the failed index may still hold it.
func (v *volume) closeBatch(b *pebble.Batch) {
	if v.failed() == nil {
		_ = b.Close() // fails only if used after
	}
}

// fatal is what Pebble panics with, by indexLogger, in a goroutine of ours.
type fatal struct{ error }

func (v *volume) apply(b *pebble.Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(fatal)
			if !ok {
				panic(p)
			}
			err = f.error
		}
	}()
	if v.o.NoSync {
		return v.db.Apply(b, pebble.NoSync)
	}
	if err = v.db.ApplyNoSyncWait(b, pebble.Sync); err == nil {
		err = b.SyncWait() // which, other than Apply, returns a failed sync
	}
	return err
}

// set writes one key durably.
func (v *volume) set(key, value []byte) error {
	b := v.db.NewBatch()
	defer v.closeBatch(b)
	if err := b.Set(key, value, nil); err != nil {
		return err
	}
	return v.commit(b)
}

// indexLogger turns what Pebble says into the program's log. Pebble must not
// go on after a fatal error: it would work on with a state that is not on disk.
type indexLogger struct{ v *volume }

func (l indexLogger) Infof(string, ...any) {}

func (l indexLogger) Errorf(format string, args ...any) {
	l.v.log.Warn("the index reports a problem", "message", fmt.Sprintf(format, args...))
}

func (l indexLogger) Fatalf(format string, args ...any) {
	err := errors.New(fmt.Sprintf(format, args...))
	_ = l.v.fail(err, "writing the index") // kept in the volume
	switch {
	case inStack("(*volume).apply"):
		panic(fatal{err})
	case inStack(".openVolume"):
		return // Open returns the error
	}
	runtime.Goexit() // one of Pebble's own goroutines: it releases its locks and is not started again
}

// backgroundError hears of failed flushes and compactions, which Pebble would
// try again. After anything but a lack of room it must not: what a failed sync
// left is unknown.
func (v *volume) backgroundError(err error) {
	switch {
	case errors.IsTarget(err, pebble.ErrCancelledCompaction):
	case vfs.IsNoSpaceError(err):
		v.space.exhausted()
		v.log.Error("no space is left for the index", "error", err)
	default:
		_ = v.fail(err, "writing the index") // kept in the volume
		if !inStack("/chunk-node/disk.") {
			runtime.Goexit()
		}
	}
}

// inStack reports whether a function with such a name is being called by this goroutine.
func inStack(name string) bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // without this one and its caller
	for {
		f, more := frames.Next()
		if strings.Contains(f.Function, name) && !strings.Contains(f.Function, "indexLogger") && !strings.Contains(f.Function, "backgroundError") {
			return true
		}
		if !more {
			return false
		}
	}
}
