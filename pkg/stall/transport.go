package stall

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
)

// Transport sends requests to another server, and ends those that it stalls. The time in which the source of a body gives nothing, or nobody
// reads an answer, does not count: that is for [Body] and [Answer] to bound, which know whose it is.
type Transport struct {
	Next http.RoundTripper
	// Idle is how long the server may take nothing of a request's body, or give nothing of its answer's. Patience is how long it may
	// take to be reached, and to begin its answer once it has all of the request.
	Idle, Patience time.Duration
}

// RoundTrip implements http.RoundTripper. Kinds, beside the errors of Next: Deadline.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	x := &exchange{idle: t.Idle, patience: t.Patience, ctx: ctx, cancel: cancel, host: r.URL.Host}
	x.timer = time.AfterFunc(t.Patience, x.end)
	r = r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &sent{r.Body, x}
	}
	answer, err := t.Next.RoundTrip(r)
	x.answered()
	if err != nil {
		err = x.why(err)
		cancel(nil)
		return nil, err
	}
	answer.Body = &received{answer.Body, x}
	return answer, nil
}

// CloseIdleConnections is for http.Client.
func (t *Transport) CloseIdleConnections() {
	if next, ok := t.Next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// exchange is one request, and what ends it when its server stalls.
type exchange struct {
	idle, patience time.Duration
	ctx            context.Context
	cancel         context.CancelCauseFunc
	host           string

	mu    sync.Mutex
	timer *time.Timer // runs while something is for the server to do
	begun bool        // the answer has: what is left of the request ends with it
}

func (x *exchange) end() {
	x.cancel(errors.Newf(errors.Deadline, "%s takes nothing of the request, or gives nothing of its answer", x.host))
}

// why is err, or what ended the exchange before.
func (x *exchange) why(err error) error {
	if cause := context.Cause(x.ctx); errors.Is(cause, errors.Deadline) {
		return cause
	}
	return err
}

func (x *exchange) answered() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.begun = true
	x.timer.Stop()
}

// wait gives the server that long to go on with its answer or, before it has begun that, with the request; 0: it has nothing to do.
func (x *exchange) wait(limit time.Duration, answer bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.begun != answer:
	case limit > 0:
		x.timer.Reset(limit)
	default:
		x.timer.Stop()
	}
}

// sent is the body of a request: between two reads the server takes what was read.
type sent struct {
	io.ReadCloser
	x *exchange
}

// Read implements io.Reader.
func (s *sent) Read(p []byte) (int, error) {
	s.x.wait(0, false)
	n, err := s.ReadCloser.Read(p)
	if err == nil {
		s.x.wait(s.x.idle, false)
	} else {
		s.x.wait(s.x.patience, false)
	}
	return n, err
}

// received is the body of an answer.
type received struct {
	io.ReadCloser
	x *exchange
}

// Read implements io.Reader.
func (b *received) Read(p []byte) (int, error) {
	b.x.wait(b.x.idle, true)
	n, err := b.ReadCloser.Read(p)
	b.x.wait(0, true)
	if err != nil && err != io.EOF {
		err = b.x.why(err)
	}
	return n, err
}

// Close implements io.Closer.
func (b *received) Close() error {
	b.x.wait(0, true)
	defer b.x.cancel(nil)
	return b.ReadCloser.Close()
}
