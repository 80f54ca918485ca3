package remote

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// agreed makes a call and, if the node refuses it because its layouts are older, hands it those of the client and makes the call once more.
func (c *Client) agreed(ctx context.Context, call func() error) error {
	before := c.handed.Load()
	err := call()
	if err == nil || c.layouts == nil {
		return err
	}
	if number, differs := layout.Differing(err); !differs || number >= c.layouts.Number() {
		return err
	}
	if err := c.handOver(ctx, before); err != nil {
		return err
	}
	return call()
}

// handOver hands the client's layouts over, unless that was done since the number of times was before: of many requests that a
// node refuses at the same time, one does it.
func (c *Client) handOver(ctx context.Context, before uint64) error {
	select {
	case c.handing <- struct{}{}:
		defer func() { <-c.handing }()
	case <-ctx.Done():
		return c.failed(ctx.Err())
	}
	if c.handed.Load() != before {
		return nil
	}
	if err := c.Adopt(ctx, c.layouts); err != nil {
		return err
	}
	c.handed.Add(1)
	return nil
}

// fromCluster names the cluster in a request about layouts.
func (c *Client) fromCluster(ctx context.Context) context.Context {
	if c.o.ClusterID == uuid.Nil {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, ClusterKey, c.o.ClusterID.String())
}

// Adopt hands the node layouts; it has them, or newer ones, durably when it returns nil. Kinds: Conflict if it has
// others with the same number; Invalid if it belongs to another cluster.
func (c *Client) Adopt(ctx context.Context, a *layout.Active) error {
	b, err := a.MarshalBinary()
	if err != nil {
		return errors.Wrap(errors.Internal, err, "encoding layout %d", a.Number())
	}
	ctx, cancel := c.call(c.fromCluster(ctx))
	defer cancel()
	_, err = c.small.AdoptLayouts(ctx, &chunknodev1.AdoptLayoutsRequest{Layouts: b})
	return errors.Annotate(c.failed(err), "handing over layout %d", a.Number())
}

// Layouts are those that the node has adopted; nil: none yet.
func (c *Client) Layouts(ctx context.Context) (*layout.Active, error) {
	answer, err := small(c.fromCluster(ctx), c, c.small.GetLayouts, &chunknodev1.GetLayoutsRequest{})
	if err != nil || len(answer.Layouts) == 0 {
		return nil, err
	}
	a, err := layout.ParseActive(answer.Layouts)
	return a, errors.Annotate(err, "the layouts of node %v", c.o.ID)
}

const (
	deafAfter = 3                // calls without answer in a row
	deafFor   = 10 * time.Second // after the last of them, a node is worth another try
)

// reach is what calls to a node say about whether it answers.
type reach struct {
	mu   sync.Mutex
	deaf int // calls without answer since the last one with
	last time.Time
}

func (r *reach) answered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deaf = 0
}

func (r *reach) judge(err error, c clock.Clock) {
	if chunk.DiskFailed(err) { // it answers for its other disks
		r.answered()
		return
	}
	switch errors.KindOf(err) {
	case errors.Canceled: // its caller gave it up
		return
	case errors.Unavailable, errors.Deadline:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.deaf++
		r.last = c.Now()
		return
	}
	r.answered()
}

// Answers reports whether the node is believed to answer: it has not failed to several times in a row, just now.
func (c *Client) Answers() bool {
	c.reach.mu.Lock()
	defer c.reach.mu.Unlock()
	return c.reach.deaf < deafAfter || c.o.Clock.Now().Sub(c.reach.last) > deafFor
}
