package s3

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

// cli runs bin/garage with --json and returns what it answers.
func cli(t *testing.T, args ...string) map[string]any {
	t.Helper()
	if deploy.Kind() == deploy.External {
		t.Fatal("keys and rights are made by bin/garage: an external endpoint has none")
	}
	out, err := target.CLI(testContext(t), append(args, "--json")...)
	require.NoError(t, err)
	var answer map[string]any
	require.NoError(t, json.Unmarshal(out, &answer), "%s", out)
	return answer
}

// newKey makes a key without rights and returns a client that uses it.
func newKey(t *testing.T, name string) *s3client.Client {
	t.Helper()
	key := cli(t, "key", "create", name)
	e := client.Endpoint
	e.AccessKey, e.SecretKey = key["access_key"].(string), key["secret_key"].(string)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // The test's own context has ended by now.
		defer cancel()
		_, err := target.CLI(ctx, "key", "delete", e.AccessKey)
		require.NoError(t, err)
	})
	return s3client.New(e, 4)
}

// eventually sends the request until it is answered with the status: a change of rights may take two seconds to be known.
func eventually(t *testing.T, c *s3client.Client, status int, r request) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		resp, err := c.Do(testContext(t), r)
		require.NoError(t, err)
		if resp.Status == status {
			return
		}
		require.True(t, time.Now().Before(deadline), "%s /%s/%s still answers %d %s and not %d", r.Method, r.Bucket, r.Key, resp.Status, resp.Code, status)
		time.Sleep(20 * time.Millisecond)
	}
}

func TestRightsOnABucket(t *testing.T) {
	bucket, other := newBucket(t), newKey(t, "rights")
	put(t, bucket, "key", []byte("of the owner"))
	list := request{Method: "GET", Bucket: bucket, Query: "list-type=2"}
	read := request{Method: "GET", Bucket: bucket, Key: "key"}
	write := request{Method: "PUT", Bucket: bucket, Key: "written", Body: []byte("x")}
	remove := request{Method: "DELETE", Bucket: bucket, Key: "key"}
	removeMany := deleteRequest(bucket, deleteBody([]string{"key"}, false))
	begin := request{Method: "POST", Bucket: bucket, Key: "key", Query: "uploads="}
	removeBucket := request{Method: "DELETE", Bucket: bucket}
	denied := func(all ...request) {
		t.Helper()
		for _, r := range all {
			resp, err := other.Do(testContext(t), r)
			require.NoError(t, err)
			if r.Query == "delete=" && resp.Status == 200 {
				require.Contains(t, string(resp.Body), "<Code>AccessDenied</Code>")
				continue
			}
			checkError(t, 403, "AccessDenied", resp, r.Method+" "+r.Key+"?"+r.Query)
		}
		require.Equal(t, "of the owner", string(get(t, bucket, "key")))
	}
	denied(list, read, write, remove, removeMany, begin, removeBucket)
	resp, err := other.Do(testContext(t), request{Method: "GET"})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status)
	require.NotContains(t, string(resp.Body), bucket, "a bucket without right is not listed")
	resp, err = other.Do(testContext(t), request{Method: "PUT", Bucket: bucket + "-new"})
	require.NoError(t, err)
	checkError(t, 403, "AccessDenied", resp, "a key that may not create buckets")

	cli(t, "bucket", "allow", bucket, "--read", "--key", other.AccessKey)
	eventually(t, other, 200, read)
	eventually(t, other, 200, list)
	denied(write, remove, removeMany, begin, removeBucket)

	cli(t, "bucket", "allow", bucket, "--write", "--key", other.AccessKey)
	eventually(t, other, 200, write)
	denied(removeBucket)
	cli(t, "bucket", "deny", bucket, "--read", "--key", other.AccessKey)
	eventually(t, other, 403, read)
	resp, err = other.Do(testContext(t), request{Method: "PUT", Bucket: bucket, Key: "copy", Header: header("X-Amz-Copy-Source", bucket+"/key")})
	require.NoError(t, err)
	checkError(t, 403, "AccessDenied", resp, "a copy reads its source")
	eventually(t, other, 204, request{Method: "DELETE", Bucket: bucket, Key: "written"})
}

func TestADeletedKeyIsRefused(t *testing.T) {
	key := cli(t, "key", "create", "short-lived")
	e := client.Endpoint
	e.AccessKey, e.SecretKey = key["access_key"].(string), key["secret_key"].(string)
	other := s3client.New(e, 1)
	eventually(t, other, 200, request{Method: "GET"})
	cli(t, "key", "delete", e.AccessKey)
	eventually(t, other, 403, request{Method: "GET"})
}
