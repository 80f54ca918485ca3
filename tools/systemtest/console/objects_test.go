package console

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	browserdomain "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

func TestObjectsAreStoredReadAndShared(t *testing.T) {
	d := deploy.ForTest(t)
	client := data(t, d, "first")
	dir, downloads := t.TempDir(), t.TempDir()
	const name = "a picture ü+%.bin"
	content := make([]byte, 3<<20)
	_, _ = rand.Read(content)
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))

	b := open(t, d.Admin, 1280)
	b.signIn(token(t, d))
	b.visit("buckets/first/objects")
	b.shows("hello.txt", "photos/")
	b.press("photos/")
	b.shows("2026/")
	b.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{filepath.Join(dir, name)}))
	b.shows("stored", name)
	b.shot("upload")
	resp, err := client.Do(t.Context(), s3client.Request{Method: "GET", Bucket: "first", Key: "photos/" + name})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status)
	require.True(t, string(content) == string(resp.Body), "S3 has other bytes")

	b.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, browserdomain.SetDownloadBehavior, browserdomain.SetDownloadBehaviorParams{Behavior: browserdomain.SetDownloadBehaviorBehaviorAllow, DownloadPath: downloads})
		return chromedp.Void{}, err
	})
	b.press(name)
	require.Eventually(t, func() bool {
		got, err := os.ReadFile(filepath.Join(downloads, name))
		return err == nil && string(got) == string(content)
	}, patience, 50*time.Millisecond, "the download")

	b.press("Share photos/" + name)
	b.press("Make a link")
	b.until("there is a link", "document.querySelector('#shared')")
	b.shot("share")
	answer, err := http.Get(eval[string](b, "document.querySelector('#shared').href"))
	require.NoError(t, err)
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, 200, answer.StatusCode)
	require.True(t, string(content) == string(got), "who has the link gets other bytes")

	b.press("Delete photos/" + name)
	b.press("Delete it")
	b.until("it is gone", fmt.Sprintf("![...document.querySelectorAll('td a')].some(a => a.innerText === %q)", name))
	resp, err = client.Do(t.Context(), s3client.Request{Method: "HEAD", Bucket: "first", Key: "photos/" + name})
	require.NoError(t, err)
	require.Equal(t, 404, resp.Status)

	b.visit("events")
	b.shows("PutObject", "PresignGetObject", "DeleteObject", "SignIn")
}

// begun are the uploads in parts that a bucket has.
func begun(t *testing.T, client *s3client.Client, bucket string) int {
	t.Helper()
	resp, err := client.Do(t.Context(), s3client.Request{Method: "GET", Bucket: bucket, Query: "uploads="})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status)
	return strings.Count(string(resp.Body), "<Upload>")
}

func TestLargeObjectsAreSentInParts(t *testing.T) {
	const part = 5 << 20
	d := deploy.ForTest(t, "GARAGE_CONSOLE_PART_SIZE=5MiB")
	client := data(t, d, "first")
	dir := t.TempDir()
	file := func(name string, size int) (path string, content []byte) {
		path, content = filepath.Join(dir, name), make([]byte, size)
		_, _ = rand.Read(content)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path, content
	}
	film, content := file("film.mp4", 2*part+300_000)
	b := open(t, d.Admin, 1280)
	b.signIn(token(t, d))
	b.visit("buckets/first/objects")
	b.shows("hello.txt")

	// The connection breaks once, in the middle.
	eval[bool](b, `(() => { const send = XMLHttpRequest.prototype.send; let n = 0;
		XMLHttpRequest.prototype.send = function (bytes) { if (++n === 2) this.onerror(); else send.call(this, bytes) }; window.sent = () => n; return true })()`)
	b.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{film}))
	b.shows("stored", "film.mp4")
	require.Equal(t, 4, eval[int](b, "sent()"), "three parts, and one of them again")
	resp, err := client.Do(t.Context(), s3client.Request{Method: "GET", Bucket: "first", Key: "film.mp4"})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status)
	require.True(t, string(content) == string(resp.Body), "S3 has other bytes")
	require.True(t, strings.HasSuffix(resp.Header.Get("Etag"), `-3"`), "%s", resp.Header.Get("Etag"))
	require.Equal(t, "video/mp4", resp.Header.Get("Content-Type"))

	// Of what is cancelled nothing is left.
	long, _ := file("long.mp4", 12*part)
	b.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{{DownloadThroughput: -1, UploadThroughput: part}}})
		return chromedp.Void{}, err
	})
	b.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{long}))
	b.until("a part is sent", fmt.Sprintf("document.querySelector('progress[aria-label=\"long.mp4 sent\"]')?.value > %d", part))
	require.Equal(t, 1, begun(t, client, "first"))
	b.press("Cancel long.mp4")
	b.shows("Cancelled.")
	require.Zero(t, begun(t, client, "first"))
	b.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{long}))
	b.until("a part of the second is sent", fmt.Sprintf("[...document.querySelectorAll('progress[aria-label=\"long.mp4 sent\"]')].at(-1).value > %d", part))
	b.press("Sign out")
	b.until("nobody is signed in", "document.querySelector('.sign-in')")
	require.Zero(t, begun(t, client, "first"), "who signs out leaves nothing either")

	eval[bool](b, "(location.hash = '#/overview', true)")
	b.signIn(token(t, d))
	b.visit("events")
	b.shows("CompleteMultipartUpload", "AbortMultipartUpload")
}

// What is stored as a page must not act in the name of the console.
func TestAnObjectIsNoPageOfTheConsole(t *testing.T) {
	d := deploy.ForTest(t)
	client := data(t, d, "first")
	resp, err := client.Do(t.Context(), s3client.Request{Method: "PUT", Bucket: "first", Key: "evil.html",
		Header: map[string]string{"Content-Type": "text/html"}, Body: []byte("<script>document.title = 'owned'</script>")})
	require.NoError(t, err)
	require.Equal(t, 200, resp.Status)
	b := open(t, d.Admin, 1280)
	b.signIn(token(t, d))
	b.visit("buckets/first/objects")
	b.shows("evil.html")
	header := eval[[]string](b, `(async () => { const r = await fetch([...document.querySelectorAll('td a')].find(a => a.innerText === 'evil.html').href);
		return ['content-type', 'content-disposition', 'content-security-policy'].map(h => r.headers.get(h)) })()`)
	require.Equal(t, "application/octet-stream", header[0])
	require.Contains(t, header[1], "attachment")
	require.Contains(t, header[2], "sandbox")
}
