package operator

import (
	"bytes"
	"crypto/rand"
	"encoding/xml"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
)

// head is what HEAD says of an object that a restore must bring back.
func head(t *testing.T, c *s3client.Client, key string) map[string]string {
	t.Helper()
	resp, err := c.Do(t.Context(), s3client.Request{Method: "HEAD", Bucket: "photos", Key: key})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status, key)
	kept := map[string]string{}
	for _, name := range []string{"ETag", "Last-Modified", "Content-Length", "Content-Type", "X-Amz-Meta-Taken-By"} {
		kept[name] = resp.Header.Get(name)
	}
	return kept
}

func TestMetadataThatIsLostComesBackByItsRecoveryCode(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := standalone(t, data, nil)
	endpoint := credentials(t, data, s.s3)
	client := s3client.New(endpoint, 1)
	answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "photos"})
	bodies := map[string][]byte{}
	for key, size := range map[string]int{"empty": 0, "inline": 100, "in the index": 40_000, "in files": 3<<20 + 17, "in parts": 0} {
		bodies[key] = make([]byte, size)
		_, _ = rand.Read(bodies[key])
		answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "photos", Key: key, Body: bodies[key],
			Header: map[string]string{"Content-Type": "image/x-" + strconv.Itoa(size), "X-Amz-Meta-Taken-By": "ann"}})
	}
	var begun struct{ UploadId string } //nolint:revive // S3's name.
	require.NoError(t, xml.Unmarshal(answers(t, client, 200, s3client.Request{Method: "POST", Bucket: "photos", Key: "in parts", Query: "uploads="}), &begun))
	complete := bytes.NewBufferString("<CompleteMultipartUpload>")
	for number, size := range []int{5 << 20, 1000} {
		part := make([]byte, size)
		_, _ = rand.Read(part)
		bodies["in parts"] = append(bodies["in parts"], part...)
		query := "partNumber=" + strconv.Itoa(number+1) + "&uploadId=" + begun.UploadId
		resp, err := client.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: "photos", Key: "in parts", Query: query, Body: part})
		require.NoError(t, err)
		require.Equal(t, 200, resp.Status)
		complete.WriteString("<Part><PartNumber>" + strconv.Itoa(number+1) + "</PartNumber><ETag>" + resp.Header.Get("ETag") + "</ETag></Part>")
	}
	complete.WriteString("</CompleteMultipartUpload>")
	answers(t, client, 200, s3client.Request{Method: "POST", Bucket: "photos", Key: "in parts", Query: "uploadId=" + begun.UploadId, Body: complete.Bytes()})

	before := map[string]map[string]string{}
	for key := range bodies {
		before[key] = head(t, client, key)
	}
	code, _ := s.cli("metadata", "snapshot")["recovery_code"].(string)
	require.NotEmpty(t, code)
	answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "photos", Key: "later", Body: []byte("not in the snapshot")})
	s.interrupt()
	for _, folder := range []string{"metadata", "snapshots"} {
		require.DirExists(t, filepath.Join(data, folder))
		require.NoError(t, os.RemoveAll(filepath.Join(data, folder)))
	}

	s = standalone(t, data, nil)
	endpoint.URL = "http://" + s.s3
	client = s3client.New(endpoint, 1)
	require.EqualValues(t, len(bodies), s.cli("metadata", "restore", "--code", code)["objects"])
	for key, body := range bodies {
		require.Equal(t, before[key], head(t, client, key), key)
		require.True(t, bytes.Equal(body, answers(t, client, 200, s3client.Request{Method: "GET", Bucket: "photos", Key: key})), key)
	}
	answers(t, client, 404, s3client.Request{Method: "GET", Bucket: "photos", Key: "later"})
	// What is restored is whole: it takes writes and a snapshot again.
	answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "photos", Key: "after", Body: []byte("after")})
	require.NotEqual(t, code, s.cli("metadata", "snapshot")["recovery_code"])
}
