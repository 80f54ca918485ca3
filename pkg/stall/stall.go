package stall

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// LimitBody gives the client that long to send the whole body, from now on; 0 takes back any limit. Without a body it does nothing.
// A handler that waits for something else after it has read the body takes the limit back: when it passes, the request is cancelled.
func LimitBody(w http.ResponseWriter, r *http.Request, whole time.Duration) {
	if r.ContentLength == 0 {
		return // and a deadline would end the request while its handler works
	}
	var deadline time.Time
	if whole > 0 {
		deadline = time.Now().Add(whole)
	}
	_ = http.NewResponseController(w).SetReadDeadline(deadline) // test recorders have none
}

// Body makes the request's body fail where nothing of it comes for idle, which replaces any limit of [LimitBody]. The caller calls
// done when its handler ends: then what is left of the body has to come within idle.
func Body(w http.ResponseWriter, r *http.Request, idle time.Duration) (done func()) {
	if r.ContentLength == 0 {
		return func() {}
	}
	b := &body{ReadCloser: r.Body, control: http.NewResponseController(w), idle: idle}
	b.set(time.Time{})
	r.Body = b
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.over = true
		_ = b.control.SetReadDeadline(time.Now().Add(idle)) // test recorders have none
	}
}

type body struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration

	mu   sync.Mutex
	over bool // the connection may serve another request
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.set(time.Now().Add(b.idle))
	defer b.set(time.Time{})
	return b.ReadCloser.Read(p)
}

func (b *body) set(deadline time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		_ = b.control.SetReadDeadline(deadline) // test recorders have none
	}
}

// Answer is w, where a write fails that the client does not take within idle.
func Answer(w http.ResponseWriter, idle time.Duration) http.ResponseWriter {
	return &answer{ResponseWriter: w, control: http.NewResponseController(w), idle: idle}
}

type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
}

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	_ = a.control.SetWriteDeadline(time.Now().Add(a.idle)) // test recorders have none
	return a.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
