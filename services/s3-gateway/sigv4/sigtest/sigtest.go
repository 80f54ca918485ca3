// Package sigtest signs requests for tests, as a client would. It shares no code with the verifier that it tests; it
// follows AWS's description of Signature Version 4 in the plainest way.
package sigtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"
)

// The values of x-amz-content-sha256 that are not a hash.
const (
	Unsigned              = "UNSIGNED-PAYLOAD"
	StreamSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// Signer signs as one access key, for one region, at one time.
type Signer struct {
	AccessKey, Secret, Region string
	Time                      time.Time
}

func (s Signer) stamp() string { return s.Time.UTC().Format("20060102T150405Z") }
func (s Signer) scope() string {
	return s.Time.UTC().Format("20060102") + "/" + s.Region + "/s3/aws4_request"
}

func mac(key []byte, msg string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(msg))
	return h.Sum(nil)
}

// Hash is the SHA-256 of data in hexadecimal, as x-amz-content-sha256 wants it.
func Hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Over signs a string to sign.
func (s Signer) Over(stringToSign string) string {
	k := mac([]byte("AWS4"+s.Secret), s.Time.UTC().Format("20060102"))
	for _, part := range []string{s.Region, "s3", "aws4_request"} {
		k = mac(k, part)
	}
	return hex.EncodeToString(mac(k, stringToSign))
}

func escape(s string, keepSlash bool) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 || keepSlash && c == '/' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func (s Signer) signature(r *http.Request, signed []string, query url.Values, payload string) string {
	var names, pairs []string
	for name := range query {
		names = append(names, escape(name, false))
	}
	sort.Strings(names)
	for _, name := range names {
		plain, _ := url.PathUnescape(name)
		var values []string
		for _, v := range query[plain] {
			values = append(values, escape(v, false))
		}
		sort.Strings(values)
		for _, v := range values {
			pairs = append(pairs, name+"="+v)
		}
	}
	path, err := url.PathUnescape(r.URL.EscapedPath())
	if err != nil {
		panic(err)
	}
	canonical := r.Method + "\n" + escape(path, true) + "\n" + strings.Join(pairs, "&") + "\n"
	for _, name := range signed {
		var values []string
		if name == "host" {
			values = []string{host(r)}
		}
		for _, v := range r.Header.Values(name) {
			values = append(values, strings.Join(strings.Fields(v), " "))
		}
		canonical += name + ":" + strings.Join(values, ",") + "\n"
	}
	canonical += "\n" + strings.Join(signed, ";") + "\n" + payload
	return s.Over("AWS4-HMAC-SHA256\n" + s.stamp() + "\n" + s.scope() + "\n" + Hash([]byte(canonical)))
}

func host(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

// Sign sets x-amz-date, x-amz-content-sha256 (to payload) and Authorization. All headers present are signed. It returns
// the signature, which seeds those of an aws-chunked body.
func (s Signer) Sign(r *http.Request, payload string) string {
	r.Header.Del("Authorization")
	r.Header.Set("X-Amz-Date", s.stamp())
	r.Header.Set("X-Amz-Content-Sha256", payload)
	signed := headers(r)
	sig := s.signature(r, signed, r.URL.Query(), payload)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.AccessKey+"/"+s.scope()+
		", SignedHeaders="+strings.Join(signed, ";")+", Signature="+sig)
	return sig
}

func headers(r *http.Request) []string {
	signed := []string{"host"}
	for name := range r.Header {
		if name != "User-Agent" && name != "Content-Length" {
			signed = append(signed, strings.ToLower(name))
		}
	}
	sort.Strings(signed)
	return signed
}

// Presign puts the signature into the query. All headers present are signed.
func (s Signer) Presign(r *http.Request, expires time.Duration) {
	signed := headers(r)
	q := r.URL.Query()
	q.Set("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
	q.Set("X-Amz-Credential", s.AccessKey+"/"+s.scope())
	q.Set("X-Amz-Date", s.stamp())
	q.Set("X-Amz-Expires", fmt.Sprint(int64(expires/time.Second)))
	q.Set("X-Amz-SignedHeaders", strings.Join(signed, ";"))
	q.Del("X-Amz-Signature")
	payload := Unsigned
	if h := r.Header.Get("X-Amz-Content-Sha256"); h != "" {
		payload = h
	}
	q.Set("X-Amz-Signature", s.signature(r, signed, q, payload))
	r.URL.RawQuery = q.Encode()
	if r.RequestURI != "" {
		r.RequestURI = r.URL.RequestURI()
	}
}

// Trailer is one line of a trailer.
type Trailer struct{ Name, Value string }

// Chunked encodes a body as aws-chunked in chunks of size bytes. With a seed (the request's signature) every chunk is
// signed, and the trailer too if there is one.
func (s Signer) Chunked(seed string, body []byte, size int, trailer ...Trailer) []byte {
	var out bytes.Buffer
	previous := seed
	for {
		chunk := body[:min(size, len(body))]
		body = body[len(chunk):]
		fmt.Fprintf(&out, "%x", len(chunk))
		if seed != "" {
			previous = s.Over("AWS4-HMAC-SHA256-PAYLOAD\n" + s.stamp() + "\n" + s.scope() + "\n" + previous + "\n" + Hash(nil) + "\n" + Hash(chunk))
			out.WriteString(";chunk-signature=" + previous)
		}
		out.WriteString("\r\n")
		if len(chunk) == 0 {
			break
		}
		out.Write(chunk)
		out.WriteString("\r\n")
	}
	var canonical string
	for _, t := range trailer {
		out.WriteString(t.Name + ":" + t.Value + "\r\n")
		canonical += t.Name + ":" + t.Value + "\n"
	}
	if seed != "" && len(trailer) > 0 {
		sig := s.Over("AWS4-HMAC-SHA256-TRAILER\n" + s.stamp() + "\n" + s.scope() + "\n" + previous + "\n" + Hash([]byte(canonical)))
		out.WriteString("x-amz-trailer-signature:" + sig + "\r\n")
	}
	out.WriteString("\r\n")
	return out.Bytes()
}

// Policy gives the fields that sign a POST form's policy (in base64).
func (s Signer) Policy(policy string) map[string]string {
	return map[string]string{
		"policy":           policy,
		"x-amz-algorithm":  "AWS4-HMAC-SHA256",
		"x-amz-credential": s.AccessKey + "/" + s.scope(),
		"x-amz-date":       s.stamp(),
		"x-amz-signature":  s.Over(policy),
	}
}
