//go:build stack

package consul

import (
	"net"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// link is what lies between a program and a real Consul: it can be cut, and hang.
type link struct {
	t        *testing.T
	to       string
	listener net.Listener
	work     sync.WaitGroup

	mu    sync.Mutex
	state *sync.Cond
	cut   bool
	hangs bool
	open  map[net.Conn]bool
}

// connect has the programs of this test reach the Consul of the stack by a link.
func connect(t *testing.T) *link {
	t.Helper()
	address := os.Getenv("GARAGE_STACK_CONSUL")
	if address == "" {
		t.Fatal("GARAGE_STACK_CONSUL is not set: run this with tools/stack (stack run consul -- go test -tags stack …), or set it to the HTTP address of a Consul agent")
	}
	u, err := url.Parse(address)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{t: t, to: u.Host, listener: listener, open: map[net.Conn]bool{}}
	l.state = sync.NewCond(&l.mu)
	l.work.Go(l.accept)
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		l.set(true, false)
		l.work.Wait()
	})
	t.Setenv("CONSUL_HTTP_ADDR", "http://"+listener.Addr().String())
	t.Setenv("CONSUL_HTTP_TOKEN", os.Getenv("GARAGE_STACK_CONSUL_TOKEN"))
	return l
}

// set changes how the link is; cutting it ends all connections.
func (l *link) set(cut, hangs bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.hangs = cut, hangs
	if cut {
		for c := range l.open {
			_ = c.Close()
		}
	}
	l.state.Broadcast()
}

func (l *link) accept() {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = from.Close()
			continue
		}
		l.mu.Lock()
		refused := l.cut
		l.open[from], l.open[to] = true, true
		l.mu.Unlock()
		if refused {
			l.end(from, to)
			continue
		}
		l.work.Go(func() { l.pump(from, to) })
		l.work.Go(func() { l.pump(to, from) })
	}
}

func (l *link) end(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(l.open, c)
	}
}

func (l *link) pump(from, to net.Conn) {
	defer l.end(from, to)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		for l.hangs && !l.cut {
			l.state.Wait()
		}
		l.mu.Unlock()
		if n > 0 {
			if _, werr := to.Write(buffer[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
