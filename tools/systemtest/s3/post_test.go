package s3

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// form is a browser's upload form.
type form struct {
	expires    time.Time
	conditions []any
	fields     map[string]string
	body       []byte
	// alter changes the fields after the policy was signed.
	alter func(map[string]string)
}

func postForm(t *testing.T, bucket string, f form) *s3client.Response {
	t.Helper()
	now := time.Now()
	if f.expires.IsZero() {
		f.expires = now.Add(time.Minute)
	}
	fields := map[string]string{
		"x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": client.Signer.Credential(now), "x-amz-date": now.UTC().Format(sigv4.TimeFormat),
	}
	conditions := []any{map[string]string{"bucket": bucket}}
	for name, value := range fields {
		conditions = append(conditions, map[string]string{name: value})
	}
	policy, err := json.Marshal(map[string]any{
		"expiration": f.expires.UTC().Format("2006-01-02T15:04:05.000Z"), "conditions": append(conditions, f.conditions...),
	})
	require.NoError(t, err)
	fields["policy"] = base64.StdEncoding.EncodeToString(policy)
	fields["x-amz-signature"] = client.Signer.SignPolicy(fields["policy"], now)
	for name, value := range f.fields {
		fields[name] = value
	}
	if f.alter != nil {
		f.alter(fields)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range fields {
		require.NoError(t, w.WriteField(name, value))
	}
	file, err := w.CreateFormFile("file", "dir/local name.txt")
	require.NoError(t, err)
	_, err = file.Write(f.body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return do(t, request{Method: "POST", Bucket: bucket, Body: body.Bytes(), Anonymous: true, Header: header("Content-Type", w.FormDataContentType())})
}

func startsWith(field, prefix string) []any { return []any{"starts-with", "$" + field, prefix} }

func TestPostForms(t *testing.T) {
	bucket := newBucket(t)
	for _, size := range []int{0, 10, 2<<20 + 1} {
		body := random(size)
		resp := postForm(t, bucket, form{
			conditions: []any{startsWith("key", "up/"), startsWith("Content-Type", "text/"), map[string]string{"x-amz-meta-a": "b"}},
			fields:     map[string]string{"key": "up/${filename}", "Content-Type": "text/x", "x-amz-meta-a": "b"}, body: body,
		})
		require.Equal(t, 204, resp.Status, "%s %s", resp.Code, resp.Message)
		got := ok(t, request{Method: "GET", Bucket: bucket, Key: "up/local name.txt"})
		sameBody(t, body, got.Body)
		require.Equal(t, "text/x", got.Header.Get("Content-Type"))
		require.Equal(t, "b", got.Header.Get("X-Amz-Meta-A"))
	}
}

func TestPostFormsAnswerAsAsked(t *testing.T) {
	bucket := newBucket(t)
	with := func(name, value string) *s3client.Response {
		return postForm(t, bucket, form{
			conditions: []any{startsWith("key", ""), startsWith(name, "")}, fields: map[string]string{"key": "k", name: value}, body: []byte("x"),
		})
	}
	require.Equal(t, 200, with("success_action_status", "200").Status)
	created := with("success_action_status", "201")
	require.Equal(t, 201, created.Status)
	var answer struct{ Bucket, Key, ETag, Location string }
	parse(t, created.Body, &answer)
	require.Equal(t, "k", answer.Key)
	require.Equal(t, etag([]byte("x")), answer.ETag)
	redirect := with("success_action_redirect", "http://127.0.0.1:1/done?a=b")
	require.Equal(t, 303, redirect.Status)
	location, err := url.Parse(redirect.Header.Get("Location"))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", location.Host)
	require.Equal(t, url.Values{"a": {"b"}, "bucket": {bucket}, "key": {"k"}, "etag": {etag([]byte("x"))}}, location.Query())
}

func TestPostFormsOutsideTheirPolicyStoreNothing(t *testing.T) {
	bucket := newBucket(t)
	body := random(1000)
	anyKey := []any{startsWith("key", "")}
	for name, c := range map[string]struct {
		code string
		form form
	}{
		"another key":        {"AccessDenied", form{conditions: []any{startsWith("key", "up/")}, fields: map[string]string{"key": "down/x"}}},
		"a field not listed": {"AccessDenied", form{conditions: anyKey, fields: map[string]string{"key": "k", "x-amz-meta-a": "b"}}},
		"expired":            {"AccessDenied", form{conditions: anyKey, fields: map[string]string{"key": "k"}, expires: time.Now().Add(-time.Minute)}},
		"too long":           {"EntityTooLarge", form{conditions: []any{startsWith("key", ""), []any{"content-length-range", 0, 999}}, fields: map[string]string{"key": "k"}}},
		"too short":          {"EntityTooSmall", form{conditions: []any{startsWith("key", ""), []any{"content-length-range", 1001, 2000}}, fields: map[string]string{"key": "k"}}},
		"wrong signature": {"SignatureDoesNotMatch", form{conditions: anyKey, fields: map[string]string{"key": "k"}, alter: func(f map[string]string) {
			f["x-amz-signature"] = strings.Repeat("0", 64)
		}}},
		"another policy": {"SignatureDoesNotMatch", form{conditions: anyKey, fields: map[string]string{"key": "k"}, alter: func(f map[string]string) {
			f["policy"] = base64.StdEncoding.EncodeToString([]byte(`{"expiration":"2099-01-01T00:00:00Z","conditions":[]}`))
		}}},
		"unknown key": {"InvalidAccessKeyId", form{conditions: []any{startsWith("key", ""), startsWith("x-amz-credential", "")}, fields: map[string]string{"key": "k"},
			alter: func(f map[string]string) {
				f["x-amz-credential"] = "GKnobody" + strings.TrimPrefix(f["x-amz-credential"], client.AccessKey)
			}}},
		"no policy": {"AccessDenied", form{conditions: anyKey, fields: map[string]string{"key": "k"}, alter: func(f map[string]string) {
			delete(f, "policy")
			delete(f, "x-amz-signature")
			delete(f, "x-amz-algorithm")
			delete(f, "x-amz-credential")
			delete(f, "x-amz-date")
		}}},
		"no key": {"InvalidArgument", form{conditions: anyKey}},
	} {
		t.Run(name, func(t *testing.T) {
			c.form.body = body
			resp := postForm(t, bucket, c.form)
			require.Contains(t, []int{400, 403}, resp.Status, "%s %s", resp.Code, resp.Message)
			require.Equal(t, c.code, resp.Code, resp.Message)
		})
	}
	empty(t, bucket)
}

func TestPostBodiesThatAreNoForms(t *testing.T) {
	bucket := newBucket(t)
	for contentType, body := range map[string]string{
		"multipart/form-data":               "no boundary",
		"multipart/form-data; boundary=b":   "--b\r\nbroken",
		"multipart/form-data; boundary=c":   "--c\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--c--\r\n",
		"application/x-www-form-urlencoded": "key=k",
	} {
		resp := do(t, request{Method: "POST", Bucket: bucket, Body: []byte(body), Anonymous: true, Header: header("Content-Type", contentType)})
		require.Contains(t, []int{400, 403, 405, 412, 415}, resp.Status, "%s: %s", contentType, resp.Code)
		require.NotEmpty(t, resp.Code, contentType)
	}
	empty(t, bucket)
}
