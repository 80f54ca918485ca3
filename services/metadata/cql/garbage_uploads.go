package cql

import (
	"context"

	"github.com/google/uuid"
)

const (
	walkUploadRows = `SELECT ` + uploadColumns + ` FROM uploads WHERE bucket_id = ? AND shard = ? AND (key, upload_id) > (?, ?) LIMIT ?`
	walkSingleRows = `SELECT ` + singleColumns + ` FROM singles WHERE bucket_id = ? AND shard = ? AND (key, upload_id) > (?, ?) LIMIT ?`
)

// droppedProgress is the progress of an aborted single upload whose chunks are gone.
const droppedProgress = -1

// uploadPage reads a page of uploads behind the cursor.
func (w *walk) uploadPage(ctx context.Context, cql string, multipart bool) (rows []*uploadRow, err error) {
	err = w.s.each(ctx, walkPage, func(scan func(...any) error) (bool, error) {
		u := &uploadRow{place: w.place(""), multipart: multipart}
		rows = append(rows, u)
		return true, u.scan(scan)
	}, cql, w.bucket.id, w.at.shard, []byte(w.at.key), emptyOr(w.at.upload), walkPage)
	w.rows += len(rows)
	return rows, err
}

// uploads reads a page of multipart uploads.
func (w *walk) uploads(ctx context.Context) (over bool, err error) {
	rows, err := w.uploadPage(ctx, walkUploadRows, true)
	if err != nil {
		return false, err
	}
	for _, u := range rows {
		if w.full() {
			return false, nil
		}
		if err := w.multipart(ctx, u); err != nil {
			return false, err
		}
		w.at.key, w.at.upload = u.key, u.id
	}
	return len(rows) < walkPage, nil
}

// multipart lists what a multipart upload does not need, and forgets it when it has ended.
func (w *walk) multipart(ctx context.Context, u *uploadRow) error {
	if !u.there() {
		return w.forget(ctx, u)
	}
	if u.state == uploadCompleting {
		if err := w.settleCompletion(ctx, u); err != nil {
			return err
		}
	}
	if u.state == uploadOpen && w.bucket.deleted() {
		if _, err := w.s.casTo(ctx, uploadAborted, abortOpen, append([]any{uploadAborted, w.bucket.since}, u.at()...)...); err != nil {
			return err
		}
		u.state, u.closing = uploadAborted, w.bucket.since
	}
	switch {
	case u.state == uploadOpen:
		return w.replaced(ctx, u)
	case u.state == uploadAborted && w.due(u.closing), u.state == uploadCompleted && w.due(u.completed):
		return w.ended(ctx, u)
	}
	return nil
}

// settleCompletion settles a completion that is not under way in this service.
func (w *walk) settleCompletion(ctx context.Context, u *uploadRow) error {
	unlock, err := w.s.lockKey(ctx, u.place)
	if err != nil {
		return err
	}
	defer unlock()
	if err := w.s.reread(ctx, u); err != nil || !u.there() || u.state != uploadCompleting {
		return err
	}
	return w.s.resolveCompletion(ctx, u)
}

// replaced lists parts of an open upload that were written again.
func (w *walk) replaced(ctx context.Context, u *uploadRow) error {
	const most = 100 // of an entry; the rest is for the next walk
	id := garbageID{kind: garbageParts, at: u.place, upload: u.id}
	var attempts []uuid.UUID
	var last partRow
	err := w.s.eachPart(ctx, func(p partRow) (bool, error) {
		w.rows++
		if p.modified > 0 && p.number == last.number && last.modified > 0 && w.due(sinceOf(last.modified)) {
			id.replace = append(id.replace, partName{p.number, p.modified, p.attempt})
			attempts = append(attempts, p.attempt)
		}
		last = p
		return len(attempts) < most, nil
	}, partsOf, u.id[:], 0)
	if err == nil && len(attempts) > 0 {
		w.add(id, attempts)
	}
	return err
}

// ended lists what an upload left, and forgets it when nothing is left and its answer is not kept any more.
func (w *walk) ended(ctx context.Context, u *uploadRow) error {
	attempts, rows, err := w.s.left(ctx, u)
	w.rows += rows
	switch {
	case err != nil:
		return err
	case len(attempts) > 0:
		w.add(garbageID{kind: garbageMultipart, at: u.place, upload: u.id}, attempts)
		return nil
	case rows > 0:
		if err := w.s.exec(ctx, dropParts, w.s.ahead(dropAhead), u.id[:]); err != nil {
			return err
		}
	}
	if u.state == uploadAborted && w.longAborted(u) || w.bucket.deleted() || u.state == uploadCompleted && w.idle(u.completed) {
		return w.s.run(ctx, w.s.drop(u))
	}
	return nil
}

// left are the attempts of an upload that has ended which no object holds, and how many attempts there are.
func (s *Store) left(ctx context.Context, u *uploadRow) (attempts []uuid.UUID, rows int, err error) {
	var sel selection
	if u.state == uploadCompleted {
		if sel, err = s.selection(ctx, u); err != nil {
			return nil, 0, err
		}
	}
	err = s.eachPart(ctx, func(p partRow) (bool, error) {
		if rows++; !sel.kept[p.attempt] {
			attempts = append(attempts, p.attempt)
		}
		return true, nil
	}, partsOf, u.id[:], 0)
	return attempts, rows, err
}

// longAborted says whether nothing of an aborted upload comes any more.
func (w *walk) longAborted(u *uploadRow) bool {
	return timeAt(u.closing).Before(w.s.clock.Now().Add(-keptAborted))
}

// forget removes a row that late writes left of an upload that is gone.
func (w *walk) forget(ctx context.Context, u *uploadRow) error {
	if w.r.Before.IsZero() {
		return nil
	}
	return w.s.run(ctx, w.s.drop(u))
}

// singles reads a page of single uploads. Those that have ended, by a crash, an abort or for want of
// progress, are settled together, since each waits for a lease.
func (w *walk) singles(ctx context.Context) (over bool, err error) {
	rows, err := w.uploadPage(ctx, walkSingleRows, false)
	if err != nil {
		return false, err
	}
	over = len(rows) < walkPage
	var ending []*uploadRow
	for i, u := range rows {
		if u.there() && w.ends(u) {
			ending = append(ending, u)
		}
		if len(ending) == settledAtOnce && i+1 < len(rows) {
			rows, over, w.rows = rows[:i+1], false, walkRows
			break
		}
	}
	if err := w.s.resolve(ctx, ending...); err != nil {
		return false, err
	}
	for _, u := range rows {
		if w.full() {
			return false, nil
		}
		if err := w.single(ctx, u); err != nil {
			return false, err
		}
		w.at.key, w.at.upload = u.key, u.id
	}
	return over, nil
}

// ends says whether an upload is to be settled.
func (w *walk) ends(u *uploadRow) bool {
	last := u.progress
	if last == 0 {
		last = u.begun
	}
	switch {
	case u.state == uploadAborting, u.state == uploadCompleting:
		return true
	case u.state != uploadOpen:
		return false
	case w.bucket.deleted():
		return w.due(w.bucket.since)
	}
	return w.idle(last) || u.done != uuid.Nil && w.past(last)
}

// single lists what an aborted single upload holds, and forgets one that has ended.
func (w *walk) single(ctx context.Context, u *uploadRow) error {
	switch {
	case !u.there():
		return w.forget(ctx, u)
	case u.state == uploadCompleted:
		return w.s.run(ctx, w.s.drop(u))
	case u.state != uploadAborted:
		return nil
	case u.progress != droppedProgress:
		if w.due(u.closing) {
			w.add(garbageID{kind: garbageSingle, at: u.place, upload: u.id}, []uuid.UUID{u.id})
		}
		return nil
	case w.bucket.deleted() || w.longAborted(u):
		return w.s.run(ctx, w.s.drop(u))
	}
	return nil
}

// dropSingleUpload removes the chunk rows of an aborted single upload. Its row stays for a while.
func (s *Store) dropSingleUpload(ctx context.Context, g garbageID) error {
	if err := s.dropAttempts(ctx, []uuid.UUID{g.upload}); err != nil {
		return err
	}
	u := &uploadRow{place: g.at, id: g.upload}
	return s.exec(ctx, writeProgress, append([]any{s.ahead(progressAhead), int64(droppedProgress)}, u.at()...)...)
}

// dropMultipart removes the chunk rows that a multipart upload left, then its parts. The row
// of one that was aborted stays for a while.
func (s *Store) dropMultipart(ctx context.Context, g garbageID) error {
	u, err := s.readUploadRow(ctx, g.at, true, g.upload)
	if err != nil || !u.there() || u.state != uploadAborted && u.state != uploadCompleted {
		return err
	}
	attempts, _, err := s.left(ctx, u)
	if err != nil {
		return err
	}
	if err := s.dropAttempts(ctx, attempts); err != nil {
		return err
	}
	return s.exec(ctx, dropParts, s.ahead(dropAhead), u.id[:])
}

// dropReplaced removes the chunk rows of replaced parts, then these.
func (s *Store) dropReplaced(ctx context.Context, g garbageID) error {
	var attempts []uuid.UUID
	var statements []statement
	for _, p := range g.replace {
		attempts = append(attempts, p.attempt)
		statements = append(statements, statement{dropPart, []any{int64(p.modified), g.upload[:], p.number, int64(p.modified), p.attempt[:]}})
	}
	if len(statements) == 0 {
		return nil
	}
	if err := s.dropAttempts(ctx, attempts); err != nil {
		return err
	}
	return s.batch(ctx, statements...)
}

// emptyOr is the column of an ID; zero is below all.
func emptyOr(id uuid.UUID) []byte {
	if id == uuid.Nil {
		return []byte{}
	}
	return id[:]
}
