package s3

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

func escape(s string) string { return sigv4.Escape(s, false) }

type deletion struct {
	Deleted []struct{ Key string }
	Error   []struct{ Key, Code, Message string }
}

func deleteBody(keys []string, quiet bool) []byte {
	var b bytes.Buffer
	b.WriteString(`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	if quiet {
		b.WriteString("<Quiet>true</Quiet>")
	}
	for _, key := range keys {
		b.WriteString("<Object><Key>")
		_ = xml.EscapeText(&b, []byte(key))
		b.WriteString("</Key></Object>")
	}
	b.WriteString("</Delete>")
	return b.Bytes()
}

func deleteRequest(bucket string, body []byte) request {
	return request{Method: "POST", Bucket: bucket, Query: "delete=", Body: body, Header: header("Content-MD5", contentMD5(body))}
}

func deleteAll(t *testing.T, bucket string, keys []string) {
	t.Helper()
	var answer deletion
	parse(t, ok(t, deleteRequest(bucket, deleteBody(keys, true))).Body, &answer)
	require.Empty(t, answer.Error)
	require.Empty(t, answer.Deleted, "quiet names only errors")
}

func TestDeletingManyAtOnce(t *testing.T) {
	bucket := newBucket(t)
	fill(t, bucket, "a", "b", "c & <d>", "stays")
	var answer deletion
	parse(t, ok(t, deleteRequest(bucket, deleteBody([]string{"a", "b", "c & <d>", "never was"}, false))).Body, &answer)
	require.Empty(t, answer.Error)
	require.Len(t, answer.Deleted, 4, "what was not there counts as deleted")
	require.Equal(t, []string{"stays"}, listObjects(t, bucket, "").keys())
}

func TestDeletingManyRefusesBadBodies(t *testing.T) {
	bucket := newBucket(t)
	fill(t, bucket, "a")
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprint(i))
	}
	for name, body := range map[string][]byte{
		"over a thousand": deleteBody(many, false),
		"no object":       deleteBody(nil, false),
		"not XML":         []byte("delete everything"),
		"cut off":         deleteBody([]string{"a"}, false)[:60],
		"entity": []byte(`<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>` +
			`<Delete><Object><Key>&e;</Key></Object></Delete>`),
		"entity bomb": []byte(`<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>` +
			`<Delete><Object><Key>&c;</Key></Object></Delete>`),
	} {
		t.Run(name, func(t *testing.T) { refused(t, 400, "MalformedXML", deleteRequest(bucket, body)) })
	}
	body := deleteBody([]string{"a"}, false)
	bad := deleteRequest(bucket, body)
	bad.Header = header("Content-MD5", contentMD5([]byte("other")))
	refused(t, 400, "BadDigest", bad)
	require.Equal(t, []string{"a"}, listObjects(t, bucket, "").keys())
}

func TestDeletingManyNeedsAnIntegrityCheck(t *testing.T) {
	bucket := newBucket(t)
	fill(t, bucket, "a")
	body := deleteBody([]string{"a"}, false)
	resp := do(t, request{Method: "POST", Bucket: bucket, Query: "delete=", Body: body, Payload: sigv4.Unsigned})
	checkDeleteIntegrity(t, resp)
}

func checkDeleteIntegrity(t *testing.T, resp *s3client.Response) {
	require.Equal(t, 400, resp.Status)
	require.Contains(t, []string{"InvalidRequest", "MissingContentMD5"}, resp.Code)
}
