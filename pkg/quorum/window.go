package quorum

import "time"

// WindowConfig bounds a Window.
type WindowConfig struct {
	Least, Most int64         // bytes
	Slow        time.Duration // a write that takes longer is one of too many
}

// DefaultWindow suits a link of 1 MB/s as well as a local disk.
var DefaultWindow = WindowConfig{Least: 1 << 20, Most: 256 << 20, Slow: 2 * time.Second}

// Window says how many bytes may be on their way to one node at the same time.
//
// A node behind a slow link takes longer for each write the more are sent to it
// at once; if none of them ended in time, all that was sent would be in vain. The
// window begins at its most. When a write was slow, or was given up, it shrinks to
// what would have taken Slow, once for all that were under way then; it grows
// with every other write.
type Window struct {
	config WindowConfig
	limit  int64
	under  int64 // bytes under way
	cut    time.Time
}

// NewWindow makes a window with nothing under way.
func NewWindow(c WindowConfig) *Window { return &Window{config: c, limit: c.Most} }

// Fits reports whether n more bytes may be sent. One write always may, and so
// may one without bytes.
func (w *Window) Fits(n int64) bool { return n == 0 || w.under == 0 || w.under+n <= w.limit }

// Begin counts n bytes as under way; End, Fail or Late must follow.
func (w *Window) Begin(n int64) { w.under += n }

// End says that a write of n bytes, begun at that time, ended well.
func (w *Window) End(n int64, began, now time.Time) {
	switch took := now.Sub(began); {
	case n == 0:
	case took > w.config.Slow:
		w.shrink(took, began, now, 1)
	case 2*w.under >= w.limit: // else it says nothing about a larger window
		w.limit = min(w.limit+max(n/8, 1), w.config.Most)
	}
	w.under -= n
}

// Fail says that a write of n bytes ended in another way, which says nothing about the link.
func (w *Window) Fail(n int64) { w.under -= n }

// Late says that a write of n bytes, begun at that time, was given up.
func (w *Window) Late(n int64, began, now time.Time) {
	if n > 0 {
		w.shrink(max(now.Sub(began), w.config.Slow), began, now, 2)
	}
	w.under -= n
}

func (w *Window) shrink(took time.Duration, began, now time.Time, by float64) {
	if began.After(w.cut) {
		fitting := float64(min(w.limit, w.under)) * (float64(w.config.Slow) / float64(took)) / by
		w.limit = max(int64(fitting), w.config.Least)
		w.cut = now
	}
}

// Limit is the size of the window in bytes.
func (w *Window) Limit() int64 { return w.limit }
