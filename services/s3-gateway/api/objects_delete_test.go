package api_test

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
)

type deleteAnswer struct {
	Deleted []struct{ Key string }
	Error   []struct{ Key, Code string }
}

func deleteKeys(t *testing.T, c *apitest.Client, doc string) (*apitest.Response, deleteAnswer) {
	t.Helper()
	r := c.Do(apitest.Request{Method: "POST", Bucket: bucketName, Query: "delete", Body: []byte(doc),
		Header: map[string]string{"x-amz-checksum-crc32": checksum.CRC32.Of([]byte(doc))}})
	var d deleteAnswer
	if r.Status == 200 {
		require.NoError(t, xml.Unmarshal(r.Body, &d))
	}
	return r, d
}

func TestKeysAreDeletedTogetherAndFailAlone(t *testing.T) {
	_, c := start(t, apitest.Options{})
	for _, key := range []string{"a", "b", "c", "d&<", "line\rfeed"} {
		put(t, c, key, []byte(key))
	}
	r, d := deleteKeys(t, c, `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a</Key></Object><Object><Key>not there</Key></Object>
		<Object><Key>d&amp;&lt;</Key></Object><Object><Key>line&#13;feed</Key></Object><Object><Key>b</Key><ETag>"wrong"</ETag></Object>
		<Object><Key>c</Key><VersionId>x</VersionId></Object><Object><Key>../up</Key></Object></Delete>`)
	require.Equal(t, 200, r.Status, "%s", r.Body)
	require.Len(t, d.Deleted, 4)
	require.Equal(t, "not there", d.Deleted[1].Key)
	codes := map[string]string{}
	for _, e := range d.Error {
		codes[e.Key] = e.Code
	}
	require.Equal(t, map[string]string{"b": "PreconditionFailed", "c": "InvalidArgument", "../up": "InvalidURI"}, codes)
	require.Equal(t, []string{"b", "c"}, listAll(t, c, ""))

	_, d = deleteKeys(t, c, `<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object><Object><Key>c</Key><VersionId>null</VersionId></Object></Delete>`)
	require.Empty(t, d.Deleted)
	require.Empty(t, d.Error)
	require.Empty(t, listAll(t, c, ""))
}

func TestDeleteRequestsMustBeWellFormed(t *testing.T) {
	_, c := start(t, apitest.Options{})
	put(t, c, "a", nil)
	many := func(n int) string {
		var b strings.Builder
		b.WriteString("<Delete>")
		for i := range n {
			fmt.Fprintf(&b, "<Object><Key>k%d</Key></Object>", i)
		}
		return b.String() + "</Delete>"
	}
	for name, doc := range map[string]string{
		"no keys":       "<Delete></Delete>",
		"too many":      many(1001),
		"not XML":       "hello",
		"other element": "<Remove><Object><Key>a</Key></Object></Remove>",
		"empty key":     "<Delete><Object><Key>a</Key></Object><Object></Object></Delete>",
		"entities":      `<!DOCTYPE d [<!ENTITY k "a">]><Delete><Object><Key>&k;</Key></Object></Delete>`,
		"control":       "<Delete><Object><Key>a&#1;</Key></Object></Delete>",
	} {
		r, _ := deleteKeys(t, c, doc)
		require.Equal(t, 400, r.Status, name)
		require.Equal(t, "MalformedXML", r.Code, name)
	}
	r, d := deleteKeys(t, c, many(1000))
	require.Equal(t, 200, r.Status)
	require.Len(t, d.Deleted, 1000)

	doc := []byte("<Delete><Object><Key>a</Key></Object></Delete>")
	request := apitest.Request{Method: "POST", Bucket: bucketName, Query: "delete", Body: doc}
	require.Equal(t, "InvalidRequest", c.Do(request).Code, "without a digest")
	request.Header = map[string]string{"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
	require.Equal(t, "BadDigest", c.Do(request).Code)
	request.Body, request.Header = make([]byte, 9<<20), nil
	require.Equal(t, "MaxMessageLengthExceeded", c.Do(request).Code)
	require.Equal(t, []string{"a"}, listAll(t, c, ""))
}
