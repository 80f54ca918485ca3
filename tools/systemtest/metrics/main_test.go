package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/systemtest/alerts"
)

const (
	bucket   = "observed"
	patience = 2 * time.Minute
)

// What all tests share.
var (
	deployment *deploy.Deployment
	spans      = newCollector()
	accessLog  string
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run runs the tests on a deployment that is traced and writes an access log.
func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "garage-metrics-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	url, stop, err := spans.listen()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	accessLog = filepath.Join(dir, "access.log")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := alerts.Install(ctx, os.Stderr); err != nil {
		return 0, err
	}
	deployment, err = deploy.Start(ctx, deploy.Options{Kind: deploy.Kind(), Dir: dir, Env: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_BSP_SCHEDULE_DELAY=100", "GARAGE_S3_ACCESS_LOG=" + accessLog}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, deployment.Close()) }()
	if code = m.Run(); code != 0 {
		fmt.Fprintln(os.Stderr, deployment.Tail(60))
	}
	return code, nil
}

// request makes a request that must succeed.
func request(t *testing.T, c *s3client.Client, r s3client.Request) *s3client.Response {
	t.Helper()
	resp, err := c.Do(t.Context(), r)
	require.NoError(t, err)
	require.Less(t, resp.Status, 300, "%s %s/%s: %s", r.Method, r.Bucket, r.Key, resp.Body)
	return resp
}

// load does some of everything that has metrics.
func load(t *testing.T) {
	t.Helper()
	c := s3client.New(deployment.Endpoint, 2)
	resp, err := c.Do(t.Context(), s3client.Request{Method: http.MethodPut, Bucket: bucket})
	require.NoError(t, err)
	require.Contains(t, []int{http.StatusOK, http.StatusConflict}, resp.Status)
	body := []byte(strings.Repeat("garage", 300_000))
	for i := range 3 {
		for size, key := range map[int]string{len(body): "large", 100_000: "medium", 10: "small"} {
			key = fmt.Sprintf("%s-%d", key, i)
			body[0] = byte(i)
			request(t, c, s3client.Request{Method: http.MethodPut, Bucket: bucket, Key: key, Body: body[:size]})
			request(t, c, s3client.Request{Method: http.MethodGet, Bucket: bucket, Key: key})
			request(t, c, s3client.Request{Method: http.MethodHead, Bucket: bucket, Key: key})
		}
	}
	request(t, c, s3client.Request{Method: http.MethodGet, Bucket: bucket, Query: "list-type=2"})
	request(t, c, s3client.Request{Method: http.MethodDelete, Bucket: bucket, Key: "large-0"})
	missing, err := c.Do(t.Context(), s3client.Request{Method: http.MethodGet, Bucket: bucket, Key: "none"})
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, missing.Status)
	// The command line asks the rebalancer, and it the others.
	_, err = deployment.CLI(t.Context(), "status")
	require.NoError(t, err)
}

// token is the admin token of all processes.
func token(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployment.Data, "admin.token"))
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// root is the top of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := deploy.Root()
	require.NoError(t, err)
	return dir
}
