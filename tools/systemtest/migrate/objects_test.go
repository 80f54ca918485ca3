package migrate

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
)

const (
	keptBucket = "kept"
	loadBucket = "load"
)

// object is what the standalone said about an object that does not change.
type object struct {
	body   string
	header http.Header
}

// kind is an object to store.
type kind struct {
	key    string
	size   int
	header map[string]string
	sum    bool // the client gives a checksum
}

var kinds = []kind{
	{key: "empty"},
	{key: "inline", size: 700, header: map[string]string{"Content-Type": "text/plain; charset=utf-8", "x-amz-meta-colour": "blue"}},
	{key: "inline here, perhaps not there", size: 4000},
	{key: "in the index", size: 20_000, header: map[string]string{"Cache-Control": "max-age=60", "Content-Disposition": "attachment", "Content-Language": "fr"}},
	{key: "one chunk", size: 1 << 20, header: map[string]string{"x-amz-storage-class": "REDUCED_REDUNDANCY"}, sum: true},
	{key: "some chunks", size: 3<<20 + 11, header: map[string]string{"x-amz-meta-a": "1", "x-amz-meta-b": "zwei"}},
	{key: "a//b/../c"}, {key: "ü %2F+&?#=\"<>", size: 10}, {key: " blank ", size: 5}, {key: strings.Repeat("k", 1024), size: 1}, {key: "\U0001F98A/", size: 3},
}

// keep stores objects of all kinds at the standalone and returns what it says about them.
func (m *move) keep() map[string]object {
	m.t.Helper()
	m.ok(m.old, s3client.Request{Method: "PUT", Bucket: keptBucket})
	m.ok(m.old, s3client.Request{Method: "PUT", Bucket: loadBucket})
	rng := rand.NewChaCha8([32]byte{1})
	for _, k := range kinds {
		body := make([]byte, k.size)
		_, _ = rng.Read(body)
		header := maps.Clone(k.header)
		if k.sum {
			sum := sha256.Sum256(body)
			header["x-amz-checksum-sha256"] = base64.StdEncoding.EncodeToString(sum[:])
		}
		m.ok(m.old, s3client.Request{Method: "PUT", Bucket: keptBucket, Key: k.key, Body: body, Header: header})
	}
	m.multipart()
	m.ok(m.old, s3client.Request{Method: "PUT", Bucket: keptBucket, Key: "copy", Header: map[string]string{"x-amz-copy-source": "/" + keptBucket + "/some%20chunks"}})
	kept := map[string]object{}
	for _, k := range append(kinds, kind{key: "multipart"}, kind{key: "copy"}) {
		kept[k.key] = m.read(m.old, k.key)
	}
	return kept
}

// read reads an object with all that is said about it.
func (m *move) read(c *s3client.Client, key string) object {
	m.t.Helper()
	answer := m.ok(c, s3client.Request{Method: "GET", Bucket: keptBucket, Key: key, Header: map[string]string{"x-amz-checksum-mode": "ENABLED"}})
	header := answer.Header.Clone()
	for _, name := range []string{"Date", "X-Amz-Request-Id", "X-Amz-Id-2", "Connection"} {
		header.Del(name)
	}
	return object{string(answer.Body), header}
}

func (m *move) sameAt(c *s3client.Client, kept map[string]object) {
	m.t.Helper()
	for key, want := range kept {
		got := m.read(c, key)
		require.Equal(m.t, want.header, got.header, key)
		require.True(m.t, want.body == got.body, "the body of %q differs", key)
	}
	attributes := m.ok(c, s3client.Request{Method: "GET", Bucket: keptBucket, Key: "multipart", Query: "attributes=", Header: map[string]string{"x-amz-object-attributes": "ObjectParts,ETag"}})
	require.Contains(m.t, string(attributes.Body), "<PartsCount>2</PartsCount>")
	for number, size := range []int{partSize, 1000} {
		part := m.ok(c, s3client.Request{Method: "GET", Bucket: keptBucket, Key: "multipart", Query: fmt.Sprintf("partNumber=%d", number+1)})
		require.Len(m.t, part.Body, size)
	}
}

const partSize = 5 << 20

func (m *move) beginMultipart(key string) string {
	m.t.Helper()
	answer := m.ok(m.old, s3client.Request{Method: "POST", Bucket: keptBucket, Key: key, Query: "uploads="})
	_, id, _ := strings.Cut(string(answer.Body), "<UploadId>")
	id, _, _ = strings.Cut(id, "<")
	require.NotEmpty(m.t, id)
	return id
}

func (m *move) part(c *s3client.Client, key, id string, number, size int) string {
	m.t.Helper()
	body := []byte(strings.Repeat(string(rune('a'+number)), size))
	return m.ok(c, s3client.Request{Method: "PUT", Bucket: keptBucket, Key: key, Query: fmt.Sprintf("partNumber=%d&uploadId=%s", number, id), Body: body}).Header.Get("ETag")
}

func (m *move) complete(c *s3client.Client, key, id string, etags ...string) {
	m.t.Helper()
	var b strings.Builder
	for i, etag := range etags {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, etag)
	}
	m.ok(c, s3client.Request{Method: "POST", Bucket: keptBucket, Key: key, Query: "uploadId=" + id, Body: []byte("<CompleteMultipartUpload>" + b.String() + "</CompleteMultipartUpload>")})
}

func (m *move) multipart() {
	m.t.Helper()
	id := m.beginMultipart("multipart")
	m.complete(m.old, "multipart", id, m.part(m.old, "multipart", id, 1, partSize), m.part(m.old, "multipart", id, 2, 1000))
}

// beginUpload begins an upload at the standalone that is completed in the cluster.
func (m *move) beginUpload() (id, etag string) {
	m.t.Helper()
	id = m.beginMultipart("under way")
	return id, m.part(m.old, "under way", id, 1, partSize)
}

func (m *move) completeUpload(id, etag string) {
	m.t.Helper()
	m.complete(m.new, "under way", id, etag, m.part(m.old, "under way", id, 2, 10))
	answer := m.ok(m.new, s3client.Request{Method: "GET", Bucket: keptBucket, Key: "under way"})
	require.Equal(m.t, strings.Repeat("b", partSize)+strings.Repeat("c", 10), string(answer.Body))
}
