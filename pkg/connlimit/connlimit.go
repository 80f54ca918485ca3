// Package connlimit bounds the connections of an HTTP server, so that clients
// cannot take the file descriptors that the data needs.
//
// When the limit is reached, the connection that has been idle longest is
// closed for a new one; when none is idle, the new one is.
package connlimit

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// Limit counts the connections of one server.
type Limit struct {
	max int

	mu    sync.Mutex
	conns map[net.Conn]*conn
	idle  list.List // of *conn, the one idle longest first
}

// New bounds a server to max connections, and to half of the file descriptors
// that the process may have.
func New(max int) *Limit {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil && files.Cur/2 < uint64(max) {
		max = int(files.Cur / 2)
	}
	return &Limit{max: max, conns: make(map[net.Conn]*conn)}
}

// Guard makes the server count its connections, and returns the listener to serve on.
// A ConnState that the server already has is replaced.
func (l *Limit) Guard(s *http.Server, inner net.Listener) net.Listener {
	s.ConnState = l.changed
	return &listener{Listener: inner, limit: l}
}

type listener struct {
	net.Listener
	limit *Limit
}

// Accept waits for a connection for which there is room.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.limit.admit(c); admitted != nil {
			return admitted, nil
		}
		_ = c.Close() // nothing was read from it
	}
}

// conn is a connection that is counted until it is closed.
type conn struct {
	net.Conn
	limit *Limit
	place *list.Element // while idle; guarded by limit.mu
}

func (c *conn) Close() error {
	c.limit.remove(c)
	return c.Conn.Close()
}

func (l *Limit) admit(inner net.Conn) *conn {
	l.mu.Lock()
	var victim *conn
	if len(l.conns) >= l.max {
		first := l.idle.Front()
		if first == nil {
			l.mu.Unlock()
			return nil
		}
		victim = first.Value.(*conn)
	}
	l.mu.Unlock()
	if victim != nil {
		_ = victim.Close() // its client finds it closed, as after the idle timeout
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &conn{Conn: inner, limit: l}
	l.conns[c] = c
	c.place = l.idle.PushBack(c)
	return c
}

func (l *Limit) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	l.rest(c)
}

// rest takes a connection out of the idle ones. Called with the lock held.
func (l *Limit) rest(c *conn) {
	if c.place != nil {
		l.idle.Remove(c.place)
		c.place = nil
	}
}

func (l *Limit) changed(nc net.Conn, state http.ConnState) {
	if wrapped, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = wrapped.NetConn()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conns[nc]
	if c == nil {
		return
	}
	switch state {
	case http.StateActive:
		l.rest(c)
	case http.StateIdle:
		if c.place == nil {
			c.place = l.idle.PushBack(c)
		}
	case http.StateHijacked, http.StateClosed, http.StateNew:
	}
}
