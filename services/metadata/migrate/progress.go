package migrate

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// progress is how far a migration is.
type progress struct {
	total   atomic.Int64 // bytes of the objects at the standalone
	objects atomic.Int64 // copied
	bytes   atomic.Int64 // of chunks that were fetched
	deleted atomic.Int64
	passes  atomic.Int64
	seen    atomic.Int64 // objects compared in this pass
	seenOf  atomic.Int64 // bytes of these
	frozen  atomic.Bool
}

func (p *progress) beginPass() {
	p.passes.Add(1)
	p.seen.Store(0)
	p.seenOf.Store(0)
}

func (p *progress) sawObject(size int64) {
	p.seen.Add(1)
	p.seenOf.Add(size)
}

const (
	reportEvery = time.Second
	// overReports is how many reports the rate is an average of.
	overReports = 10
)

// report tells how far it is, until ctx ends.
func (m *migration) report(ctx context.Context) {
	type point struct {
		at          time.Time
		pass        int64
		bytes, seen int64
	}
	var last []point
	for clock.Sleep(ctx, m.Clock, reportEvery) == nil {
		now := point{m.Clock.Now(), m.passes.Load(), m.bytes.Load(), m.seenOf.Load()}
		if n := len(last); n > 0 && last[n-1].pass != now.pass {
			last = nil
		}
		if last = append(last, now); len(last) > overReports {
			last = last[1:]
		}
		p := &metadatav1.MigrationProgress{Pass: now.pass, Frozen: m.frozen.Load(), Seen: m.seen.Load(), SeenBytes: now.seen, TotalBytes: max(m.total.Load(), now.seen),
			Objects: m.objects.Load(), Bytes: now.bytes}
		if took := now.at.Sub(last[0].at); took > 0 {
			p.Rate = int64(float64(now.bytes-last[0].bytes) / took.Seconds())
			if seen := now.seen - last[0].seen; seen > 0 {
				p.Left = int64(float64(p.GetTotalBytes()-now.seen) / float64(seen) * float64(took.Milliseconds()))
			}
		}
		m.tell(&metadatav1.MigrateResponse{Progress: p})
	}
}

// foundDamaged notes what cannot be copied.
func (m *migration) foundDamaged(name string, problem error) {
	m.Logger.Warn("migration: damaged at the standalone", "object", name, "error", problem)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.damaged[name] = problem
}

// damage is an error if something is damaged that the operator does not want left out. Kinds: Corrupted.
func (m *migration) damage() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, problem := range m.damaged {
		if !m.options.GetLeaveDamaged() {
			return errors.Newf(errors.Corrupted, "%d objects are damaged at the standalone and cannot be moved, such as %s (%v). "+
				"Mend or delete them there, or have them left out with --leave-damaged; what was copied stays", len(m.damaged), name, problem)
		}
	}
	return nil
}

// limit spreads bytes over time.
type limit struct {
	clock clock.Clock

	mu   sync.Mutex
	rate int64     // bytes a second; 0: no limit
	free time.Time // when what was taken so far is worked off
}

// lift ends the limit.
func (l *limit) lift() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = 0
}

// take takes n bytes and returns when they may be fetched.
func (l *limit) take(ctx context.Context, n int64) error {
	l.mu.Lock()
	if l.rate == 0 {
		l.mu.Unlock()
		return ctx.Err()
	}
	now := l.clock.Now()
	if l.free.Before(now) {
		l.free = now
	}
	wait := l.free.Sub(now)
	l.free = l.free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	l.mu.Unlock()
	return clock.Sleep(ctx, l.clock, wait)
}
