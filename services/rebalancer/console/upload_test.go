package console

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const ofUpload = "?key=GK1&bucket=photos&object=a/b&upload=u%2B1"

func says(text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = io.WriteString(w, text) }
}

func TestAnUploadInPartsIsThatOfS3(t *testing.T) {
	s, fake := withS3(t)
	fake.give = says(`<InitiateMultipartUploadResult><UploadId>u+1</UploadId></InitiateMultipartUploadResult>`)
	_, body := s.ask("POST", "upload?key=GK1&bucket=photos&object=a/b", "", func(r *http.Request) { r.Header.Set("Content-Type", "video/mp4") })
	require.JSONEq(t, `{"upload":"u+1"}`, body)
	require.Equal(t, "POST /photos/a/b?uploads= video/mp4", fake.last.Method+" "+fake.last.RequestURI+" "+fake.last.Header.Get("Content-Type"))
	begun := s.audit.last(t)
	require.Equal(t, "CreateMultipartUpload", begun.Action)
	require.Equal(t, tokenUser, begun.Operator)
	require.JSONEq(t, `{"key":"GK1","bucket":"photos","object":"a/b","upload":"u+1"}`, begun.Request)

	fake.give = func(w http.ResponseWriter) { w.Header().Set("Etag", `"tag of 7"`) }
	resp, body := s.ask("PUT", "upload"+ofUpload+"&number=7", "seventh", nil)
	require.Equal(t, 200, resp.StatusCode, body)
	require.Contains(t, body, `"etag":"\"tag of 7\""`)
	require.Equal(t, "PUT /photos/a/b?partNumber=7&uploadId=u%2B1 seventh", fake.last.Method+" "+fake.last.RequestURI+" "+fake.body)
	require.Equal(t, begun, s.audit.last(t), "parts are not noted")

	fake.give = says(`<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>`)
	_, body = s.ask("POST", "upload/complete"+ofUpload, `{"etags":["\"one\"","\"two\""]}`, nil)
	require.JSONEq(t, `{"etag":"\"whole\""}`, body)
	require.Equal(t, "POST /photos/a/b?uploadId=u%2B1", fake.last.Method+" "+fake.last.RequestURI)
	require.Equal(t, `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber><ETag>&#34;one&#34;</ETag></Part>`+
		`<Part><PartNumber>2</PartNumber><ETag>&#34;two&#34;</ETag></Part></CompleteMultipartUpload>`, fake.body)
	require.Equal(t, "CompleteMultipartUpload", s.audit.last(t).Action)
	require.Contains(t, s.audit.last(t).Request, `"upload":"u+1"`)

	fake.give = func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }
	require.Equal(t, 200, s.code("DELETE", "upload"+ofUpload, "", nil))
	require.Equal(t, "DELETE /photos/a/b?uploadId=u%2B1", fake.last.Method+" "+fake.last.RequestURI)
	require.Equal(t, "AbortMultipartUpload", s.audit.last(t).Action)
}

// S3 may begin to answer before it knows what comes of a completion.
func TestACompletionThatFailsAfterItsAnswerBeganIsAFailure(t *testing.T) {
	s, fake := withS3(t)
	fake.give = says("<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>a node is away</Message></Error>")
	resp, body := s.ask("POST", "upload/complete"+ofUpload, `{"etags":["one"]}`, nil)
	require.Equal(t, 500, resp.StatusCode)
	require.Contains(t, body, "a node is away")
	require.Contains(t, s.audit.last(t).Problem, "a node is away")
	fake.give = says("")
	require.Equal(t, 503, s.code("POST", "upload/complete"+ofUpload, `{"etags":["one"]}`, nil))
	require.Equal(t, 503, s.code("POST", "upload?key=GK1&bucket=photos&object=o", "", nil), "it says of no upload")
}

func TestAnUploadThatIsNotNamedIsRefused(t *testing.T) {
	s, fake := withS3(t)
	for _, what := range []string{
		"POST upload?key=GK1&bucket=b", "PUT upload?key=GK1&bucket=b&object=o&number=1", "DELETE upload?key=GK1&bucket=b&object=o", "POST upload/complete?key=GK1&bucket=b&object=o",
		"PUT upload" + ofUpload, "PUT upload" + ofUpload + "&number=0", "PUT upload" + ofUpload + "&number=10001", "PUT upload" + ofUpload + "&number=x", "POST upload/complete" + ofUpload,
	} {
		method, path, _ := strings.Cut(what, " ")
		require.Equal(t, 400, s.code(method, path, "", nil), what)
	}
	require.Nil(t, fake.last)
}

func TestAPageIsToldHowLargePartsAre(t *testing.T) {
	s := serve(t, func(c *Config, _ *Deps) { c.PartSize = 7 << 20 }).signIn()
	_, body := s.ask("GET", "session", "", nil)
	require.Contains(t, body, `"partSize":7340032`)
}
