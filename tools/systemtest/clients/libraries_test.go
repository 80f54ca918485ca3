package clients

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"
)

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestMinioGo(t *testing.T) {
	ctx, s, bucket := testContext(t), newShell(t), bucketName()
	mc, err := minio.New(strings.TrimPrefix(endpoint.URL, "http://"), &minio.Options{
		Creds: miniocredentials.NewStaticV4(endpoint.AccessKey, endpoint.SecretKey, ""), Region: endpoint.Region,
	})
	require.NoError(t, err)
	require.NoError(t, mc.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: endpoint.Region}))
	for name, size := range map[string]int64{"small": 4096, "large": 70 << 20} {
		path := s.file(name, size)
		info, err := mc.FPutObject(ctx, bucket, "dir/"+name, path, minio.PutObjectOptions{PartSize: 16 << 20, UserMetadata: map[string]string{"A": "b"}})
		require.NoError(t, err)
		require.Equal(t, size, info.Size)
		require.NoError(t, mc.FGetObject(ctx, bucket, "dir/"+name, s.path("back-"+name), minio.GetObjectOptions{}))
		require.Equal(t, sum(t, path), sum(t, s.path("back-"+name)))
		stat, err := mc.StatObject(ctx, bucket, "dir/"+name, minio.StatObjectOptions{})
		require.NoError(t, err)
		require.Equal(t, "b", stat.UserMetadata["A"])
	}
	// A stream of unknown length is cut into parts.
	stream, err := os.Open(s.path("large"))
	require.NoError(t, err)
	defer stream.Close()
	_, err = mc.PutObject(ctx, bucket, "stream", io.MultiReader(stream), -1, minio.PutObjectOptions{PartSize: 16 << 20})
	require.NoError(t, err)
	_, err = mc.ComposeObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "composed"},
		minio.CopySrcOptions{Bucket: bucket, Object: "dir/large"}, minio.CopySrcOptions{Bucket: bucket, Object: "dir/small"})
	require.NoError(t, err)
	object, err := mc.GetObject(ctx, bucket, "composed", minio.GetObjectOptions{})
	require.NoError(t, err)
	defer object.Close()
	_, err = object.Seek(70<<20, io.SeekStart)
	require.NoError(t, err)
	end, err := io.ReadAll(object)
	require.NoError(t, err)
	small, err := os.ReadFile(s.path("small"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(small, end))

	var keys []string
	for o := range mc.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		require.NoError(t, o.Err)
		keys = append(keys, o.Key)
	}
	require.Equal(t, []string{"composed", "dir/large", "dir/small", "stream"}, keys)
	names := make(chan minio.ObjectInfo, len(keys))
	for _, key := range keys {
		names <- minio.ObjectInfo{Key: key}
	}
	close(names)
	for problem := range mc.RemoveObjects(ctx, bucket, names, minio.RemoveObjectsOptions{}) {
		require.NoError(t, problem.Err)
	}
	require.NoError(t, mc.RemoveBucket(ctx, bucket))
}

func TestAWSSDKForGo(t *testing.T) {
	ctx, s, bucket := testContext(t), newShell(t), bucketName()
	settings, err := config.LoadDefaultConfig(ctx, config.WithRegion(endpoint.Region), config.WithBaseEndpoint(endpoint.URL),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(endpoint.AccessKey, endpoint.SecretKey, "")))
	require.NoError(t, err)
	client := s3.NewFromConfig(settings, func(o *s3.Options) { o.UsePathStyle = true })
	_, err = client.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: &bucket, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(endpoint.Region)},
	})
	require.NoError(t, err)
	path := s.file("large", 50<<20+11)
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	// The manager is what programs use, though its successor is out.
	//nolint:staticcheck // see above
	_, err = manager.NewUploader(client).Upload(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("large"), Body: file})
	require.NoError(t, err)
	back, err := os.Create(s.path("back"))
	require.NoError(t, err)
	defer back.Close()
	//nolint:staticcheck // see above
	_, err = manager.NewDownloader(client).Download(ctx, back, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("large")})
	require.NoError(t, err)
	require.Equal(t, sum(t, path), sum(t, s.path("back")))

	presigned, err := s3.NewPresignClient(client).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("large")})
	require.NoError(t, err)
	require.Contains(t, presigned.URL, "X-Amz-Signature=")
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		require.Len(t, page.Contents, 1)
	}
	var missing *types.NoSuchKey
	_, err = client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("none")})
	require.ErrorAs(t, err, &missing)
	_, err = client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("large")}}}})
	require.NoError(t, err)
	_, err = client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket})
	require.NoError(t, err)
}
