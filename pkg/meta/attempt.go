package meta

import (
	"context"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/errors"
)

// MaxAttempts bounds the attempts of one FindAttempts.
const MaxAttempts = 1000

// Attempts is the part of Store that knows why chunks are kept.
type Attempts interface {
	// Attempts tells what attempts belong to, in the order of the request. What began while it looks may still be unknown;
	// what is unknown and began before was removed, or never began. Kinds: Invalid for more than MaxAttempts.
	Attempts(ctx context.Context, r FindAttempts) ([]Attempt, error)
}

// FindAttempts asks what attempts belong to.
type FindAttempts struct {
	IDs []uuid.UUID
	// Everywhere has every copy of the metadata asked instead of a majority, and fails with Unavailable if one does not
	// answer: who removes what is unknown wants to be sure.
	Everywhere bool
	// Cluster, if not zero, is that of the service that is asked: one of another cluster answers Conflict, as it knows none of them.
	Cluster uuid.UUID
}

// AttemptState is what an attempt belongs to.
type AttemptState uint8

const (
	AttemptUnknown  AttemptState = iota // nothing
	AttemptOpen                         // an upload that is under way
	AttemptComplete                     // an object
	// AttemptGarbage is what was replaced, deleted or aborted; the sweeper removes its references. So is what the metadata has, but damaged.
	AttemptGarbage
)

// Attempt is what an attempt belongs to. Of one that is unknown only the ID is set.
type Attempt struct {
	ID         uuid.UUID
	State      AttemptState
	Bucket     uuid.UUID
	BucketName string // empty if the bucket was deleted
	Key        string
	Upload     uuid.UUID // Open: the upload
	Version    Version   // Complete: that of the object
}

// Check refuses what no store takes. Kinds: Invalid.
func (r FindAttempts) Check() error {
	if len(r.IDs) > MaxAttempts {
		return errors.Newf(errors.Invalid, "at most %d attempts are looked for in one request, not %d", MaxAttempts, len(r.IDs))
	}
	return nil
}

// Holds reports whether the object's body was written by the attempt.
func (o *Object) Holds(attempt uuid.UUID) bool {
	for _, p := range o.Parts {
		if p.Attempt == attempt {
			return true
		}
	}
	return false
}
