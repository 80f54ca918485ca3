package cql

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	walkVersions   = `SELECT key, version_ts, version_id, kind, upload_id FROM objects WHERE bucket_id = ? AND shard = ? AND key > ? LIMIT ?`
	versionsOfKey  = `SELECT key, version_ts, version_id, kind, upload_id FROM objects WHERE bucket_id = ? AND shard = ? AND key = ? LIMIT ?`
	versionsBefore = `SELECT key, version_ts, version_id, kind, upload_id FROM objects WHERE bucket_id = ? AND shard = ? AND key = ? AND version_ts < ? LIMIT ?`
	readWhole      = `SELECT object, tail FROM objects WHERE bucket_id = ? AND shard = ? AND key = ? AND version_ts = ? AND version_id = ?`
	dropRange      = `DELETE FROM objects USING TIMESTAMP ? WHERE bucket_id = ? AND shard = ? AND key = ? AND version_ts >= ? AND version_ts <= ?`
	dropKeys       = `DELETE FROM objects USING TIMESTAMP ? WHERE bucket_id = ? AND shard = ? AND key >= ? AND key <= ?`
)

const (
	entryVersions = 500    // versions of an entry at most
	entryAttempts = 10_000 // attempts after which an entry takes no more versions
)

// version is a row of objects as the walk reads it.
type version struct {
	meta.Version
	kind   int
	upload uuid.UUID
}

// versions are the rows of a key, newest first.
type versions struct {
	key  string
	rows []version
}

// readVersions reads rows and groups them by key.
func (s *Store) readVersions(ctx context.Context, cql string, args ...any) (groups []versions, rows int, err error) {
	err = s.each(ctx, walkPage, func(scan func(...any) error) (bool, error) {
		var key, id, upload []byte
		var v version
		var ts int64
		if err := scan(&key, &ts, &id, &v.kind, &upload); err != nil {
			return false, err
		}
		v.Version, v.upload = meta.Version{Timestamp: clock.Timestamp(ts), ID: idOf(id)}, idOf(upload)
		if n := len(groups); n == 0 || groups[n-1].key != string(key) {
			groups = append(groups, versions{key: string(key)})
		}
		last := &groups[len(groups)-1]
		last.rows = append(last.rows, v)
		rows++
		return true, nil
	}, cql, args...)
	return groups, rows, err
}

// objects reads a page of versions. It lists, of each key, what is below the newest, and removes
// keys of which only the marker that hides them is left.
func (w *walk) objects(ctx context.Context) (over bool, err error) {
	groups, rows, err := w.s.readVersions(ctx, walkVersions, w.bucket.id, w.at.shard, []byte(w.at.key), walkPage)
	if err != nil {
		return false, err
	}
	w.rows += rows
	if over = rows < walkPage; !over && len(groups) > 1 {
		groups = groups[:len(groups)-1] // its other versions may be on the next page
	}
	var dead deadRun
	for _, g := range groups {
		if w.full() {
			over = false
			break
		}
		if w.dead(g) {
			dead.add(g)
		} else {
			if err := w.removeDead(ctx, &dead); err != nil {
				return false, err
			}
			if err := w.versions(ctx, g); err != nil {
				return false, err
			}
		}
		w.at.key = g.key
	}
	return over, w.removeDead(ctx, &dead)
}

// deadRun is a run of neighbouring keys of which nothing is left to keep.
type deadRun struct {
	first, last string
	newest      clock.Timestamp
}

func (d *deadRun) add(g versions) {
	if d.newest == 0 {
		d.first = g.key
	}
	d.last, d.newest = g.key, max(d.newest, g.rows[0].Timestamp)
}

// dead says whether a key is hidden, since long enough that nothing comes late, and holds no chunks.
func (w *walk) dead(g versions) bool {
	if g.rows[0].kind != kindMarker && !w.bucket.deleted() || !w.past(sinceOf(g.rows[0].Timestamp)) {
		return false
	}
	for _, v := range g.rows {
		if v.upload != uuid.Nil {
			return false
		}
	}
	return len(g.rows) < walkPage
}

// removeDead removes a run by one range deletion: it has the time of the newest of the markers, which is
// long ago, and so hides nothing that is written from now on; and many deleted keys are one deletion to read over.
func (w *walk) removeDead(ctx context.Context, d *deadRun) error {
	if d.newest == 0 {
		return nil
	}
	run := *d
	*d = deadRun{}
	return w.s.exec(ctx, dropKeys, int64(run.newest)+confirmed, w.bucket.id, w.at.shard, []byte(run.first), []byte(run.last))
}

// versions lists the versions of a key that are garbage.
func (w *walk) versions(ctx context.Context, g versions) error {
	if len(w.eligible(g)) == 0 && len(g.rows) < walkPage {
		return nil
	}
	unlock, err := w.s.lockKey(ctx, w.place(g.key))
	if err != nil {
		return err
	}
	defer unlock()
	// Again, behind the writers of this service.
	g, err = w.again(ctx, g)
	if err != nil {
		return err
	}
	rows := w.eligible(g)
	if len(rows) == 0 {
		return nil
	}
	if settled, err := w.settleNewest(ctx, g); err != nil || !settled {
		return err
	}
	if !w.bucket.deleted() {
		if stays, err := w.s.confirm(ctx, w.place(g.key), g.rows[0].Version); err != nil || !stays {
			return err
		}
	}
	above := make(map[uuid.UUID]bool)
	for _, v := range g.rows[:len(g.rows)-len(rows)] {
		above[v.upload] = true
	}
	// From the oldest on, so that what is left to the next walk is above.
	var attempts []uuid.UUID
	id := garbageID{kind: garbageVersions, at: w.place(g.key), oldest: rows[len(rows)-1].Timestamp}
	for i := len(rows) - 1; i >= 0 && len(rows)-i <= entryVersions && len(attempts) < entryAttempts; i-- {
		v := rows[i]
		id.newest = v.Timestamp
		if v.upload == uuid.Nil || above[v.upload] {
			continue
		}
		above[v.upload] = true
		of, err := w.s.attemptsOf(ctx, id.at, v, true)
		if err != nil {
			return err
		}
		attempts = append(attempts, of...)
	}
	if len(attempts) == 0 {
		if !w.past(sinceOf(id.newest)) {
			return nil
		}
		return w.s.dropVersions(ctx, id)
	}
	w.add(id, attempts)
	return nil
}

// again reads the versions of a key once more. Of a key with more versions than a page, it
// answers those that are old enough, below the one that replaced them.
func (w *walk) again(ctx context.Context, g versions) (versions, error) {
	cql, args := versionsOfKey, append(w.place(g.key).values(), walkPage)
	if len(g.rows) >= walkPage && !w.r.Before.IsZero() {
		cql, args = versionsBefore, append(w.place(g.key).values(), w.r.Before.UnixMicro(), walkPage)
	}
	groups, rows, err := w.s.readVersions(ctx, cql, args...)
	if w.rows += rows; err != nil || len(groups) == 0 {
		return versions{key: g.key}, err
	}
	return groups[0], nil
}

// eligible are the versions that were replaced long enough ago; in a bucket that is deleted the newest is one too.
func (w *walk) eligible(g versions) []version {
	if w.bucket.deleted() {
		if w.due(w.bucket.since) {
			return g.rows
		}
		return nil
	}
	for i := 1; i < len(g.rows); i++ {
		if w.due(sinceOf(g.rows[i-1].Timestamp)) {
			return g.rows[i:]
		}
	}
	return nil
}

// settleNewest makes sure that the newest version of a key counts, before what it replaced goes. One
// whose upload was given up, or whose completion was undone, is the late trace of a commit that was never acknowledged: it is taken back.
func (w *walk) settleNewest(ctx context.Context, g versions) (bool, error) {
	newest := g.rows[0]
	if newest.upload == uuid.Nil || w.bucket.deleted() {
		return true, nil
	}
	pl := w.place(g.key)
	var single, multi *uploadRow
	err := together(
		func() (err error) { single, err = w.s.readUploadRow(ctx, pl, false, newest.upload); return err },
		func() (err error) {
			multi, err = w.s.readUploadRow(ctx, pl, true, wroteParts(newest.upload))
			return err
		},
	)
	if err != nil {
		return false, err
	}
	if single.there() && single.state != uploadCompleted && single.state != uploadAborted {
		if err := w.s.resolve(ctx, single); err != nil {
			return false, err
		}
	}
	if multi.there() && multi.state == uploadCompleting {
		if err := w.s.resolveCompletion(ctx, multi); err != nil {
			return false, err
		}
	}
	switch {
	case single.there() && single.state != uploadCompleted && single.state != uploadAborted, multi.there() && multi.state == uploadCompleting:
		return false, nil // someone else is at it
	// A completion that was undone left an upload that is open: it may still be aborted.
	case single.there() && single.state == uploadAborted, multi.there() && multi.state != uploadCompleted:
		return false, w.s.run(ctx, removal(pl, newest.Version))
	}
	return true, nil
}

// attemptsOf reads which attempts hold the chunks of a version; mend writes the chunk rows that its commit may not
// have got to write.
func (s *Store) attemptsOf(ctx context.Context, pl place, v version, mend bool) ([]uuid.UUID, error) {
	var object, tail []byte
	found, err := s.one(ctx, []any{&object, &tail}, readWhole, append(pl.values(), int64(v.Timestamp), v.ID[:])...)
	if err != nil || !found {
		return nil, err
	}
	o, err := objectOf(pl.key, v.Version, object, nil)
	if err != nil {
		return nil, err
	}
	if mend && len(tail) > 0 {
		chunks, err := chunksOfTail(tail)
		if err != nil {
			return nil, err
		}
		if err := s.writeChunks(ctx, v.upload, chunks); err != nil {
			return nil, err
		}
	}
	return o.Attempts(), nil
}

// dropVersions removes the chunk rows of versions, and then these. The deletion has the time of the newest of
// them: what is written above is not touched, and one of them that comes late stays away.
func (s *Store) dropVersions(ctx context.Context, g garbageID) error {
	groups, _, err := s.readVersions(ctx, versionsOfKey, append(g.at.values(), walkPage*10)...)
	if err != nil || len(groups) == 0 {
		return err
	}
	above := make(map[uuid.UUID]bool)
	for _, v := range groups[0].rows {
		if v.Timestamp > g.newest {
			above[v.upload] = true
			continue
		}
		if v.Timestamp < g.oldest || v.upload == uuid.Nil || above[v.upload] {
			continue
		}
		attempts, err := s.attemptsOf(ctx, g.at, v, false)
		if err != nil {
			return err
		}
		if err := s.dropAttempts(ctx, attempts); err != nil {
			return err
		}
	}
	return s.exec(ctx, dropRange, append(append([]any{int64(g.newest) + confirmed}, g.at.values()...), int64(g.oldest), int64(g.newest))...)
}
