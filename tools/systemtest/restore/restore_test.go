package restore

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

const (
	bucket   = "restored"
	patience = 3 * time.Minute
)

// fixture is a deployment and what was written to it.
type fixture struct {
	*testing.T
	d        *deploy.Deployment
	client   *s3client.Client
	metadata *deploy.Process
	objects  map[string][]byte
}

func TestEveryObjectOfASnapshotIsReadBackWhenTheMetadataWasDestroyed(t *testing.T) {
	d := deploy.ForTest(t)
	f := &fixture{T: t, d: d, client: s3client.New(d.Endpoint, 4), objects: map[string][]byte{}}
	f.metadata = d.Processes()[0]
	if deploy.Kind() != deploy.Standalone {
		var err error
		f.metadata, err = d.Process("metadata")
		require.NoError(t, err)
	}
	f.do(s3client.Request{Method: "PUT", Bucket: bucket}, 200)
	f.write()
	var taken struct {
		Name         string `json:"name"`
		RecoveryCode string `json:"recovery_code"`
	}
	require.NoError(t, json.Unmarshal(f.cli("snapshot", "--json"), &taken))
	f.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "later", Body: []byte("of the time after the snapshot")}, 200)
	f.compare()

	for _, from := range [][]string{{taken.Name}, {"--code", taken.RecoveryCode}} {
		require.NoError(t, f.metadata.Kill())
		require.NoError(t, os.RemoveAll(filepath.Join(f.metadata.Data, "metadata")))
		if from[0] == "--code" {
			require.NoError(t, os.RemoveAll(filepath.Join(f.metadata.Data, "snapshots")))
		}
		require.NoError(t, f.metadata.Start())
		f.until("the metadata is empty", func() error {
			resp, err := f.client.Do(t.Context(), s3client.Request{Method: "GET", Bucket: bucket, Key: "object-0"})
			if err == nil && resp.Status != 403 {
				err = fmt.Errorf("%d %s", resp.Status, resp.Code)
			}
			return err
		})
		f.cli(append([]string{"restore"}, from...)...)
		require.NoError(t, d.Wait(t.Context()))
		f.compare()
		f.do(s3client.Request{Method: "GET", Bucket: bucket, Key: "later"}, 404)
		f.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "new", Body: []byte("written since")}, 200)
		f.do(s3client.Request{Method: "DELETE", Bucket: bucket, Key: "new"}, 204)
	}
}

// write writes objects of all sorts: empty, inline, of one chunk and of several, and in parts.
func (f *fixture) write() {
	f.Helper()
	random := rand.NewChaCha8([32]byte{1})
	body := func(size int) []byte {
		b := make([]byte, size)
		_, err := random.Read(b)
		require.NoError(f, err)
		return b
	}
	for i, size := range []int{0, 1, 1000, 100 << 10, 1 << 20, 1<<20 + 1, 3<<20 + 77, 200, 300, 50 << 10} {
		key := fmt.Sprintf("object-%d", i)
		f.objects[key] = body(size)
		f.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: key, Body: f.objects[key]}, 200)
	}
	var begun struct{ UploadId string }
	require.NoError(f, xml.Unmarshal(f.do(s3client.Request{Method: "POST", Bucket: bucket, Key: "parts", Query: "uploads="}, 200).Body, &begun))
	var list bytes.Buffer
	for n, size := range []int{5 << 20, 1000} {
		part := body(size)
		f.objects["parts"] = append(f.objects["parts"], part...)
		answer := f.do(s3client.Request{Method: "PUT", Bucket: bucket, Key: "parts", Body: part, Query: fmt.Sprintf("partNumber=%d&uploadId=%s", n+1, begun.UploadId)}, 200)
		fmt.Fprintf(&list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n+1, answer.Header.Get("ETag"))
	}
	f.do(s3client.Request{Method: "POST", Bucket: bucket, Key: "parts", Query: "uploadId=" + begun.UploadId,
		Body: fmt.Appendf(nil, "<CompleteMultipartUpload>%s</CompleteMultipartUpload>", list.String())}, 200)
}

// compare reads every object back.
func (f *fixture) compare() {
	f.Helper()
	for key, want := range f.objects {
		got := f.do(s3client.Request{Method: "GET", Bucket: bucket, Key: key}, 200)
		require.True(f, bytes.Equal(want, got.Body), "%s has %d bytes of %d, or other ones", key, len(got.Body), len(want))
	}
}

// do sends a request until it is answered otherwise than with "not now".
func (f *fixture) do(r s3client.Request, want int) (answer *s3client.Response) {
	f.Helper()
	f.until(r.Method+" "+r.Key, func() (err error) {
		answer, err = f.client.Do(f.Context(), r)
		if err == nil && answer.Status == 503 {
			err = fmt.Errorf("%d %s", answer.Status, answer.Code)
		}
		return err
	})
	require.Equal(f, want, answer.Status, "%s %s: %s %s", r.Method, r.Key, answer.Code, answer.Message)
	return answer
}

func (f *fixture) until(what string, try func() error) {
	f.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	require.NoError(f, err, "waiting: %s", what)
}

// cli runs "garage metadata" against the process that keeps the metadata, when that answers.
func (f *fixture) cli(args ...string) (out []byte) {
	f.Helper()
	f.until("garage metadata "+args[0], func() (err error) {
		out, err = f.d.CLI(f.Context(), append(append([]string{"metadata"}, args...), "--admin", f.metadata.Admin)...)
		return err
	})
	return out
}
