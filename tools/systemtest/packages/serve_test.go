package packages

import (
	"bytes"
	"context"
	"crypto/rand"
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
)

// serviceTimeout is how long a service may take to start, also on an emulated machine.
const serviceTimeout = 2 * time.Minute

func freeAddress(t *testing.T) string {
	t.Helper()
	a, err := deploy.FreeAddress()
	require.NoError(t, err)
	return a
}

// start starts a process and waits until it serves, as its administration port says.
func start(t *testing.T, p *deploy.Process) {
	t.Helper()
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		require.NoError(t, p.Kill())
		if t.Failed() {
			log, err := os.ReadFile(p.Log)
			t.Logf("log of %s (%v):\n%s", p.Name, err, log)
		}
	})
	deadline := time.Now().Add(serviceTimeout)
	for last := "no answer"; ; time.Sleep(50 * time.Millisecond) {
		require.True(t, p.Alive(), "%s has ended", p.Name)
		require.True(t, time.Now().Before(deadline), "%s does not serve: %s", p.Name, last)
		resp, err := http.Get("http://" + p.Admin + "/healthz")
		if err != nil {
			last = err.Error()
			continue
		}
		require.NoError(t, resp.Body.Close())
		if last = resp.Status; resp.StatusCode == http.StatusOK {
			return
		}
	}
}

// standaloneClient is a client with the first key of a standalone server on that data folder.
func standaloneClient(t *testing.T, data, s3 string) *s3client.Client {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "credentials.env"))
	require.NoError(t, err)
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		values[name] = value
	}
	return s3client.New(s3client.Endpoint{URL: "http://" + s3, AccessKey: values["AWS_ACCESS_KEY_ID"],
		SecretKey: values["AWS_SECRET_ACCESS_KEY"], Region: values["AWS_REGION"]}, 1)
}

func answers(t *testing.T, c *s3client.Client, status int, r s3client.Request) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := c.Do(ctx, r)
	require.NoError(t, err)
	require.Equal(t, status, resp.Status, "%s /%s/%s: %s %s", r.Method, r.Bucket, r.Key, resp.Code, resp.Message)
	return resp.Body
}

// objects are what the tests store: in the metadata, and in several chunks.
type objects map[string][]byte

func someObjects(t *testing.T) objects {
	t.Helper()
	o := objects{"small": []byte("small"), "large": make([]byte, 2500<<10)}
	_, err := rand.Read(o["large"])
	require.NoError(t, err)
	return o
}

func (o objects) put(t *testing.T, c *s3client.Client, bucket string) {
	t.Helper()
	answers(t, c, 200, s3client.Request{Method: "PUT", Bucket: bucket})
	for key, body := range o {
		answers(t, c, 200, s3client.Request{Method: "PUT", Bucket: bucket, Key: key, Body: body})
	}
}

func (o objects) get(t *testing.T, c *s3client.Client, bucket string) {
	t.Helper()
	for key, body := range o {
		got := answers(t, c, 200, s3client.Request{Method: "GET", Bucket: bucket, Key: key})
		require.True(t, bytes.Equal(body, got), "%s: %d bytes of %d, or others", key, len(got), len(body))
	}
}

// restartKeeps stores objects in a standalone server, kills it, and finds them again.
func restartKeeps(t *testing.T, p *deploy.Process, data, s3 string) {
	t.Helper()
	start(t, p)
	o, c := someObjects(t), standaloneClient(t, data, s3)
	o.put(t, c, "kept")
	o.get(t, c, "kept")
	require.NoError(t, p.Kill())
	start(t, p)
	o.get(t, c, "kept")
	require.NoError(t, p.Stop())
}

// standaloneEnv is how a standalone server is told its addresses and its data.
func standaloneEnv(data, s3, admin string) []string {
	return []string{"GARAGE_DATA=" + data, "GARAGE_S3_LISTEN=" + s3, "GARAGE_ADMIN_LISTEN=" + admin, fmt.Sprintf("PATH=%s", os.Getenv("PATH"))}
}
