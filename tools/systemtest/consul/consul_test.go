//go:build stack

package consul

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/stack/parts"
	"deuxfleurs.fr/garage/tools/systemtest/load"
)

// under is a load that runs until the test ends it.
type under struct {
	t    *testing.T
	load *load.Load
	stop context.CancelFunc
	done chan struct{}
}

// strain begins a load on a bucket of its own.
func (r *run) strain() *under {
	r.t.Helper()
	client := s3client.New(r.s3, 8)
	ctx, cancel := context.WithCancel(context.Background())
	r.t.Cleanup(cancel)
	bucket := fmt.Sprintf("load-%d", time.Now().UnixNano())
	r.until("S3 answers", func() error {
		answer, err := client.Do(ctx, s3client.Request{Method: "PUT", Bucket: bucket})
		if err == nil && answer.Status != 200 {
			err = fmt.Errorf("%d %s", answer.Status, answer.Code)
		}
		return err
	})
	u := &under{t: r.t, stop: cancel, done: make(chan struct{}), load: load.New(load.Config{Client: client, Bucket: bucket, Seed: 1, Workers: 4, Keys: 60})}
	require.NoError(r.t, u.load.Prepare(ctx))
	go func() {
		defer close(u.done)
		for ctx.Err() == nil {
			u.load.Run(context.Background(), 5, false)
		}
	}()
	return u
}

// goesOn waits for some more requests.
func (u *under) goesOn(operations int64) {
	u.t.Helper()
	for before, deadline := u.load.Done(), time.Now().Add(patience); u.load.Done() < before+operations; time.Sleep(10 * time.Millisecond) {
		require.True(u.t, time.Now().Before(deadline), "the load does not go on: %v", u.load.Failures())
	}
}

// end ends the load and looks at all that happened. allowed says which failures are no surprise.
func (u *under) end(allowed func(load.Failure) bool) {
	u.t.Helper()
	u.stop()
	<-u.done
	for _, f := range u.load.Failures() {
		if allowed == nil || !allowed(f) {
			require.Fail(u.t, "a request failed", "%v (of %d)", f, u.load.Done())
		}
	}
	require.NoError(u.t, u.load.ReadBack(context.Background()))
	require.NoError(u.t, u.load.Wrong())
	require.NoError(u.t, u.load.Check(u.t.TempDir()))
}

func TestConsulGoesAwayAndReturns(t *testing.T) {
	r := begin(t)
	stack, err := parts.Open(parts.Options{Data: required(t, "GARAGE_STACK_DATA")})
	require.NoError(t, err)
	consul, err := stack.Process("consul-server")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	t.Cleanup(func() {
		if !consul.Alive() {
			require.NoError(t, stack.Restart(context.Background(), "consul-server"))
		}
	})
	u := r.strain()
	u.goesOn(50)
	require.NoError(t, consul.Kill(ctx))
	u.goesOn(120)
	require.NoError(t, stack.Restart(ctx, "consul-server"))
	u.goesOn(120)
	consul, err = stack.Process("consul-server")
	require.NoError(t, err)
	require.NoError(t, consul.Pause())
	u.goesOn(120)
	require.NoError(t, consul.Resume())
	u.goesOn(100)
	u.end(nil)
}

func TestMetadataServicesAreKilledAndStopped(t *testing.T) {
	r := begin(t)
	u := r.strain()
	u.goesOn(50)
	for round := range 2 {
		r.metadata[0].end(syscall.SIGKILL)
		u.goesOn(100)
		r.metadata[0].start()
		r.metadata[0].ready()
		u.goesOn(50)
		r.metadata[1].end(syscall.SIGTERM)
		u.goesOn(100)
		r.metadata[1].start()
		r.metadata[1].ready()
		u.goesOn(50)
		t.Logf("round %d: %d requests, %d failed", round, u.load.Done(), len(u.load.Failures()))
	}
	// A commit that carries the body, and a deletion, have nothing by which a second try would be known as such: those that
	// were on their way to who was killed are answered 503, and the client decides.
	interrupted := 0
	u.end(func(f load.Failure) bool {
		interrupted++
		return f.Err == nil && f.Status == 503 && interrupted <= 2*4
	})
}

// Whoever starts a copy of a data folder, here on the same machine, is told so; the node itself goes on.
func TestACopyOfAChunkNodeRefusesToServe(t *testing.T) {
	r := begin(t)
	u := r.strain()
	u.goesOn(50)
	node, copied := r.chunkNodes[0], r.program("chunk-node-3copy", "--listen", free(t), "--zone", "zone-1")
	// A copy of a folder in use would be torn.
	node.end(syscall.SIGTERM)
	require.NoError(t, os.CopyFS(copied.data(), os.DirFS(node.data())))
	node.start()
	node.ready()
	copied.start()
	u.goesOn(50)
	select {
	case <-copied.ended:
	case <-time.After(2 * patience):
		require.Fail(t, "the copy goes on")
	}
	said, err := os.ReadFile(copied.log)
	require.NoError(t, err)
	require.Contains(t, string(said), "another process has this ID and serves, at "+node.args[6])
	require.NotContains(t, string(said), "registered in Consul")
	node.ready()
	u.goesOn(50)
	u.end(nil)
}

func TestTheAuthorityIsReplaced(t *testing.T) {
	r := begin(t)
	u := r.strain()
	u.goesOn(50)
	config := api.DefaultConfig()
	config.Address, config.Token = required(t, "GARAGE_STACK_CONSUL"), os.Getenv("GARAGE_STACK_CONSUL_TOKEN")
	client, err := api.NewClient(config)
	require.NoError(t, err)
	ca, _, err := client.Connect().CAGetConfig(nil)
	require.NoError(t, err)
	bits := 384 // 256 is the default
	if fmt.Sprint(ca.Config["PrivateKeyBits"]) == "384" {
		bits = 256
	}
	ca.Config["PrivateKeyType"], ca.Config["PrivateKeyBits"] = "ec", bits
	_, err = client.Connect().CASetConfig(&api.CAConfig{Provider: ca.Provider, Config: ca.Config}, nil)
	require.NoError(t, err)
	u.goesOn(120)
	// Who starts now has a certificate of the new authority, and speaks with those that had one of the old.
	for _, p := range append(r.chunkNodes[:1:1], r.metadata[0]) {
		p.end(syscall.SIGTERM)
		p.start()
		p.ready()
		u.goesOn(50)
	}
	u.end(nil)
}
