package console

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"deuxfleurs.fr/garage/pkg/errors"
)

// Entry is something that an operator did.
type Entry struct {
	At       time.Time
	Operator string // who
	From     string // the address that the request came from
	Action   string // a method of the admin API, or what it is called here, as PutObject
	Request  string // what was asked, as JSON and without secrets
	Problem  string // why it failed, or empty
}

// Audit keeps what operators did. Implementations are safe for concurrent use.
type Audit interface {
	Record(ctx context.Context, e Entry) error
}

// LogAudit writes what operators did to the log of the program.
type LogAudit struct{ Logger *slog.Logger }

// Record writes e.
func (a LogAudit) Record(ctx context.Context, e Entry) error {
	a.Logger.InfoContext(ctx, "an operator did something", e.attributes()...)
	return nil
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

// withoutSecrets is a request as the audit log has it.
func withoutSecrets(m proto.Message) string {
	bare := proto.Clone(m)
	redact(bare.ProtoReflect())
	text, err := protojson.Marshal(bare)
	if err != nil {
		return errors.Annotate(err, "it cannot be shown").Error()
	}
	return string(text)
}

// redact clears what the protocol marks as secret, at any depth.
func redact(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case secret(f):
			m.Clear(f)
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				redact(v.List().Get(i).Message())
			}
		case !f.IsList() && !f.IsMap() && f.Message() != nil:
			redact(v.Message())
		}
		return true
	})
}

func secret(f protoreflect.FieldDescriptor) bool {
	o, ok := f.Options().(*descriptorpb.FieldOptions)
	return ok && o.GetDebugRedact()
}
