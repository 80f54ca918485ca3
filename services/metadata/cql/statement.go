package cql

import (
	"context"
	"time"

	"github.com/gocql/gocql"

	"deuxfleurs.fr/garage/pkg/errors"
)

// statement is a statement with its values, for batches.
type statement struct {
	cql  string
	args []any
}

// exec runs a write that may be repeated: one whose write time is explicit.
func (s *Store) exec(ctx context.Context, cql string, args ...any) error {
	return s.failed(ctx, s.query(ctx, cql, args).Idempotent(true).Exec(), "writing")
}

// one reads the first row; it says whether there is one.
func (s *Store) one(ctx context.Context, dest []any, cql string, args ...any) (bool, error) {
	return s.scan(ctx, s.query(ctx, cql, args).Idempotent(true), dest)
}

// serial is one that also sees what a lightweight transaction that failed may still do.
func (s *Store) serial(ctx context.Context, dest []any, cql string, args ...any) (bool, error) {
	return s.scan(ctx, s.query(ctx, cql, args).Idempotent(true).Consistency(s.serialReads), dest)
}

func (s *Store) scan(ctx context.Context, q *gocql.Query, dest []any) (bool, error) {
	err := q.Scan(dest...)
	if errors.IsTarget(err, gocql.ErrNotFound) {
		return false, nil
	}
	return err == nil, s.failed(ctx, err, "reading")
}

// each reads all rows in pages of that many, and calls row with a function that scans the row, until it returns false or fails.
func (s *Store) each(ctx context.Context, page int, row func(scan func(dest ...any) error) (bool, error), cql string, args ...any) error {
	return s.eachOf(ctx, s.query(ctx, cql, args), page, row)
}

// eachEverywhere is each that reads every copy.
func (s *Store) eachEverywhere(ctx context.Context, page int, row func(scan func(dest ...any) error) (bool, error), cql string, args ...any) error {
	return s.eachOf(ctx, s.query(ctx, cql, args).Consistency(gocql.All), page, row)
}

func (s *Store) eachOf(ctx context.Context, q *gocql.Query, page int, row func(scan func(dest ...any) error) (bool, error)) error {
	iter := q.Idempotent(true).PageSize(page).Iter()
	rows := iter.Scanner()
	for rows.Next() {
		more, err := row(rows.Scan)
		if err != nil {
			_ = iter.Close()
			return s.failed(ctx, err, "reading")
		}
		if !more {
			break
		}
	}
	return s.failed(ctx, iter.Close(), "reading")
}

// cas runs a lightweight transaction: it says whether it was applied, and otherwise what is there. One that fails may or may
// not have had its effect, now or later. Writers of one row that meet make such failures, so it is run again; if then
// the condition does not hold, what is there comes with the error, for a caller that knows its own work by it: it is decided
// then, as an answer about what is there leaves no earlier try that could still take effect.
func (s *Store) cas(ctx context.Context, cql string, args ...any) (bool, map[string]any, error) {
	var undecided error
	for range casTries {
		row := make(map[string]any)
		applied, err := s.query(ctx, cql, args).MapScanCAS(row)
		if err == nil && s.config.lost != nil {
			err = s.config.lost(cql)
		}
		switch {
		case err == nil && applied:
			s.observer.applied.Inc()
			return true, row, nil
		case err == nil:
			s.observer.refused.Inc()
			return false, row, s.failed(ctx, undecided, "deciding")
		case !mayHaveRun(err) || ctx.Err() != nil:
			return false, nil, s.failed(ctx, err, "deciding")
		}
		s.observer.undecided.Inc()
		undecided = err
	}
	return false, nil, s.failed(ctx, undecided, "deciding")
}

// casTo is cas of a change to a state that it is the same to have brought about and to find: an outcome that is unknown is a success
// if the row is in that state.
func (s *Store) casTo(ctx context.Context, state int, cql string, args ...any) (bool, error) {
	applied, there, err := s.cas(ctx, cql, args...)
	if err != nil && there["state"] == state {
		return true, nil
	}
	return applied, err
}

// casTries bounds how often a lightweight transaction with an unknown outcome is run.
const casTries = 3

// mayHaveRun says whether a node answered that it does not know what became of a lightweight transaction.
func mayHaveRun(err error) bool {
	var answer gocql.RequestError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code() {
	case gocql.ErrCodeWriteTimeout, gocql.ErrCodeCASWriteUnknown, gocql.ErrCodeReadTimeout: // the last, of its own reading, may follow a try of its own
		return true
	}
	return false
}

// batch runs writes to one partition, which may be repeated, at once and whole.
func (s *Store) batch(ctx context.Context, statements ...statement) error {
	b := s.db.Session.Batch(gocql.UnloggedBatch).WithContext(ctx).DefaultTimestamp(false)
	for _, st := range statements {
		b.Entries = append(b.Entries, gocql.BatchEntry{Stmt: st.cql, Args: st.args, Idempotent: true})
	}
	return s.failed(ctx, s.db.Session.ExecuteBatch(b), "writing")
}

func (s *Store) query(ctx context.Context, cql string, args []any) *gocql.Query {
	return s.db.ContextQuery(ctx, cql, nil).Bind(args...).Query.DefaultTimestamp(false)
}

// failed gives a driver's error a kind: what is the database's or the way's to
// it is Unavailable, a deadline Deadline; what the database refuses is Internal.
func (s *Store) failed(ctx context.Context, err error, doing string) error {
	var known *errors.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.IsTarget(ctx.Err(), context.Canceled):
		return errors.Wrap(errors.Canceled, err, "%s metadata", doing)
	case ctx.Err() != nil:
		return errors.Wrap(errors.Deadline, err, "%s metadata", doing)
	}
	var request gocql.RequestError
	if errors.As(err, &request) {
		switch request.Code() {
		case gocql.ErrCodeOverloaded:
			return errors.Wrap(errors.Overloaded, err, "%s metadata: the database is overloaded", doing)
		case gocql.ErrCodeSyntax, gocql.ErrCodeInvalid, gocql.ErrCodeConfig, gocql.ErrCodeProtocol:
			return errors.Wrap(errors.Internal, err, "%s metadata: the database refuses the statement; was the keyspace changed by hand?", doing)
		case gocql.ErrCodeUnauthorized, gocql.ErrCodeCredentials:
			return errors.Wrap(errors.Unavailable, err, "%s metadata: the database refuses the user; check metadata.cql.user and its rights on the keyspace %s", doing, s.config.Keyspace)
		}
	}
	return errors.Wrap(errors.Unavailable, err, "%s metadata: the database does not answer, or too few of its nodes do", doing)
}

// at is a time in a column.
func at(t time.Time) int64 { return t.UnixMicro() }

// timeAt is the time of a column.
func timeAt(us int64) time.Time { return time.UnixMicro(us).UTC() }
