//go:build stack

package heal

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/deploy/sites"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/systemtest/load"
)

const (
	bucket = "load"
	// perSite is how many chunk-nodes each of the three sites has.
	perSite = 2
	copies  = 3
)

// quick makes everything that takes minutes or days take a moment.
var quick = []string{
	"GARAGE_CHUNK_GRACE=1s", "GARAGE_CHUNK_COLLECT_INTERVAL=200ms", "GARAGE_CHUNK_REPAIR_INTERVAL=1m",
	"GARAGE_METADATA_SWEEP_INTERVAL=1s", "GARAGE_METADATA_SWEEP_PAUSE=50ms", "GARAGE_METADATA_SWEEP_GRACE=1s",
	"GARAGE_METADATA_SWEEP_IDLE=20s", "GARAGE_METADATA_SWEEP_RETRY_MIN=100ms", "GARAGE_METADATA_SWEEP_RETRY_MAX=1s",
}

// run is one case.
type run struct {
	*sites.Cluster
	t    *testing.T
	load *load.Load
	stop context.CancelFunc
	done sync.WaitGroup
	// disks are the folders of nodes whose chunks are not in their data folder, by name.
	disks map[string]string
	// ids are the nodes' by their process, also of those whose folder is gone.
	ids map[*deploy.Process]string
	// gone are the IDs of nodes that were given up.
	gone map[string]bool
}

// begin starts a cluster of six chunk-nodes at three sites, and a load on it.
func begin(t *testing.T, change ...func(*sites.Options)) *run {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	o := sites.Options{Dir: dir, Sites: 3, Nodes: perSite, Rebalancers: 2, Seed: 1, Env: quick}
	for _, c := range change {
		c(&o)
	}
	c, err := sites.Start(t.Context(), o)
	require.NoError(t, err)
	r := &run{Cluster: c, t: t, disks: map[string]string{}, ids: map[*deploy.Process]string{}, gone: map[string]bool{}}
	for _, p := range c.Nodes() {
		r.ids[p] = r.id(p)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Tail(40))
		}
		if r.stop != nil {
			r.stop()
			r.done.Wait()
		}
		require.NoError(t, c.Close())
	})
	client := c.Client(8)
	t.Cleanup(client.HTTP.CloseIdleConnections)
	answer, err := client.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: bucket})
	require.NoError(t, err)
	require.Equal(t, 200, answer.Status, answer.Message)
	r.load = load.New(load.Config{Client: client, Bucket: bucket, Seed: 1, Workers: 4, Keys: 60})
	require.NoError(t, r.load.Prepare(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	r.done.Go(func() {
		for ctx.Err() == nil {
			r.load.Run(context.Background(), 5, false) // What was sent is answered, also when the load ends.
		}
	})
	r.goesOn(100)
	return r
}

// slowly makes a change of the layout take long enough for something to happen in the middle of it.
func slowly(o *sites.Options) {
	o.Env = append(slices.Clone(o.Env), "GARAGE_CHUNK_REBALANCE_RATE=256KiB")
}

// until tries until it works.
func (r *run) until(what string, try func() error) {
	r.t.Helper()
	begun := time.Now()
	require.NoError(r.t, sites.Until(r.t.Context(), what, try))
	if took := time.Since(begun); took > 5*time.Second {
		r.t.Logf("it took %v until %s", took.Round(time.Second), what)
	}
}

// goesOn waits for some more requests to be answered.
func (r *run) goesOn(operations int64) {
	r.t.Helper()
	before := r.load.Done()
	r.until("the load goes on", func() error {
		if done := r.load.Done(); done < before+operations {
			return fmt.Errorf("%d requests of %d; failures: %v", done-before, operations, r.load.Failures())
		}
		return nil
	})
}

// end stops the load, waits until the cluster has healed, and looks at everything: what it answers, what lies on its disks, and that
// all of it goes when the objects go. Of all requests, failed may have been refused with 503 or had no answer.
func (r *run) end(failed int) {
	r.t.Helper()
	r.stop()
	r.done.Wait()
	r.t.Logf("%d requests, %d failed", r.load.Done(), len(r.load.Failures()))
	for _, f := range r.load.Failures() {
		r.t.Log("failed:", f)
		require.True(r.t, f.Err != nil || f.Status == 503, "a request failed otherwise than with 503: %v", f)
	}
	require.LessOrEqual(r.t, len(r.load.Failures()), failed, "%v", r.load.Failures())
	r.settled()
	require.NoError(r.t, r.load.ReadBack(r.t.Context()))
	require.NoError(r.t, r.load.Check(r.t.TempDir()))
	r.inspect()
	r.empty()
}

// id is the node's, as its folder says it.
func (r *run) id(p *deploy.Process) string {
	r.t.Helper()
	return folderOf(r.t, p).NodeID.String()
}

// folderOf is what a node's folder says about itself.
func folderOf(t *testing.T, p *deploy.Process) (info datafolder.Info) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.Data, "garage.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &info))
	return info
}

// blobs returns the files of a node that hold chunks.
func blobs(t *testing.T, p *deploy.Process) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.Data, "chunks", "blobs", "???", "*"))
	require.NoError(t, err)
	return files
}

// forget removes a node's folder, as when its machine is gone for good.
func forget(t *testing.T, p *deploy.Process) {
	t.Helper()
	require.NoError(t, p.Kill())
	require.NoError(t, os.RemoveAll(p.Data))
}

// each runs f for all processes side by side.
func each(t *testing.T, all []*deploy.Process, f func(*deploy.Process) error) {
	t.Helper()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() { errs[i] = f(p) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}
