package metrics

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

// line waits for the line of a request in the access log.
func line(t *testing.T, id string) (map[string]any, string) {
	t.Helper()
	var entry map[string]any
	var text string
	require.Eventually(t, func() bool {
		content, err := os.ReadFile(accessLog)
		require.NoError(t, err)
		for text = range strings.Lines(string(content)) {
			if strings.Contains(text, id) {
				entry = nil
				return json.Unmarshal([]byte(text), &entry) == nil
			}
		}
		return false
	}, patience, 50*time.Millisecond)
	return entry, text
}

// gateway is the process that serves S3.
func gateway(t *testing.T) *deploy.Process {
	t.Helper()
	if deploy.Kind() == deploy.Standalone {
		return deployment.Processes()[0]
	}
	p, err := deployment.Process("s3-gateway")
	require.NoError(t, err)
	return p
}

func TestTheAccessLogHasALineForEachRequestWithoutSecrets(t *testing.T) {
	load(t)
	c := s3client.New(deployment.Endpoint, 1)
	resp := request(t, c, s3client.Request{Method: http.MethodGet, Bucket: bucket, Key: "small-1"})
	entry, text := line(t, resp.Header.Get("X-Amz-Request-Id"))
	require.Equal(t, "GetObject", entry["operation"])
	require.Equal(t, "/"+bucket+"/small-1", entry["path"])
	require.Equal(t, bucket, entry["bucket"])
	require.Equal(t, "small-1", entry["key"])
	require.EqualValues(t, 200, entry["status"])
	require.EqualValues(t, 10, entry["sent_bytes"])
	require.Equal(t, deployment.Endpoint.AccessKey, entry["access_key"])
	require.NotContains(t, text, deployment.Endpoint.SecretKey)
	require.Len(t, entry["trace_id"], 32)

	url := deployment.Endpoint.URL + "/" + bucket + "/small-1?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=5ec2e7&X-Amz-%53ecurity-Token=70ce2"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	refused, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, refused.Body.Close())
	entry, text = line(t, refused.Header.Get("X-Amz-Request-Id"))
	require.NotEmpty(t, entry["error"])
	require.NotContains(t, text, "5ec2e7")
	require.NotContains(t, text, "70ce2")

	// A log that was moved away is gone on with in a new file.
	require.NoError(t, os.Rename(accessLog, accessLog+".1"))
	require.NoError(t, syscall.Kill(gateway(t).PID, syscall.SIGHUP))
	require.Eventually(t, func() bool { _, err := os.Stat(accessLog); return err == nil }, patience, 50*time.Millisecond)
	resp = request(t, c, s3client.Request{Method: http.MethodHead, Bucket: bucket, Key: "small-1"})
	entry, _ = line(t, resp.Header.Get("X-Amz-Request-Id"))
	require.Equal(t, "HeadObject", entry["operation"])
}
