package disk

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
)

// Creditors implements heal.Local. It seeks once for each of them.
func (s *Store) Creditors(ctx context.Context) (all []chunk.NodeID, err error) {
	err = s.onWorking(func(v *volume) (int, error) {
		o := bounds([]byte{keyOwed})
		for {
			var owner chunk.NodeID
			found := false
			if err := eachIn(ctx, v.db, o, func(key, _ []byte) (bool, error) {
				owner, found = chunk.NodeID(key[1:17]), true
				return false, nil
			}); err != nil || !found {
				return 0, err
			}
			all = append(all, owner)
			if o.LowerBound = bounds(append([]byte{keyOwed}, owner[:]...)).UpperBound; o.LowerBound[0] != keyOwed {
				return 0, nil
			}
		}
	})
	slices.SortFunc(all, func(a, b chunk.NodeID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(all), err
}

// Debts implements heal.Local.
func (s *Store) Debts(ctx context.Context, owner chunk.NodeID, after heal.Debt, limit int) (all []heal.Debt, err error) {
	err = s.onWorking(func(v *volume) (int, error) {
		o := bounds(append([]byte{keyOwed}, owner[:]...))
		if after.Hash != (chunk.Hash{}) || after.Ref != (chunk.Ref{}) {
			o.LowerBound = append(owedKey(owner, after.Hash, after.Ref), 0)
		}
		n := 0
		return n, eachIn(ctx, v.db, o, func(key, value []byte) (bool, error) {
			if n++; n > limit {
				return false, nil
			}
			k := key[1+len(owner):]
			all = append(all, heal.Debt{Hash: chunk.Hash(k), Ref: parseRef(k[chunk.HashSize:]), Since: parseTime(value)})
			return true, nil
		})
	})
	slices.SortFunc(all, func(a, b heal.Debt) int {
		return cmp.Or(bytes.Compare(a.Hash[:], b.Hash[:]), a.Ref.Compare(b.Ref))
	})
	return all[:min(len(all), limit)], err
}

// Paid implements heal.Local.
func (s *Store) Paid(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	return s.submit(ctx, &op{kind: opPaid, hash: h, ref: ref, owner: owner})
}
