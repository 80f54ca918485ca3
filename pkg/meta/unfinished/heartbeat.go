package unfinished

import (
	"context"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// HeartbeatLife is how old a heartbeat may be whose migration may still write: it stops after some seconds without another, and what it has begun ends
// within half a minute. It is assumed that the clocks of the services differ by less than two minutes, which garage doctor warns of long before.
const HeartbeatLife = 5 * time.Minute

const heartbeatPrefix = "at-work/"

// PutHeartbeat says that a migration is at work at a time.
func (n *Notes) PutHeartbeat(ctx context.Context, migration uuid.UUID, at time.Time) error {
	return n.put(ctx, heartbeatPrefix+migration.String(), []byte(at.UTC().Format(time.RFC3339Nano)))
}

// DropHeartbeat says that a migration is not at work any more.
func (n *Notes) DropHeartbeat(ctx context.Context, migration uuid.UUID) error {
	return n.Drop(ctx, heartbeatPrefix+migration.String())
}

// checkNoneAtWork refuses while a migration may be at work. Kinds: Conflict.
func (n *Notes) checkNoneAtWork(ctx context.Context, c clock.Clock) error {
	return n.each(ctx, heartbeatPrefix, func(o meta.Object) error {
		at, err := time.Parse(time.RFC3339Nano, string(o.Inline))
		if err != nil {
			return n.damaged(o, err)
		}
		if wait := at.Add(HeartbeatLife).Sub(c.Now()); wait > 0 {
			return errors.Newf(errors.Conflict, "a migration, or the removal of its copies, is at work or was killed a moment ago: end it and do not begin it again, "+
				"then repeat this command; if it was killed, that works in %v", wait.Round(time.Second))
		}
		return nil
	})
}
