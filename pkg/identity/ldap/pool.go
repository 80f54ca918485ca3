package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
)

// pool lends connections that are bound, one to a lookup at a time.
type pool struct {
	config *Config
	clock  clock.Clock
	roots  *x509.CertPool // nil: those of the system
	slots  chan struct{}  // one for each connection that is lent
	took   func(operation string, began time.Time, err error)
	queue  chan struct{} // one for each lookup that has a slot or waits for one

	mu   sync.Mutex
	idle []*connection // the one used last is last
}

type connection struct {
	*ldap.Conn
	raw   net.Conn
	since time.Time // idle
}

// maxIdle is how long a connection is idle before it is no longer trusted: what is on the way, or the
// server, may have forgotten it without a word.
const maxIdle = time.Minute

func newPool(c *Config, clk clock.Clock) (*pool, error) {
	roots, err := tlsfiles.Authorities(c.CA)
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "reading the authorities of LDAP servers (setting ca)")
	}
	return &pool{config: c, clock: clk, roots: roots, took: func(string, time.Time, error) {}, slots: make(chan struct{}, c.Connections), queue: make(chan struct{}, c.Connections+maxWaiting)}, nil
}

// maxWaiting bounds the lookups that wait for a connection.
const maxWaiting = 1000

// do runs use on a connection, until ctx ends, which must have a deadline. When a connection that was idle turns out to be cut, use
// runs again on a new one. Kinds: Overloaded if too many wait, or it waited too long for others.
func (p *pool) do(ctx context.Context, use func(*ldap.Conn) error) error {
	select {
	case p.queue <- struct{}{}:
		defer func() { <-p.queue }()
	default:
		return errors.Newf(errors.Overloaded, "%d lookups wait for a connection to LDAP", maxWaiting)
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return errors.Wrap(errors.Overloaded, context.Cause(ctx), "waiting for one of %d connections to LDAP", p.config.Connections)
	}
	for {
		c := p.take()
		reused := c != nil
		if !reused {
			began := time.Now()
			var err error
			c, err = p.dial(ctx, p.bind)
			if p.took(binding, began, err); err != nil {
				return err
			}
		}
		began := time.Now()
		err := p.run(ctx, c, use)
		p.took(searching, began, err)
		if reused && broken(err) && ctx.Err() == nil {
			continue
		}
		return err
	}
}

// run lends c to use, and keeps it for the next if it is still good.
func (p *pool) run(ctx context.Context, c *connection, use func(*ldap.Conn) error) error {
	err := c.guard(ctx, func() error { return use(c.Conn) })
	if broken(err) || c.IsClosing() {
		_ = c.Close() // it is broken already
		return err
	}
	c.since = p.clock.Now()
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	return err
}

// guard breaks the connection when ctx ends, so that nothing waits longer.
func (c *connection) guard(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) }) // fails only on a closed connection
	err := f()
	if !stop() && err == nil {
		err = ldap.NewError(ldap.ErrorNetwork, context.Cause(ctx)) // the deadline is set: never lend it again
	}
	return err
}

// broken reports whether the connection failed, rather than that the server answered with an error.
func broken(err error) bool {
	var answer *ldap.Error
	if !errors.As(err, &answer) {
		return err != nil && errors.KindOf(err) == errors.Internal // what the library has no code for
	}
	return answer.ResultCode >= ldap.ErrorNetwork || answer.ResultCode == ldap.LDAPResultUnavailable
}

// take is a connection that was idle and seems good, or nil.
func (p *pool) take() *connection {
	for {
		p.mu.Lock()
		last := len(p.idle) - 1
		if last < 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		p.mu.Unlock()
		if !c.IsClosing() && young(c.since, p.clock.Now(), maxIdle) {
			return c
		}
		_ = c.Close() // it was of no use any more
	}
}

// dial opens a connection to the first server that takes one, secures it and binds.
func (p *pool) dial(ctx context.Context, bind func(*connection) error) (*connection, error) {
	var errs []error
	for _, text := range p.config.URL {
		c, err := p.dialOne(ctx, text, bind)
		if err == nil {
			return c, nil
		}
		errs = append(errs, errors.Annotate(err, "%s", text))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Wrap(errors.Unavailable, errors.Join(errs...), "connecting to LDAP")
}

func (p *pool) dialOne(ctx context.Context, text string, bind func(*connection) error) (*connection, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{RootCAs: p.roots, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	// A server that does not answer leaves time to try the next.
	dialer := &net.Dialer{Timeout: p.config.Timeout / time.Duration(len(p.config.URL))}
	raw, err := dialer.DialContext(ctx, "tcp", address(u))
	if err != nil {
		return nil, err
	}
	if u.Scheme == "ldaps" {
		conn := tls.Client(raw, secure)
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // it never was of use
			return nil, err
		}
		raw = conn
	}
	c := &connection{Conn: ldap.NewConn(raw, u.Scheme == "ldaps"), raw: raw}
	c.SetTimeout(p.config.Timeout)
	c.Start()
	err = c.guard(ctx, func() error {
		if p.config.StartTLS && u.Scheme == "ldap" {
			if err := c.StartTLS(secure); err != nil {
				return errors.Annotate(err, "going over to TLS")
			}
		}
		return bind(c)
	})
	if err != nil {
		_ = c.Close() // it never was of use
		return nil, err
	}
	return c, nil
}

func (p *pool) bind(c *connection) error {
	if p.config.BindDN == "" {
		return nil
	}
	password, err := p.config.password()
	if err != nil {
		return err
	}
	return errors.Annotate(c.Bind(p.config.BindDN, password), "binding as %s", p.config.BindDN)
}

// close closes what is idle. Nothing may be lent any more.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, c := range p.idle {
		errs = append(errs, c.Close())
	}
	p.idle = nil
	return errors.Join(errs...)
}
