package checksum

import (
	"crypto/md5"
	"sync"

	md5simd "github.com/minio/md5-simd"
)

const (
	// simdFrom is the number of concurrent MD5 bodies from which hashing several in one go is cheaper.
	simdFrom = 3
	// maxLanes is how many bodies one SIMD server hashes at the same time. It has 16 lanes and 48 buffers, and is told of a
	// body's buffers only when the body has three of them or all: 16 bodies could take all buffers and wait for
	// each other for ever.
	maxLanes = 15
	// maxServers bounds the servers, each of which takes 1.5 MB and one processor at most.
	maxServers = 4
)

// Hashers makes the hashes of a process. It hands MD5 to SIMD servers while several bodies are under way. It is safe
// for concurrent use; close it when no Stages are left.
type Hashers struct {
	mu      sync.Mutex
	active  int // MD5 hashes in use, of large bodies
	servers []*server
}

// server hashes the bodies of its lanes side by side. Lanes are never closed one by one: it would keep them for ever.
type server struct {
	md5simd.Server
	made int
	free []md5simd.Hasher
}

// NewHashers makes a Hashers. Servers are made when they are first needed.
func NewHashers() *Hashers { return &Hashers{} }

// Close ends the SIMD servers.
func (h *Hashers) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.servers {
		for _, lane := range s.free {
			lane.Close()
		}
		s.Close()
	}
	h.servers = nil
}

// md5 gives the hash of a large body.
func (h *Hashers) md5() sink {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active++
	if h.active >= simdFrom {
		if s := h.withRoom(); s != nil {
			lane := s.lane()
			return sink{hash: lane, done: func() { h.done(s, lane) }}
		}
	}
	return sink{hash: md5.New(), done: func() { h.done(nil, nil) }}
}

// withRoom finds the first server with a free lane, or makes one, or gives nil: the fuller a server, the cheaper.
func (h *Hashers) withRoom() *server {
	for _, s := range h.servers {
		if len(s.free) > 0 || s.made < maxLanes {
			return s
		}
	}
	if len(h.servers) == maxServers {
		return nil
	}
	s := &server{Server: md5simd.NewServer()}
	h.servers = append(h.servers, s)
	return s
}

func (s *server) lane() md5simd.Hasher {
	if n := len(s.free); n > 0 {
		lane := s.free[n-1]
		s.free = s.free[:n-1]
		return lane
	}
	s.made++
	return s.NewHash()
}

func (h *Hashers) done(s *server, lane md5simd.Hasher) {
	if lane != nil {
		lane.Reset()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active--
	if lane != nil {
		s.free = append(s.free, lane)
	}
}
