package checksum

import (
	"crypto/md5"
	"hash"
	"sync"

	md5simd "github.com/minio/md5-simd"
)

const (
	// simdFrom is the number of concurrent MD5 bodies from which hashing several in one go is cheaper.
	simdFrom = 3
	// simdMax bounds the lanes that are kept: the server looks at all of them at each turn.
	simdMax = 64
)

// Hashers makes the hashes of a process. It hands MD5 to a SIMD server while several bodies are under way. It is safe
// for concurrent use; close it when no Stages are left.
type Hashers struct {
	mu     sync.Mutex
	active int // MD5 hashes in use, of large bodies
	lanes  int // made by the server, in use or free
	free   []md5simd.Hasher
	server md5simd.Server // made when first needed: its buffers take 1.5 MB
}

// NewHashers makes a Hashers.
func NewHashers() *Hashers { return &Hashers{} }

// Close ends the SIMD server.
func (h *Hashers) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, lane := range h.free {
		lane.Close()
	}
	h.free, h.lanes = nil, 0
	if h.server != nil {
		h.server.Close()
		h.server = nil
	}
}

// md5 gives a hash for a large body and what to call when it is no longer needed.
func (h *Hashers) md5() (hash.Hash, func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active++
	if h.active >= simdFrom {
		if lane := h.lane(); lane != nil {
			return lane, func() { h.done(lane) }
		}
	}
	return md5.New(), func() { h.done(nil) }
}

// lane takes a free lane or makes one. Lanes are never closed one by one: the server keeps a closed one for ever.
func (h *Hashers) lane() md5simd.Hasher {
	if n := len(h.free); n > 0 {
		lane := h.free[n-1]
		h.free = h.free[:n-1]
		return lane
	}
	if h.lanes >= simdMax {
		return nil
	}
	if h.server == nil {
		h.server = md5simd.NewServer()
	}
	h.lanes++
	return h.server.NewHash()
}

func (h *Hashers) done(lane md5simd.Hasher) {
	if lane != nil {
		lane.Reset()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active--
	if lane != nil {
		h.free = append(h.free, lane)
	}
}
