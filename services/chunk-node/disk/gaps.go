package disk

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Gaps implements chunk.GapTeller. It seeks once for each partition in which something is missing.
func (s *Store) Gaps(ctx context.Context) (*chunk.Gaps, error) {
	creditors, err := s.Creditors(ctx)
	if err != nil {
		return nil, err
	}
	g := &chunk.Gaps{Owed: make(map[chunk.NodeID]*chunk.PartitionSet)}
	for _, c := range creditors {
		g.Owed[c] = new(chunk.PartitionSet)
	}
	err = s.onWorking(func(v *volume) (int, error) {
		if err := mark(ctx, v.db, []byte{keySearch}, &g.Wanted); err != nil {
			return 0, err
		}
		for owner, partitions := range g.Owed {
			if err := mark(ctx, v.db, append([]byte{keyOwed}, owner[:]...), partitions); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	for p := range chunk.Partition(chunk.Partitions) {
		if v := s.owners[p]; v == nil || v.failed() != nil {
			g.Failed.Add(p)
		}
	}
	return g, err
}

// mark adds the partitions that have a key which begins with prefix and then a hash.
func mark(ctx context.Context, r pebble.Reader, prefix []byte, to *chunk.PartitionSet) (err error) {
	keys, err := r.NewIter(bounds(prefix))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	for found := keys.First(); found; {
		if err := ctx.Err(); err != nil {
			return errors.Wrap(errors.KindOf(err), err, "reading the index")
		}
		key := keys.Key()
		if len(key) < len(prefix)+chunk.HashSize {
			return errors.Newf(errors.Internal, "a key of the index is malformed: %x", key)
		}
		p := chunk.Hash(key[len(prefix) : len(prefix)+chunk.HashSize]).Partition()
		to.Add(p)
		if p+1 >= chunk.Partitions {
			break
		}
		next := first(p + 1)
		found = keys.SeekGE(append(append([]byte{}, prefix...), next[:]...))
	}
	return errors.Join(err, keys.Error())
}
