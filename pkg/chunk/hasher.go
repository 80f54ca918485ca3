package chunk

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"unsafe"

	"lukechampine.com/blake3/guts"
)

// stripe is how many bytes are compressed at once: 16 of BLAKE3's 1 KiB
// chunks, as many as the widest vectors take.
const stripe = guts.MaxSIMD * guts.ChunkSize

// Hasher computes the hash of bytes that come in pieces. It allocates nothing
// and uses one core; pieces that are multiples of 16 KiB are not copied.
// Take one with NewHasher and give it back with Sum.
type Hasher struct {
	stripes uint64        // complete ones, without the last
	stack   [48][8]uint32 // chaining values of complete subtrees, the largest first
	last    guts.Node     // the stripe before the bytes in buf: it may be the root
	hasLast bool
	n       int
	buf     [stripe]byte
}

var hashers = sync.Pool{New: func() any { return new(Hasher) }}

// NewHasher takes a hasher for one hash.
func NewHasher() *Hasher {
	h := hashers.Get().(*Hasher)
	h.stripes, h.hasLast, h.n = 0, false, 0
	return h
}

// Write adds bytes; it never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	total := len(p)
	if h.n > 0 {
		n := copy(h.buf[h.n:], p)
		h.n += n
		p = p[n:]
		if h.n == stripe {
			h.add(&h.buf)
			h.n = 0
		}
	}
	for len(p) >= stripe {
		h.add((*[stripe]byte)(unsafe.Pointer(unsafe.SliceData(p))))
		p = p[stripe:]
	}
	if len(p) > 0 {
		h.n = copy(h.buf[:], p)
	}
	return total, nil
}

// add compresses a full stripe. The one before it is now known not to be the root.
func (h *Hasher) add(p *[stripe]byte) {
	h.settle()
	h.last = guts.CompressBuffer(p, stripe, &guts.IV, h.stripes*guts.MaxSIMD, 0)
	h.hasLast = true
}

// settle puts the last complete stripe into the tree: subtrees of equal size are merged.
func (h *Hasher) settle() {
	if !h.hasLast {
		return
	}
	h.hasLast = false
	cv := guts.ChainingValue(h.last)
	depth := bits.OnesCount64(h.stripes)
	for n := h.stripes; n&1 == 1; n >>= 1 {
		depth--
		cv = guts.ChainingValue(guts.ParentNode(h.stack[depth], cv, &guts.IV, 0))
	}
	h.stack[depth] = cv
	h.stripes++
}

// Sum is the hash of what was written. The hasher must not be used after it.
func (h *Hasher) Sum() Hash {
	node := h.last
	if h.n > 0 || !h.hasLast {
		h.settle()
		node = guts.CompressBuffer(&h.buf, h.n, &guts.IV, h.stripes*guts.MaxSIMD, 0)
	}
	for i := bits.OnesCount64(h.stripes) - 1; i >= 0; i-- {
		node = guts.ParentNode(h.stack[i], guts.ChainingValue(node), &guts.IV, 0)
	}
	node.Flags |= guts.FlagRoot
	words := guts.CompressNode(node)
	var out Hash
	for i := range HashSize / 4 {
		binary.LittleEndian.PutUint32(out[4*i:], words[i])
	}
	hashers.Put(h)
	return out
}
