package wan

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"deuxfleurs.fr/garage/tools/deploy/sites"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/stack/links"
)

// RoundTrip is between each two sites.
const RoundTrip = 100 * time.Millisecond

const (
	bucket = "wan"
	warm   = 3 // requests that are not measured, for connections and their windows
	times  = 9
	// silence is longer than TCP remembers what a link carries, unless net.ipv4.tcp_slow_start_after_idle is 0.
	silence = 1500 * time.Millisecond
)

// Result is what one kind of request takes.
type Result struct {
	Name string
	// Near and Far are the median times without and with a delay.
	Near, Far time.Duration
	// RoundTrips is how many round trips the fastest took more with a delay than the fastest without.
	RoundTrips float64
	// Most is how many it may take.
	Most float64
}

// String is the result as a row of a table.
func (r Result) String() string {
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	return fmt.Sprintf("%-32s %9.1f ms without distance %9.1f ms at 100 ms: %5.2f round trips", r.Name, ms(r.Near), ms(r.Far), r.RoundTrips)
}

// Start starts the cluster that is measured, in a folder that is empty. Its connections are made over the distance: what TCP takes for the
// round trip would otherwise be wrong for a while.
func Start(ctx context.Context, dir string) (*sites.Cluster, error) {
	return sites.Start(ctx, sites.Options{Dir: dir, Sites: 3, Nodes: 1, Rebalancers: 1, Link: links.Link{Delay: RoundTrip / 2}})
}

// operation is one kind of request. It returns how long it took.
type operation struct {
	name string
	once func(ctx context.Context, client *s3client.Client, i int) (time.Duration, error)
	// away stops the chunk-node of the client's site; quiet comes before each request, of which there are fewer then.
	away  bool
	quiet time.Duration
	// most is how many round trips it may take.
	most float64
}

// operations are in the order in which they are measured.
func operations() []operation {
	return []operation{
		{name: "PUT of 1 KiB, all of it", once: put(1 << 10), most: 0.5},
		{name: "PUT of 1 MiB, all of it", once: put(1 << 20), most: 2},
		{name: "the same after a silence", once: put(1 << 20), quiet: silence, most: 10},
		{name: "GET of 1 KiB, to its first byte", once: get(1 << 10), most: 0.5},
		{name: "GET of 1 MiB, to its first byte", once: get(1 << 20), most: 0.5},
		{name: "the same, its copies elsewhere", once: get(1 << 20), away: true, most: 2},
	}
}

// Measure measures all operations over the distance, and then without.
func Measure(ctx context.Context, c *sites.Cluster) ([]Result, error) {
	client := c.Client(1)
	defer client.HTTP.CloseIdleConnections()
	if err := succeed(client.Do(ctx, s3client.Request{Method: "PUT", Bucket: bucket})); err != nil {
		return nil, err
	}
	far, err := measure(ctx, c, client)
	if err != nil {
		return nil, fmt.Errorf("over the distance: %w", err)
	}
	c.Network.JoinAll(links.Link{})
	near, err := measure(ctx, c, client)
	if err != nil {
		return nil, fmt.Errorf("without distance: %w", err)
	}
	var results []Result
	for i, o := range operations() {
		results = append(results, Result{o.name, near[i][len(near[i])/2], far[i][len(far[i])/2], float64(far[i][0]-near[i][0]) / float64(RoundTrip), o.most})
	}
	return results, nil
}

// measure returns what each operation took, in rising order.
func measure(ctx context.Context, c *sites.Cluster, client *s3client.Client) ([][]time.Duration, error) {
	var all [][]time.Duration
	local := c.NodesAt(0)[0]
	for _, o := range operations() {
		if o.away && local.Alive() {
			if err := local.Stop(); err != nil {
				return nil, err
			}
		}
		var took []time.Duration
		rounds := warm + times
		if o.quiet > 0 {
			rounds = warm + times/3
		}
		for i := range rounds {
			if err := rest(ctx, o.quiet); err != nil {
				return nil, err
			}
			t, err := o.once(ctx, client, i)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.name, err)
			}
			if i >= warm {
				took = append(took, t)
			}
		}
		slices.Sort(took)
		all = append(all, took)
	}
	if err := local.Start(); err != nil {
		return nil, err
	}
	return all, c.Ready(ctx, local)
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func key(size, i int) string { return fmt.Sprintf("%d/%d", size, i) }

// put stores a body that nobody has stored before, and takes the time until the answer.
func put(size int) func(context.Context, *s3client.Client, int) (time.Duration, error) {
	return func(ctx context.Context, client *s3client.Client, i int) (time.Duration, error) {
		body := make([]byte, size)
		_, _ = rand.Read(body) // It cannot fail: it ends the program instead.
		begin := time.Now()
		err := succeed(client.Do(ctx, s3client.Request{Method: "PUT", Bucket: bucket, Key: key(size, i), Body: body}))
		return time.Since(begin), err
	}
}

// get reads what put has stored, and takes the time until the first byte of the body.
func get(size int) func(context.Context, *s3client.Client, int) (time.Duration, error) {
	return func(ctx context.Context, client *s3client.Client, i int) (time.Duration, error) {
		begin := time.Now()
		answer, err := client.Open(ctx, s3client.Request{Method: "GET", Bucket: bucket, Key: key(size, i)})
		if err != nil {
			return 0, err
		}
		defer answer.Body.Close()
		first := make([]byte, 1)
		if _, err := io.ReadFull(answer.Body, first); err != nil {
			return 0, err
		}
		took := time.Since(begin)
		more, err := io.Copy(io.Discard, answer.Body)
		if err == nil && (answer.StatusCode != 200 || more+1 != int64(size)) {
			err = fmt.Errorf("the answer is %s, with %d bytes instead of %d", answer.Status, more+1, size)
		}
		return took, err
	}
}

func succeed(answer *s3client.Response, err error) error {
	if err == nil && answer.Status != 200 {
		err = fmt.Errorf("the answer is %d %s %s", answer.Status, answer.Code, strings.TrimSpace(answer.Message))
	}
	return err
}
