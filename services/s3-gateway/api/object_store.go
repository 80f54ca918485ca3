package api

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/awschunked"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// maxSinglePut is the size of the largest body of one PUT, in bytes.
const maxSinglePut = 5 << 30

// payload is the body of a request, to be stored, with what it is to be checked against.
type payload struct {
	awschunked.Body
	asked checksum.Asked
	guard *guard
}

// payload prepares the body of a request. Nothing is read yet.
func (a *API) payload(r *Request) (*payload, error) {
	asked, err := checksum.FromHeaders(r.Header)
	if err != nil {
		return nil, err
	}
	g := a.guardBody(r)
	b, err := awschunked.New(r.Request, r.Auth.Payload, r.Auth.Seed)
	if err != nil {
		return nil, err
	}
	if b.Len() > maxSinglePut {
		return nil, s3err.EntityTooLarge.With("ProposedSize", itoa(b.Len())).With("MaxSizeAllowed", itoa(maxSinglePut))
	}
	return &payload{Body: b, asked: asked, guard: g}, nil
}

// stored is a body that was stored and checked, and waits to be committed. Discard it if it is not.
type stored struct {
	*body.Attempt
	ETag     string
	Checksum meta.Checksum // of the algorithm that was chosen; its type is FULL_OBJECT
}

// store stores a body and checks it. alg is the checksum to keep; the one that the
// request asks for is checked as well.
func (a *API) store(r *Request, t body.Target, p *payload, alg checksum.Algorithm) (*stored, error) {
	stages := a.Hashers.Stages(p.Len(), alg, p.asked.Algorithm)
	defer stages.Close()
	attempt, err := a.Bodies.Write(r.Context(), t, p, p.Len(), stages, p.guard.evict)
	if err != nil {
		if p.guard.evicted.Load() {
			return nil, s3err.SlowDown.Because(err)
		}
		return nil, err
	}
	sums := stages.Sums()
	if err := p.asked.Check(sums, p.Trailer(p.asked.Algorithm.Header())); err != nil {
		attempt.Discard(r.Context())
		return nil, err
	}
	s := &stored{Attempt: attempt, ETag: sums.ETag()}
	if alg != checksum.None {
		s.Checksum = meta.Checksum{Algorithm: alg.String(), Type: fullObject, Value: sums.Value(alg)}
	}
	return s, nil
}

// fullObject is the type of a checksum of a whole body.
const fullObject = "FULL_OBJECT"

// guard reads the body of a request and gives up on a client that sends nothing, or too slowly.
type guard struct {
	src     io.ReadCloser
	r       *Request
	control *http.ResponseController
	pace
	evicted atomic.Bool
}

// guardBody puts a guard in front of the request's body.
func (a *API) guardBody(r *Request) *guard {
	g := &guard{src: r.Body, r: r, control: http.NewResponseController(r.w.ResponseWriter), pace: pace{idle: a.IdleTimeout, minRate: a.MinRate}}
	r.Body = g
	return g
}

// Read implements io.Reader.
func (g *guard) Read(p []byte) (int, error) {
	if now := time.Now(); g.due(now) {
		if err := g.renew(now); err != nil {
			return 0, err
		}
	}
	n, err := g.src.Read(p)
	g.n += int64(n)
	if err == io.EOF {
		g.r.bodyDone = true
		_ = g.control.SetReadDeadline(time.Time{}) // as below
	}
	return n, err
}

// renew gives the client more time if it was fast enough so far.
func (g *guard) renew(now time.Time) error {
	if !g.extend(now) {
		return s3err.RequestTimeout.Msg("The body arrives at less than %d bytes per second.", g.minRate)
	}
	// A server without deadlines, as in some tests, is not an error: the context bounds the request.
	_ = g.control.SetReadDeadline(now.Add(g.idle))
	if g.evicted.Load() { // asked after the deadline was set, so that it cannot be overlooked
		return errors.Newf(errors.Overloaded, "memory is short and this was the slowest request")
	}
	return nil
}

// Close implements io.Closer.
func (g *guard) Close() error { return g.src.Close() }

// evict makes the next read, or the one under way, fail. It is called from another goroutine.
func (g *guard) evict() {
	g.evicted.Store(true)
	_ = g.control.SetReadDeadline(time.Unix(1, 0))
}
