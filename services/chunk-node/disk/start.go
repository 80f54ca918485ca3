package disk

import (
	"context"
	"encoding/binary"
	"strconv"

	"github.com/cockroachdb/pebble/v2/vfs"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// start prepares an opened disk: what was half written goes, what the index
// counted is taken up.
func (v *volume) start(fresh bool) error {
	if err := v.sweepTemporary(); err != nil {
		return err
	}
	if err := v.fs.Remove(v.disk.Path + "/" + formattingFile); err != nil && !isNotExist(err) {
		return err
	}
	if err := v.syncFolder(v.blobs); err != nil { // folders that a killed process made may not be durable
		return err
	}
	names, err := v.fs.List(v.blobs)
	if err != nil {
		return err
	}
	for _, name := range names {
		if p, ok := parsePartition(name); ok {
			v.folders[p/64].Or(1 << (p % 64))
		}
	}
	clean, err := lookup(v.db, metaKey(metaClean), ignore)
	if err != nil {
		return err
	}
	v.unclean.Store(!clean && !fresh)
	unclean := v.db.NewBatch()
	defer v.closeBatch(unclean)
	if err := unclean.Delete(metaKey(metaClean), nil); err != nil {
		return err
	}
	if err := v.commit(unclean); err != nil {
		return err
	}
	for i := range v.writers {
		w := &writer{v: v, number: i}
		if _, err := lookup(v.db, w.totalsKey(), w.totals.decode); err != nil {
			return err
		}
		w.published = w.totals
		v.writers[i] = w
	}
	if err := v.beginSearches(); err != nil {
		return err
	}
	v.direct = v.o.Direct && v.fs == vfs.Default && directPossible(v.temporary)
	return v.measureSpace()
}

// sweepTemporary removes the files of writes that a stop interrupted.
func (v *volume) sweepTemporary() error {
	names, err := v.fs.List(v.temporary)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := v.fs.Remove(v.temporary + "/" + name); err != nil {
			return err
		}
	}
	if len(names) > 0 {
		v.log.Info("files of interrupted writes were removed", "files", len(names))
	}
	return nil
}

// beginSearches has a copy looked for of each chunk that an older program found bad: it only noted that.
func (v *volume) beginSearches() error {
	done, err := lookup(v.db, metaKey(metaSearches), ignore)
	if err != nil || done {
		return err
	}
	if v.totals().Quarantined > 0 {
		w := v.walk(context.Background())
		err = v.each([]byte{keyEntry}, func(key, value []byte) bool {
			c, e := parseEntry(value)
			if err = e; err == nil && c.Place == state.Nowhere {
				w.submit(&op{kind: opFound, hash: chunk.Hash(key[1:])})
			}
			return err == nil && !w.stop()
		})
		if err = w.finish(err); err != nil {
			return err
		}
	}
	return v.set(metaKey(metaSearches), nil)
}

func parsePartition(name string) (chunk.Partition, bool) {
	n, err := strconv.ParseUint(name, 16, 16)
	p := chunk.Partition(n)
	return p, err == nil && n < chunk.Partitions && p.String() == name
}

func (w *writer) totalsKey() []byte { return metaKey(metaTotals + strconv.Itoa(w.number)) }

// totals are the sums over the disk's chunks.
func (v *volume) totals() totals {
	var t totals
	for _, w := range v.writers {
		w.statsMu.Lock()
		t.add(w.published)
		w.statsMu.Unlock()
	}
	return t
}

// close ends the disk in order, so that the next start needs no check.
func (v *volume) close() error {
	var errs []error
	if v.failed() == nil && !v.unclean.Load() {
		err := v.syncRemovals()
		if err == nil {
			err = v.set(metaKey(metaClean), nil)
		}
		errs = append(errs, err)
	}
	errs = append(errs, v.abandon())
	return errors.Join(errs...)
}

// assign gives each partition to a disk. What was given stays, unless its disk
// was taken out of the configuration.
func (s *Store) assign() error {
	var tables [][]uint64 // by volume, by partition: the number of the assignment, 0: not its
	var latest uint64
	for _, v := range s.volumes {
		t := make([]uint64, chunk.Partitions)
		if _, err := lookup(v.db, metaKey(metaPartitions), func(p []byte) error {
			if len(p) != 8*chunk.Partitions {
				return errors.Newf(errors.Internal, "the table of partitions on %s is malformed", v.disk.Path)
			}
			for i := range t {
				t[i] = binary.BigEndian.Uint64(p[8*i:])
				latest = max(latest, t[i])
			}
			return nil
		}); err != nil {
			return err
		}
		tables = append(tables, t)
	}
	changed := make([]bool, len(s.volumes))
	assigned := make([]int, len(s.volumes))
	var free []chunk.Partition
	for p := range chunk.Partition(chunk.Partitions) {
		owner := -1
		for i := range tables {
			if tables[i][p] > 0 && (owner < 0 || tables[i][p] > tables[owner][p]) {
				owner = i
			}
		}
		if owner < 0 {
			free = append(free, p)
			continue
		}
		s.owners[p] = s.volumes[owner]
		assigned[owner]++
	}
	if len(s.broken) > 0 { // what has no owner may be on the disk that is away
		return nil
	}
	weights := s.weights()
	for _, p := range free {
		best := 0
		for i := range s.volumes {
			if float64(assigned[i]+1)*weights[best] < float64(assigned[best]+1)*weights[i] {
				best = i
			}
		}
		assigned[best]++
		tables[best][p] = latest + 1
		changed[best] = true
		s.owners[p] = s.volumes[best]
	}
	for i, v := range s.volumes {
		if !changed[i] {
			continue
		}
		var p []byte
		for _, n := range tables[i] {
			p = binary.BigEndian.AppendUint64(p, n)
		}
		if err := v.set(metaKey(metaPartitions), p); err != nil {
			return err
		}
	}
	return nil
}

// weights are the disks' capacities.
func (s *Store) weights() []float64 {
	var w []float64
	for _, v := range s.volumes {
		w = append(w, float64(max(v.space.capacity, 1)))
	}
	return w
}
