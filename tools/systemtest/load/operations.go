package load

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"strings"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// one draws and sends one operation. It returns false when a request got no answer or a failing one.
func (l *Load) one(ctx context.Context, rng *rand.Rand) bool {
	key := Key(rng.IntN(l.Keys))
	switch n := rng.IntN(100); {
	case n < 28:
		return l.get(ctx, key, []string{"", "", "HEAD", "range"}[rng.IntN(4)])
	case n < 55:
		return l.put(ctx, key, l.newBody(rng), "", "", []string{"", sigv4.Unsigned}[rng.IntN(2)])
	case n < 63:
		return l.delete(ctx, key, "")
	case n < 67:
		return l.deleteMany(ctx, rng)
	case n < 74:
		return l.copy(ctx, key, rng.IntN(sources))
	case n < 79:
		return l.multipart(ctx, key, rng)
	case n < 85:
		return l.put(ctx, key, l.newBody(rng), "If-None-Match", "*", "")
	case n < 92:
		etag, known := l.peek(ctx, key)
		if !known {
			return false
		}
		if etag == absent {
			etag = `"00000000000000000000000000000000"`
		}
		if n < 90 {
			return l.put(ctx, key, l.newBody(rng), "If-Match", etag, "")
		}
		return l.delete(ctx, key, etag)
	default:
		return l.list(ctx, rng.IntN(3), 1+rng.IntN(7))
	}
}

func (l *Load) do(ctx context.Context, r s3client.Request) (*s3client.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	r.Bucket = l.Bucket
	return l.Client.Do(ctx, r)
}

// failed says whether the answer says nothing about the state: none came, or a 5xx.
func failed(resp *s3client.Response, err error) bool { return err != nil || resp.Status >= 500 }

func (l *Load) put(ctx context.Context, key string, data []byte, condition, value, payload string) bool {
	etag := etagOf(data)
	l.remember(etag, data)
	e := entry{kind: write, wrote: etag, condition: condition, value: value, call: l.now()}
	r := s3client.Request{Method: "PUT", Key: key, Body: data, Payload: payload}
	if condition != "" {
		r.Header = map[string]string{condition: value}
	}
	resp, err := l.do(ctx, r)
	if !failed(resp, err) && resp.Status == 200 && resp.Header.Get("ETag") != etag {
		l.isWrong("put %q of %d bytes answered ETag %s instead of %s", key, len(data), resp.Header.Get("ETag"), etag)
	}
	return l.written(key, e, resp, err, fmt.Sprintf("put %q of %d bytes %s %s", key, len(data), condition, value))
}

// written records the end of a write or delete.
func (l *Load) written(key string, e entry, resp *s3client.Response, err error, what string) bool {
	e.end = l.now()
	if failed(resp, err) {
		l.fail(what, resp, err)
		e.outcome = unknown
		l.record(key, e)
		return false
	}
	switch {
	case resp.Status == 200 || resp.Status == 204:
		e.outcome = happened
	case e.condition != "" && (resp.Status == 412 || resp.Status == 404):
		e.outcome = refused
	case e.condition != "" && resp.Status == 409:
		return true // Another writer was at it: nothing is said about the state.
	default:
		l.isWrong("%s answered %d %s: %s", what, resp.Status, resp.Code, resp.Message)
		return true
	}
	l.record(key, e)
	return true
}

func (l *Load) delete(ctx context.Context, key, ifMatch string) bool {
	e := entry{kind: write, wrote: absent, call: l.now()}
	r := s3client.Request{Method: "DELETE", Key: key}
	if ifMatch != "" {
		e.condition, e.value = "If-Match", ifMatch
		r.Header = map[string]string{"If-Match": ifMatch}
	}
	resp, err := l.do(ctx, r)
	return l.written(key, e, resp, err, fmt.Sprintf("delete %q %s", key, ifMatch))
}

func (l *Load) deleteMany(ctx context.Context, rng *rand.Rand) bool {
	var b bytes.Buffer
	b.WriteString("<Delete><Quiet>true</Quiet>")
	keys := map[string]bool{}
	for range 3 {
		keys[Key(rng.IntN(l.Keys))] = true
	}
	for key := range keys {
		b.WriteString("<Object><Key>" + key + "</Key></Object>")
	}
	b.WriteString("</Delete>")
	sum := md5.Sum(b.Bytes())
	e := entry{kind: write, wrote: absent, call: l.now()}
	resp, err := l.do(ctx, s3client.Request{
		Method: "POST", Query: "delete=", Body: b.Bytes(), Header: map[string]string{"Content-MD5": base64.StdEncoding.EncodeToString(sum[:])},
	})
	e.end = l.now()
	e.outcome = happened
	errored := map[string]bool{}
	if failed(resp, err) {
		l.fail("delete many", resp, err)
		e.outcome = unknown
	} else {
		var answer struct{ Error []struct{ Key, Code string } }
		if resp.Status != 200 || xml.Unmarshal(resp.Body, &answer) != nil {
			l.isWrong("delete many answered %d %s", resp.Status, resp.Code)
		}
		for _, one := range answer.Error {
			errored[one.Key] = true
			l.fail(fmt.Sprintf("delete %q among many: %s", one.Key, one.Code), resp, nil)
		}
	}
	for key := range keys {
		one := e
		if errored[key] {
			one.outcome = unknown
		}
		l.record(key, one)
	}
	return e.outcome == happened && len(errored) == 0
}

func (l *Load) copy(ctx context.Context, key string, from int) bool {
	l.mu.Lock()
	etag := etagOf(l.equal[-1-from])
	l.mu.Unlock()
	e := entry{kind: write, wrote: etag, call: l.now()}
	resp, err := l.do(ctx, s3client.Request{
		Method: "PUT", Key: key, Header: map[string]string{"X-Amz-Copy-Source": l.Bucket + "/" + source(from)},
	})
	if err == nil && resp.Status == 200 && bytes.Contains(resp.Body, []byte("<Error>")) {
		resp.Status = 500 // S3 may begin the answer before the copy has failed.
	}
	return l.written(key, e, resp, err, fmt.Sprintf("copy %s to %q", source(from), key))
}

func (l *Load) multipart(ctx context.Context, key string, rng *rand.Rand) bool {
	what := fmt.Sprintf("multipart upload of %q", key)
	resp, err := l.do(ctx, s3client.Request{Method: "POST", Key: key, Query: "uploads="})
	var begun struct{ UploadId string }
	if failed(resp, err) {
		l.fail(what, resp, err)
		return false
	}
	if xml.Unmarshal(resp.Body, &begun) != nil || begun.UploadId == "" {
		l.isWrong("%s: begin answered %d %s", what, resp.Status, resp.Body)
		return true
	}
	id := sigv4.Escape(begun.UploadId, false)
	var whole, sums []byte
	var list strings.Builder
	sizes := []int{5 << 20, 1 + rng.IntN(100_000)}
	if rng.IntN(2) == 0 {
		sizes = sizes[1:]
	}
	for i, size := range sizes {
		data := randomBody(rng, size)
		sum := md5.Sum(data)
		whole, sums = append(whole, data...), append(sums, sum[:]...)
		resp, err := l.do(ctx, s3client.Request{Method: "PUT", Key: key, Query: fmt.Sprintf("partNumber=%d&uploadId=%s", i+1, id), Body: data})
		if failed(resp, err) {
			l.fail(what+": part", resp, err)
			return false
		}
		if resp.Status != 200 {
			l.isWrong("%s: part answered %d %s", what, resp.Status, resp.Code)
			return true
		}
		fmt.Fprintf(&list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, etagOf(data))
	}
	if rng.IntN(5) == 0 {
		resp, err := l.do(ctx, s3client.Request{Method: "DELETE", Key: key, Query: "uploadId=" + id})
		if failed(resp, err) {
			l.fail(what+": abort", resp, err)
			return false
		}
		return true
	}
	sum := md5.Sum(sums)
	etag := fmt.Sprintf(`"%s-%d"`, hex.EncodeToString(sum[:]), len(sizes))
	l.remember(etag, whole)
	e := entry{kind: write, wrote: etag, call: l.now()}
	resp, err = l.do(ctx, s3client.Request{
		Method: "POST", Key: key, Query: "uploadId=" + id, Body: []byte("<CompleteMultipartUpload>" + list.String() + "</CompleteMultipartUpload>"),
	})
	if err == nil && resp.Status == 200 && bytes.Contains(resp.Body, []byte("<Error>")) {
		resp.Status = 500 // The answer had begun before it failed.
	}
	return l.written(key, e, resp, err, what+": complete")
}

// peek returns the ETag of the key now, for a condition; it is a read like others.
func (l *Load) peek(ctx context.Context, key string) (string, bool) {
	e := entry{kind: read, call: l.now()}
	resp, err := l.do(ctx, s3client.Request{Method: "HEAD", Key: key})
	e.end = l.now()
	if failed(resp, err) {
		l.fail(fmt.Sprintf("head %q", key), resp, err)
		return "", false
	}
	switch resp.Status {
	case 200:
		e.saw = resp.Header.Get("ETag")
	case 404:
		e.saw = absent
	default:
		l.isWrong("head %q answered %d", key, resp.Status)
		return "", false
	}
	l.record(key, e)
	return e.saw, true
}

func (l *Load) get(ctx context.Context, key, how string) bool {
	if how == "HEAD" {
		_, ok := l.peek(ctx, key)
		return ok
	}
	e := entry{kind: read, call: l.now()}
	r := s3client.Request{Method: "GET", Key: key}
	if how == "range" {
		r.Header = map[string]string{"Range": "bytes=0-99"}
	}
	resp, err := l.do(ctx, r)
	e.end = l.now()
	if failed(resp, err) {
		l.fail(fmt.Sprintf("get %q", key), resp, err)
		return false
	}
	switch resp.Status {
	case 200:
		e.saw = resp.Header.Get("ETag")
		l.compare(key, e.saw, resp.Body)
	case 206, 416: // 416: an empty object has no first hundred bytes; it carries no ETag to record.
		if resp.Status == 416 {
			return true
		}
		e.saw = resp.Header.Get("ETag")
	case 404:
		e.saw = absent
	default:
		l.isWrong("get %q answered %d %s", key, resp.Status, resp.Code)
		return true
	}
	l.record(key, e)
	return true
}

func (l *Load) compare(key, etag string, data []byte) {
	l.mu.Lock()
	want, known := l.bodies[etag]
	l.mu.Unlock()
	switch {
	case !known:
		l.isWrong("get %q answered ETag %s, which nobody wrote", key, etag)
	case len(data) != want.size:
		l.isWrong("get %q (ETag %s) answered %d bytes instead of %d", key, etag, len(data), want.size)
	case md5.Sum(data) != want.md5:
		l.isWrong("get %q (ETag %s, %d bytes) answered other bytes than were put", key, etag, len(data))
	}
}

// list reads a prefix page by page: one read of each of its keys.
func (l *Load) list(ctx context.Context, prefix, page int) bool {
	e := entry{kind: read, call: l.now()}
	seen := map[string]string{}
	token, last := "", ""
	for {
		query := fmt.Sprintf("list-type=2&prefix=p%d%%2F&max-keys=%d", prefix, page)
		if token != "" {
			query += "&continuation-token=" + sigv4.Escape(token, false)
		}
		resp, err := l.do(ctx, s3client.Request{Method: "GET", Query: query})
		if failed(resp, err) {
			l.fail("list", resp, err)
			return false
		}
		var answer struct {
			NextContinuationToken string
			Contents              []struct{ Key, ETag string }
		}
		if resp.Status != 200 || xml.Unmarshal(resp.Body, &answer) != nil {
			l.isWrong("list answered %d %s", resp.Status, resp.Code)
			return true
		}
		for _, c := range answer.Contents {
			if c.Key <= last {
				l.isWrong("list answered %q after %q", c.Key, last)
			}
			seen[c.Key], last = c.ETag, c.Key
		}
		if token = answer.NextContinuationToken; token == "" {
			break
		}
	}
	e.end = l.now()
	for i := prefix; i < l.Keys; i += 3 {
		one := e
		if one.saw = seen[Key(i)]; one.saw == "" {
			one.saw = absent
		}
		l.record(Key(i), one)
		delete(seen, Key(i))
	}
	for key := range seen {
		l.isWrong("list answered %q, which nobody wrote", key)
	}
	return true
}
