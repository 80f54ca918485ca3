package postform

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4/sigtest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type pair struct{ name, value string }

// form builds a request with the fields in order, then the file.
func form(t testing.TB, content string, fields ...pair) *http.Request {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, f := range fields {
		require.NoError(t, w.WriteField(f.name, f.value))
	}
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="file"; filename="photo.jpg"`}, "Content-Type": {"image/jpeg"},
	})
	require.NoError(t, err)
	_, _ = io.WriteString(part, content)
	require.NoError(t, w.WriteField("after", "ignored"))
	require.NoError(t, w.Close())
	r := httptest.NewRequest("POST", "http://s3.example/bucket", &body)
	r.Header.Set("Content-Type", w.FormDataContentType())
	return r
}

func parse(t testing.TB, content string, fields ...pair) *Form {
	t.Helper()
	f, err := Parse(form(t, content, fields...))
	require.NoError(t, err)
	return f
}

func TestAFormIsReadUpToItsFile(t *testing.T) {
	f := parse(t, "the bytes", pair{"Key", "user/${filename}"}, pair{"Content-Type", "image/png"}, pair{"acl", "private"},
		pair{"x-amz-meta-Tag", "été"}, pair{"x-amz-meta-name", "${filename}!"}, pair{"x-ignore-me", "x"}, pair{"success_action_status", "201"})
	require.Equal(t, "user/photo.jpg", f.Key)
	require.Equal(t, "photo.jpg", f.FileName)
	require.Equal(t, "image/jpeg", f.FileType)
	require.False(t, f.Signed())
	require.Equal(t, http.Header{"Content-Type": {"image/png"}, "X-Amz-Acl": {"private"}, "X-Amz-Meta-Tag": {"été"}, "X-Amz-Meta-Name": {"photo.jpg!"}}, f.Header())
	got, err := io.ReadAll(f.File)
	require.NoError(t, err)
	require.Equal(t, "the bytes", string(got))
}

func TestALargeFileIsReadWhole(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 1<<16)
	f := parse(t, content, pair{"key", "k"})
	got, err := io.ReadAll(f.File)
	require.NoError(t, err)
	require.True(t, content == string(got))
}

func TestFormsThatAreRefused(t *testing.T) {
	raw := func(kind, body string) *http.Request {
		r := httptest.NewRequest("POST", "http://s3.example/bucket", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		return r
	}
	const start = "--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n"
	for name, tc := range map[string]struct {
		request *http.Request
		want    s3err.Code
	}{
		"another content type": {raw("text/plain", "x"), s3err.PreconditionFailed},
		"no content type":      {raw("", "x"), s3err.PreconditionFailed},
		"no boundary":          {raw("multipart/form-data", "x"), s3err.MalformedPOSTRequest},
		"long boundary":        {raw("multipart/form-data; boundary="+strings.Repeat("b", 71), "x"), s3err.MalformedPOSTRequest},
		"empty":                {raw("multipart/form-data; boundary=B", ""), s3err.MalformedPOSTRequest},
		"no parts":             {raw("multipart/form-data; boundary=B", "hello"), s3err.MalformedPOSTRequest},
		"no file":              {raw("multipart/form-data; boundary=B", start+"--B--\r\n"), s3err.InvalidArgument},
		"cut in a field":       {raw("multipart/form-data; boundary=B", start[:len(start)-3]), s3err.IncompleteBody},
		"cut in a header":      {raw("multipart/form-data; boundary=B", start[:30]), s3err.InvalidArgument},
		"field without name":   {raw("multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data\r\n\r\nk\r\n--B--\r\n"), s3err.MalformedPOSTRequest},
		"no key":               {form(t, "x", pair{"acl", "private"}), s3err.InvalidArgument},
		"empty key":            {form(t, "x", pair{"key", ""}), s3err.InvalidArgument},
		"key after the file":   {form(t, "x", pair{"after", "y"}), s3err.InvalidArgument},
		"a field twice":        {form(t, "x", pair{"key", "a"}, pair{"KEY", "b"}), s3err.InvalidArgument},
		"a field too long":     {form(t, "x", pair{"key", "a"}, pair{"x-amz-meta-a", strings.Repeat("a", maxFields)}), s3err.MaxPostPreDataLengthExceededError},
		"far too long":         {form(t, "x", pair{"key", "a"}, pair{"x-amz-meta-a", strings.Repeat("a", 10<<20)}), s3err.MaxPostPreDataLengthExceededError},
		"many fields":          {form(t, "x", many(5000)...), s3err.MaxPostPreDataLengthExceededError},
		"long part header": {raw("multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"key\"; x=\""+strings.Repeat("x", 1<<20)+"\"\r\n\r\nk\r\n--B--\r\n"),
			s3err.MaxPostPreDataLengthExceededError},
		"a header with a line": {form(t, "x", pair{"key", "a"}, pair{"x-amz-meta-a", "b\r\nc: d"}), s3err.InvalidArgument},
		"a file name with a line in a header": {raw("multipart/form-data; boundary=B", start+"--B\r\nContent-Disposition: form-data; name=\"x-amz-meta-a\"\r\n\r\n${filename}\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-8''a%0d%0ab\r\n\r\nx\r\n--B--\r\n"),
			s3err.InvalidArgument},
		"a header with blanks": {form(t, "x", pair{"key", "a"}, pair{"x amz", "b"}), s3err.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tc.request)
			require.ErrorIs(t, err, tc.want)
		})
	}
}

func many(n int) (fields []pair) {
	for i := range n {
		fields = append(fields, pair{"f" + itoa(int64(i)), ""})
	}
	return fields
}

func TestASilentClientIsATimeout(t *testing.T) {
	for cause, want := range map[error]s3err.Code{os.ErrDeadlineExceeded: s3err.RequestTimeout, s3err.SlowDown: s3err.SlowDown} {
		r := httptest.NewRequest("POST", "http://s3.example/bucket", iotest.ErrReader(cause))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=B")
		_, err := Parse(r)
		require.ErrorIs(t, err, want)
	}
}

func TestATruncatedFileIsNotWhole(t *testing.T) {
	whole, err := io.ReadAll(form(t, strings.Repeat("x", 10_000), pair{"key", "k"}).Body)
	require.NoError(t, err)
	boundary := string(whole[2:bytes.IndexByte(whole, '\r')])
	for _, cut := range []int{9000, 5000, len(whole) - 2*len(boundary)} {
		r := httptest.NewRequest("POST", "http://s3.example/bucket", bytes.NewReader(whole[:cut]))
		r.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
		f, err := Parse(r)
		require.NoError(t, err)
		_, err = io.ReadAll(f.File)
		if cut < 10_000 {
			require.ErrorIs(t, err, s3err.IncompleteBody)
		}
	}
}

func TestTheAnswerToAnUpload(t *testing.T) {
	for _, tc := range []struct {
		fields []pair
		want   Success
	}{
		{nil, Success{Status: 204}},
		{[]pair{{"success_action_status", "200"}}, Success{Status: 200}},
		{[]pair{{"success_action_status", "201"}}, Success{Status: 201}},
		{[]pair{{"success_action_status", "418"}}, Success{Status: 204}},
		{[]pair{{"success_action_redirect", "http://example.com/ok"}}, Success{303, "http://example.com/ok?bucket=my-bucket&key=a+b%26c&etag=%22abc%22"}},
		{[]pair{{"success_action_redirect", "https://example.com/?x=1"}}, Success{303, "https://example.com/?x=1&bucket=my-bucket&key=a+b%26c&etag=%22abc%22"}},
		{[]pair{{"redirect", "http://example.com"}}, Success{303, "http://example.com?bucket=my-bucket&key=a+b%26c&etag=%22abc%22"}},
		{[]pair{{"success_action_redirect", "javascript:alert(1)"}}, Success{Status: 204}},
		{[]pair{{"success_action_redirect", "/relative"}, {"success_action_status", "200"}}, Success{Status: 200}},
		{[]pair{{"success_action_redirect", "http://[bad"}}, Success{Status: 204}},
	} {
		f := parse(t, "x", append(tc.fields, pair{"key", "a b&c"})...)
		require.Equal(t, tc.want, f.Success("my-bucket", "abc"))
	}
}

func policyFields(doc string) []pair {
	s := sigtest.Signer{AccessKey: "AKIA", Secret: "secret", Region: "garage", Time: now}
	var fields []pair
	for name, value := range s.Policy(base64.StdEncoding.EncodeToString([]byte(doc))) {
		fields = append(fields, pair{name, value})
	}
	return fields
}

func TestAFormSaysWhatToVerify(t *testing.T) {
	f := parse(t, "x", append(policyFields("{}"), pair{"key", "k"})...)
	require.True(t, f.Signed())
	a, err := f.Auth()
	require.NoError(t, err)
	require.Equal(t, sigv4.PolicyAuth{
		Algorithm: "AWS4-HMAC-SHA256", Credential: "AKIA/20260301/garage/s3/aws4_request", Date: "20260301T120000Z",
		Signature: f.Get("x-amz-signature"), Policy: "e30=",
	}, a)

	_, err = parse(t, "x", pair{"key", "k"}, pair{"AWSAccessKeyId", "AKIA"}, pair{"policy", "e30="}, pair{"signature", "x"}).Auth()
	require.ErrorIs(t, err, s3err.InvalidRequest)
	_, err = parse(t, "x", pair{"key", "k"}, pair{"policy", "e30="}).Auth()
	require.ErrorIs(t, err, s3err.AccessDenied)
	f = parse(t, "x", pair{"key", "k"}, pair{"x-amz-signature", "x"})
	require.True(t, f.Signed())
	_, err = f.Auth()
	require.ErrorIs(t, err, s3err.InvalidArgument)
}
