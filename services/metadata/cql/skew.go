package cql

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gocql/gocql"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// readNow is the time of a node of the database.
const readNow = `SELECT now() FROM system.local`

const (
	measureEvery = time.Minute // time between two measurements of the database's clock
	clockSamples = 5           // of a measurement, which go to the nodes in turn: a few that are wrong do not count
)

// skew watches how far this service's clock is from the database's, by which all services of a keyspace can be
// compared. What is removed for good is removed by its age: a service whose clock is behind that of the sweeping one by more than
// the sweeper's grace would write below what is being removed, and lose what it acknowledges.
//
// The database's clock is measured now and then; between, it is reckoned by the machine's monotonic clock. So a clock that
// is set anew is seen by the next call.
type skew struct {
	clock clock.Clock
	most  time.Duration // zero: not watched

	mu       sync.Mutex
	measured time.Time // when, on the monotonic clock; zero: never
	database time.Time // its clock then
}

// due says whether the database's clock is to be measured.
func (k *skew) due() bool {
	if k.most == 0 {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.measured.IsZero() || monotonic().Sub(k.measured) >= measureEvery
}

// set keeps a measurement: the database's clock at a time of the monotonic clock.
func (k *skew) set(measured, database time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.measured, k.database = measured, database
}

// problem is nil while the clocks are near enough, or the database's was never read. Kinds: Unavailable.
func (k *skew) problem() error {
	if k.most == 0 {
		return nil
	}
	ahead, known := k.ahead()
	if !known || ahead.Abs() <= k.most {
		return nil
	}
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	return errors.Newf(errors.Unavailable, "the clock here is %v %s the database's, and %v is the most: set both right (NTP, chrony); until then this service serves no metadata, "+
		"as what it acknowledges could be lost", ahead.Abs().Round(time.Millisecond), side, k.most)
}

// ahead is how far the clock here is ahead of the database's, if that was ever read.
func (k *skew) ahead() (_ time.Duration, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.measured.IsZero() {
		return 0, false
	}
	return k.clock.Now().Round(0).Sub(k.database.Add(monotonic().Sub(k.measured))), true
}

// measureSkew reads the clocks of the database's nodes and keeps the middle one: each is that of the middle of the
// request, wrong by half of what this took at most. Requests that took too long to tell are left out.
func (s *Store) measureSkew(ctx context.Context) error {
	base := monotonic()
	var ahead []time.Duration // the database's clock over base, less the time since
	for range clockSamples {
		var id gocql.UUID
		begun := monotonic()
		if _, err := s.scan(ctx, s.query(ctx, readNow, nil).Idempotent(true).Consistency(gocql.One), []any{&id}); err != nil {
			return err
		}
		took := monotonic().Sub(begun)
		if took/2 <= s.skew.most/2 {
			ahead = append(ahead, id.Time().Sub(base)-begun.Add(took/2).Sub(base))
		}
	}
	if len(ahead) == 0 {
		return errors.Newf(errors.Unavailable, "the database answers too slowly to compare its clock with the one here")
	}
	slices.Sort(ahead)
	s.skew.set(base, base.Round(0).Add(ahead[len(ahead)/2]))
	return nil
}
