package consul

import (
	"context"
	"time"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/clock"
)

const (
	// waitTime is how long a blocking query lasts when nothing changes.
	waitTime = 5 * time.Minute
	// waitSlack is what Consul adds to that (a sixteenth) and the network needs.
	waitSlack = waitTime/16 + 10*time.Second
	// quiet is the least time between two answers of one query: what changes often is looked at a few
	// times a second.
	quiet = 200 * time.Millisecond

	backoffMin = 100 * time.Millisecond
	backoffMax = 5 * time.Second
)

// Query is one blocking query: it hands the options, which carry a context, to a method of Consul's client.
type Query func(*api.QueryOptions) (*api.QueryMeta, error)

// Follow makes a query again and again until ctx ends, whose error it returns. Each time, the query returns
// when what it asks for has changed. It acts on what it got only if it got no error; then nothing has
// changed for it, and it is called again after a growing time. what is for the log.
func (c *Client) Follow(ctx context.Context, what string, query Query) error {
	var index uint64
	failures := 0
	for ctx.Err() == nil {
		began := c.clock.Now()
		next, err := c.once(ctx, index, query)
		if ctx.Err() != nil {
			break
		}
		c.judge(err)
		var pause time.Duration
		if err != nil {
			if failures == 0 && !away(err) {
				c.log.Error("Consul refuses a query; it is repeated", "query", what, "error", err)
			}
			pause = backoff(failures, c.random())
			failures++
			index = 0
		} else {
			if failures > 0 {
				c.log.Info("Consul answers a query again", "query", what)
			}
			failures = 0
			index = advance(index, next)
			pause = quiet - c.clock.Now().Sub(began)
		}
		if pause > 0 {
			if err := clock.Sleep(ctx, c.clock, pause); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (c *Client) once(ctx context.Context, index uint64, query Query) (uint64, error) {
	attempt, cancel := context.WithTimeout(ctx, waitTime+waitSlack)
	defer cancel()
	// Any server may answer: one without a leader still tells what it knows.
	options := &api.QueryOptions{WaitIndex: index, WaitTime: waitTime, AllowStale: true}
	meta, err := query(options.WithContext(attempt))
	if err != nil {
		return 0, err
	}
	return meta.LastIndex, nil
}

// advance is the index to wait for after an answer with the index next. One that goes back is that of a
// Consul that began anew, which must be asked without waiting; zero would not block.
func advance(index, next uint64) uint64 {
	if next < index {
		return 0
	}
	return max(next, 1)
}

// backoff is how long to wait after that many failures in a row, by random of 0 to 1 between a half and all of it,
// so that not all programs come back to a Consul that returned at the same moment.
func backoff(failures int, random float64) time.Duration {
	d := backoffMax
	if failures < 8 {
		d = min(backoffMin<<failures, backoffMax)
	}
	return d/2 + time.Duration(random*float64(d/2))
}
