package s3gateway

import (
	"net/http"
	"sync"
	"time"
)

// underWay hands requests on, and knows how many have not ended: net/http does not wait for those whose connections it closes.
type underWay struct {
	next http.Handler
	idle chan struct{} // holds one when none is left

	mu sync.Mutex
	n  int
}

// ServeHTTP implements http.Handler.
func (u *underWay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.count(1)
	defer u.count(-1)
	u.next.ServeHTTP(w, r)
}

func (u *underWay) count(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n += n
	if u.n == 0 {
		select {
		case u.idle <- struct{}{}:
		default: // it is known
		}
	}
}

// wait waits until no request is under way, for at most so long, and returns how many are left.
func (u *underWay) wait(most time.Duration) int {
	patience := time.NewTimer(most)
	defer patience.Stop()
	for {
		u.mu.Lock()
		left := u.n
		u.mu.Unlock()
		if left == 0 {
			return 0
		}
		select {
		case <-u.idle: // maybe it was before
		case <-patience.C:
			return left
		}
	}
}
