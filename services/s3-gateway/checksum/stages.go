package checksum

import (
	"crypto/md5"
	"encoding/hex"
	"hash"

	"deuxfleurs.fr/garage/pkg/buffer"
)

const (
	// small is the size in bytes up to which a body is hashed in the caller's goroutine.
	small = 64 << 10
	// ahead is how many buffers may wait for a hash; then the body waits.
	ahead = 2
)

// Stages hash a body while it passes: See every piece in order, then Sums. See, Sums and Close are called from one
// goroutine.
type Stages struct {
	inline []sink
	queued []*stage
	closed bool
	sums   Sums
}

// sink is one hash and where its result goes.
type sink struct {
	alg  Algorithm // None: MD5
	hash hash.Hash
	done func() // nil: nothing to give back
}

// stage runs a sink in a goroutine of its own.
type stage struct {
	sink
	queue chan *buffer.Buffer
	ended chan struct{}
}

// Sums is what came out.
type Sums struct {
	MD5    [md5.Size]byte // zero if not asked
	values [SHA256 + 1]string
}

// ETag is the MD5 in hexadecimal.
func (s Sums) ETag() string { return hex.EncodeToString(s.MD5[:]) }

// Value is the checksum of the algorithm as S3 shows it; "" if it was not asked.
func (s Sums) Value(a Algorithm) string { return s.values[a] }

// Stages makes stages for a body of size bytes (negative: unknown): its MD5, and the given checksums.
func (h *Hashers) Stages(size int64, algorithms ...Algorithm) *Stages {
	s := &Stages{}
	alone := size >= 0 && size <= small
	if alone {
		s.inline = append(s.inline, sink{hash: md5.New()})
	} else {
		s.queued = append(s.queued, newStage(h.md5()))
	}
	var seen [SHA256 + 1]bool
	for _, a := range algorithms {
		if a == None || seen[a] {
			continue
		}
		seen[a] = true
		k := sink{alg: a, hash: a.New()}
		if alone || a.cheap() {
			s.inline = append(s.inline, k)
		} else {
			s.queued = append(s.queued, newStage(k))
		}
	}
	return s
}

func newStage(k sink) *stage {
	g := &stage{sink: k, queue: make(chan *buffer.Buffer, ahead), ended: make(chan struct{})}
	go g.run()
	return g
}

func (g *stage) run() {
	defer close(g.ended)
	for b := range g.queue {
		g.write(b)
		b.Release()
	}
}

func (k sink) write(b *buffer.Buffer) {
	for _, p := range b.Segments() {
		k.hash.Write(p)
	}
}

// See hashes a piece of the body. It retains the buffer while it is needed, and waits while the hashes are behind: only
// for the processor, never for anything else.
func (s *Stages) See(b *buffer.Buffer) {
	for _, g := range s.queued {
		g.queue <- b.Retain()
	}
	for _, k := range s.inline {
		k.write(b)
	}
}

// Sums waits for the hashes and gives the results. No See may come after it.
func (s *Stages) Sums() Sums {
	s.end(true)
	return s.sums
}

// Close ends the stages, with or without Sums before it. It may be called twice.
func (s *Stages) Close() { s.end(false) }

func (s *Stages) end(wanted bool) {
	if s.closed {
		return
	}
	s.closed = true
	for _, g := range s.queued {
		close(g.queue)
	}
	for _, g := range s.queued {
		<-g.ended
		s.collect(g.sink, wanted)
	}
	for _, k := range s.inline {
		s.collect(k, wanted)
	}
}

func (s *Stages) collect(k sink, wanted bool) {
	if wanted {
		if k.alg == None {
			k.hash.Sum(s.sums.MD5[:0])
		} else {
			s.sums.values[k.alg] = Encode(k.hash.Sum(nil))
		}
	}
	if k.done != nil {
		k.done()
	}
}
