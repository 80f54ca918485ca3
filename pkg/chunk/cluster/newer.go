package cluster

import (
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Newer is the error of an operation that did not succeed because nodes have adopted a newer layout than the store's: it is to be
// done again with theirs, which one of them tells.
type Newer struct {
	Node   chunk.NodeID // that has it
	Number uint64       // of the layout
	Err    error        // what the node said
}

func (n *Newer) Error() string { return n.Err.Error() }
func (n *Newer) Unwrap() error { return n.Err }

// newerAt is what an error of a node says about its layout: nil unless it has a newer one.
func (s *Store) newerAt(p *peer, err error) *Newer {
	if err == nil {
		return nil
	}
	if number, differs := layout.Differing(err); differs && number > s.layouts.Number() {
		return &Newer{Node: p.id, Number: number, Err: err}
	}
	return nil
}

// newest is the error of the node with the newest layout, if one has a newer one than the store.
func (s *Store) newest(errs []error, peerOf func(int) *peer) error {
	var newest *Newer
	for i, err := range errs {
		if n := s.newerAt(peerOf(i), err); n != nil && (newest == nil || n.Number > newest.Number) {
			newest = n
		}
	}
	if newest == nil {
		return nil
	}
	return newest
}
