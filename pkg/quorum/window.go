package quorum

import "time"

// WindowConfig bounds a Window, in bytes.
type WindowConfig struct {
	Start, Least, Most int64
}

// DefaultWindow suits a link of 1 MB/s as well as a local disk.
var DefaultWindow = WindowConfig{Start: 16 << 20, Least: 1 << 20, Most: 256 << 20}

// Window says how many bytes may be on their way to one node at the same time.
//
// A node behind a slow link takes longer for each write the more are sent to it
// at once; if none of them ended in time, all that was sent would be in vain.
// So the window shrinks by half when a write was late, once for all that were
// under way then, and grows with every write that was not.
type Window struct {
	config WindowConfig
	limit  int64
	under  int64 // bytes under way
	cut    time.Time
}

// NewWindow makes a window with nothing under way.
func NewWindow(c WindowConfig) *Window { return &Window{config: c, limit: c.Start} }

// Fits reports whether n more bytes may be sent. One write always may.
func (w *Window) Fits(n int64) bool { return w.under == 0 || w.under+n <= w.limit }

// Begin counts n bytes as under way; End, Fail or Late must follow.
func (w *Window) Begin(n int64) { w.under += n }

// End says that a write of n bytes ended well.
func (w *Window) End(n int64) {
	if n > 0 && 2*w.under >= w.limit { // else it says nothing about a larger one
		w.limit = min(w.limit+max(n/8, 1), w.config.Most)
	}
	w.under -= n
}

// Fail says that a write of n bytes ended in another way, which says nothing about the link.
func (w *Window) Fail(n int64) { w.under -= n }

// Late says that a write of n bytes, begun at that time, was given up.
func (w *Window) Late(n int64, began, now time.Time) {
	w.under -= n
	if n > 0 && began.After(w.cut) {
		w.limit = max(w.limit/2, w.config.Least)
		w.cut = now
	}
}

// Limit is the size of the window in bytes.
func (w *Window) Limit() int64 { return w.limit }
