package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// Lost is a node that the operator has given up: nobody waits until it has handed over what the layouts up to a number gave it.
type Lost struct {
	Node   uuid.UUID `json:"node"`
	Layout uint64    `json:"layout"` // the current one when it was declared
	At     time.Time `json:"at"`
}

// LostFor reports whether a node was given up for a layout.
func (s Snapshot) LostFor(node chunk.NodeID, number uint64) bool {
	at, found := s.findLost(node)
	return found && number <= s.Lost[at].Layout
}

func (s Snapshot) findLost(node chunk.NodeID) (int, bool) {
	return slices.BinarySearchFunc(s.Lost, node, func(l Lost, id chunk.NodeID) int { return bytes.Compare(l.Node[:], id[:]) })
}

// Crowded says why no layout can be published now, because too many are in force, or is empty.
func (s Snapshot) Crowded() string {
	if s.Active == nil || len(s.Active.Placements()) < layout.MaxActive {
		return ""
	}
	return fmt.Sprintf("%d layouts are in force, and no more may be: wait until layout %d is retired (garage status says what it waits for), or declare nodes that will not come back lost with: garage layout lost NODE",
		layout.MaxActive, s.Active.Oldest())
}

// Retire takes the layouts below oldest out of force, if no other was retired since seen was read. lock may be the zero Lock. Kinds: Conflict; Invalid
// if oldest is not above the oldest in force or is above the current one; Unavailable: they may or may not have been retired then.
func (s *Store) Retire(ctx context.Context, lock Lock, seen Snapshot, oldest uint64) error {
	if seen.Active == nil || oldest <= seen.Active.Oldest() || oldest > seen.Active.Number() {
		return errors.E(errors.Invalid, errors.Layout, strconv.FormatUint(oldest, 10), "it cannot become the oldest one in force")
	}
	return s.change(ctx, lock, api.KVTxnOps{
		{Verb: api.KVCAS, Key: s.prefix + "oldest", Value: strconv.AppendUint(nil, oldest, 10), Index: seen.oldest},
	}, "retiring layouts")
}

// DeclareLost notes that a node is given up for the layouts that are in force now, if nothing was changed since seen was read. Nodes that were
// given up for layouts that are retired are forgotten. lock may be the zero Lock. Kinds: Conflict; NotFound if no layout in force has the node; Unavailable.
func (s *Store) DeclareLost(ctx context.Context, lock Lock, seen Snapshot, node chunk.NodeID, now time.Time) error {
	if seen.Active == nil || seen.Active.Index(node) < 0 {
		return errors.E(errors.NotFound, errors.Node, node.String(), "no layout in force has it, so nobody waits for it")
	}
	next := Snapshot{Lost: slices.DeleteFunc(slices.Clone(seen.Lost), func(l Lost) bool { return l.Node == node || l.Layout < seen.Active.Oldest() })}
	at, _ := next.findLost(node)
	next.Lost = slices.Insert(next.Lost, at, Lost{Node: node, Layout: seen.Active.Number(), At: now.UTC()})
	value, err := json.Marshal(next.Lost)
	if err != nil {
		return err
	}
	if len(value) > MaxValue {
		return tooLarge(len(value))
	}
	return s.change(ctx, lock, api.KVTxnOps{s.unchanged(seen.current), {Verb: api.KVCAS, Key: s.prefix + "lost", Value: value, Index: seen.lost}}, "declaring a node lost")
}
