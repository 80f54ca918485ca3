package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"strings"
	"sync/atomic"

	"deuxfleurs.fr/garage/tools/sigv4"
)

// row is one load.
type row struct {
	name string
	// size is the bytes that one operation carries.
	size int
	// cold rows drop the page cache before they are measured.
	cold bool
	// prepare stores what is read; at least n objects.
	prepare func(e *env, n int) error
	// once is one operation of client number c.
	once func(e *env, k *conn, c int) error
	// objects is how many objects prepare stores.
	objects int
	// limit bounds the operations of one measurement.
	limit int64
}

// env is one target with what was prepared on it.
type env struct {
	*target
	next atomic.Int64
	// stored says which prefixes have been prepared.
	stored map[string]int
}

const (
	kib = 1 << 10
	mib = 1 << 20
	// partSize is that of multipart uploads.
	partSize = 8 * mib
	// prefixes group the keys of the listings.
	prefixes = 100
)

func rows(listKeys int) []row {
	all := []row{}
	for _, s := range []struct {
		name          string
		size, objects int
		limit         int64
	}{{"4KiB", 4 * kib, 2000, 100_000}, {"64KiB", 64 * kib, 1000, 40_000}, {"1MiB", mib, 200, 4000}} {
		all = append(all,
			row{name: "put-" + s.name, size: s.size, limit: s.limit, once: put(s.size, fresh)},
			row{name: "get-" + s.name, size: s.size, objects: s.objects, limit: s.limit, prepare: store(s.size), once: get(s.size)},
			row{name: "get-cold-" + s.name, size: s.size, objects: s.objects, limit: int64(s.objects), cold: true, prepare: store(s.size), once: get(s.size)})
	}
	list := store(100)
	return append(all,
		row{name: "put-64MiB", size: 64 * mib, limit: 60, once: multipart(64 * mib)},
		row{name: "get-64MiB", size: 64 * mib, limit: 200, objects: 4, prepare: store(64 * mib), once: get(64 * mib)},
		row{name: "get-cold-64MiB", size: 64 * mib, limit: 4, objects: 4, cold: true, prepare: store(64 * mib), once: get(64 * mib)},
		row{name: "put-equal-1MiB", size: mib, limit: 4000, once: put(mib, equal)},
		row{name: "head", limit: 100_000, objects: 2000, prepare: store(4 * kib), once: head},
		row{name: "put-delete-4KiB", limit: 20_000, once: putDelete},
		row{name: "list-100-keys", limit: 4000, objects: listKeys, prepare: list, once: listPage(100)},
		row{name: "list-1000-keys", limit: 2000, objects: listKeys, prepare: list, once: listPage(1000)},
		row{name: "list-all-keys", limit: 100, objects: listKeys, prepare: list, once: listAll},
		row{name: "list-delimiter", limit: 2000, objects: listKeys, prepare: list, once: listGroups},
	)
}

func (e *env) key(c int) string {
	// A random head spreads the keys as names of people's files are spread.
	var head [4]byte
	_, _ = rand.Read(head[:]) // It cannot fail: it ends the program instead.
	return fmt.Sprintf("put/%s/%d-%d", hex.EncodeToString(head[:]), c, e.next.Add(1))
}

func put(size int, make func(int) body) func(*env, *conn, int) error {
	return func(e *env, k *conn, c int) error {
		_, err := k.do("PUT", e.bucket, e.key(c), "", make(size), false)
		return err
	}
}

func storedKey(size, i int) string {
	return fmt.Sprintf("stored-%d/prefix-%02d/key-%07d", size, i%prefixes, i)
}

// store puts n objects of a size, with 16 clients, unless they are there.
func store(size int) func(*env, int) error {
	return func(e *env, n int) error {
		prefix := fmt.Sprint(size)
		begin := e.stored[prefix]
		var next atomic.Int64
		next.Store(int64(begin))
		err := clients(e.target, 16, func(k *conn, _ int) error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if size > partSize {
					if err := multipartTo(e, k, storedKey(size, i), size); err != nil {
						return err
					}
					continue
				}
				if _, err := k.do("PUT", e.bucket, storedKey(size, i), "", fresh(size), false); err != nil {
					return err
				}
			}
		})
		e.stored[prefix] = max(begin, n)
		return err
	}
}

func get(size int) func(*env, *conn, int) error {
	return func(e *env, k *conn, _ int) error {
		i := int(e.next.Add(1)) % e.stored[fmt.Sprint(size)]
		a, err := k.do("GET", e.bucket, storedKey(size, i), "", nil, false)
		if err == nil && a.length != int64(size) {
			err = fmt.Errorf("GET answered %d bytes instead of %d", a.length, size)
		}
		return err
	}
}

func head(e *env, k *conn, _ int) error {
	i := int(e.next.Add(1)) % e.stored[fmt.Sprint(4*kib)]
	_, err := k.do("HEAD", e.bucket, storedKey(4*kib, i), "", nil, false)
	return err
}

// putDelete is a PUT of 4 KiB and its DELETE, as one operation.
func putDelete(e *env, k *conn, c int) error {
	key := e.key(c)
	if _, err := k.do("PUT", e.bucket, key, "", fresh(4*kib), false); err != nil {
		return err
	}
	_, err := k.do("DELETE", e.bucket, key, "", nil, false)
	return err
}

func multipart(size int) func(*env, *conn, int) error {
	return func(e *env, k *conn, c int) error { return multipartTo(e, k, e.key(c), size) }
}

func multipartTo(e *env, k *conn, key string, size int) error {
	a, err := k.do("POST", e.bucket, key, "uploads=", nil, true)
	if err != nil {
		return err
	}
	var begun struct{ UploadId string }
	if err := xml.Unmarshal(a.text, &begun); err != nil {
		return err
	}
	id := sigv4.Escape(begun.UploadId, false)
	var list strings.Builder
	for part := 1; size > 0; part++ {
		n := min(size, partSize)
		a, err := k.do("PUT", e.bucket, key, fmt.Sprintf("partNumber=%d&uploadId=%s", part, id), fresh(n), false)
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", part, a.etag)
		size -= n
	}
	a, err = k.do("POST", e.bucket, key, "uploadId="+id, body{[]byte("<CompleteMultipartUpload>" + list.String() + "</CompleteMultipartUpload>")}, true)
	if err == nil && strings.Contains(string(a.text), "<Error>") {
		err = fmt.Errorf("complete: %s", a.text)
	}
	return err
}

// listPage lists the first keys of one prefix, which has a hundredth of all.
func listPage(keys int) func(*env, *conn, int) error {
	return func(e *env, k *conn, _ int) error {
		i := int(e.next.Add(1)) % prefixes
		a, err := k.do("GET", e.bucket, "", fmt.Sprintf("list-type=2&max-keys=%d&prefix=stored-100%%2Fprefix-%02d%%2F", keys, i), nil, true)
		if got := strings.Count(string(a.text), "<Key>"); err == nil && got != min(keys, e.stored["100"]/prefixes) {
			err = fmt.Errorf("a listing of %d keys", got)
		}
		return err
	}
}

// listAll lists all keys, in pages of 1,000, as one operation.
func listAll(e *env, k *conn, _ int) error {
	got, token := 0, ""
	for {
		query := "list-type=2&prefix=stored-100%2F"
		if token != "" {
			query += "&continuation-token=" + sigv4.Escape(token, false)
		}
		a, err := k.do("GET", e.bucket, "", query, nil, true)
		if err != nil {
			return err
		}
		got += strings.Count(string(a.text), "<Key>")
		_, rest, more := strings.Cut(string(a.text), "<NextContinuationToken>")
		if !more {
			break
		}
		token, _, _ = strings.Cut(rest, "<")
	}
	if got != e.stored["100"] {
		return fmt.Errorf("a listing of %d keys instead of %d", got, e.stored["100"])
	}
	return nil
}

// listGroups lists all keys with a delimiter: 100 common prefixes.
func listGroups(e *env, k *conn, _ int) error {
	a, err := k.do("GET", e.bucket, "", "list-type=2&delimiter=%2F&prefix=stored-100%2F", nil, true)
	if err == nil && strings.Count(string(a.text), "<CommonPrefixes>") != prefixes {
		err = fmt.Errorf("a listing of %d common prefixes", strings.Count(string(a.text), "<CommonPrefixes>"))
	}
	return err
}
