package console

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	browserdomain "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
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
