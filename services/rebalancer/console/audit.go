package console

import (
	"context"
	"time"
)

// Entry is something that an operator did beside the admin API, which keeps account by itself.
type Entry struct {
	At       time.Time
	Operator string // who
	From     string // the address that the request came from
	Action   string // such as PutObject
	Request  string // what was asked, as JSON and without secrets
	Problem  string // why it failed, or empty
}

// Audit keeps what operators did. Implementations are safe for concurrent use.
type Audit interface {
	Record(ctx context.Context, e Entry) error
}

func (e Entry) attributes() []any {
	return []any{"operator", e.Operator, "from", e.From, "action", e.Action, "request", e.Request, "problem", e.Problem}
}

// record adds what was done to the audit log, also when who asked for it has gone meanwhile.
func (c *Console) record(ctx context.Context, e Entry, result error) {
	e.At = c.deps.Clock.Now()
	if result != nil {
		e.Problem = result.Error()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	if err := c.deps.Audit.Record(ctx, e); err != nil {
		// It is done already; so that it is not lost, it is written here.
		c.deps.Logger.ErrorContext(ctx, "the audit log does not take what an operator did", append(e.attributes(), "error", err)...)
	}
}

const auditTimeout = 10 * time.Second
