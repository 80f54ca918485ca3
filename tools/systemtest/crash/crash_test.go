package crash

import (
	"context"
	"encoding/xml"
	"flag"
	"fmt"
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

var (
	seedFlag = flag.Uint64("seed", 0, "seed of the load and of the moments of the kills; 0 draws one")
	rounds   = flag.Int("rounds", 6, "how often everything is killed")
)

func setUp(t *testing.T) (*deploy.Deployment, *load.Load, *rand.Rand) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	t.Logf("again with: -args -seed %d", seed)
	d := deploy.ForTest(t)
	client := s3client.New(d.Endpoint, 8)
	bucket := "crash"
	resp, err := client.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: bucket})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status, resp.Message)
	l := load.New(load.Config{Client: client, Bucket: bucket, Seed: seed, Workers: 6, Keys: 60})
	require.NoError(t, l.Prepare(t.Context()))
	return d, l, rand.New(rand.NewPCG(seed, 99))
}

// killUnderLoad begins the load, kills once that many more operations have ended, and returns when the load has stopped.
func killUnderLoad(ctx context.Context, t *testing.T, l *load.Load, operations int64, kill func() error) {
	t.Helper()
	target, ended := l.Done()+operations, make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(ctx, 100_000, true)
	}()
	for l.Done() < target {
		select {
		case <-ended:
			t.Fatalf("the load ended by itself: %v", l.Failures())
		case <-time.After(time.Millisecond):
		}
	}
	require.NoError(t, kill())
	<-ended
}

func drawings(t *testing.T) string {
	t.Helper()
	root, err := deploy.Root()
	require.NoError(t, err)
	dir := filepath.Join(root, "var", "test")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return dir
}

func TestKillingEverythingLosesNothingAcknowledged(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	d, l, rng := setUp(t)
	for round := range *rounds {
		killUnderLoad(ctx, t, l, int64(50+rng.IntN(300)), d.KillAll)
		start := time.Now()
		require.NoError(t, d.StartAll(ctx), "round %d", round)
		t.Logf("round %d: killed after %d operations, up again after %v", round, l.Done(), time.Since(start).Round(time.Millisecond))
		l.Client.HTTP.CloseIdleConnections()
		require.NoError(t, l.ReadBack(ctx), "round %d", round)
		require.NoError(t, l.Check(drawings(t)), "round %d", round)
	}
	require.NotEmpty(t, l.Failures(), "no request was in flight at any kill: this test saw nothing")
	uploadsEndOrStay(t, l)
}

// uploadsEndOrStay checks that what a crash left of multipart uploads can be listed and aborted. One whose completion was under way
// may turn out to have been completed then; in any case none is left.
func uploadsEndOrStay(t *testing.T, l *load.Load) {
	t.Helper()
	type upload struct{ Key, UploadId string }
	list := func() []upload {
		var answer struct{ Upload []upload }
		resp, err := l.Client.Do(t.Context(), s3client.Request{Method: "GET", Bucket: l.Bucket, Query: "uploads="})
		require.NoError(t, err)
		require.Equal(t, 200, resp.Status)
		require.NoError(t, xml.Unmarshal(resp.Body, &answer))
		return answer.Upload
	}
	for _, u := range list() {
		resp, err := l.Client.Do(t.Context(), s3client.Request{Method: "DELETE", Bucket: l.Bucket, Key: u.Key, Query: "uploadId=" + u.UploadId})
		require.NoError(t, err)
		if resp.Code != "NoSuchUpload" {
			require.Equal(t, 204, resp.Status, fmt.Sprintf("abort %s %s: %s", u.Key, u.UploadId, resp.Code))
		}
	}
	require.Empty(t, list())
}

// A graceful stop finishes the requests it has: nothing acknowledged is lost, and a restart is quick.
func TestAGracefulStopFinishesRequests(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	d, l, _ := setUp(t)
	killUnderLoad(ctx, t, l, 100, d.Stop)
	require.NoError(t, d.StartAll(ctx))
	l.Client.HTTP.CloseIdleConnections()
	require.NoError(t, l.ReadBack(ctx))
	require.NoError(t, l.Check(drawings(t)))
}
