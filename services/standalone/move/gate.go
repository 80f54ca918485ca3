package move

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
)

// File is where a data folder says that what was in it has moved.
const File = "moved.json"

// Moved is where everything is now.
type Moved struct {
	Left     time.Time `json:"left"`
	Cluster  uuid.UUID `json:"cluster"`
	Endpoint string    `json:"endpoint"` // URL of the cluster's S3
	Forwards bool      `json:"forwards"` // it can be used there
}

// Gate lets writes pass, or not.
type Gate struct {
	clock clock.Clock
	path  string
	self  string                // tells this server to itself
	idle  time.Duration         // in which something must move of a request that is forwarded
	moved atomic.Pointer[Moved] // nil: it is all here; set under mu

	mu      sync.Mutex    // never held while something is written
	writing int           // writes under way
	done    chan struct{} // closed when none is; nil: nobody waits
	holder  uuid.UUID
	until   time.Time
	frozen  bool // no write begins
	drained bool // and those that had begun have ended
}

// NewGate makes a gate as the folder says. Kinds: Invalid if the file in it cannot be read.
func NewGate(folder *datafolder.Folder, c clock.Clock) (*Gate, error) {
	g := &Gate{clock: c, path: folder.Path(File), self: folder.Info().NodeID.String(), idle: idleTimeout}
	content, err := os.ReadFile(g.path)
	if errors.IsTarget(err, fs.ErrNotExist) {
		return g, nil
	}
	var m Moved
	if err == nil {
		err = json.Unmarshal(content, &m)
	}
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "reading %s, which says that all data has moved to a cluster", g.path)
	}
	g.moved.Store(&m)
	return g, nil
}

// Moved is where everything is now, or nil if it is here.
func (g *Gate) Moved() *Moved { return g.moved.Load() }

// write does something that changes metadata. Kinds: Overloaded while writes are held back, which clients hear as SlowDown.
func (g *Gate) write(do func() error) error {
	if err := g.beginWrite(); err != nil {
		return err
	}
	defer g.endWrite()
	return do()
}

func (g *Gate) beginWrite() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m := g.moved.Load(); m != nil {
		return errors.Newf(errors.Overloaded, "all data has moved to the cluster at %s: nothing is written here any more", m.Endpoint)
	}
	if g.frozen && g.holdActive() {
		return errors.Newf(errors.Overloaded, "all data is about to move to a cluster: nothing is written for a moment; try again")
	}
	g.writing++
	return nil
}

func (g *Gate) endWrite() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.writing--; g.writing == 0 && g.done != nil {
		close(g.done)
		g.done = nil
	}
}

// holdActive says whether the last hold has not ended. The caller has mu.
func (g *Gate) holdActive() bool { return g.clock.Now().Before(g.until) }

// Hold keeps other migrations off for the lease and, if it is to freeze, holds writes back and waits for those under way, until ctx ends.
// renew goes on with a hold, and with holding back writes; it waits for nothing. Kinds: Conflict if another migration has hold, there is
// nothing to renew, or all is moved; Deadline, Canceled if writes are still under way: the hold stays, and they are held back.
func (g *Gate) Hold(ctx context.Context, migration uuid.UUID, lease time.Duration, freeze, renew bool) error {
	if err := g.hold(migration, lease, freeze, renew); err != nil || !freeze {
		return err
	}
	for {
		done, err := g.draining(migration)
		if err != nil || done == nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return errors.Wrap(errors.KindOf(ctx.Err()), ctx.Err(), "waiting for the writes under way")
		}
	}
}

func (g *Gate) hold(migration uuid.UUID, lease time.Duration, freeze, renew bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	active := g.holdActive()
	switch {
	case g.moved.Load() != nil:
		return errors.Newf(errors.Conflict, "all data has moved already")
	case renew && (!active || migration != g.holder):
		return errors.Newf(errors.Conflict, "this server was started again, or has not heard of the migration for too long, and writes go on; begin again")
	case !renew && active:
		return errors.Newf(errors.Conflict, "another migration of this server is under way, or was until a moment ago; it can be begun again %v after that has ended",
			g.until.Sub(g.clock.Now()).Round(time.Second))
	case !renew:
		g.frozen, g.drained = false, false
	}
	g.holder, g.until, g.frozen = migration, g.clock.Now().Add(lease), freeze || g.frozen
	return nil
}

// draining is what to wait for while writes are under way that had begun before they were held back, and nil when they have ended. Kinds:
// Conflict if writes are not held back for the migration any more.
func (g *Gate) draining(migration uuid.UUID) (done chan struct{}, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case migration != g.holder || !g.frozen || !g.holdActive():
		return nil, errors.Newf(errors.Conflict, "the writes under way took longer than the migration holds others back; begin again")
	case g.writing > 0 && g.done == nil:
		g.done = make(chan struct{})
	case g.writing == 0:
		g.drained = true
	}
	return g.done, nil
}

// Release ends a hold; one that has ended, or is another's, stays as it is.
func (g *Gate) Release(migration uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if migration == g.holder {
		g.until, g.frozen, g.drained = time.Time{}, false, false
	}
}

// Leave makes it final that everything is in the cluster, with the endpoint; it may be repeated for that cluster until Forward. Kinds:
// Conflict unless the migration has held writes back until now, or if it is in another cluster; Internal if that cannot be
// written: then it may be final all the same, and nothing is written any more.
func (g *Gate) Leave(migration, cluster uuid.UUID, endpoint string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &Moved{Left: g.clock.Now().UTC(), Cluster: cluster, Endpoint: endpoint}
	switch before := g.moved.Load(); {
	case before != nil && before.Cluster != cluster:
		return elsewhere(before)
	case before != nil && before.Forwards:
		return errors.Newf(errors.Conflict, "all data has moved already, to %s", before.Endpoint)
	case before != nil:
		m.Left = before.Left
	case migration != g.holder || !g.frozen || !g.drained || !g.holdActive():
		return errors.Newf(errors.Conflict, "writes were not held back until now; begin again")
	}
	g.moved.Store(m)
	return g.keep(m)
}

func elsewhere(m *Moved) error {
	return errors.Newf(errors.Conflict, "all data has moved to another cluster, %v at %s", m.Cluster, m.Endpoint)
}

// Forward has requests handed on from now on to the cluster that Leave named. Kinds: Conflict before Leave, or if it named another.
func (g *Gate) Forward(cluster uuid.UUID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.moved.Load()
	if m == nil {
		return errors.Newf(errors.Conflict, "the data is here, nothing can be forwarded")
	}
	if m.Cluster != cluster {
		return elsewhere(m)
	}
	next := *m
	next.Forwards = true
	if err := g.keep(&next); err != nil {
		return err
	}
	g.moved.Store(&next)
	return nil
}

func (g *Gate) keep(m *Moved) error {
	content, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = datafolder.WriteFile(g.path, append(content, '\n'), 0o600)
	}
	return errors.Wrap(errors.Internal, err, "writing %s", g.path)
}
