package move

import (
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

	mu     sync.RWMutex // held for reading while something is written
	holder uuid.UUID
	until  time.Time
	frozen bool
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
	g.mu.RLock()
	defer g.mu.RUnlock()
	if m := g.moved.Load(); m != nil {
		return errors.Newf(errors.Overloaded, "all data has moved to the cluster at %s: nothing is written here any more", m.Endpoint)
	}
	if g.frozen && g.clock.Now().Before(g.until) {
		return errors.Newf(errors.Overloaded, "all data is about to move to a cluster: nothing is written for a moment; try again")
	}
	return do()
}

// Hold keeps other migrations off for the lease and, if it is to freeze, waits for the writes under way and holds others back.
// renew goes on with a hold, and with holding back writes. Kinds: Conflict if another migration has hold, there is nothing to renew, or all is moved.
func (g *Gate) Hold(migration uuid.UUID, lease time.Duration, freeze, renew bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	held := now.Before(g.until)
	switch {
	case g.moved.Load() != nil:
		return errors.Newf(errors.Conflict, "all data has moved already")
	case renew && (!held || migration != g.holder):
		return errors.Newf(errors.Conflict, "this server was started again, or has not heard of the migration for too long, and writes go on; begin again")
	case !renew && held:
		return errors.Newf(errors.Conflict, "another migration of this server is under way, or was until a moment ago; it can be begun again %v after that has ended",
			g.until.Sub(now).Round(time.Second))
	}
	// A renewal that was sent before writes were held back, and comes late, must not let them pass.
	g.holder, g.until, g.frozen = migration, now.Add(lease), freeze || renew && g.frozen
	return nil
}

// Release ends a hold; one that has ended, or is another's, stays as it is.
func (g *Gate) Release(migration uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if migration == g.holder {
		g.until, g.frozen = time.Time{}, false
	}
}

// Leave makes it final that everything is at the endpoint; it may be repeated until Forward. Kinds: Conflict unless the migration has
// held writes back until now; Internal if that cannot be written: then it may be final all the same, and nothing is written any more.
func (g *Gate) Leave(migration uuid.UUID, endpoint string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	m := &Moved{Left: now.UTC(), Endpoint: endpoint}
	switch before := g.moved.Load(); {
	case before != nil && before.Forwards:
		return errors.Newf(errors.Conflict, "all data has moved already, to %s", before.Endpoint)
	case before != nil:
		m.Left = before.Left
	case migration != g.holder || !g.frozen || !now.Before(g.until):
		return errors.Newf(errors.Conflict, "writes were not held back until now; begin again")
	}
	g.moved.Store(m)
	return g.keep(m)
}

// Forward has requests handed on from now on. Kinds: Conflict before Leave.
func (g *Gate) Forward() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.moved.Load()
	if m == nil {
		return errors.Newf(errors.Conflict, "the data is here, nothing can be forwarded")
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
