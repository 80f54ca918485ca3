package clock

import (
	"context"
	"crypto/rand"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
)

// Clock tells the time and waits. Implementations are safe for concurrent use.
type Clock interface {
	// Now is the current time. Differences of two Nows are monotonic where the implementation can.
	Now() time.Time
	// NewTimer makes a timer that fires once after d.
	NewTimer(d time.Duration) Timer
}

// Timer is a time.Timer that a test can drive.
type Timer interface {
	// C receives the time when the timer fires.
	C() <-chan time.Time
	// Stop prevents the timer from firing; it reports whether it did so.
	Stop() bool
	// Reset makes the timer fire d from now.
	Reset(d time.Duration) bool
}

// System is the clock of the machine.
type System struct{}

// OffsetEnv names the variable by which a test has a program take its machine's clock for wrong: a duration that is added to it.
// It is no setting: who sets it otherwise breaks what depends on the time.
const OffsetEnv = "GARAGE_DEBUG_CLOCK_OFFSET"

var offset = mustOffset(os.Getenv(OffsetEnv))

func mustOffset(text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(OffsetEnv + ": " + err.Error()) // No program may run with a time that nobody meant.
	}
	return d
}

// Now is time.Now.
func (System) Now() time.Time { return time.Now().Add(offset) }

// NewTimer is time.NewTimer.
func (System) NewTimer(d time.Duration) Timer { return systemTimer{time.NewTimer(d)} }

type systemTimer struct{ *time.Timer }

func (t systemTimer) C() <-chan time.Time { return t.Timer.C }

// Sleep waits for d, or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, c Clock, d time.Duration) error {
	t := c.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Since is how long ago a moment was, by the clock that says more: the monotonic one stands while a machine sleeps.
func Since(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

// Random is a source of random bytes: crypto/rand in service, seeded in a test.
type Random = io.Reader

// SystemRandom is the random source of the machine.
var SystemRandom Random = rand.Reader

// NewUUID draws a random UUID (version 4). It fails only if the source does.
func NewUUID(r Random) (uuid.UUID, error) { return uuid.NewRandomFromReader(r) }
