package accesslog

import (
	"net/url"
	"strings"
	"time"

	"deuxfleurs.fr/garage/pkg/telemetry"
)

// Entry is a request that has ended.
type Entry struct {
	Time      time.Time `json:"time"`                 // when it arrived
	RequestID string    `json:"request_id"`           // as the client was told
	TraceID   string    `json:"trace_id,omitempty"`   // if it is traced
	Remote    string    `json:"remote"`               // address and port of the client, or of the proxy before it
	Forwarded string    `json:"forwarded,omitempty"`  // X-Forwarded-For, as received
	AccessKey string    `json:"access_key,omitempty"` // whose signature was good; none: anonymous, or refused
	Name      string    `json:"name,omitempty"`       // of the owner of the key
	Operation string    `json:"operation"`            // as PutObject
	Method    string    `json:"method"`
	Host      string    `json:"host"`
	Path      string    `json:"path"`            // as received, encoded
	Query     string    `json:"query,omitempty"` // as received, encoded, without what is secret
	Bucket    string    `json:"bucket,omitempty"`
	Key       string    `json:"key,omitempty"`
	Protocol  string    `json:"protocol"` // as HTTP/1.1
	TLS       bool      `json:"tls"`
	Status    int       `json:"status"`          // of the answer; 0: none was sent
	Error     string    `json:"error,omitempty"` // S3's code
	Cut       bool      `json:"cut,omitempty"`   // the connection was cut before the whole answer was sent
	Received  int64     `json:"received_bytes"`  // of the body, as declared; -1: not declared
	Sent      int64     `json:"sent_bytes"`      // of the body of the answer
	Duration  float64   `json:"duration_seconds"`
	UserAgent string    `json:"user_agent,omitempty"`
	Referer   string    `json:"referer,omitempty"`
}

// maxText bounds what is written of a header, and maxName of what is addressed, in bytes: the queue of lines is bounded with it.
const (
	maxText = 512
	maxName = 4 << 10
)

// Text is what is written of a header that the client chose.
func Text(s string) string { return telemetry.Clip(s, maxText) }

// Name is what is written of a path, a bucket or a key.
func Name(s string) string { return telemetry.Clip(s, maxName) }

// redacted stands in the place of what is secret.
const redacted = "REDACTED"

// secret are the parameters, in lower case, that let who knows them do what the signer may.
var secret = map[string]bool{"x-amz-signature": true, "signature": true, "x-amz-security-token": true}

// Query is what is written of a raw query: nothing of the values that are secret.
func Query(raw string) string {
	if raw == "" {
		return ""
	}
	pairs := strings.Split(raw, "&")
	for i, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			pairs[i] = redacted // whatever it is
		} else if secret[strings.ToLower(strings.TrimSpace(plain))] {
			pairs[i] = name + "=" + redacted
		}
	}
	return Name(strings.Join(pairs, "&")) // only now, as a part of a name would not be known as secret
}
