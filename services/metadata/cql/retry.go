package cql

import (
	"github.com/gocql/gocql"

	"deuxfleurs.fr/garage/pkg/errors"
)

// retryPolicy tries statements that may be repeated on other nodes, and the others, the lightweight transactions, only when no
// node can have begun them. The driver takes an error that a node answers for a sign that nothing happened; but a timeout
// is one of them, and a transaction that took effect and is repeated finds its own work and says that another was first.
type retryPolicy struct{ gocql.SimpleRetryPolicy }

// GetRetryType implements gocql.RetryPolicy.
func (p *retryPolicy) GetRetryType(err error) gocql.RetryType {
	if onceOnly(err) {
		return gocql.Rethrow
	}
	return p.SimpleRetryPolicy.GetRetryType(err)
}

// GetRetryTypeLWT implements gocql.LWTRetryPolicy.
func (p *retryPolicy) GetRetryTypeLWT(err error) gocql.RetryType {
	if onceOnly(err) {
		return gocql.Rethrow
	}
	return p.SimpleRetryPolicy.GetRetryTypeLWT(err)
}

// onceOnly says whether a statement that must not run twice may have run.
func onceOnly(err error) bool {
	var failed *gocql.QueryError
	var answer gocql.RequestError
	return errors.As(err, &answer) && !(errors.As(err, &failed) && failed.IsIdempotent())
}
