package api

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

const (
	// maxHeaders is the size of the largest header section in bytes, names and values.
	maxHeaders = 8 << 10
	// drainTime is how long a client may take to send the rest of a body that nobody wants.
	drainTime = 5 * time.Second
)

// ErrStopped is the cause of the end of a request's context (context.Cause) whose connection was cut because the gateway stopped.
var ErrStopped = errors.Newf(errors.Canceled, "the gateway has stopped")

// serve is the way of every request.
func (a *API) serve(hw http.ResponseWriter, hr *http.Request) {
	w := &Response{ResponseWriter: hw, head: hr.Method == http.MethodHead}
	r := &Request{Request: hr, w: w, Begun: a.Clock.Now(), op: &unknownOperation}
	id, err := telemetry.NewRequestID(a.Random)
	if err != nil {
		panic(http.ErrAbortHandler) // the machine has no randomness: nothing can be signed or named
	}
	r.ID = id
	ctx, span := a.Tracing.StartRequest(telemetry.WithRequestID(hr.Context(), id), "S3", hr.Header, a.TrustTrace)
	r.span, r.Request = span, hr.WithContext(ctx)
	h := w.Header()
	// One allocation for the values of all.
	v := [...]string{id, a.hostID, "Garage"}
	h["X-Amz-Request-Id"], h["X-Amz-Id-2"], h["Server"] = v[0:1:1], v[1:2:2], v[2:3:3]

	defer a.end(r)
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
		err = a.run(w, r)
	default:
		err = s3err.SlowDown
	}
	if err != nil {
		a.answer(w, r, err)
	}
}

func (a *API) run(w *Response, r *Request) error {
	size := 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if size > maxHeaders {
		return s3err.RequestHeaderSectionTooLarge.With("MaxSizeAllowed", itoa(maxHeaders))
	}
	if err := a.address(r); err != nil {
		return err
	}
	if err := a.route(r); err != nil {
		return err
	}
	if err := a.authenticate(r); err != nil {
		return err
	}
	if r.Auth.Presigned { // it may have the source of a copy in its query, which is a header only now
		if err := a.route(r); err != nil {
			return err
		}
	}
	if err := refuse(r); err != nil {
		return err
	}
	if err := a.authorise(r); err != nil {
		return err
	}
	if r.op.run == nil {
		return s3err.NotImplemented.Msg("%s is not implemented.", r.op.name)
	}
	return r.op.run(a, w, r)
}

// end runs at the end of every request, also when it panicked.
func (a *API) end(r *Request) {
	problem := recover()
	a.xml.large.Release(r.xmlRoom)
	defer a.report(r, problem) // when it is known whether there was an answer
	switch p := problem.(type) {
	case nil:
		a.drain(r)
		return
	case cut:
		a.Log.LogAttrs(r.Context(), levelOf(p.err), "connection cut in the middle of an answer",
			slog.String("operation", r.op.name), slog.String("path", r.Path), slog.Int64("sent", r.w.sent), slog.Any("error", p.err))
	default:
		if p == http.ErrAbortHandler { //nolint:errorlint // the value itself is what net/http compares
			break
		}
		a.Log.LogAttrs(r.Context(), slog.LevelError, "a request failed by a bug", slog.String("operation", r.op.name),
			slog.String("path", r.Path), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		if r.w.status == 0 {
			a.answer(r.w, r, s3err.InternalError)
			a.drain(r)
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// report counts a request that has ended, logs it and ends its span.
func (a *API) report(r *Request, problem any) {
	took := a.Clock.Now().Sub(r.Begun)
	a.metrics.count(r, took)
	if a.Access != nil {
		_, wasCut := problem.(cut)
		a.Access.Write(r.entry(took, wasCut || errors.IsTarget(context.Cause(r.Context()), ErrStopped)))
	}
	r.endSpan(problem)
}

// drain bounds how long net/http waits for what the client still sends.
func (a *API) drain(r *Request) {
	if r.ContentLength == 0 || r.bodyDone {
		return
	}
	// Test recorders have no deadlines.
	_ = http.NewResponseController(r.w.ResponseWriter).SetReadDeadline(time.Now().Add(drainTime))
}

// levelOf is how loudly an error is logged: what clients do is not an operator's concern.
func levelOf(err error) slog.Level {
	switch errors.KindOf(err) {
	case errors.Internal, errors.Corrupted:
		return slog.LevelError
	case errors.Unavailable, errors.Deadline, errors.Full:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}
