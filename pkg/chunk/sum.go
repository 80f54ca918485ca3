package chunk

// Summer makes the sums of a partition's buckets.
type Summer struct {
	sums    [Buckets]Sum
	hasher  *Hasher // of the bucket that the last reference fell into; nil: none yet
	last    Hash
	scratch [HashSize + 24]byte
}

// Add takes the next reference, in the order of hashes and, for one hash, of references.
func (s *Summer) Add(h Hash, ref Ref) {
	b := s.scratch[:0]
	if s.hasher == nil || h != s.last {
		if s.hasher != nil && h.Bucket() != s.last.Bucket() {
			s.close()
		}
		if s.hasher == nil {
			s.hasher = NewHasher()
		}
		s.last = h
		b = append(b, h[:]...)
	}
	b, _ = ref.AppendBinary(b) // never fails
	_, _ = s.hasher.Write(b)   // nor does this
}

func (s *Summer) close() {
	sum := s.hasher.Sum()
	copy(s.sums[s.last.Bucket()][:], sum[:])
	s.hasher = nil
}

// Sums are those of the buckets. Nothing can be added after it.
func (s *Summer) Sums() *[Buckets]Sum {
	if s.hasher != nil {
		s.close()
	}
	return &s.sums
}

// SumOf is the sum of a partition with such sums of its buckets.
func SumOf(buckets *[Buckets]Sum) (sum Sum) {
	if *buckets == [Buckets]Sum{} {
		return Sum{}
	}
	h := NewHasher()
	for i := range buckets {
		_, _ = h.Write(buckets[i][:]) // never fails
	}
	all := h.Sum()
	copy(sum[:], all[:])
	return sum
}
