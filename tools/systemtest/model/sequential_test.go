package model

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
	"deuxfleurs.fr/garage/tools/systemtest/load"
)

// object is what the model knows of one object.
type object struct {
	body              []byte
	etag, contentType string
	meta              string
}

// upload is a multipart upload that has begun.
type upload struct {
	key, id     string
	contentType string
	parts       map[int][]byte
}

// world is the model: a bucket and the uploads in it.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	bucket  string
	objects map[string]object
	uploads []*upload
	log     []string
}

var keys = []string{"a", "a/", "a/b", "a/b/c", "a/b/d", "a//b", "a b", "b", "b/1", "b/2", "b+2", "é/1", "z/z/z", "%25", "zz"}

func TestRandomOperations(t *testing.T) {
	s := seed(t)
	w := &world{t: t, rng: rand.New(rand.NewPCG(s, 7)), bucket: newBucket(t, s), objects: map[string]object{}}
	defer func() {
		if t.Failed() {
			t.Logf("the last operations:\n%s", strings.Join(w.log[max(0, len(w.log)-25):], "\n"))
		}
	}()
	for range *operations {
		switch n := w.rng.IntN(100); {
		case n < 20:
			w.put()
		case n < 35:
			w.get()
		case n < 45:
			w.delete()
		case n < 48:
			w.deleteMany()
		case n < 55:
			w.copy()
		case n < 60:
			w.begin()
		case n < 72:
			w.part()
		case n < 77:
			w.complete()
		case n < 80:
			w.abort()
		case n < 96:
			w.list()
		default:
			w.listUploads()
		}
	}
	for _, key := range keys {
		w.read(key)
	}
}

func (w *world) do(r s3client.Request) *s3client.Response {
	w.t.Helper()
	r.Bucket = w.bucket
	w.log = append(w.log, fmt.Sprintf("%s %q ?%s %v (%d bytes)", r.Method, r.Key, r.Query, r.Header, len(r.Body)))
	resp, err := client.Do(w.t.Context(), r)
	require.NoError(w.t, err)
	w.log[len(w.log)-1] += fmt.Sprintf(" → %d %s", resp.Status, resp.Code)
	require.Less(w.t, resp.Status, 500, "%s: %s", w.log[len(w.log)-1], resp.Message)
	return resp
}

func (w *world) key() string { return keys[w.rng.IntN(len(keys))] }

func (w *world) body() []byte {
	size := load.Sizes[w.rng.IntN(len(load.Sizes))]
	body := make([]byte, size)
	var seed [32]byte
	seed[0] = byte(w.rng.IntN(5)) // Few seeds: equal bodies happen.
	_, _ = rand.NewChaCha8(seed).Read(body)
	return body
}

func tag(body []byte) string {
	sum := md5.Sum(body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// condition draws a condition and says what S3 must answer; 0 when the request goes through.
func (w *world) condition(key string) (map[string]string, int) {
	o, exists := w.objects[key]
	switch w.rng.IntN(8) {
	case 0:
		if exists {
			return map[string]string{"If-None-Match": "*"}, 412
		}
		return map[string]string{"If-None-Match": "*"}, 0
	case 1:
		if exists {
			return map[string]string{"If-Match": o.etag}, 0
		}
		return map[string]string{"If-Match": `"00000000000000000000000000000000"`}, 404
	case 2:
		if exists {
			return map[string]string{"If-Match": `"00000000000000000000000000000000"`}, 412
		}
	}
	return map[string]string{}, 0
}

func (w *world) put() {
	key, body := w.key(), w.body()
	headers, refused := w.condition(key)
	meta := fmt.Sprint(w.rng.IntN(1000))
	headers["X-Amz-Meta-M"], headers["Content-Type"] = meta, "text/m"+meta
	resp := w.do(s3client.Request{Method: "PUT", Key: key, Body: body, Header: headers})
	if refused != 0 {
		require.Equal(w.t, refused, resp.Status)
		return
	}
	require.Equal(w.t, 200, resp.Status)
	require.Equal(w.t, tag(body), resp.Header.Get("ETag"))
	w.objects[key] = object{body, tag(body), "text/m" + meta, meta}
}

func (w *world) get() { w.read(w.key()) }

func (w *world) read(key string) {
	o, exists := w.objects[key]
	r := s3client.Request{Method: "GET", Key: key}
	from, to := 0, len(o.body)
	if len(o.body) > 0 && w.rng.IntN(3) == 0 {
		from = w.rng.IntN(len(o.body))
		to = from + 1 + w.rng.IntN(len(o.body)-from)
		r.Header = map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", from, to-1)}
	}
	resp := w.do(r)
	if !exists {
		require.Equal(w.t, 404, resp.Status, key)
		return
	}
	require.Contains(w.t, []int{200, 206}, resp.Status, key)
	require.True(w.t, bytes.Equal(o.body[from:to], resp.Body), "%q: other bytes (%d-%d of %d)", key, from, to, len(o.body))
	require.Equal(w.t, o.etag, resp.Header.Get("ETag"))
	require.Equal(w.t, o.contentType, resp.Header.Get("Content-Type"))
	require.Equal(w.t, o.meta, resp.Header.Get("X-Amz-Meta-M"))
}

func (w *world) delete() {
	key := w.key()
	require.Equal(w.t, 204, w.do(s3client.Request{Method: "DELETE", Key: key}).Status)
	delete(w.objects, key)
}

func (w *world) deleteMany() {
	body := "<Delete>"
	for range 3 {
		key := w.key()
		body += "<Object><Key>" + key + "</Key></Object>"
		delete(w.objects, key)
	}
	body += "</Delete>"
	resp := w.do(s3client.Request{Method: "POST", Query: "delete=", Body: []byte(body), Header: map[string]string{
		"X-Amz-Checksum-Sha256": sha256Base64(body), "X-Amz-Sdk-Checksum-Algorithm": "SHA256",
	}})
	require.Equal(w.t, 200, resp.Status)
	require.NotContains(w.t, string(resp.Body), "<Error>")
}

func (w *world) copy() {
	from, to := w.key(), w.key()
	o, exists := w.objects[from]
	headers, refused := w.condition(to)
	headers["X-Amz-Copy-Source"] = w.bucket + "/" + sigv4.Escape(from, false)
	if from == to || w.rng.IntN(3) == 0 {
		o.meta = fmt.Sprint(w.rng.IntN(1000))
		o.contentType = "text/c" + o.meta
		headers["X-Amz-Metadata-Directive"], headers["X-Amz-Meta-M"], headers["Content-Type"] = "REPLACE", o.meta, o.contentType
	}
	resp := w.do(s3client.Request{Method: "PUT", Key: to, Header: headers})
	switch {
	case !exists:
		require.Contains(w.t, []int{404, 412}, resp.Status)
	case refused != 0:
		require.Equal(w.t, refused, resp.Status)
	default:
		require.Equal(w.t, 200, resp.Status, resp.Message)
		var answer struct{ ETag string }
		require.NoError(w.t, xml.Unmarshal(resp.Body, &answer))
		// A copy of a multipart object may get an ETag of its own; what GET says must be what copy said.
		require.NotEmpty(w.t, answer.ETag)
		if !strings.Contains(o.etag, "-") {
			require.Equal(w.t, o.etag, answer.ETag)
		}
		o.etag = answer.ETag
		w.objects[to] = o
	}
}

func (w *world) begin() {
	if len(w.uploads) >= 5 {
		return
	}
	u := &upload{key: w.key(), parts: map[int][]byte{}, contentType: fmt.Sprint("text/u", w.rng.IntN(100))}
	resp := w.do(s3client.Request{Method: "POST", Key: u.key, Query: "uploads=", Header: map[string]string{"Content-Type": u.contentType}})
	require.Equal(w.t, 200, resp.Status)
	var answer struct{ UploadId string }
	require.NoError(w.t, xml.Unmarshal(resp.Body, &answer))
	u.id = answer.UploadId
	w.uploads = append(w.uploads, u)
}

// pick returns one upload, removed from the model when it is to end.
func (w *world) pick(end bool) *upload {
	if len(w.uploads) == 0 {
		return nil
	}
	i := w.rng.IntN(len(w.uploads))
	u := w.uploads[i]
	if end {
		w.uploads = slices.Delete(w.uploads, i, i+1)
	}
	return u
}

func (w *world) part() {
	u := w.pick(false)
	if u == nil {
		return
	}
	number, body := 1+w.rng.IntN(4), w.body()
	if w.rng.IntN(3) > 0 {
		body = append(body, make([]byte, 5<<20)...)
	}
	resp := w.do(s3client.Request{
		Method: "PUT", Key: u.key, Body: body, Query: fmt.Sprintf("partNumber=%d&uploadId=%s", number, sigv4.Escape(u.id, false)),
	})
	require.Equal(w.t, 200, resp.Status)
	require.Equal(w.t, tag(body), resp.Header.Get("ETag"))
	u.parts[number] = body
}

func (w *world) complete() {
	u := w.pick(false)
	if u == nil || len(u.parts) == 0 {
		return
	}
	numbers := slices.Sorted(maps.Keys(u.parts))
	list, small := "", false
	var whole, sums []byte
	for i, n := range numbers {
		list += fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", n, tag(u.parts[n]))
		small = small || i < len(numbers)-1 && len(u.parts[n]) < 5<<20
		sum := md5.Sum(u.parts[n])
		whole, sums = append(whole, u.parts[n]...), append(sums, sum[:]...)
	}
	resp := w.do(s3client.Request{
		Method: "POST", Key: u.key, Query: "uploadId=" + sigv4.Escape(u.id, false),
		Body: []byte("<CompleteMultipartUpload>" + list + "</CompleteMultipartUpload>"),
	})
	var answer struct{ ETag, Code string }
	require.NoError(w.t, xml.Unmarshal(resp.Body, &answer))
	if small {
		require.Equal(w.t, "EntityTooSmall", answer.Code)
		return
	}
	sum := md5.Sum(sums)
	want := fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(sum[:]), len(numbers))
	require.Equal(w.t, want, answer.ETag, answer.Code)
	w.objects[u.key] = object{body: whole, etag: want, contentType: u.contentType}
	w.uploads = slices.DeleteFunc(w.uploads, func(other *upload) bool { return other == u })
}

func (w *world) abort() {
	u := w.pick(true)
	if u == nil {
		return
	}
	require.Equal(w.t, 204, w.do(s3client.Request{Method: "DELETE", Key: u.key, Query: "uploadId=" + sigv4.Escape(u.id, false)}).Status)
}

func (w *world) list() {
	prefix := []string{"", "a", "a/", "b", "é/", "none"}[w.rng.IntN(6)]
	delimiter := []string{"", "/", "b", "//"}[w.rng.IntN(4)]
	after := []string{"", "", "a/b", "b"}[w.rng.IntN(4)]
	if delimiter != "" {
		after = "" // What S3 does with a group that begins before start-after is not written down.
	}
	page := []int{1, 2, 3, 1000}[w.rng.IntN(4)]
	want := w.expected(prefix, delimiter, after)
	var got []string
	token := ""
	for range len(keys) + 2 {
		query := fmt.Sprintf("list-type=2&encoding-type=url&max-keys=%d&prefix=%s&delimiter=%s", page, sigv4.Escape(prefix, false), sigv4.Escape(delimiter, false))
		if after != "" {
			query += "&start-after=" + sigv4.Escape(after, false)
		}
		if token != "" {
			query += "&continuation-token=" + sigv4.Escape(token, false)
		}
		var answer struct {
			NextContinuationToken string
			KeyCount              int
			Contents              []struct {
				Key, ETag string
				Size      int
			}
			CommonPrefixes []struct{ Prefix string }
		}
		resp := w.do(s3client.Request{Method: "GET", Query: query})
		require.Equal(w.t, 200, resp.Status)
		require.NoError(w.t, xml.Unmarshal(resp.Body, &answer))
		require.Equal(w.t, len(answer.Contents)+len(answer.CommonPrefixes), answer.KeyCount)
		require.LessOrEqual(w.t, answer.KeyCount, page)
		for _, c := range answer.Contents {
			key, err := url.QueryUnescape(c.Key)
			require.NoError(w.t, err)
			got = append(got, fmt.Sprintf("%s %s %d", key, c.ETag, c.Size))
		}
		for _, p := range answer.CommonPrefixes {
			plain, err := url.QueryUnescape(p.Prefix)
			require.NoError(w.t, err)
			got = append(got, "group "+plain)
		}
		if token = answer.NextContinuationToken; token == "" {
			break
		}
	}
	sort.Strings(got)
	require.Equal(w.t, want, got, "prefix %q delimiter %q after %q pages of %d", prefix, delimiter, after, page)
}

// expected is the listing as the model has it, sorted.
func (w *world) expected(prefix, delimiter, after string) []string {
	var want []string
	groups := map[string]bool{}
	for key, o := range w.objects {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if delimiter != "" {
			if i := strings.Index(key[len(prefix):], delimiter); i >= 0 {
				groups[key[:len(prefix)+i+len(delimiter)]] = true
				continue
			}
		}
		want = append(want, fmt.Sprintf("%s %s %d", key, o.etag, len(o.body)))
	}
	for g := range groups {
		want = append(want, "group "+g)
	}
	sort.Strings(want)
	return want
}

func (w *world) listUploads() {
	var answer struct {
		Upload []struct{ Key, UploadId string }
	}
	resp := w.do(s3client.Request{Method: "GET", Query: "uploads="})
	require.Equal(w.t, 200, resp.Status)
	require.NoError(w.t, xml.Unmarshal(resp.Body, &answer))
	want, got := map[string]string{}, map[string]string{}
	for _, u := range w.uploads {
		want[u.id] = u.key
	}
	for _, u := range answer.Upload {
		got[u.UploadId] = u.Key
	}
	require.Equal(w.t, want, got)
}
