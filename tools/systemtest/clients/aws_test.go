package clients

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
)

func awsVersions(t *testing.T, test func(t *testing.T, s *shell, aws func(args ...string) string, program string)) {
	for name, program := range map[string]string{"version 1": tools.AWS1, "version 2": tools.AWS2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Both spend most of their time in starting Python.
			s := newShell(t)
			t.Log(strings.TrimSpace(s.run(program, "--version")))
			test(t, s, func(args ...string) string {
				t.Helper()
				return s.run(program, append([]string{"--endpoint-url", endpoint.URL}, args...)...)
			}, program)
		})
	}
}

func TestAWSCLIHighLevel(t *testing.T) {
	awsVersions(t, func(t *testing.T, s *shell, aws func(...string) string, program string) {
		bucket := "s3://" + bucketName()
		aws("s3", "mb", bucket)
		require.Contains(t, aws("s3", "ls"), strings.TrimPrefix(bucket, "s3://"))
		one := s.file("one", 12_345_678)
		aws("s3", "cp", "one", bucket+"/dir/one")
		aws("s3", "cp", bucket+"/dir/one", "back")
		require.Equal(t, sum(t, one), sum(t, s.path("back")))
		aws("s3", "cp", bucket+"/dir/one", bucket+"/dir/two")
		aws("s3", "mv", bucket+"/dir/two", bucket+"/other/three")
		list := aws("s3", "ls", "--recursive", bucket)
		require.Contains(t, list, "12345678 dir/one")
		require.Contains(t, list, "12345678 other/three")
		require.NotContains(t, list, "two")
		require.Contains(t, aws("s3", "ls", bucket), "PRE dir/")

		tree := s.tree("tree", "encoding/json")
		aws("s3", "sync", "tree", bucket+"/tree", "--no-progress")
		require.Empty(t, strings.TrimSpace(aws("s3", "sync", "tree", bucket+"/tree", "--no-progress")), "a second sync has nothing to do")
		aws("s3", "sync", bucket+"/tree", "restored", "--no-progress")
		same(t, tree, s.path("restored"))
		require.NoError(t, os.Remove(s.path("tree/empty")))
		require.Contains(t, aws("s3", "sync", "--delete", "tree", bucket+"/tree"), "delete: "+bucket+"/tree/empty")

		url := strings.TrimSpace(aws("s3", "presign", bucket+"/dir/one", "--expires-in", "60"))
		resp, err := http.Get(url)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, int64(12345678), resp.ContentLength)

		s.fails(program, "--endpoint-url", endpoint.URL, "s3", "rb", bucket)
		aws("s3", "rm", "--recursive", bucket, "--only-show-errors")
		require.Empty(t, strings.TrimSpace(aws("s3", "ls", "--recursive", bucket)))
		aws("s3", "rb", bucket)
	})
}

func TestAWSCLIOneGigabyteMultipart(t *testing.T) {
	awsVersions(t, func(t *testing.T, s *shell, aws func(...string) string, _ string) {
		bucket := newBucket(t)
		big := s.file("big", 1<<30)
		aws("s3", "cp", "big", "s3://"+bucket+"/big", "--only-show-errors")
		var head struct {
			ContentLength int64
			ETag          string
		}
		require.NoError(t, json.Unmarshal([]byte(aws("s3api", "head-object", "--bucket", bucket, "--key", "big")), &head))
		require.Equal(t, int64(1<<30), head.ContentLength)
		require.Contains(t, head.ETag, "-128", "8 MiB parts")
		aws("s3", "cp", "s3://"+bucket+"/big", "back", "--only-show-errors")
		require.Equal(t, sum(t, big), sum(t, s.path("back")))
		aws("s3", "rm", "s3://"+bucket+"/big")
	})
}

func TestAWSCLILowLevel(t *testing.T) {
	awsVersions(t, func(t *testing.T, s *shell, aws func(...string) string, program string) {
		bucket := bucketName()
		api := func(command string, args ...string) map[string]any {
			t.Helper()
			out := aws(append([]string{"s3api", command, "--bucket", bucket}, args...)...)
			var answer map[string]any
			if strings.TrimSpace(out) != "" {
				require.NoError(t, json.Unmarshal([]byte(out), &answer), out)
			}
			return answer
		}
		api("create-bucket")
		api("head-bucket")
		api("get-bucket-location")
		s.file("body", 100_000)
		put := api("put-object", "--key", "a/b", "--body", "body", "--content-type", "text/x", "--metadata", "k=v,other=w")
		head := api("head-object", "--key", "a/b")
		require.Equal(t, put["ETag"], head["ETag"])
		require.Equal(t, "text/x", head["ContentType"])
		metadata := map[string]any{"k": "v", "other": "w"}
		if deploy.Kind() == deploy.Cluster {
			metadata = map[string]any{"K": "v", "Other": "w"} // Traefik's spelling of headers.
		}
		require.Equal(t, metadata, head["Metadata"])
		api("get-object", "--key", "a/b", "--range", "bytes=10-19", "part")
		info, err := os.Stat(s.path("part"))
		require.NoError(t, err)
		require.Equal(t, int64(10), info.Size())
		for _, key := range []string{"c", "d", "e"} {
			api("copy-object", "--key", key, "--copy-source", bucket+"/a/b", "--metadata-directive", "COPY")
		}
		require.Len(t, api("list-objects-v2", "--page-size", "2")["Contents"], 4)
		require.Len(t, api("list-objects", "--delimiter", "/")["CommonPrefixes"], 1)
		attributes := api("get-object-attributes", "--key", "c", "--object-attributes", "ETag", "ObjectSize")
		require.Equal(t, float64(100_000), attributes["ObjectSize"])

		upload := api("create-multipart-upload", "--key", "multi")["UploadId"].(string)
		s.file("first", 5<<20)
		tag1 := api("upload-part", "--key", "multi", "--upload-id", upload, "--part-number", "1", "--body", "first")["ETag"].(string)
		copied := api("upload-part-copy", "--key", "multi", "--upload-id", upload, "--part-number", "2", "--copy-source", bucket+"/a/b")
		tag2 := copied["CopyPartResult"].(map[string]any)["ETag"].(string)
		require.Len(t, api("list-parts", "--key", "multi", "--upload-id", upload)["Parts"], 2)
		require.Len(t, api("list-multipart-uploads")["Uploads"], 1)
		parts, err := json.Marshal(map[string]any{"Parts": []any{map[string]any{"PartNumber": 1, "ETag": tag1}, map[string]any{"PartNumber": 2, "ETag": tag2}}})
		require.NoError(t, err)
		api("complete-multipart-upload", "--key", "multi", "--upload-id", upload, "--multipart-upload", string(parts))
		require.Equal(t, float64(5<<20+100_000), api("head-object", "--key", "multi")["ContentLength"])

		aborted := api("create-multipart-upload", "--key", "gone")["UploadId"].(string)
		api("abort-multipart-upload", "--key", "gone", "--upload-id", aborted)
		require.Contains(t, s.fails(program, "--endpoint-url", endpoint.URL, "s3api", "get-object", "--bucket", bucket, "--key", "none", "x"), "NoSuchKey")
		deleted := api("delete-objects", "--delete", `{"Objects":[{"Key":"a/b"},{"Key":"c"},{"Key":"d"},{"Key":"e"},{"Key":"multi"}]}`)
		require.Len(t, deleted["Deleted"], 5)
		api("delete-bucket")
	})
}
