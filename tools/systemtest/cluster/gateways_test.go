package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/cluster/local"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// cacheTime is how long a gateway may go on to serve what was revoked.
const cacheTime = 2 * time.Second

// gateways returns clients that ask each gateway directly.
func (f *fixture) gateways() []*s3client.Client {
	f.Helper()
	var clients []*s3client.Client
	for _, i := range f.instances(local.JobGateway) {
		e := target.Endpoint
		e.URL = fmt.Sprintf("http://%s:%d", i.Service.Address, i.Service.Port)
		clients = append(clients, s3client.New(e, 4))
	}
	require.Len(f, clients, 2)
	return clients
}

func (f *fixture) cli(args ...string) {
	f.Helper()
	bin, err := deploy.Bin()
	require.NoError(f, err)
	_, err = f.cluster.CLI(f.ctx, bin, args...)
	require.NoError(f, err)
}

// What one gateway has answered, the other knows at once.
func TestTwoGatewaysAreOne(t *testing.T) {
	f := setUp(t)
	both := f.gateways()
	for i := range 8 {
		one, other := both[i%2], both[1-i%2]
		bucket := fmt.Sprintf("two-gateways-%d-%d", time.Now().UnixNano(), i)
		// What the other knows before, and may remember, is that there is none.
		require.Equal(t, 404, f.do(other, request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("early")}).Status)
		f.ok(one, request{Method: "PUT", Bucket: bucket})
		f.ok(other, request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x")})
		require.Equal(t, "x", string(f.ok(one, request{Method: "GET", Bucket: bucket, Key: "key"}).Body))
		list := request{Method: "GET", Bucket: bucket, Query: "list-type=2"}
		require.Contains(t, string(f.ok(other, list).Body), "<Key>key</Key>")
		f.ok(one, request{Method: "DELETE", Bucket: bucket, Key: "key"})
		require.NotContains(t, string(f.ok(other, list).Body), "<Key>")
		require.Equal(t, 404, f.do(other, request{Method: "GET", Bucket: bucket, Key: "key"}).Status)
		f.ok(one, request{Method: "DELETE", Bucket: bucket})
		require.NotContains(t, string(f.ok(other, request{Method: "GET"}).Body), bucket)
	}
}

func TestWhatIsRevokedIsRefusedByEveryGateway(t *testing.T) {
	f := setUp(t)
	both := f.gateways()
	bucket := f.bucket()
	get := request{Method: "GET", Bucket: bucket, Key: "key"}
	f.ok(both[0], request{Method: "PUT", Bucket: bucket, Key: "key", Body: []byte("x")})
	var bens []*s3client.Client
	for _, gateway := range both {
		e := gateway.Endpoint
		e.AccessKey, e.SecretKey = "GKBEN0000000000000002", "secret-of-ben-for-development-only-00002" // of nomad/ldap/tree.ldif
		bens = append(bens, s3client.New(e, 4))
	}
	for range 2 {
		f.cli("bucket", "allow", bucket, "--read", "--person", "ben")
		for _, ben := range bens {
			f.until("Ben may read", func() error {
				if resp := f.do(ben, get); resp.Status != 200 {
					return fmt.Errorf("%d %s", resp.Status, resp.Code)
				}
				return nil
			})
		}
		f.cli("bucket", "deny", bucket, "--read", "--person", "ben")
		revoked := time.Now()
		for _, ben := range bens {
			f.until("the cache time is over", func() error {
				if time.Since(revoked) < cacheTime {
					return errFew
				}
				return nil
			})
			require.Equal(t, 403, f.do(ben, get).Status)
		}
	}
}

// served is how many requests the gateways have come to an end with.
func (f *fixture) served() (n int) {
	f.Helper()
	token, err := f.cluster.Token()
	require.NoError(f, err)
	for _, i := range f.instances(local.JobGateway) {
		req, err := http.NewRequestWithContext(f.ctx, "GET", "http://"+i.Service.Meta["admin"]+"/metrics", nil)
		require.NoError(f, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(f, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(f, err)
		require.NoError(f, resp.Body.Close())
		require.Equal(f, 200, resp.StatusCode, "%s", text)
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "garage_s3_requests_total{") {
				var one float64
				_, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &one)
				require.NoError(f, err)
				n += int(one)
			}
		}
	}
	return n
}

// A client that leaves in the middle of an upload has stored nothing; and no gateway goes on with what it has asked for.
func TestClientsThatLeaveMidway(t *testing.T) {
	f := setUp(t)
	bucket := f.bucket()
	const size, each = 30 << 20, 4
	f.ok(f.client, request{Method: "PUT", Bucket: bucket, Key: "large", Stream: io.LimitReader(zeros{}, size), Length: size, Payload: sigv4.Unsigned})
	before := f.served()
	for i := range each {
		conn := f.dial()
		_, err := io.WriteString(conn, f.head(request{Method: "PUT", Bucket: bucket, Key: fmt.Sprint("left-", i)}, size, ""))
		require.NoError(t, err)
		_, err = io.Copy(conn, io.LimitReader(zeros{}, size/2))
		require.NoError(t, err)
		require.NoError(t, conn.Close())

		ctx, cancel := context.WithCancel(f.ctx)
		resp, err := f.client.Open(ctx, request{Method: "GET", Bucket: bucket, Key: "large"})
		require.NoError(t, err)
		_, err = io.CopyN(io.Discard, resp.Body, 1<<20)
		require.NoError(t, err)
		cancel()
		require.NoError(t, resp.Body.Close())
	}
	f.until("the gateways are done with them", func() error {
		if n := f.served() - before; n < 2*each {
			return fmt.Errorf("%d of %d requests have ended", n, 2*each)
		}
		return nil
	})
	list := string(f.ok(f.client, request{Method: "GET", Bucket: bucket, Query: "list-type=2"}).Body)
	require.Equal(t, 1, strings.Count(list, "<Key>"), list)
	require.NotContains(t, string(f.ok(f.client, request{Method: "GET", Bucket: bucket, Query: "uploads="}).Body), "<Upload>")
	for i := range each {
		require.Equal(t, 404, f.do(f.client, request{Method: "GET", Bucket: bucket, Key: fmt.Sprint("left-", i)}).Status)
	}
}

// zeros is a long body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
