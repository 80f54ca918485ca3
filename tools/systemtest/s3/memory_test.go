package s3

import (
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/sigv4"
)

// memoryLimit bounds the resident memory of each process under the loads below, which send and ask far more than it at once.
const memoryLimit = 400_000_000

func TestMemoryIsBoundedWhateverTheSizeOfObjects(t *testing.T) {
	require.NotEmpty(t, target.Processes(), "an external endpoint has no processes to look at")
	bucket, large := newBucket(t), random(24<<20)
	for _, p := range target.Processes() {
		require.NoError(t, p.ResetPeak())
	}
	const clients = 64
	together(t, clients, func(c int) error {
		resp, err := client.Do(testContext(t), request{
			Method: "PUT", Bucket: bucket, Key: fmt.Sprint(c), Body: large[c:], Payload: sigv4.Unsigned,
		})
		// A server that is short of memory says SlowDown: that keeps the promise too.
		if err == nil && resp.Status != 200 && resp.Status != 503 {
			err = fmt.Errorf("put answered %d %s", resp.Status, resp.Code)
		}
		return err
	})
	put(t, bucket, "one", large)
	// Readers that take nothing: the server must not read ahead without bound for each.
	var open []io.Closer
	for range clients {
		resp, err := client.Open(testContext(t), request{Method: "GET", Bucket: bucket, Key: "one"})
		require.NoError(t, err)
		open = append(open, resp.Body)
	}
	for _, body := range open {
		require.NoError(t, body.Close())
	}
	sameBody(t, large, get(t, bucket, "one"))
	for _, p := range target.Processes() {
		u, err := p.Usage()
		require.NoError(t, err)
		t.Logf("%s: at most %d MB", p.Name, u.Peak/1_000_000)
		require.Less(t, u.Peak, int64(memoryLimit), p.Name)
	}
}

// together runs a function for each of n clients at the same time.
func together(t *testing.T, n int, each func(c int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for c := range n {
		wg.Go(func() {
			if err := each(c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
