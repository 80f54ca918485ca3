// Package memory is a chunk store that forgets everything with its process,
// for tests. It keeps the contract of chunk.Node except durability.
package memory

import (
	"context"
	"slices"
	"sync"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Store is a chunk.Node in memory. Chunks without references go at once.
type Store struct {
	id chunk.NodeID

	mu     sync.Mutex
	chunks map[chunk.Hash]*entry
	owed   map[debt]struct{}
}

type entry struct {
	data []byte             // nil: no good copy
	bad  bool               // the copy turned out bad
	refs map[chunk.Ref]bool // false: a tombstone
}

type debt struct {
	hash  chunk.Hash
	ref   chunk.Ref
	owner chunk.NodeID
}

var _ chunk.Node = (*Store)(nil)

// New makes an empty store for the node id.
func New(id chunk.NodeID) *Store {
	return &Store{id: id, chunks: make(map[chunk.Hash]*entry), owed: make(map[debt]struct{})}
}

func (s *Store) entry(h chunk.Hash) *entry {
	e := s.chunks[h]
	if e == nil {
		e = &entry{refs: make(map[chunk.Ref]bool)}
		s.chunks[h] = e
	}
	return e
}

// Get implements chunk.Store.
func (s *Store) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.chunks[h]
	switch {
	case e != nil && e.bad:
		return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "the copy here was found damaged and waits for repair")
	case e == nil || e.data == nil:
		return nil, errors.E(errors.NotFound, errors.Chunk, h.String(), "not stored here")
	}
	b := buffer.FromBytes(e.data)
	if err := chunk.Verify(h, b); err != nil {
		e.data, e.bad = nil, true
		return nil, err
	}
	return b, nil
}

// Put implements chunk.Store.
func (s *Store) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	if err := checkData(ctx, h, data); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(h)
	if live, known := e.refs[ref]; known && !live {
		return chunk.Gone, nil
	}
	if e.data == nil {
		e.data, e.bad = data.Bytes(), false
	}
	e.refs[ref] = true
	return chunk.Stored, nil
}

// PutFor implements chunk.Node.
func (s *Store) PutFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	outcome, err := s.Put(ctx, h, data, ref)
	if err != nil || outcome != chunk.Stored {
		return outcome, err
	}
	return outcome, s.Owe(ctx, h, ref, owner)
}

// PutRef implements chunk.Store.
func (s *Store) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(h)
	if live, known := e.refs[ref]; known && !live {
		return chunk.Gone, nil
	}
	if e.data == nil {
		return chunk.SendData, nil
	}
	e.refs[ref] = true
	return chunk.Stored, nil
}

// Delete implements chunk.Store.
func (s *Store) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(h)
	e.refs[ref] = false
	if !e.referenced() {
		e.data, e.bad = nil, false
	}
	return nil
}

func (e *entry) referenced() bool {
	for _, live := range e.refs {
		if live {
			return true
		}
	}
	return false
}

// Owe implements chunk.Node.
func (s *Store) Owe(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed[debt{h, ref, owner}] = struct{}{}
	return ctx.Err()
}

// Repair implements chunk.Node.
func (s *Store) Repair(ctx context.Context, h chunk.Hash, data *buffer.Buffer) error {
	if err := checkData(ctx, h, data); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.chunks[h]; e != nil && e.referenced() {
		e.data, e.bad = data.Bytes(), false
	}
	return nil
}

// Status implements chunk.Node.
func (s *Store) Status(context.Context) (chunk.NodeStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := chunk.NodeStatus{ID: s.id, Owed: int64(len(s.owed))}
	for _, e := range s.chunks {
		if e.referenced() {
			st.Chunks++
			st.Bytes += int64(len(e.data))
		}
		if e.bad {
			st.Quarantined++
		}
	}
	st.StoredBytes = st.Bytes
	return st, nil
}

// Hashes are the chunks with live references.
func (s *Store) Hashes() []chunk.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []chunk.Hash
	for h, e := range s.chunks {
		if e.referenced() {
			all = append(all, h)
		}
	}
	return all
}

// Live are the live references of a chunk, in order.
func (s *Store) Live(h chunk.Hash) []chunk.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live(h)
}

func (s *Store) live(h chunk.Hash) []chunk.Ref {
	e := s.chunks[h]
	if e == nil {
		return nil
	}
	var all []chunk.Ref
	for ref, live := range e.refs {
		if live {
			all = append(all, ref)
		}
	}
	slices.SortFunc(all, chunk.Ref.Compare)
	return all
}

// Drop forgets a chunk and its references, without tombstones, if its live references are exactly refs; it reports whether they were.
func (s *Store) Drop(h chunk.Hash, refs []chunk.Ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.live(h), refs) {
		return false
	}
	e := s.chunks[h]
	for _, r := range refs {
		delete(e.refs, r)
	}
	e.data, e.bad = nil, false
	return true
}

// Corrupt flips a bit of the stored copy. It reports whether there was one.
func (s *Store) Corrupt(h chunk.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.chunks[h]
	if e == nil || len(e.data) == 0 {
		return false
	}
	e.data = append([]byte(nil), e.data...)
	e.data[len(e.data)/2] ^= 1
	return true
}

// Lose forgets the bytes of a chunk and keeps its references. It reports
// whether there were any.
func (s *Store) Lose(h chunk.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.chunks[h]
	if e == nil || e.data == nil {
		return false
	}
	e.data = nil
	return true
}

func checkData(ctx context.Context, h chunk.Hash, data *buffer.Buffer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if data.Len() == 0 || data.Len() > chunk.MaxSize {
		return errors.E(errors.Invalid, errors.Chunk, h.String(), "a chunk has 1 to %d bytes, not %d", chunk.MaxSize, data.Len())
	}
	if err := chunk.Verify(h, data); err != nil {
		return errors.Wrap(errors.Invalid, err, "storing a chunk")
	}
	return nil
}
