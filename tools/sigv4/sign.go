package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Values of the x-amz-content-sha256 header other than a hash.
const (
	// Unsigned says that the body is not part of the signature.
	Unsigned = "UNSIGNED-PAYLOAD"
	// Empty is the SHA-256 of no bytes.
	Empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// TimeFormat is the form of x-amz-date.
const TimeFormat = "20060102T150405Z"

// Signer holds credentials and the scope they sign for. It is safe for concurrent use.
type Signer struct {
	AccessKey string
	SecretKey string
	Region    string
	// Service is "s3" when empty.
	Service string

	mu  sync.Mutex
	day string
	key []byte
}

// Sign adds x-amz-date, x-amz-content-sha256 and Authorization to the request. payload is the hash of the body in hex,
// [Unsigned], or one of the STREAMING names. Every header already set is signed, and the host always.
func (s *Signer) Sign(req *http.Request, payload string, at time.Time) {
	req.Header.Set("X-Amz-Date", at.UTC().Format(TimeFormat))
	req.Header.Set("X-Amz-Content-Sha256", payload)
	names, headers := canonicalHeaders(req)
	seed := s.signature(req.Method, Path(req.URL), canonicalQuery(req.URL.RawQuery), headers, names, payload, at)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.AccessKey+"/"+s.scope(at)+
		",SignedHeaders="+names+",Signature="+seed)
}

// Presign puts the signature into the query: the URL is then good for anybody until it expires.
func (s *Signer) Presign(req *http.Request, expires time.Duration, at time.Time) {
	names, headers := canonicalHeaders(req)
	query := req.URL.RawQuery
	add := func(name, value string) {
		if query != "" {
			query += "&"
		}
		query += name + "=" + Escape(value, false)
	}
	add("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
	add("X-Amz-Credential", s.AccessKey+"/"+s.scope(at))
	add("X-Amz-Date", at.UTC().Format(TimeFormat))
	add("X-Amz-Expires", strconv.Itoa(int(expires/time.Second)))
	add("X-Amz-SignedHeaders", names)
	signature := s.signature(req.Method, Path(req.URL), canonicalQuery(query), headers, names, Unsigned, at)
	add("X-Amz-Signature", signature)
	req.URL.RawQuery = query
}

// SignPolicy returns the signature of a POST form's policy, given as base64.
func (s *Signer) SignPolicy(policy string, at time.Time) string {
	return hex.EncodeToString(mac(s.signingKey(at), policy))
}

// Credential returns the value of x-amz-credential.
func (s *Signer) Credential(at time.Time) string { return s.AccessKey + "/" + s.scope(at) }

// Path returns the path of the URL as it goes over the wire.
func Path(u *url.URL) string {
	if path := u.EscapedPath(); path != "" {
		return path
	}
	return "/"
}

// Escape encodes as SigV4 does: everything but A-Z a-z 0-9 - . _ ~ and, if asked, the slash.
func Escape(s string, keepSlash bool) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// Hash returns the SHA-256 of the body in hex.
func Hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func (s *Signer) signature(method, path, query, headers, names, payload string, at time.Time) string {
	canonical := method + "\n" + path + "\n" + query + "\n" + headers + "\n" + names + "\n" + payload
	text := "AWS4-HMAC-SHA256\n" + at.UTC().Format(TimeFormat) + "\n" + s.scope(at) + "\n" + Hash([]byte(canonical))
	return hex.EncodeToString(mac(s.signingKey(at), text))
}

func (s *Signer) service() string {
	if s.Service == "" {
		return "s3"
	}
	return s.Service
}

func (s *Signer) scope(at time.Time) string {
	return at.UTC().Format("20060102") + "/" + s.Region + "/" + s.service() + "/aws4_request"
}

func (s *Signer) signingKey(at time.Time) []byte {
	day := at.UTC().Format("20060102")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.day != day {
		key := mac([]byte("AWS4"+s.SecretKey), day)
		key = mac(mac(key, s.Region), s.service())
		s.key, s.day = mac(key, "aws4_request"), day
	}
	return s.key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// canonicalHeaders returns the names of the signed headers and the headers in canonical form.
func canonicalHeaders(req *http.Request) (names, headers string) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	values := map[string]string{"host": host}
	order := []string{"host"}
	for name, all := range req.Header {
		name = strings.ToLower(name)
		if name == "authorization" || name == "user-agent" || name == "accept-encoding" || name == "expect" {
			continue
		}
		trimmed := make([]string, len(all))
		for i, v := range all {
			trimmed[i] = strings.Join(strings.Fields(v), " ")
		}
		values[name] = strings.Join(trimmed, ",")
		order = append(order, name)
	}
	if _, set := values["content-length"]; !set && req.ContentLength > 0 {
		values["content-length"] = strconv.FormatInt(req.ContentLength, 10)
		order = append(order, "content-length")
	}
	sort.Strings(order)
	var b strings.Builder
	for _, name := range order {
		b.WriteString(name + ":" + values[name] + "\n")
	}
	return strings.Join(order, ";"), b.String()
}

// canonicalQuery sorts the parameters; they must be encoded as [Escape] does already.
func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	for i, p := range parts {
		name, value, _ := strings.Cut(p, "=")
		parts[i] = reescape(name) + "=" + reescape(value)
	}
	sort.Strings(parts)
	return strings.Join(parts, "&")
}

func reescape(s string) string {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return Escape(plain, false)
}
