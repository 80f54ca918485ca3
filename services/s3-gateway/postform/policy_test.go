package postform

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

const conditionsOfTheForm = `["starts-with","$x-amz-credential","AKIA/"],{"x-amz-algorithm":"AWS4-HMAC-SHA256"},["starts-with","$x-amz-date",""]`

// check parses and checks a form with a policy of these conditions.
func check(t testing.TB, conditions, content string, fields ...pair) (*Form, error) {
	t.Helper()
	doc := `{"expiration":"2026-03-01T12:30:00.000Z","conditions":[` + conditionsOfTheForm + `,` + conditions + `]}`
	f := parse(t, content, append(policyFields(doc), fields...)...)
	p, err := f.Policy()
	require.NoError(t, err)
	return f, p.Check(f, "bucket", now)
}

func TestWhatAPolicyAllows(t *testing.T) {
	for name, tc := range map[string]struct {
		conditions string
		fields     []pair
		says       string // "": allowed
	}{
		"eq as object":           {`{"key":"k"},{"bucket":"bucket"}`, []pair{{"key", "k"}}, ""},
		"eq as list":             {`["eq","$key","k"]`, []pair{{"key", "k"}}, ""},
		"starts-with":            {`["starts-with","$key","user/"]`, []pair{{"key", "user/k"}}, ""},
		"anything":               {`["starts-with","$key",""]`, []pair{{"key", "k"}}, ""},
		"names in any case":      {`["eq","$KEY","k"],{"ACL":"private"}`, []pair{{"Key", "k"}, {"acl", "private"}}, ""},
		"operator in any case":   {`["Starts-With","$key","k"]`, []pair{{"key", "k"}}, ""},
		"file name in key":       {`["starts-with","$key","photo"]`, []pair{{"key", "${filename}"}}, ""},
		"literal file name":      {`{"key":"a/${filename}"}`, []pair{{"key", "a/${filename}"}}, ""},
		"list of content types":  {`["starts-with","$key",""],["starts-with","$Content-Type","image/"]`, []pair{{"key", "k"}, {"Content-Type", "image/png, image/gif"}}, ""},
		"ignored fields":         {`{"key":"k"}`, []pair{{"key", "k"}, {"x-ignore-me", "x"}}, ""},
		"two on one field":       {`["starts-with","$key","a"],["starts-with","$key","ab"]`, []pair{{"key", "abc"}}, ""},
		"other bucket":           {`{"key":"k"},{"bucket":"other"}`, []pair{{"key", "k"}}, `Policy Condition failed: ["eq","$bucket","other"]`},
		"bucket as a field":      {`{"key":"k"},{"bucket":"other"}`, []pair{{"key", "k"}, {"bucket", "other"}}, "Policy Condition failed"},
		"other key":              {`{"key":"k"}`, []pair{{"key", "kk"}}, "Policy Condition failed"},
		"case of a value":        {`{"key":"k"}`, []pair{{"key", "K"}}, "Policy Condition failed"},
		"other prefix":           {`["starts-with","$key","user/"]`, []pair{{"key", "users/k"}}, "Policy Condition failed"},
		"file name escapes":      {`["starts-with","$key","user/"]`, []pair{{"key", "${filename}"}}, "Policy Condition failed"},
		"prefix before replaced": {`["starts-with","$key","${file"]`, []pair{{"key", "${filename}"}}, "Policy Condition failed"},
		"missing field":          {`{"key":"k"},{"acl":"private"}`, []pair{{"key", "k"}}, "Policy Condition failed"},
		"one bad content type":   {`["starts-with","$key",""],["starts-with","$Content-Type","image/"]`, []pair{{"key", "k"}, {"Content-Type", "image/png,text/html"}}, "Policy Condition failed"},
		"extra field":            {`{"key":"k"}`, []pair{{"key", "k"}, {"x-amz-meta-a", "b"}}, "Extra input fields: x-amz-meta-a"},
		"key not covered":        {`["eq","$bucket","bucket"]`, []pair{{"key", "k"}}, "Extra input fields: key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := check(t, tc.conditions, "x", tc.fields...)
			if tc.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, s3err.AccessDenied)
			require.ErrorContains(t, err, tc.says)
		})
	}
}

func TestAPolicyExpires(t *testing.T) {
	f := parse(t, "x", append(policyFields(`{"expiration":"2026-03-01T12:30:00Z","conditions":[`+conditionsOfTheForm+`,{"key":"k"}]}`), pair{"key", "k"})...)
	p, err := f.Policy()
	require.NoError(t, err)
	require.NoError(t, p.Check(f, "bucket", now.Add(30*time.Minute-time.Second)))
	err = p.Check(f, "bucket", now.Add(30*time.Minute))
	require.ErrorIs(t, err, s3err.AccessDenied)
	require.ErrorContains(t, err, "Policy expired")
}

func TestTheFilesLengthIsLimited(t *testing.T) {
	for _, tc := range []struct {
		bounds string
		size   int
		want   s3err.Code
	}{
		{"2, 4", 1, s3err.EntityTooSmall}, {"2, 4", 2, ""}, {"2, 4", 4, ""}, {"2, 4", 5, s3err.EntityTooLarge},
		{"2, 4", 100_000, s3err.EntityTooLarge}, {`"2", "4"`, 5, s3err.EntityTooLarge}, {"0, 0", 0, ""}, {"0, 0", 1, s3err.EntityTooLarge},
		{`0, 10],["content-length-range", 2, 20`, 11, s3err.EntityTooLarge}, {`0, 10],["content-length-range", 2, 20`, 1, s3err.EntityTooSmall},
	} {
		f, err := check(t, `["content-length-range", `+tc.bounds+`],{"key":"k"}`, strings.Repeat("x", tc.size), pair{"key", "k"})
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, f.File)
		if tc.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, tc.want, "%s: %d", tc.bounds, tc.size)
		}
	}
}

func TestMalformedPolicies(t *testing.T) {
	const head = `{"expiration":"2026-03-01T12:30:00Z","conditions":[`
	for name, doc := range map[string]string{
		"not JSON":            `{`,
		"something behind":    head + `]} x`,
		"not an object":       `[]`,
		"no expiration":       `{"conditions":[]}`,
		"no conditions":       `{"expiration":"2026-03-01T12:30:00Z"}`,
		"bad expiration":      `{"expiration":"tomorrow","conditions":[]}`,
		"number":              head + `1]}`,
		"null":                head + `null]}`,
		"empty object":        head + `{}]}`,
		"object of two":       head + `{"key":"k","acl":"private"}]}`,
		"value not a string":  head + `{"key":1}]}`,
		"list of two":         head + `["eq","$key"]]}`,
		"unknown operator":    head + `["ends-with","$key","x"]]}`,
		"operator a number":   head + `[1,"$key","x"]]}`,
		"field without $":     head + `["eq","key","x"]]}`,
		"field $":             head + `["eq","$","x"]]}`,
		"range of words":      head + `["content-length-range","a","b"]]}`,
		"range upside down":   head + `["content-length-range",2,1]]}`,
		"range negative":      head + `["content-length-range",-1,1]]}`,
		"range of a fraction": head + `["content-length-range",0.5,1]]}`,
		"range huge":          head + `["content-length-range",0,1e300]]}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := parse(t, "x", append(policyFields(doc), pair{"key", "k"})...)
			_, err := f.Policy()
			require.ErrorIs(t, err, s3err.InvalidPolicyDocument)
		})
	}
	_, err := parse(t, "x", pair{"key", "k"}, pair{"policy", "***"}).Policy()
	require.ErrorIs(t, err, s3err.InvalidPolicyDocument)
}

// FuzzForm: no body makes the parser panic or fail without an S3 error.
func FuzzForm(f *testing.F) {
	f.Add([]byte("--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--B--\r\n"))
	f.Add([]byte("--B\r\nContent-Disposition: form-data; name=\"policy\"\r\n\r\ne30=\r\n--B\r\nContent-Disposition: form-data; name=file\r\n\r\n"))
	f.Add([]byte("--B--\r\n"))
	f.Add([]byte("--B\r\n: \r\n\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "http://s3.example/bucket", bytes.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=B")
		form, err := Parse(r)
		if err == nil {
			form.Header()
			form.Success("bucket", "etag")
			_, err = io.ReadAll(form.File)
		}
		if err != nil {
			_, ok := s3err.From(err)
			require.True(t, ok, "not an S3 error: %v", err)
		}
	})
}

// FuzzPolicy: no policy document makes the decoder panic, fail without an S3 error, or allow a field it does not name.
func FuzzPolicy(f *testing.F) {
	f.Add(`{"expiration":"2026-03-01T12:30:00Z","conditions":[{"key":"k"},["content-length-range",0,10],["starts-with","$key",""]]}`)
	f.Add(`{"expiration":"2026-03-01T12:30:00Z","conditions":[{"a":"b","c":"d"},[],null,1]}`)
	f.Fuzz(func(t *testing.T, doc string) {
		policy := base64.StdEncoding.EncodeToString([]byte(doc))
		form := &Form{Key: "k", File: &File{}, fields: map[string]field{
			"policy": {"policy", policy, policy}, "never-named-field": {"never-named-field", "x", "x"},
		}}
		p, err := form.Policy()
		if err == nil {
			err = p.Check(form, "bucket", now)
			if err == nil && !strings.Contains(doc, `\u`) {
				require.Contains(t, strings.ToLower(doc), "never-named-field")
			}
		}
		if err != nil {
			_, ok := s3err.From(err)
			require.True(t, ok, "not an S3 error: %v", err)
		}
	})
}
