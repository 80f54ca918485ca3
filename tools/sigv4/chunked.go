package sigv4

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Forms of an aws-chunked body, as x-amz-content-sha256 names them.
const (
	StreamingSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// Trailer is a header that follows an aws-chunked body, with its name in lower case.
type Trailer struct{ Name, Value string }

// SignChunked signs the request, whose headers are set but for the body, and returns the body in aws-chunked form, cut
// into pieces of the given size. form is one of the STREAMING names. The caller sets the request's body and length; the
// length is known before, from [ChunkedLength].
func (s *Signer) SignChunked(req *http.Request, form string, body []byte, piece int, trailer *Trailer, at time.Time) []byte {
	req.Header.Set("Content-Encoding", "aws-chunked")
	req.Header.Set("X-Amz-Decoded-Content-Length", strconv.Itoa(len(body)))
	if trailer != nil {
		req.Header.Set("X-Amz-Trailer", trailer.Name)
	}
	req.ContentLength = int64(ChunkedLength(form, len(body), piece, trailer))
	s.Sign(req, form, at)
	_, previous, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
	return s.frame(form, body, piece, trailer, previous, at)
}

// ChunkedLength returns the length of a body in aws-chunked form.
func ChunkedLength(form string, length, piece int, trailer *Trailer) int {
	empty := &Signer{}
	return len(empty.frame(form, make([]byte, length), piece, trailer, strings.Repeat("0", 64), time.Unix(0, 0)))
}

func (s *Signer) frame(form string, body []byte, piece int, trailer *Trailer, previous string, at time.Time) []byte {
	signed := form != StreamingUnsignedTrailer
	var out bytes.Buffer
	chunk := func(data []byte) {
		fmt.Fprintf(&out, "%x", len(data))
		if signed {
			text := "AWS4-HMAC-SHA256-PAYLOAD\n" + at.UTC().Format(TimeFormat) + "\n" + s.scope(at) + "\n" +
				previous + "\n" + Empty + "\n" + Hash(data)
			previous = hex.EncodeToString(mac(s.signingKey(at), text))
			out.WriteString(";chunk-signature=" + previous)
		}
		out.WriteString("\r\n")
		if len(data) > 0 {
			out.Write(data)
			out.WriteString("\r\n")
		}
	}
	for rest := body; len(rest) > 0; {
		n := min(piece, len(rest))
		chunk(rest[:n])
		rest = rest[n:]
	}
	chunk(nil)
	if trailer != nil {
		out.WriteString(trailer.Name + ":" + trailer.Value + "\r\n")
		if signed {
			text := "AWS4-HMAC-SHA256-TRAILER\n" + at.UTC().Format(TimeFormat) + "\n" + s.scope(at) + "\n" + previous + "\n" +
				Hash([]byte(trailer.Name+":"+trailer.Value+"\n"))
			out.WriteString("x-amz-trailer-signature:" + hex.EncodeToString(mac(s.signingKey(at), text)) + "\r\n")
		}
	}
	out.WriteString("\r\n")
	return out.Bytes()
}

// NewRequest makes a request for a key with the path encoded byte for byte, whatever the key is.
// A query is given raw, already encoded.
func NewRequest(method, endpoint, bucket, key, rawQuery string) (*http.Request, error) {
	req, err := http.NewRequest(method, endpoint, nil)
	if err != nil {
		return nil, err
	}
	path := "/"
	if bucket != "" {
		path += bucket
		if key != "" {
			path += "/" + key
		}
	}
	req.URL.Path = path
	req.URL.RawPath = Escape(path, true)
	req.URL.RawQuery = rawQuery
	return req, nil
}
