package ldap

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// Deps are what a Source works with.
type Deps struct {
	Clock    clock.Clock
	Logger   *slog.Logger
	Registry prometheus.Registerer // nil: metrics are not published
}

// Source is an identity.Source over an LDAP directory. Make one with New, and Close it.
type Source struct {
	config  Config
	clock   clock.Clock
	log     *complaints
	metrics *metrics
	pool    *pool
	flight  singleflight.Group

	mu      sync.Mutex
	kept    *kept
	closed  bool
	running sync.WaitGroup // lookups
	ctx     context.Context
	cancel  context.CancelFunc
}

var _ identity.Source = (*Source)(nil)

// New makes a source. It does not ask the directory yet. Kinds: Invalid if a setting is wrong.
func New(c Config, d Deps) (*Source, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if !c.Enabled() {
		return nil, errors.E(errors.Invalid, errors.Setting, "url", "there is no LDAP server")
	}
	p, err := newPool(&c, d.Clock)
	if err != nil {
		return nil, err
	}
	s := &Source{config: c, clock: d.Clock, log: newComplaints(d.Logger, d.Clock), pool: p, kept: newKept(&c)}
	p.config = &s.config
	s.metrics = newMetrics(d.Registry, p)
	p.took = s.metrics.took
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Close ends the lookups under way and closes the connections. Find answers Unavailable after it, where it would have to ask.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	return s.pool.close()
}

// Check asks whether the directory can be reached and lets the gateway in. Kinds: Unavailable.
func (s *Source) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	err := s.pool.do(ctx, func(conn *ldap.Conn) error {
		_, err := s.config.search(conn, s.config.People.Base, ldap.ScopeBaseObject, 1, "(objectClass=*)", s.config.People.Name)
		return errors.Annotate(err, "looking at %s", s.config.People.Base)
	})
	s.metrics.up(err == nil)
	return errors.Wrap(errors.Unavailable, err, "LDAP")
}

// question is what the directory is asked, once for all who want to know the same.
type question struct {
	key  string // by which its answer is kept
	find func(*ldap.Conn) (identity.Identity, []problem, error)
	// nobody is the answer where there is none, and unknown where nobody knows: their kinds are NotFound and Unavailable.
	nobody, unknown error
}

// Find implements identity.Source.
func (s *Source) Find(ctx context.Context, accessKey string) (identity.Identity, error) {
	if !plausible(accessKey) {
		return identity.Identity{}, errors.E(errors.NotFound, errors.AccessKey, "", "no access key looks so")
	}
	nobody := errors.E(errors.NotFound, errors.AccessKey, accessKey, "there is no such access key in LDAP")
	return s.answer(ctx, question{
		key: accessKey, find: func(conn *ldap.Conn) (identity.Identity, []problem, error) {
			return s.config.findBy(conn, s.config.People.AccessKey, accessKey, nobody)
		},
		nobody: nobody, unknown: errors.Newf(errors.Unavailable, "LDAP cannot be asked just now whose access key %q is", accessKey),
	})
}

// answer is what is kept, or what the directory says.
func (s *Source) answer(ctx context.Context, q question) (identity.Identity, error) {
	s.mu.Lock()
	v, id := s.kept.decide(q.key, s.clock.Now())
	away := s.kept.down
	s.mu.Unlock()
	s.metrics.cache.Asked(v != ask)
	if away && (v == serve || v == serveAndAsk) {
		s.metrics.servedWhileAway()
	}
	switch v {
	case serve:
		return id, nil
	case serveAndAsk:
		s.look(q)
		return id, nil
	case refuse:
		return identity.Identity{}, q.nobody
	case unavailable:
		return identity.Identity{}, q.unknown
	}
	ctx, span := telemetry.StartSpan(ctx, "ldap.lookup")
	id, err := s.wait(ctx, q)
	telemetry.EndSpan(span, err)
	return id, err
}

// wait asks the directory and waits for the answer until ctx ends.
func (s *Source) wait(ctx context.Context, q question) (identity.Identity, error) {
	select {
	case r := <-s.look(q):
		id, _ := r.Val.(identity.Identity)
		return id, r.Err
	case <-ctx.Done():
		return identity.Identity{}, errors.Wrap(errors.KindOf(context.Cause(ctx)), context.Cause(ctx), "waiting for LDAP")
	}
}

// FindPerson asks the directory for the person or machine with the name, and its groups, for an operator who wants to know what it may do:
// nothing of it is kept, nor answered from what is. Kinds: NotFound, with what is wrong with the entry; Unavailable, Deadline, Canceled; Overloaded.
func (s *Source) FindPerson(ctx context.Context, name string) (identity.Identity, error) {
	if name == "" || len(name) > maxName {
		return identity.Identity{}, errors.Newf(errors.NotFound, "a name in LDAP has 1 to %d bytes", maxName)
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	var id identity.Identity
	var problems []problem
	err := s.pool.do(ctx, func(conn *ldap.Conn) (err error) {
		nobody := errors.Newf(errors.NotFound, "LDAP has no person or machine with the name %q that may sign", name)
		id, problems, err = s.config.findBy(conn, s.config.People.Name, name, nobody)
		return err
	})
	if err != nil && !errors.Is(err, errors.NotFound) && !errors.Is(err, errors.Overloaded) {
		err = errors.Wrap(errors.Unavailable, err, "LDAP")
	}
	if err != nil && len(problems) > 0 {
		err = errors.Annotate(err, "%s: %v", problems[0].dn, problems[0].err)
	}
	return id, err
}

// look asks the directory, once however many want to know. The lookup does not
// end with the request that began it: others may wait for it.
func (s *Source) look(q question) <-chan singleflight.Result {
	return s.flight.DoChan(q.key, func() (any, error) { return s.ask(q) })
}

func (s *Source) ask(q question) (identity.Identity, error) {
	s.mu.Lock()
	asked := s.clock.Now() // the answer is not younger
	if s.closed {
		s.kept.cannotTell(q.key, asked, asked)
		s.mu.Unlock()
		return identity.Identity{}, errors.Newf(errors.Unavailable, "the gateway stops")
	}
	s.running.Add(1)
	s.mu.Unlock()
	defer s.running.Done()

	ctx, cancel := context.WithTimeout(s.ctx, s.config.Timeout)
	defer cancel()
	var id identity.Identity
	var problems []problem
	err := s.pool.do(ctx, func(conn *ldap.Conn) (err error) {
		id, problems, err = q.find(conn)
		return err
	})
	for _, p := range problems {
		s.log.problem(p)
	}
	return s.note(q.key, id, err, asked)
}

// note keeps what came of a lookup, and makes the answer of it.
func (s *Source) note(key string, id identity.Identity, err error, asked time.Time) (identity.Identity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wasDown bool
	switch {
	case err == nil:
		s.metrics.looked(found)
		wasDown = s.kept.isThere(key, id, asked)
	case errors.Is(err, errors.NotFound):
		s.metrics.looked(refused)
		wasDown = s.kept.isNotThere(key, asked)
	case errors.Is(err, errors.Overloaded):
		s.metrics.crowded()
		if id, known := s.kept.crowded(key, asked); known {
			s.metrics.servedWhileAway()
			return id, nil
		}
		return identity.Identity{}, err
	default:
		s.metrics.looked(failed)
		err = errors.Wrap(errors.Unavailable, err, "LDAP")
		id, known, wasUp := s.kept.cannotTell(key, asked, s.clock.Now())
		s.log.down(err, wasUp, s.config.AwayTime)
		if known {
			s.metrics.servedWhileAway()
			return id, nil
		}
		return identity.Identity{}, err
	}
	s.log.up(wasDown)
	return id, err
}
