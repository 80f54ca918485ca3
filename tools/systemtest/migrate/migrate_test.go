package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/systemtest/load"
)

// limit is generous: the machine may be busy with other tests.
const limit = 5 * time.Minute

// move is a standalone and the cluster that it moves into.
type move struct {
	t       *testing.T
	from    *deploy.Deployment
	to      *deploy.Deployment
	old     *s3client.Client // at the standalone
	new     *s3client.Client // at the cluster, with the same key
	command []string
}

func start(t *testing.T) *move {
	m := &move{t: t}
	dirs, envs := [2]string{t.TempDir(), t.TempDir()}, [2][]string{nil, database(t)}
	var started sync.WaitGroup
	var errs [2]error
	for i, kind := range []string{deploy.Standalone, deploy.Nodes} {
		started.Go(func() {
			d, err := deploy.Start(t.Context(), deploy.Options{Kind: kind, Dir: dirs[i], Env: envs[i]})
			if errs[i] = err; i == 0 {
				m.from = d
			} else {
				m.to = d
			}
		})
	}
	started.Wait()
	t.Cleanup(func() {
		for i, d := range []*deploy.Deployment{m.from, m.to} {
			if errs[i] != nil {
				continue
			}
			if t.Failed() {
				t.Log(d.Tail(60))
			}
			require.NoError(t, d.Close())
		}
	})
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	m.old = s3client.New(m.from.Endpoint, 8)
	e := m.from.Endpoint
	e.URL = m.to.Endpoint.URL
	m.new = s3client.New(e, 8)
	t.Cleanup(m.old.HTTP.CloseIdleConnections)
	t.Cleanup(m.new.HTTP.CloseIdleConnections)
	bin, err := deploy.Bin()
	require.NoError(t, err)
	metadata, err := m.to.Process("metadata")
	require.NoError(t, err)
	m.command = []string{filepath.Join(bin, "garage"), "migrate", "--data", m.to.Data, "--admin", metadata.Admin, "--from-data", m.from.Data, "--endpoint", e.URL}
	return m
}

// refusesToOpen requires that the operator cannot open a copy now.
func (m *move) refusesToOpen(bucket string) {
	m.t.Helper()
	rebalancer, err := m.to.Process("rebalancer")
	require.NoError(m.t, err)
	said, err := exec.CommandContext(m.t.Context(), m.command[0], "bucket", "open", bucket, "--yes", "--data", m.to.Data, "--admin", rebalancer.Admin).CombinedOutput()
	require.Error(m.t, err)
	require.Contains(m.t, string(said), "is at work or was killed a moment ago")
}

// begin starts a migration; its output goes to the buffer.
func (m *move) begin(args ...string) (*exec.Cmd, *output) {
	m.t.Helper()
	cmd, out := exec.Command(m.command[0], append(m.command[1:len(m.command):len(m.command)], args...)...), &output{}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(m.t, cmd.Start())
	m.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill() // the test has failed
			_ = cmd.Wait()
		}
		if m.t.Failed() {
			m.t.Log(out)
		}
	})
	return cmd, out
}

// output is what a process has written until now.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (m *move) ok(c *s3client.Client, r s3client.Request) *s3client.Response {
	m.t.Helper()
	answer, err := c.Do(m.t.Context(), r)
	require.NoError(m.t, err)
	require.Less(m.t, answer.Status, 300, "%s %s/%s: %s %s", r.Method, r.Bucket, r.Key, answer.Code, answer.Message)
	return answer
}

func (m *move) until(what string, is func() bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), limit)
	defer cancel()
	for !is() {
		select {
		case <-ctx.Done():
			m.t.Fatalf("%s: not in %v", what, limit)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestAStandaloneMovesIntoAClusterWhileItServes(t *testing.T) {
	m := start(t)
	kept := m.keep()
	uploadID, etag := m.beginUpload()

	// What is in the way is told, and nothing happens.
	other := s3client.New(m.to.Endpoint, 1)
	t.Cleanup(other.HTTP.CloseIdleConnections)
	m.ok(other, s3client.Request{Method: "PUT", Bucket: keptBucket})
	cmd, out := m.begin("--dry-run")
	require.Error(t, cmd.Wait())
	require.Contains(t, out.String(), "the cluster has another bucket called "+keptBucket)
	require.Contains(t, out.String(), fmt.Sprintf("2 buckets, 1 keys, %d objects", len(kept)))
	cmd, _ = m.begin()
	require.Error(t, cmd.Wait())
	m.ok(other, s3client.Request{Method: "DELETE", Bucket: keptBucket})

	l := load.New(load.Config{Client: m.old, Bucket: loadBucket, Seed: 1, Workers: 3, Keys: 40, Timeout: limit})
	require.NoError(t, l.Prepare(t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	var loading sync.WaitGroup
	loading.Go(func() {
		for ctx.Err() == nil {
			l.Run(context.Background(), 5, false) // what was sent is answered, also when the load ends
		}
	})
	t.Cleanup(func() { stop(); loading.Wait() })
	goesOn := func(operations int64) {
		before := l.Done()
		m.until("the load goes on", func() bool { return l.Done() >= before+operations })
	}
	goesOn(50)

	// While one is at work nobody can open what it writes into. One that is killed on its way leaves clients at the standalone, and goes on when it is begun again.
	cmd, out = m.begin("--rate", "300KB")
	m.until("some of it is copied", func() bool { return strings.Contains(out.String(), "compared") })
	m.refusesToOpen(keptBucket)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	goesOn(20)
	m.ok(m.old, s3client.Request{Method: "GET", Bucket: loadBucket})
	answer, err := m.new.Do(t.Context(), s3client.Request{Method: "GET", Bucket: loadBucket})
	require.NoError(t, err)
	require.Equal(t, 403, answer.Status, "nobody has a right on what is copied")

	// The standalone hears of the end of the killed one by a broken connection. On a machine that stands still, it is not heard.
	var moved bool
	m.until("the migration is done", func() bool {
		cmd, out = m.begin("--rate", "none", "--json")
		if err := cmd.Wait(); err != nil {
			require.Regexp(t, "another migration|run the same command again|begin again", out.String(), "%v", err)
			return false
		}
		text := out.String()
		var result struct{ Result struct{ Moved bool } }
		require.NoError(t, json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &result), text)
		moved = result.Result.Moved
		return true
	})
	require.True(t, moved)
	t.Log(out)

	goesOn(50)
	stop()
	loading.Wait()
	t.Logf("%d requests, %d failed", l.Done(), len(l.Failures()))
	for _, f := range l.Failures() {
		require.True(t, f.Err == nil && f.Status == 503, "a request failed otherwise than with 503: %v", f)
	}
	l.Client = m.new
	require.NoError(t, l.ReadBack(t.Context()))
	require.NoError(t, l.Check(t.TempDir()))
	m.sameAt(m.new, kept)

	// The old address serves on, also when it is started again.
	require.NoError(t, m.from.KillAll())
	require.NoError(t, m.from.StartAll(t.Context()))
	m.sameAt(m.old, kept)
	m.completeUpload(uploadID, etag)
	cmd, out = m.begin()
	require.NoError(t, cmd.Wait(), out)
	require.Contains(t, out.String(), "everything has moved before")
	_, err = os.Stat(filepath.Join(m.from.Data, "moved.json"))
	require.NoError(t, err)
}
