package faults

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/systemtest/load"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the load; 0 draws one")

// writeDeadline is the longest that a refused write may take, with room for a busy machine.
const writeDeadline = 40 * time.Second

func setUp(t *testing.T, sizes []int) (*deploy.Deployment, *load.Load) {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	t.Logf("again with: -args -deployment nodes -seed %d", seed)
	if deploy.Kind() != deploy.Nodes {
		t.Fatal("this suite hurts single processes: run it with -args -deployment nodes")
	}
	d := deploy.ForTest(t)
	require.Len(t, d.ChunkNodes(), 3)
	client := s3client.New(d.Endpoint, 8)
	resp, err := client.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: "faults"})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status, resp.Message)
	l := load.New(load.Config{Client: client, Bucket: "faults", Seed: seed, Workers: 4, Keys: 40, Sizes: sizes, Timeout: 60 * time.Second})
	require.NoError(t, l.Prepare(t.Context()))
	return d, l
}

// during runs the load for the given number of operations of each worker and calls hurt when a third of them have ended, then heal at
// two thirds. Both must have been reached.
func during(ctx context.Context, t *testing.T, l *load.Load, each int, hurt, heal func() error) {
	t.Helper()
	begin, total := l.Done(), int64(each*l.Workers)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(ctx, each, false)
	}()
	reach := func(done int64) {
		for l.Done()-begin < done {
			select {
			case <-ended:
			case <-time.After(time.Millisecond):
			}
		}
	}
	reach(total / 3)
	require.NoError(t, hurt())
	reach(2 * total / 3)
	require.NoError(t, heal())
	<-ended
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func drawings(t *testing.T) string {
	t.Helper()
	root, err := deploy.Root()
	require.NoError(t, err)
	dir := filepath.Join(root, "var", "test")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return dir
}

func allWell(ctx context.Context, t *testing.T, l *load.Load) {
	t.Helper()
	require.Empty(t, l.Failures(), "requests failed")
	require.NoError(t, l.ReadBack(ctx))
	require.NoError(t, l.Check(drawings(t)))
}

func TestAChunkNodeKilledUnderLoadFailsNoRequest(t *testing.T) {
	ctx := testContext(t)
	d, l := setUp(t, nil)
	node := d.ChunkNodes()[1]
	during(ctx, t, l, 150, node.Kill, node.Start)
	allWell(ctx, t, l)
}

func TestAChunkNodeStoppedUnderLoadFailsNoRequest(t *testing.T) {
	ctx := testContext(t)
	d, l := setUp(t, nil)
	node := d.ChunkNodes()[2]
	during(ctx, t, l, 150, node.Stop, node.Start)
	allWell(ctx, t, l)
}

func TestAChunkNodePausedUnderLoadFailsNoRequest(t *testing.T) {
	ctx := testContext(t)
	d, l := setUp(t, nil)
	node := d.ChunkNodes()[0]
	during(ctx, t, l, 100, node.Pause, node.Resume)
	allWell(ctx, t, l)
}

func TestEachChunkNodeInTurnMayBeAway(t *testing.T) {
	ctx := testContext(t)
	d, l := setUp(t, nil)
	for _, node := range d.ChunkNodes() {
		during(ctx, t, l, 60, node.Kill, node.Start)
		waitForCopies(ctx, t, d, l)
	}
	allWell(ctx, t, l)
}

// waitForCopies returns when a fresh object is stored on all three chunk-nodes: the one that was away takes part again.
func waitForCopies(ctx context.Context, t *testing.T, d *deploy.Deployment, l *load.Load) {
	t.Helper()
	for {
		body := random(200_000)
		resp, err := l.Client.Do(ctx, s3client.Request{Method: "PUT", Bucket: l.Bucket, Key: "fresh", Body: body})
		require.NoError(t, err)
		if resp.Status == 503 {
			continue // Not back yet.
		}
		require.Equal(t, 200, resp.Status, "%s %s", resp.Code, resp.Message)
		before := time.Now()
		for time.Since(before) < 5*time.Second {
			if len(blobsHolding(t, d, body)) == 3 {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		require.NoError(t, ctx.Err(), "the chunk-node that returned got no copy")
	}
}

func put(ctx context.Context, t *testing.T, l *load.Load, key string, body []byte) {
	t.Helper()
	resp, err := l.Client.Do(ctx, s3client.Request{Method: "PUT", Bucket: l.Bucket, Key: key, Body: body})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status, "%s %s", resp.Code, resp.Message)
}

func TestABlobCorruptedOnDiskIsServedRightAndRepaired(t *testing.T) {
	ctx := testContext(t)
	d, l := setUp(t, nil)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, path string)
	}{
		{"one byte changed", flipByte},
		{"cut short", func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 1000)) }},
		{"emptied", func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) }},
		{"removed", func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := random(900_000)
			put(ctx, t, l, c.name, body)
			var blobs []string
			require.Eventually(t, func() bool { blobs = blobsHolding(t, d, body); return len(blobs) == 3 }, 10*time.Second, 20*time.Millisecond)
			for _, bad := range blobs {
				c.damage(t, bad)
				deadline := time.Now().Add(60 * time.Second)
				for len(blobsHolding(t, d, body)) < 3 {
					require.True(t, time.Now().Before(deadline), "%s was not repaired", bad)
					resp, err := l.Client.Do(ctx, s3client.Request{Method: "GET", Bucket: l.Bucket, Key: c.name})
					require.NoError(t, err)
					require.Equal(t, 200, resp.Status)
					require.True(t, string(body) == string(resp.Body), "other bytes were served")
				}
			}
		})
	}
}

func TestWithTwoChunkNodesAwayWritesAreRefusedAndReadsGoOn(t *testing.T) {
	for _, c := range []struct {
		name       string
		hurt, heal func(*deploy.Process) error
	}{
		{"killed", (*deploy.Process).Kill, (*deploy.Process).Start},
		{"paused", (*deploy.Process).Pause, (*deploy.Process).Resume},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := testContext(t)
			d, l := setUp(t, nil)
			body := random(3<<20 + 1)
			put(ctx, t, l, "before", body)
			require.Eventually(t, func() bool { return len(blobsHolding(t, d, body[:1<<20])) == 3 }, 10*time.Second, 20*time.Millisecond)
			away := d.ChunkNodes()[:2]
			for _, node := range away {
				require.NoError(t, c.hurt(node))
			}
			start := time.Now()
			resp, err := l.Client.Do(ctx, s3client.Request{Method: "PUT", Bucket: l.Bucket, Key: "refused", Body: random(500_000)})
			require.NoError(t, err)
			require.Equal(t, 503, resp.Status, "%s %s", resp.Code, resp.Message)
			require.Contains(t, []string{"SlowDown", "ServiceUnavailable"}, resp.Code)
			require.Less(t, time.Since(start), writeDeadline)
			t.Logf("a write was refused after %v", time.Since(start).Round(time.Millisecond))

			for range 3 {
				resp, err := l.Client.Do(ctx, s3client.Request{Method: "GET", Bucket: l.Bucket, Key: "before"})
				require.NoError(t, err)
				require.Equal(t, 200, resp.Status)
				require.True(t, string(body) == string(resp.Body), "other bytes were served")
			}
			resp, err = l.Client.Do(ctx, s3client.Request{Method: "GET", Bucket: l.Bucket, Key: "refused"})
			require.NoError(t, err)
			require.Equal(t, 404, resp.Status)

			for _, node := range away {
				require.NoError(t, c.heal(node))
			}
			waitForCopies(ctx, t, d, l)
			l.Run(ctx, 30, false)
			allWell(ctx, t, l)
		})
	}
}

// An inline object has no chunk: it does not care about chunk-nodes.
func TestInlineObjectsNeedNoChunkNode(t *testing.T) {
	ctx := testContext(t)
	d, l := setUp(t, []int{0, 1, 100})
	for _, node := range d.ChunkNodes() {
		require.NoError(t, node.Pause())
	}
	for i := range 3 {
		body := random(100 * i)
		put(ctx, t, l, "inline", body)
		resp, err := l.Client.Do(ctx, s3client.Request{Method: "GET", Bucket: l.Bucket, Key: "inline"})
		require.NoError(t, err)
		require.Equal(t, string(body), string(resp.Body))
	}
}
