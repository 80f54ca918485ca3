package metrics

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

// root span and its trace are as the client began them.
const (
	traceID = "0af7651916cd43dd8448eb211c8031%02x"
	spanID  = "b7ad6b7169203331"
)

// connected checks that every span but those of the client hangs below another one of the trace.
func connected(spans []span) error {
	known := map[string]bool{spanID: true}
	for _, s := range spans {
		known[s.id] = true
	}
	for _, s := range spans {
		if !known[s.parent] {
			return fmt.Errorf("%s of %s hangs below nothing", s.name, s.program)
		}
	}
	return nil
}

// expect waits until a trace is connected and has spans of these names in these programs.
func expect(t *testing.T, id string, wanted ...string) []span {
	t.Helper()
	lack := ""
	require.Eventually(t, func() bool {
		spans := spans.trace(id)
		if err := connected(spans); err != nil {
			lack = err.Error()
			return false
		}
		for _, w := range wanted {
			program, name, _ := strings.Cut(w, "/")
			if deploy.Kind() == deploy.Standalone {
				program = "standalone"
			}
			if !slices.ContainsFunc(spans, func(s span) bool { return s.program == "garage-"+program && s.name == name }) {
				lack = w
				return false
			}
		}
		return true
	}, patience, 100*time.Millisecond, "lacking: %s", lack)
	return spans.trace(id)
}

func TestARequestIsOneTraceThroughAllServices(t *testing.T) {
	load(t)
	c := s3client.New(deployment.Endpoint, 1)
	number := 0
	traced := func(r s3client.Request) (string, *s3client.Response) {
		number++
		id := fmt.Sprintf(traceID, number)
		r.Alter = func(req *http.Request) { req.Header.Set("Traceparent", "00-"+id+"-"+spanID+"-01") }
		return id, request(t, c, r)
	}
	body := []byte(strings.Repeat("traces", 200_000))
	id, resp := traced(s3client.Request{Method: http.MethodPut, Bucket: bucket, Key: "traced", Body: body})
	wanted := []string{"s3-gateway/S3 PutObject", "chunk-node/node.put", "chunk-node/disk.write", "chunk-node/disk.sync", "chunk-node/disk.commit", "metadata/metadata.PutObject"}
	if deploy.Kind() != deploy.Standalone {
		wanted = append(wanted, "s3-gateway/chunk.put", "s3-gateway/chunk.owner")
	}
	all := expect(t, id, wanted...)
	for _, s := range all {
		if s.name == "S3 PutObject" {
			require.Equal(t, spanID, s.parent, "the trace is the client's")
			require.Equal(t, resp.Header.Get("X-Amz-Request-Id"), s.attributes["garage.request_id"])
			require.Equal(t, bucket, s.attributes["aws.s3.bucket"])
		}
		require.LessOrEqual(t, s.began, s.ended, s.name)
	}
	if deploy.Kind() == deploy.Nodes {
		nodes := map[string]bool{}
		for _, s := range all {
			if s.name == "chunk.owner" {
				nodes[s.attributes["garage.node"]] = true
			}
		}
		require.Len(t, nodes, 3, "a span for each owner")
	}

	id, _ = traced(s3client.Request{Method: http.MethodGet, Bucket: bucket, Key: "traced"})
	wanted = []string{"s3-gateway/S3 GetObject", "chunk-node/node.get", "chunk-node/disk.read", "metadata/metadata.Object"}
	if deploy.Kind() != deploy.Standalone {
		wanted = append(wanted, "s3-gateway/chunk.get", "s3-gateway/chunk.owner")
	}
	expect(t, id, wanted...)
}

func TestOnlyRequestsBeginTraces(t *testing.T) {
	load(t)
	require.Eventually(t, func() bool { return len(spans.all()) > 0 }, patience, 50*time.Millisecond)
	for _, trace := range spans.all() {
		for _, s := range trace {
			if s.parent == "" {
				require.True(t, strings.HasPrefix(s.name, "S3 "), "%s of %s begins a trace", s.name, s.program)
			}
		}
	}
}
