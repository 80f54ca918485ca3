package heal

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

const (
	// askAtOnce is how many attempts metadata is asked about in a request, and longestPause bounds the pause after one.
	askAtOnce    = 256
	longestPause = time.Second
	// maxKnown bounds the attempts that are remembered to be known in a round: 16 bytes each, and about as many again.
	maxKnown = 1 << 16
)

// Metadata knows why chunks are kept.
type Metadata interface {
	// Info tells of which cluster it is.
	Info(ctx context.Context) (meta.Info, error)
	meta.Attempts
}

// metadataError is an error of asking metadata: nothing can be decided without it.
type metadataError struct{ error }

func (e *metadataError) Unwrap() error { return e.error }

// rightMetadata makes sure that metadata is of the node's cluster: that of another one knows nothing of what is here.
func (c *collection) rightMetadata(ctx context.Context) error {
	ctx, end := context.WithTimeout(ctx, requestTimeout)
	defer end()
	info, err := c.deps.Metadata.Info(ctx)
	switch {
	case err != nil:
		return errors.Annotate(err, "asking the metadata of which cluster it is")
	case info.ClusterID != c.deps.ClusterID:
		return errors.Newf(errors.Conflict, "the metadata is of the cluster %v, and this node of %v: set metadata-address, or cluster-id, right",
			info.ClusterID, c.deps.ClusterID)
	}
	return nil
}

// ask returns those of the attempts that metadata, asked now and in every copy, does not know. It may leave out what was known in this round.
func (c *collection) ask(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	unknown := make(map[uuid.UUID]bool)
	ids = slices.DeleteFunc(ids, func(id uuid.UUID) bool { return c.known[id] })
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	for some := range slices.Chunk(ids, askAtOnce) {
		began := c.deps.Clock.Now()
		answers, err := c.attempts(ctx, some)
		if err != nil {
			return nil, &metadataError{errors.Annotate(err, "asking the metadata what references belong to")}
		}
		for i, a := range answers {
			switch {
			case a.ID != some[i]:
				return nil, &metadataError{errors.Newf(errors.Internal, "the metadata told of the attempt %v instead of %v", a.ID, some[i])}
			case a.State == meta.AttemptUnknown:
				unknown[a.ID] = true
			case len(c.known) < maxKnown:
				c.known[a.ID] = true
			}
		}
		// Clients ask metadata, too: it has most of the time for them.
		if pause := min(3*c.deps.Clock.Now().Sub(began), longestPause); pause > 0 {
			if err := clock.Sleep(ctx, c.deps.Clock, pause); err != nil {
				return nil, err
			}
		}
	}
	return unknown, nil
}

func (c *collection) attempts(ctx context.Context, ids []uuid.UUID) ([]meta.Attempt, error) {
	ctx, end := context.WithTimeout(ctx, requestTimeout)
	defer end()
	answers, err := c.deps.Metadata.Attempts(ctx, meta.FindAttempts{IDs: ids, Everywhere: true, Cluster: c.deps.ClusterID})
	if err == nil && len(answers) != len(ids) {
		err = errors.Newf(errors.Internal, "it told of %d attempts instead of %d", len(answers), len(ids))
	}
	return answers, err
}
