package api_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
)

// formPost is a POST of a form, with a policy that allows all that it holds unless conditions say otherwise.
type formPost struct {
	fields     map[string]string
	conditions []any
	content    []byte
	bucket     string
	anonymous  bool
	expires    time.Duration
	after      func(fields map[string]string) // alters what was signed
}

func (f formPost) send(t testing.TB, c *apitest.Client) *apitest.Response {
	t.Helper()
	fields := maps.Clone(f.fields)
	if f.bucket == "" {
		f.bucket = bucketName
	}
	if f.expires == 0 {
		f.expires = time.Hour
	}
	if !f.anonymous {
		if f.conditions == nil {
			for name := range fields {
				f.conditions = append(f.conditions, []string{"starts-with", "$" + name, ""})
			}
		}
		for _, name := range []string{"x-amz-credential", "x-amz-algorithm", "x-amz-date"} {
			f.conditions = append(f.conditions, []string{"starts-with", "$" + name, ""})
		}
		c.Signer.Time = c.Now()
		doc, err := json.Marshal(map[string]any{"expiration": c.Now().Add(f.expires).UTC().Format(time.RFC3339), "conditions": f.conditions})
		require.NoError(t, err)
		maps.Copy(fields, c.Signer.Policy(base64.StdEncoding.EncodeToString(doc)))
	}
	if f.after != nil {
		f.after(fields)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range fields {
		require.NoError(t, w.WriteField(name, value))
	}
	file, err := w.CreateFormFile("file", "cat.jpg")
	require.NoError(t, err)
	_, _ = file.Write(f.content)
	require.NoError(t, w.Close())
	return c.Do(apitest.Request{
		Method: "POST", Bucket: f.bucket, Body: body.Bytes(), Anonymous: true, Header: map[string]string{"Content-Type": w.FormDataContentType()},
	})
}

func TestAFormUploadsItsFile(t *testing.T) {
	g, c := start(t, apitest.Options{})
	for _, size := range []int{0, 10, 4 << 10, 4<<10 + 1, apitest.ChunkSize, 3*apitest.ChunkSize + 5} {
		p := random(size)
		r := formPost{fields: map[string]string{"key": "pets/${filename}", "Content-Type": "image/jpeg", "x-amz-meta-owner": "me"}, content: p}.send(t, c)
		require.Equal(t, http.StatusNoContent, r.Status, "%s", r.Body)
		require.Equal(t, etagOf(p), r.Header.Get("ETag"))
		require.Equal(t, c.URL+"/photos/pets/cat.jpg", r.Header.Get("Location"))
		got := get(c, "pets/cat.jpg")
		require.True(t, bytes.Equal(p, got.Body))
		require.Equal(t, "image/jpeg", got.Header.Get("Content-Type"))
		require.Equal(t, "me", got.Header.Get("x-amz-meta-owner"))
	}
	require.Zero(t, g.Pool.Used(), "all memory is given back")
}

func TestHowAFormIsAnswered(t *testing.T) {
	_, c := start(t, apitest.Options{})
	r := formPost{fields: map[string]string{"key": "a b", "success_action_status": "201"}, content: []byte("x")}.send(t, c)
	require.Equal(t, http.StatusCreated, r.Status)
	require.Contains(t, string(r.Body), "<PostResponse><Location>"+c.URL+"/photos/a%20b</Location><Bucket>photos</Bucket><Key>a b</Key><ETag>")
	r = formPost{fields: map[string]string{"key": "k", "success_action_status": "200"}, content: []byte("x")}.send(t, c)
	require.Equal(t, http.StatusOK, r.Status)
	require.Empty(t, r.Body)

	c.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r = formPost{fields: map[string]string{"key": "k", "success_action_redirect": "http://example.com/done"}, content: []byte("x")}.send(t, c)
	require.Equal(t, http.StatusSeeOther, r.Status)
	require.Equal(t, "http://example.com/done?bucket=photos&key=k&etag=%22"+etagOf([]byte("x"))[1:33]+"%22", r.Header.Get("Location"))
}

func TestFormsThatAreRefusedStoreNothing(t *testing.T) {
	g, c := start(t, apitest.Options{})
	key := map[string]string{"key": "k"}
	with := func(name, value string) map[string]string { return map[string]string{"key": "k", name: value} }
	anyKey := []any{[]string{"starts-with", "$key", ""}}
	for name, tc := range map[string]struct {
		form formPost
		want string
	}{
		"anonymous":        {formPost{fields: key, anonymous: true}, "AccessDenied"},
		"another bucket":   {formPost{fields: key, conditions: append(anyKey, map[string]string{"bucket": "other"})}, "AccessDenied"},
		"another key":      {formPost{fields: key, conditions: []any{map[string]string{"key": "other"}}}, "AccessDenied"},
		"field too many":   {formPost{fields: with("acl", "private"), conditions: anyKey}, "AccessDenied"},
		"expired":          {formPost{fields: key, expires: -time.Minute}, "AccessDenied"},
		"policy altered":   {formPost{fields: key, after: func(f map[string]string) { f["policy"] = "e30=" }}, "SignatureDoesNotMatch"},
		"signature":        {formPost{fields: key, after: func(f map[string]string) { f["x-amz-signature"] = "00" }}, "SignatureDoesNotMatch"},
		"no signature":     {formPost{fields: key, after: func(f map[string]string) { delete(f, "x-amz-signature") }}, "InvalidArgument"},
		"no policy":        {formPost{fields: key, after: func(f map[string]string) { delete(f, "policy") }}, "InvalidArgument"},
		"unknown key":      {formPost{fields: key, after: func(f map[string]string) { f["x-amz-credential"] = "x" + f["x-amz-credential"] }}, "InvalidAccessKeyId"},
		"no such bucket":   {formPost{fields: key, bucket: "nobucket"}, "NoSuchBucket"},
		"too small":        {formPost{fields: key, content: []byte("12"), conditions: append(anyKey, []any{"content-length-range", 3, 4})}, "EntityTooSmall"},
		"too large":        {formPost{fields: key, content: random(100_000), conditions: append(anyKey, []any{"content-length-range", 3, 4})}, "EntityTooLarge"},
		"public":           {formPost{fields: with("acl", "public-read")}, "NotImplemented"},
		"tags":             {formPost{fields: with("tagging", "<Tagging/>")}, "NotImplemented"},
		"encryption":       {formPost{fields: with("x-amz-server-side-encryption", "AES256")}, "NotImplemented"},
		"another's bucket": {formPost{fields: with("x-amz-expected-bucket-owner", "someone")}, "AccessDenied"},
		"condition":        {formPost{fields: with("If-None-Match", "*")}, "NotImplemented"},
		"wrong checksum":   {formPost{fields: with("x-amz-checksum-crc32", "AAAAAA=="), content: random(100_000)}, "BadDigest"},
		"wrong MD5":        {formPost{fields: with("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="), content: []byte("x")}, "BadDigest"},
		"climbing key":     {formPost{fields: map[string]string{"key": "../k"}}, "InvalidURI"},
		"too long a key":   {formPost{fields: map[string]string{"key": string(bytes.Repeat([]byte("k"), 1025))}}, "KeyTooLongError"},
		"no key":           {formPost{fields: map[string]string{"acl": "private"}}, "InvalidArgument"},
		"much before file": {formPost{fields: with("x-amz-meta-a", string(bytes.Repeat([]byte("k"), 30<<10)))}, "MaxPostPreDataLengthExceededError"},
		"much metadata":    {formPost{fields: with("x-amz-meta-a", string(bytes.Repeat([]byte("k"), 3<<10)))}, "MetadataTooLarge"},
	} {
		r := tc.form.send(t, c)
		require.Equal(t, tc.want, r.Code, "%s: %s", name, r.Body)
	}
	r := c.Do(apitest.Request{Method: "POST", Bucket: bucketName, Anonymous: true, Body: []byte("x")})
	require.Equal(t, "PreconditionFailed", r.Code)
	require.Equal(t, "NoSuchKey", get(c, "k").Code)
	page := listUploads(t, c, "")
	require.Empty(t, page.Upload)

	grant(t, g, bucketName, apitest.OtherAccessKey, identity.Read)
	require.Equal(t, "AccessDenied", formPost{fields: key}.send(t, g.Other(t)).Code)
	grant(t, g, bucketName, apitest.OtherAccessKey, identity.Write)
	require.Equal(t, http.StatusNoContent, formPost{fields: key}.send(t, g.Other(t)).Status)
	require.Zero(t, g.Pool.Used(), "all memory is given back")
}

func TestAFormsChecksumIsKept(t *testing.T) {
	_, c := start(t, apitest.Options{})
	p := random(10_000)
	r := formPost{fields: map[string]string{"key": "k", "x-amz-checksum-sha1": checksum.SHA1.Of(p)}, content: p}.send(t, c)
	require.Equal(t, http.StatusNoContent, r.Status, "%s", r.Body)
	h := c.Do(apitest.Request{Method: "HEAD", Bucket: bucketName, Key: "k", Header: map[string]string{"x-amz-checksum-mode": "ENABLED"}})
	require.Equal(t, checksum.SHA1.Of(p), h.Header.Get("x-amz-checksum-sha1"))
}

func TestATruncatedFormStoresNothing(t *testing.T) {
	_, c := start(t, apitest.Options{})
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	c.Signer.Time = c.Now()
	doc := `{"expiration":"` + c.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `","conditions":[["starts-with","$key",""],["starts-with","$x-amz-credential",""],["starts-with","$x-amz-algorithm",""],["starts-with","$x-amz-date",""]]}`
	for name, value := range c.Signer.Policy(base64.StdEncoding.EncodeToString([]byte(doc))) {
		require.NoError(t, w.WriteField(name, value))
	}
	require.NoError(t, w.WriteField("key", "k"))
	file, err := w.CreateFormFile("file", "f")
	require.NoError(t, err)
	_, _ = io.Copy(file, bytes.NewReader(random(500_000)))
	r := c.Do(apitest.Request{Method: "POST", Bucket: bucketName, Anonymous: true, Body: body.Bytes(), Header: map[string]string{"Content-Type": w.FormDataContentType()}})
	require.Equal(t, "IncompleteBody", r.Code, "%s", r.Body)
	require.Equal(t, "NoSuchKey", get(c, "k").Code)
}
