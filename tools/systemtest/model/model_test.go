package model

import (
	"context"
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
	seedFlag   = flag.Uint64("seed", 0, "seed of the random operations; 0 draws one")
	operations = flag.Int("operations", 600, "operations of each worker and of the sequential comparison")
	client     *s3client.Client
)

func TestMain(m *testing.M) {
	deploy.Main(m, func(d *deploy.Deployment) { client = s3client.New(d.Endpoint, 16) })
}

func seed(t *testing.T) uint64 {
	s := *seedFlag
	if s == 0 {
		s = rand.Uint64N(1 << 32)
	}
	t.Logf("again with: -args -seed %d", s)
	return s
}

func newBucket(t *testing.T, seed uint64) string {
	t.Helper()
	name := fmt.Sprintf("model-%d-%d", seed, time.Now().UnixNano()%1e9)
	resp, err := client.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: name})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status, resp.Message)
	return name
}

// drawings returns a folder that outlives the test.
func drawings(t *testing.T) string {
	t.Helper()
	root, err := deploy.Root()
	require.NoError(t, err)
	dir := filepath.Join(root, "var", "test")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return dir
}

func TestConcurrentHistories(t *testing.T) {
	for _, c := range []struct {
		name          string
		workers, keys int
		sizes         []int
	}{
		{"few keys, small bodies", 6, 4, []int{0, 1, 1 << 10, 4 << 10, 4<<10 + 1}},
		{"every size", 6, 12, nil},
		{"large bodies", 4, 6, []int{64<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 3, 16<<20 - 1, 16 << 20, 16<<20 + 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := seed(t)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			l := load.New(load.Config{Client: client, Bucket: newBucket(t, s), Seed: s, Workers: c.workers, Keys: c.keys, Sizes: c.sizes})
			require.NoError(t, l.Prepare(ctx))
			each := *operations
			if c.name == "large bodies" {
				each /= 10
			}
			l.Run(ctx, each, false)
			require.Empty(t, l.Failures())
			require.NoError(t, l.ReadBack(ctx))
			require.NoError(t, l.Check(drawings(t)))
			t.Logf("%d operations explained", l.Operations())
		})
	}
}
