package cql

import (
	"context"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	readClaim   = `SELECT holder, until FROM claims WHERE bucket_id = ? AND key = ?`
	makeClaim   = `INSERT INTO claims (bucket_id, key, holder, until, decided) VALUES (?, ?, ?, ?, false) IF NOT EXISTS`
	cancelClaim = `DELETE FROM claims WHERE bucket_id = ? AND key = ? IF holder = ? AND decided = false`
	dropClaim   = `DELETE FROM claims WHERE bucket_id = ? AND key = ? IF holder = ?`
	decideClaim = `UPDATE claims SET decided = true, version_ts = ?, version_id = ?, kind = ?, size = ?, etag = ?, storage_class = ?, checksum_algorithm = ?, checksum_type = ?,
		upload_id = ?, object = ?, inline = ?, tail = ?, checked = ? WHERE bucket_id = ? AND key = ? IF holder = ? AND decided = false`
	readDecision = `SELECT holder, until, decided, version_ts, version_id, kind, size, etag, storage_class, checksum_algorithm, checksum_type, upload_id, object, inline, tail, checked
		FROM claims WHERE bucket_id = ? AND key = ?`
)

// claimTime is how long a conditional writer may hold a key until another takes it from it: while it is not decided, by
// cancelling it; and by finishing it once it is.
func (s *Store) claimTime() time.Duration { return 5 * s.config.Lease }

// claim is a conditional writer's hold on a key.
type claim struct {
	s      *Store
	p      place
	holder uuid.UUID
	began  clock.Timestamp // when the key was taken
	// decided: the row is to be written, or may be; so the claim stays until it is.
	decided bool
}

// claimed says whether a conditional writer holds the key.
func (s *Store) claimed(ctx context.Context, p place) (bool, error) {
	var holder *uuid.UUID
	var until *int64
	found, err := s.one(ctx, []any{&holder, &until}, readClaim, p.bucket, []byte(p.key))
	return found && holder != nil, err
}

// claimKey takes the key for a conditional writer and waits until every unconditional commit that
// did not see it is either where it will be read, or looks again.
func (s *Store) claimKey(ctx context.Context, p place) (*claim, error) {
	holder, err := s.newID()
	if err != nil {
		return nil, err
	}
	for {
		mine, there, err := s.cas(ctx, makeClaim, p.bucket, []byte(p.key), holder, at(time.Now().Add(s.claimTime())))
		if mine || idIn(there, "holder") == holder {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := s.settleClaim(ctx, p); err != nil {
			return nil, err
		}
	}
	c := &claim{s: s, p: p, holder: holder, began: s.hybrid.Now()}
	s.config.Step(ctx, "claimed")
	if err := clock.Sleep(ctx, clock.System{}, s.settle()*5/4); err != nil {
		c.release(ctx)
		return nil, errors.Wrap(errors.KindOf(err), err, "waiting for the other writers of the key")
	}
	return c, nil
}

// decide is the moment of winning: from here on the row is written, by this or by whoever meets the claim. Kinds: Conflict if another took the key.
func (c *claim) decide(ctx context.Context, r *row) error {
	c.s.config.Step(ctx, "read")
	mine, there, err := c.s.cas(ctx, decideClaim, append(r.columns(), c.p.bucket, []byte(c.p.key), c.holder)...)
	if err != nil && idIn(there, "holder") == c.holder && there["decided"] == true {
		mine, err = true, nil // nobody else decides it
	}
	if c.decided = err != nil || mine; err != nil {
		return err
	}
	if !mine {
		return errors.E(errors.Conflict, errors.Object, c.p.key, "another conditional writer took over; try again")
	}
	c.s.config.Step(ctx, "decided")
	return nil
}

// release gives the key back, and says whether it was still held. A claim that stays is ended by the next who
// meets it, who then counts what it decided.
func (c *claim) release(ctx context.Context) bool {
	c.s.config.Step(ctx, "release")
	ctx, cancel := context.WithTimeout(c.s.running, withdrawTime)
	defer cancel()
	held, _, err := c.s.cas(ctx, dropClaim, c.p.bucket, []byte(c.p.key), c.holder)
	if err != nil {
		c.s.log.Warn("a key could not be given back: the next writer waits for it a moment", "bucket", c.p.bucket, "key", c.p.key, "error", err)
	}
	return held
}

// decision is a claim as it is read.
type decision struct {
	holder  *uuid.UUID
	until   *int64
	decided bool
	row     row
}

func (s *Store) decision(ctx context.Context, p place) (*decision, error) {
	d := &decision{}
	var ts *int64
	var id, etag, class, upload []byte
	found, err := s.serial(ctx, []any{
		&d.holder, &d.until, &d.decided, &ts, &id, &d.row.kind, &d.row.size, &etag, &class, &d.row.sum.Algorithm, &d.row.sum.Type, &upload,
		&d.row.object, &d.row.inline, &d.row.tail, &d.row.checked,
	}, readDecision, p.bucket, []byte(p.key))
	if err != nil || !found || d.holder == nil {
		return nil, err
	}
	if ts != nil {
		d.row.version = meta.Version{Timestamp: clock.Timestamp(*ts), ID: idOf(id)}
	}
	d.row.etag, d.row.class, d.row.upload = string(etag), string(class), idOf(upload)
	return d, nil
}

// settleClaim returns when no conditional writer holds the key: it waits for one that is at work, finishes one that has decided and takes too long, and
// cancels one that has not.
func (s *Store) settleClaim(ctx context.Context, p place) error {
	for {
		d, err := s.decision(ctx, p)
		if err != nil || d == nil {
			return err
		}
		overdue := d.until == nil || time.Now().After(timeAt(*d.until))
		switch {
		case overdue && d.decided:
			if err := s.finishClaim(ctx, p, d); err != nil {
				return err
			}
		case overdue:
			if _, there, err := s.cas(ctx, cancelClaim, p.bucket, []byte(p.key), *d.holder); err != nil && there == nil {
				return err
			}
		default:
			if err := clock.Sleep(ctx, clock.System{}, claimPoll); err != nil {
				return errors.Wrap(errors.KindOf(err), err, "waiting for a conditional writer of the key")
			}
		}
	}
}

// finishClaim does what the holder of a claim decided and did not get to.
func (s *Store) finishClaim(ctx context.Context, p place, d *decision) error {
	if err := s.writeRow(ctx, p, &d.row); err != nil {
		return err
	}
	heads, err := s.heads(ctx, p, 2)
	if err != nil {
		return err
	}
	held, _, err := s.cas(ctx, dropClaim, p.bucket, []byte(p.key), *d.holder)
	if held {
		s.replaced(p, &d.row, below(heads, d.row.version))
	}
	return err
}

// claimPoll is the time between two looks at a claim that another holds.
const claimPoll = 5 * time.Millisecond

// writeRow writes a decided row and the chunk rows that go with it, whoever decided it.
func (s *Store) writeRow(ctx context.Context, p place, r *row) error {
	tail, err := chunksOfTail(r.tail)
	if err != nil {
		return err
	}
	return together(
		func() error { return s.run(ctx, r.insertion(p)) },
		func() error { return s.writeTail(ctx, r, tail) },
	)
}

// idIn is an ID in what a lightweight transaction found.
func idIn(there map[string]any, column string) uuid.UUID {
	id, ok := there[column].(interface{ Bytes() []byte })
	if !ok {
		return uuid.Nil
	}
	return idOf(id.Bytes())
}
