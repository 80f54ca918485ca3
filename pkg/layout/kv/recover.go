package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Recovered says that Consul had lost the layouts in force, and where they came from.
type Recovered struct {
	Layout uint64    `json:"layout"` // the current one
	Lost   uint64    `json:"lost"`   // the current one that Consul had instead; 0: none
	From   uuid.UUID `json:"from"`   // the chunk-node that had kept them, or the rebalancer
	At     time.Time `json:"at"`
}

// Recover puts layouts back in force that Consul has lost, as one that was emptied, or restored from an older backup. What it still has of
// them must be the same; keys are only made, and nothing is changed but which layouts are in force. It may be repeated. Kinds: Conflict if
// somebody else has changed the layout since seen was read, or Consul has another layout with the same number; Invalid if they are not newer than what it has;
// Unavailable: they may or may not be in force then.
func (s *Store) Recover(ctx context.Context, lock Lock, seen Snapshot, a *layout.Active, from uuid.UUID, now time.Time) error {
	number := strconv.FormatUint(a.Number(), 10)
	if a.Number() <= seen.Layout().Number {
		return errors.E(errors.Invalid, errors.Layout, number, "Consul has layout %d", seen.Layout().Number)
	}
	// Each in a transaction of its own, since together they may be too large. Without current they are in force for nobody.
	for _, p := range a.Placements() {
		if err := s.again(ctx, lock, p); err != nil {
			return err
		}
	}
	note, err := json.Marshal(Recovered{Layout: a.Number(), Lost: seen.Layout().Number, From: from, At: now.UTC()})
	if err != nil {
		return err
	}
	operations := api.KVTxnOps{
		{Verb: api.KVCAS, Key: s.prefix + "current", Value: []byte(number), Index: seen.current},
		{Verb: api.KVCAS, Key: s.prefix + "oldest", Value: strconv.AppendUint(nil, a.Oldest(), 10), Index: seen.oldest},
		{Verb: api.KVCAS, Key: s.prefix + "recovered", Value: note, Index: seen.recovered},
	}
	if lost := lostWith(seen.Lost, a, now); len(lost) > len(seen.Lost) {
		value, err := json.Marshal(lost)
		if err != nil {
			return err
		}
		operations = append(operations, &api.KVTxnOp{Verb: api.KVCAS, Key: s.prefix + "lost", Value: value, Index: seen.lost})
	}
	return s.change(ctx, lock, operations, "putting layouts back")
}

// lostWith are the nodes that Consul knows as given up, and those of which only the layouts say so, sorted by ID.
func lostWith(known []Lost, a *layout.Active, now time.Time) []Lost {
	all := slices.Clone(known)
	for _, n := range a.Nodes() {
		if a.Lost(n.ID) && !slices.ContainsFunc(known, func(l Lost) bool { return l.Node == n.ID }) {
			all = append(all, Lost{Node: n.ID, Layout: a.Number(), At: now.UTC()})
		}
	}
	slices.SortFunc(all, func(a, b Lost) int { return bytes.Compare(a.Node[:], b.Node[:]) })
	return all
}

// again makes the key of a layout, if it is not there with the same content.
func (s *Store) again(ctx context.Context, lock Lock, p layout.Placement) error {
	value, err := p.MarshalBinary()
	if err != nil {
		return err
	}
	key := s.key(p.Layout.Number)
	there, _, err := s.consul.API().KV().Get(key, (&api.QueryOptions{}).WithContext(ctx))
	switch {
	case err != nil:
		return away(err, "reading layout %d", p.Layout.Number)
	case there == nil:
		return s.change(ctx, lock, api.KVTxnOps{{Verb: api.KVCAS, Key: key, Value: value, Index: 0}}, "putting a layout back")
	case !bytes.Equal(there.Value, value):
		return errors.E(errors.Conflict, errors.Layout, strconv.FormatUint(p.Layout.Number, 10), "chunk-nodes have adopted another one than Consul's key %s has: "+
			"if Consul's was made since it lost its data, delete that key, %scurrent and %soldest", key, s.prefix, s.prefix)
	}
	return nil
}
