package standalone

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/program"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/standalone/credentials"
)

// running is a standalone Garage in this process.
type running struct {
	data, admin, said string
	stop              func() error
}

func start(t *testing.T, data string) *running {
	t.Helper()
	c := DefaultConfig()
	c.Data, c.Admin.Listen, c.S3.Listen, c.Log.Level = data, "127.0.0.1:0", "127.0.0.1:0", 100
	c.Chunk.Reserve = 0
	ctx, cancel := context.WithCancel(context.Background())
	ready, result := make(chan string, 1), make(chan error, 1)
	var said bytes.Buffer
	go func() {
		result <- program.Run(ctx, "standalone", c.Settings, &said, func(ctx context.Context, p *program.Program) error {
			err := c.Build(ctx, p)
			welcome := p.OnReady
			p.OnReady = func(ctx context.Context) error {
				err := welcome(ctx)
				ready <- p.Admin.Addr().String()
				return err
			}
			return err
		})
	}()
	r := &running{data: data}
	select {
	case r.admin = <-ready:
	case err := <-result:
		cancel()
		t.Fatal("it did not start: ", err)
	}
	r.said = said.String()
	r.stop = func() error { cancel(); return <-result }
	return r
}

func (r *running) credentials(t *testing.T) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.data, credentials.File))
	require.NoError(t, err)
	values := map[string]string{}
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		values[name] = value
	}
	return values
}

func (r *running) adminClient(t *testing.T) adminv1.AdminServiceClient {
	t.Helper()
	token, err := adminserver.ReadToken(filepath.Join(r.data, adminserver.TokenFile))
	require.NoError(t, err)
	conn, err := adminserver.Dial(adminserver.DialConfig{Address: r.admin, Token: token})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return adminv1.NewAdminServiceClient(conn)
}

func TestTheFirstStartMakesAKeyAndLaterStartsKeepEverything(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	r := start(t, data)
	first := r.credentials(t)
	require.Equal(t, "garage", first["AWS_REGION"])
	require.Contains(t, r.said, first["AWS_ENDPOINT_URL"])
	require.Contains(t, r.said, "aws s3 mb")

	answer, err := http.Get(first["AWS_ENDPOINT_URL"])
	require.NoError(t, err)
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, 403, answer.StatusCode, "nothing is served to who does not sign")
	require.Contains(t, string(body), "AccessDenied")

	admin := r.adminClient(t)
	key, err := admin.GetKey(context.Background(), &adminv1.GetKeyRequest{Key: first["AWS_ACCESS_KEY_ID"], ShowSecret: true})
	require.NoError(t, err)
	require.True(t, key.GetKey().GetCreateBuckets())
	require.Equal(t, first["AWS_SECRET_ACCESS_KEY"], key.GetKey().GetSecret())
	_, err = admin.CreateBucket(context.Background(), &adminv1.CreateBucketRequest{Name: "kept"})
	require.NoError(t, err)
	status, err := admin.GetStatus(context.Background(), &adminv1.GetStatusRequest{})
	require.NoError(t, err)
	require.Len(t, status.GetNodes(), 1)
	require.True(t, status.GetNodes()[0].GetAlive())
	require.Empty(t, status.GetNodes()[0].GetProblem())

	c := DefaultConfig()
	c.Data, c.Admin.Listen = data, "127.0.0.1:0"
	err = program.Run(context.Background(), "standalone", c.Settings, io.Discard, c.Build)
	require.ErrorIs(t, err, datafolder.ErrInUse, "a second process on the same folder")
	require.NoError(t, r.stop())

	r = start(t, data)
	defer func() { require.NoError(t, r.stop()) }()
	again := r.credentials(t)
	require.Equal(t, first["AWS_ACCESS_KEY_ID"], again["AWS_ACCESS_KEY_ID"])
	require.Equal(t, first["AWS_SECRET_ACCESS_KEY"], again["AWS_SECRET_ACCESS_KEY"])
	require.NotContains(t, r.said, "A first access key")
	bucket, err := r.adminClient(t).GetBucket(context.Background(), &adminv1.GetBucketRequest{Name: "kept"})
	require.NoError(t, err)
	require.Equal(t, "kept", bucket.GetBucket().GetName())
}

func TestEverySettingHasASourceAndValidDefaults(t *testing.T) {
	c := DefaultConfig()
	loader := config.New(c)
	require.NoError(t, loader.Load([]string{"GARAGE_S3_REGION=home", "GARAGE_CHUNK_FSYNC=false", "GARAGE_CLUSTER_ID=3f0c1f0e-0000-4000-8000-000000000000"}))
	require.Equal(t, "home", c.S3.Region)
	require.False(t, c.Chunk.Fsync)
	require.Equal(t, "environment variable GARAGE_S3_REGION", loader.Source("s3.region"))
	require.Equal(t, "default", loader.Source("admin.listen"))
}
