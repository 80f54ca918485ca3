package api_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/services/s3-gateway/api/apitest"
)

// model is what S3 promises of a bucket, in the plainest form.
type model map[string]modelObject

type modelObject struct {
	body []byte
	etag string
	meta string
}

// keys are few, so that operations meet; some are prefixes of others.
var modelKeys = []string{"a", "a/", "a/b", "a/b/c", "a//b", "b", "b c", "z%2Fz", "é"}

// sizes lie on both sides of every threshold.
var modelSizes = []int{0, 1, 4096, 4097, 65536, 65537, apitest.ChunkSize, apitest.ChunkSize + 1, 3*apitest.ChunkSize + 5}

func TestRandomOperationsBehaveLikeTheModel(t *testing.T) {
	for seed := range int64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			_, c := start(t, apitest.Options{})
			m := &modelRun{t: t, c: c, rnd: rand.New(rand.NewSource(seed)), model: model{}}
			for range 150 {
				m.step()
			}
			m.list("", "")
		})
	}
}

type modelRun struct {
	t     *testing.T
	c     *apitest.Client
	rnd   *rand.Rand
	model model
}

func pick[T any](rnd *rand.Rand, list []T) T { return list[rnd.Intn(len(list))] }

func (m *modelRun) step() {
	key := pick(m.rnd, modelKeys)
	switch n := m.rnd.Intn(100); {
	case n < 30:
		m.put(key)
	case n < 55:
		m.get(key)
	case n < 65:
		m.remove(key)
	case n < 75:
		m.copy(pick(m.rnd, modelKeys), key)
	case n < 80:
		m.removeMany()
	case n < 90:
		m.list(pick(m.rnd, []string{"", "a", "a/", "b"}), pick(m.rnd, []string{"", "/", "/b"}))
	default:
		m.getRange(key)
	}
}

func (m *modelRun) body() []byte {
	p := make([]byte, pick(m.rnd, modelSizes))
	m.rnd.Read(p)
	return p
}

// condition draws a conditional header, and says whether it holds.
func (m *modelRun) condition(key string) (header map[string]string, holds int) {
	old, exists := m.model[key]
	switch m.rnd.Intn(4) {
	case 0:
		if exists {
			return map[string]string{"If-None-Match": "*"}, http.StatusPreconditionFailed
		}
		return map[string]string{"If-None-Match": "*"}, http.StatusOK
	case 1:
		if exists {
			return map[string]string{"If-Match": old.etag}, http.StatusOK
		}
		return map[string]string{"If-Match": `"abc"`}, http.StatusNotFound
	case 2:
		if exists {
			return map[string]string{"If-Match": `"abc"`}, http.StatusPreconditionFailed
		}
	}
	return nil, http.StatusOK
}

func (m *modelRun) put(key string) {
	header, want := m.condition(key)
	if header == nil {
		header = map[string]string{}
	}
	body, meta := m.body(), fmt.Sprint(m.rnd.Intn(1000))
	header["x-amz-meta-n"] = meta
	r := putWith(m.c, key, body, header)
	require.Equal(m.t, want, r.Status, "PUT %q %v", key, header)
	if want == http.StatusOK {
		m.model[key] = modelObject{body, r.Header.Get("ETag"), meta}
	}
}

func (m *modelRun) get(key string) {
	r := get(m.c, key)
	o, exists := m.model[key]
	if !exists {
		require.Equal(m.t, http.StatusNotFound, r.Status, "GET %q", key)
		return
	}
	require.Equal(m.t, http.StatusOK, r.Status, "GET %q", key)
	require.True(m.t, bytes.Equal(o.body, r.Body), "GET %q", key)
	require.Equal(m.t, o.etag, r.Header.Get("ETag"))
	require.Equal(m.t, o.meta, r.Header.Get("x-amz-meta-n"))
}

func (m *modelRun) getRange(key string) {
	o, exists := m.model[key]
	if !exists || len(o.body) == 0 {
		return
	}
	from := m.rnd.Intn(len(o.body))
	to := from + 1 + m.rnd.Intn(len(o.body)-from)
	r := getWith(m.c, key, map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", from, to-1)})
	require.Equal(m.t, http.StatusPartialContent, r.Status)
	require.True(m.t, bytes.Equal(o.body[from:to], r.Body), "GET %q [%d:%d]", key, from, to)
}

func (m *modelRun) remove(key string) {
	r := m.c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName, Key: key})
	require.Equal(m.t, http.StatusNoContent, r.Status)
	delete(m.model, key)
}

func (m *modelRun) removeMany() {
	var doc strings.Builder
	doc.WriteString("<Delete>")
	for range 1 + m.rnd.Intn(4) {
		key := pick(m.rnd, modelKeys)
		fmt.Fprintf(&doc, "<Object><Key>%s</Key></Object>", key)
		delete(m.model, key)
	}
	r, _ := deleteKeys(m.t, m.c, doc.String()+"</Delete>")
	require.Equal(m.t, http.StatusOK, r.Status)
}

func (m *modelRun) copy(from, to string) {
	r := copyTo(m.c, to, "/"+bucketName+"/"+apitest.Escape(from), nil)
	src, exists := m.model[from]
	switch {
	case !exists:
		require.Equal(m.t, http.StatusNotFound, r.Status)
	case from == to:
		require.Equal(m.t, "InvalidRequest", r.Code)
	default:
		require.Equal(m.t, http.StatusOK, r.Status, "%s", r.Body)
		m.model[to] = src
	}
}

func (m *modelRun) list(prefix, delimiter string) {
	var keys, prefixes []string
	for _, key := range slices.Sorted(maps.Keys(m.model)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if head, _, found := strings.Cut(key[len(prefix):], delimiter); found && delimiter != "" {
			if p := prefix + head + delimiter; !slices.Contains(prefixes, p) {
				prefixes = append(prefixes, p)
			}
			continue
		}
		keys = append(keys, key)
	}
	var gotKeys, gotPrefixes []string
	q := values("list-type", "2", "prefix", prefix, "delimiter", delimiter, "max-keys", fmt.Sprint(1+m.rnd.Intn(5)))
	for {
		l := list(m.t, m.c, q)
		for _, o := range l.Contents {
			gotKeys = append(gotKeys, o.Key)
			require.Equal(m.t, m.model[o.Key].etag, o.ETag)
			require.EqualValues(m.t, len(m.model[o.Key].body), o.Size)
		}
		gotPrefixes = append(gotPrefixes, l.CommonPrefixes...)
		if !l.IsTruncated {
			break
		}
		q.Set("continuation-token", l.NextContinuationToken)
	}
	require.Equal(m.t, keys, gotKeys, "prefix %q, delimiter %q", prefix, delimiter)
	require.Equal(m.t, prefixes, gotPrefixes, "prefix %q, delimiter %q", prefix, delimiter)
}

// What several clients do to one key at the same time must look as if they had done it one after the other.

type registerInput struct {
	op    string // "put", "create" (If-None-Match: *), "get", "delete"
	value string
}

type registerOutput struct {
	status int
	value  string
}

var register = porcupine.Model{
	Init: func() any { return "" }, // "": there is no object
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(string), input.(registerInput), output.(registerOutput)
		switch in.op {
		case "put":
			return out.status == 200, in.value
		case "create":
			if out.status == 200 {
				return s == "", in.value
			}
			return out.status == 412 && s != "" || out.status == 409, s
		case "delete":
			return out.status == 204, ""
		}
		if out.status == 404 {
			return s == "", s
		}
		return out.status == 200 && out.value == s, s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v → %v", input, output) },
}

func TestConcurrentOperationsOnAKeyHaveAnOrder(t *testing.T) {
	_, c := start(t, apitest.Options{})
	const clients, operations = 6, 40
	for _, size := range []int{8, 2*apitest.ChunkSize + 8} {
		begun := time.Now()
		history := make([][]porcupine.Operation, clients)
		var wg sync.WaitGroup
		for id := range clients {
			wg.Go(func() {
				rnd := rand.New(rand.NewSource(int64(id)))
				own := *c
				for n := range operations {
					in := registerInput{op: pick(rnd, []string{"put", "create", "get", "get", "delete"}), value: fmt.Sprintf("%02d-%04d;", id, n)}
					call := time.Since(begun).Nanoseconds()
					out := runRegister(&own, in, size)
					history[id] = append(history[id], porcupine.Operation{ClientId: id, Input: in, Output: out, Call: call, Return: time.Since(begun).Nanoseconds()})
				}
			})
		}
		wg.Wait()
		result, _ := porcupine.CheckOperationsVerbose(register, slices.Concat(history...), time.Minute)
		require.Equal(t, porcupine.Ok, result, "bodies of %d bytes", size)
		c.Do(apitest.Request{Method: "DELETE", Bucket: bucketName, Key: "key"})
	}
}

// runRegister does one operation. A body repeats its value, so that a mixture of two would show.
func runRegister(c *apitest.Client, in registerInput, size int) registerOutput {
	r := apitest.Request{Bucket: bucketName, Key: "key"}
	switch in.op {
	case "get":
		r.Method = "GET"
	case "delete":
		r.Method = "DELETE"
	default:
		r.Method, r.Body = "PUT", bytes.Repeat([]byte(in.value), size/8)
		if in.op == "create" {
			r.Header = map[string]string{"If-None-Match": "*"}
		}
	}
	resp := c.Do(r)
	out := registerOutput{status: resp.Status}
	if in.op == "get" && resp.Status == 200 {
		out.value = "mixed"
		if len(resp.Body) >= 8 {
			if v := string(resp.Body[:8]); string(resp.Body) == strings.Repeat(v, size/8) {
				out.value = v
			}
		}
	}
	return out
}
