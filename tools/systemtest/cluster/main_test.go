package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/cluster/local"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/httpjson"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/systemtest/load"
)

var (
	target  *deploy.Deployment
	buckets atomic.Int64
)

func TestMain(m *testing.M) {
	deploy.Main(m, func(d *deploy.Deployment) { target = d })
}

// request is short for the requests of this suite.
type request = s3client.Request

// fixture is what every test has.
type fixture struct {
	*testing.T
	ctx     context.Context
	cluster *local.Cluster
	client  *s3client.Client // through Traefik
}

func setUp(t *testing.T) *fixture {
	t.Helper()
	if deploy.Kind() != deploy.Cluster {
		t.Fatal("this suite is about clusters: run it with -args -deployment cluster")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	return &fixture{T: t, ctx: ctx, cluster: target.Cluster(), client: s3client.New(target.Endpoint, 8)}
}

// do sends a request as patiently as S3 clients do: a database on a busy machine may be slower than a gateway waits.
func (f *fixture) do(c *s3client.Client, r request) *s3client.Response {
	f.Helper()
	resp, _, err := c.Patiently(f.ctx, r)
	require.NoError(f, err)
	return resp
}

// ok sends a request that must succeed; one that is repeated may have taken effect before.
func (f *fixture) ok(c *s3client.Client, r request) *s3client.Response {
	f.Helper()
	resp, repeated, err := c.Patiently(f.ctx, r)
	require.NoError(f, err)
	if repeated && (r.Method == "DELETE" && resp.Status == 404 || resp.Code == "BucketAlreadyOwnedByYou") {
		return resp
	}
	require.Less(f, resp.Status, 300, "%s /%s/%.80q?%s: %s %s", r.Method, r.Bucket, r.Key, r.Query, resp.Code, resp.Message)
	return resp
}

func (f *fixture) bucket() string {
	f.Helper()
	name := fmt.Sprintf("cluster-%d-%d", time.Now().UnixNano(), buckets.Add(1))
	f.ok(f.client, request{Method: "PUT", Bucket: name})
	return name
}

// until tries until it succeeds, for at most three minutes.
func (f *fixture) until(what string, try func() error) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, 3*time.Minute)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			require.NoError(f, err, "waiting until %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// processes returns those of a program that serve now.
func (f *fixture) processes(job string) []*deploy.Process {
	f.Helper()
	var found []*deploy.Process
	f.until(job+" runs", func() error {
		if err := target.Refresh(f.ctx); err != nil {
			return err
		}
		found = found[:0]
		for _, p := range target.Processes() {
			if "garage-"+p.Name[:len(p.Name)-2] == job {
				found = append(found, p)
			}
		}
		if len(found) < 2 {
			return fmt.Errorf("%d processes", len(found))
		}
		return nil
	})
	return found
}

// strain is a load that runs until the test ends it.
type strain struct {
	*load.Load
	f      *fixture
	enough chan struct{}
	ended  chan struct{}
}

// afterFailure is how long a client waits that was told to try again: it bounds the load, and how many writes there are of which nobody
// knows whether they happened.
const afterFailure = time.Second

// strain begins a load through Traefik, and returns when it is under way.
func (f *fixture) strain(workers int) *strain {
	f.Helper()
	seed := uint64(time.Now().UnixNano())
	f.Logf("seed %d", seed)
	s := &strain{f: f, enough: make(chan struct{}), ended: make(chan struct{}), Load: load.New(load.Config{
		Client: f.client, Bucket: f.bucket(), Seed: seed, Workers: workers, Keys: 40, Timeout: time.Minute, Sizes: []int{0, 100, 5000, 70_000, 300_000, 1<<20 + 1},
	})}
	require.NoError(f, s.Prepare(f.ctx))
	go func() {
		defer close(s.ended)
		for f.ctx.Err() == nil {
			failed := len(s.Failures())
			s.Run(f.ctx, 5, true)
			var wait time.Duration
			if len(s.Failures()) > failed {
				wait = afterFailure
			}
			select {
			case <-s.enough:
				return
			case <-time.After(wait):
			}
		}
	}()
	f.Cleanup(s.stop)
	s.more(20 * int64(workers))
	return s
}

// stop ends the load; it may be called again.
func (s *strain) stop() {
	select {
	case <-s.enough:
	default:
		close(s.enough)
	}
	<-s.ended
}

// more waits until so many operations more have ended.
func (s *strain) more(operations int64) {
	s.f.Helper()
	goal := s.Done() + operations
	s.f.until("the load goes on", func() error {
		if done := s.Done(); done < goal {
			return fmt.Errorf("%d of %d operations have ended", done, goal)
		}
		return nil
	})
}

// recovers waits until so many operations in a row have not failed.
func (s *strain) recovers(operations int64) {
	s.f.Helper()
	begin, failed := s.Done(), len(s.Failures())
	s.f.until("requests succeed again", func() error {
		done, failures := s.Done(), s.Failures()
		if len(failures) > failed {
			begin, failed = done, len(failures)
		}
		if done-begin < operations {
			return fmt.Errorf("%d of %d operations since the last failure, of %d: %v", done-begin, operations, failed, failures[max(0, len(failures)-1):])
		}
		return nil
	})
}

// allWell ends the load, and checks that nothing failed but those that were counted before, and that all that was acknowledged is there.
func (s *strain) allWell(failed int) {
	s.f.Helper()
	s.stop()
	s.f.Logf("%d operations, %d failed", s.Done(), len(s.Failures()))
	require.Empty(s.f, s.Failures()[failed:], "requests failed")
	require.NoError(s.f, s.ReadBack(s.f.ctx))
	root, err := deploy.Root()
	require.NoError(s.f, err)
	drawings := filepath.Join(root, "var", "test")
	require.NoError(s.f, os.MkdirAll(drawings, 0o755))
	require.NoError(s.f, s.Check(drawings))
}

var errFew = errors.New("too few for now")

// returns waits until all instances of a job serve again, without the process that was ended.
func (f *fixture) returns(job string, pid, instances int) {
	f.Helper()
	f.until(job+" is complete", func() error {
		all := f.processes(job)
		if len(all) < instances {
			return errFew
		}
		for _, p := range all {
			if p.PID == pid || !healthy(p) {
				return fmt.Errorf("%s (%d) is not back", p.Name, p.PID)
			}
		}
		return nil
	})
}

// healthy asks a process whether it can serve.
func healthy(p *deploy.Process) bool {
	return httpjson.Call(context.Background(), http.MethodGet, "http://"+p.Admin+"/healthz", nil, nil, nil) == nil
}

// away stops a process of the stack meanwhile, and returns when it is ready again.
func (f *fixture) away(name string, meanwhile func()) {
	f.Helper()
	p, err := f.cluster.Stack().Process(name)
	require.NoError(f, err)
	restarted := false
	defer func() {
		if !restarted {
			require.NoError(f, f.cluster.Stack().Restart(context.WithoutCancel(f.ctx), name))
		}
	}()
	require.NoError(f, p.Stop(f.ctx))
	meanwhile()
	require.NoError(f, f.cluster.Stack().Restart(f.ctx, name))
	restarted = true
}

// instance is an instance of a service as Consul's catalogue has it.
type instance struct {
	Node    struct{ Node string }
	Service struct {
		ID, Address string
		Port        int
		Meta        map[string]string
	}
}

func (f *fixture) instances(service string) []instance {
	f.Helper()
	env, err := f.cluster.Stack().Env()
	require.NoError(f, err)
	var all []instance
	url := env["GARAGE_STACK_CONSUL"] + "/v1/health/service/" + service + "?passing"
	require.NoError(f, httpjson.Call(f.Context(), http.MethodGet, url, nil, nil, &all))
	return all
}
