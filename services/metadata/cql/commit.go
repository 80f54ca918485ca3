package cql

import (
	"context"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
)

// settle is how long an unconditional commit may take from its begin until its row is durable without
// looking again, and so how long a conditional writer waits after its claim until it looks.
func (s *Store) settle() time.Duration { return s.config.Lease / 20 }

// look reads what a commit must know: the newest versions of the key, and whether a conditional writer holds it.
func (s *Store) look(ctx context.Context, p place, limit int) (heads []head, claimed bool, err error) {
	err = together(
		func() (err error) { heads, err = s.heads(ctx, p, limit); return err },
		func() (err error) { claimed, err = s.claimed(ctx, p); return err },
	)
	return heads, claimed, err
}

// whole is a context for a commit that begins: it does not end when the caller goes away, only at the caller's deadline. A row that
// was read and taken back because a gateway died would be an overwrite that came and went.
func whole(ctx context.Context) (context.Context, context.CancelFunc) {
	end, bounded := ctx.Deadline()
	if !bounded {
		return context.WithTimeout(context.WithoutCancel(ctx), wholeTime)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// wholeTime bounds a commit whose caller gave it no deadline.
const wholeTime = time.Minute

// verify says whether a commit may go on, for what its first look showed; again: for what it shows now.
type verify func(heads []head, again bool) error

// commit makes r the newest version of its key and says what was the newest before. The caller
// holds the lock of the key. Beside runs at the same time as the first wait; verify, if not nil, is asked
// after it: if it fails, the row is taken back. It is asked again before the row is moved above others.
func (s *Store) commit(ctx context.Context, b liveBucket, key string, r *row, beside []func() error, verify verify) (head, error) {
	p := b.place(key)
	if err := s.nameVersion(r); err != nil {
		return head{}, err
	}
	if r.written > r.version.Timestamp {
		r.version.Timestamp = r.written
	} else {
		r.version.Timestamp = s.hybrid.After(r.version.Timestamp)
	}
	began := monotonic()
	var heads []head
	var claimed bool
	statements := append(beside,
		func() error { return s.run(ctx, r.insertion(p)) },
		func() (err error) { heads, err = s.heads(ctx, p, 2); return err },
		func() (err error) { claimed, err = s.claimed(ctx, p); return err },
	)
	if !s.leased(b.seen) {
		statements = append(statements, func() (err error) { b, err = s.bucket(ctx, b.id); return err })
	}
	if err := together(statements...); err != nil {
		return head{}, s.failedWrite(p, r, err)
	}
	if verify != nil {
		if err := verify(heads, false); err != nil {
			return head{}, s.withdraw(p, r, err)
		}
	}
	under, err := s.raise(ctx, p, r, heads, claimed || monotonic().Sub(began) >= s.settle(), claimed, verify)
	if err != nil {
		return head{}, err
	}
	if b.state != stateLive || !s.leased(b.seen) {
		if _, err := s.awaitLive(ctx, b.id); err != nil {
			return head{}, s.withdraw(p, r, err)
		}
	}
	s.replaced(p, r, under)
	return under, nil
}

// raise moves the durable row above all that may have been acknowledged before the commit began, which the first look
// shows, and looks again as long as a conditional writer may have decided without seeing it. What shows only
// then was written at the same time: the row rises above what outran it, and above nothing else, as it may have been
// read where it is. Nor does it rise when another call answered for it, as what is above it may have been written after that
// answer. It answers what was the newest before.
func (s *Store) raise(ctx context.Context, p place, r *row, heads []head, again, claimed bool, verify verify) (head, error) {
	under := below(heads, r.version)
	for {
		if again {
			if claimed {
				if err := s.settleClaim(ctx, p); err != nil {
					return head{}, err
				}
			}
			var err error
			if heads, claimed, err = s.look(ctx, p, lookDeep); err != nil {
				return head{}, err
			}
			if again = claimed; again {
				continue
			}
		}
		if under.Timestamp < r.version.Timestamp && !outran(heads, r.version) {
			return under, nil
		}
		if verify != nil {
			if err := verify(heads, true); err != nil {
				return head{}, err
			}
		}
		under = below(heads, r.version)
		above := *r
		above.version.Timestamp = s.hybrid.After(under.Timestamp)
		if err := s.move(ctx, p, r, &above); err != nil {
			return head{}, s.failedWrite(p, &above, s.failedWrite(p, r, err))
		}
		*r, again = above, true
	}
}

// lookDeep is how many versions a second look reads: those of all who write the key at the same time.
const lookDeep = 16

// maxBatch is the size of a row that goes into a batch, in bytes: databases refuse batches of 50 KiB.
const maxBatch = 32 << 10

// move replaces a row by the same row elsewhere: at once, or, if it is too large for that, the new one first. Then
// both may be there for a moment, or after a crash: the lower is garbage that holds nothing of its own.
func (s *Store) move(ctx context.Context, p place, from, to *row) error {
	if len(from.object)+len(from.inline)+len(from.tail) <= maxBatch {
		return s.batch(ctx, removal(p, from.version), to.insertion(p))
	}
	if err := s.run(ctx, to.insertion(p)); err != nil {
		return err
	}
	return s.run(ctx, removal(p, from.version))
}

// failedWrite is what becomes of a row that may or may not be durable. One of an upload is taken back, as the upload may be
// aborted and its chunks removed; another stays: it may have been seen, and would vanish again.
func (s *Store) failedWrite(p place, r *row, reason error) error {
	if r.upload == uuid.Nil {
		return reason
	}
	return s.withdraw(p, r, reason)
}

// withdrawTime bounds the removal of a row whose commit failed.
const withdrawTime = time.Second

// withdraw takes back the row of a commit that failed, whether it was written, is on its way, or was not, and
// returns why it failed. If that fails too, the row may show, now or later, which is
// what an error leaves open; the sweeper sorts out what belongs to an upload that has ended.
func (s *Store) withdraw(p place, r *row, reason error) error {
	ctx, cancel := context.WithTimeout(s.running, withdrawTime)
	defer cancel()
	if err := s.run(ctx, removal(p, r.version)); err != nil {
		s.log.Warn("a write that failed could not be taken back: it may still take effect", "bucket", p.bucket, "key", p.key, "reason", reason, "error", err)
	}
	return reason
}

// replaced counts a version that was committed above another.
func (s *Store) replaced(p place, r *row, under head) {
	var u meta.Usage
	if r.kind == kindObject {
		u.Objects, u.Bytes = 1, r.size
	}
	if under.exists() {
		u.Objects--
		u.Bytes -= under.size
		s.garbage()
	}
	s.count(p.bucket, u)
}
