package awschunked

import (
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4"
)

// Body is the payload of a request, decoded and checked. It is read by one goroutine.
type Body interface {
	// Read gives payload bytes. io.EOF, and only io.EOF, says that the whole body was right. An empty payload answers it
	// also to a Read without room. Its errors carry S3's codes.
	io.Reader
	// Len is the payload's length in bytes, as declared and enforced.
	Len() int64
	// Trailer gives the value of a trailing header (lower-case name), "" if there is none. It is complete after io.EOF.
	Trailer(name string) string
}

// Announced gives the names (lower-case) that x-amz-trailer announces.
func Announced(h http.Header) []string {
	var names []string
	for _, v := range h.Values("X-Amz-Trailer") {
		for name := range strings.SplitSeq(v, ",") {
			if name = strings.ToLower(strings.Trim(name, " \t")); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// ContentEncoding takes aws-chunked out of a Content-Encoding: it is of the request, not of the object.
func ContentEncoding(value string) string {
	if !strings.Contains(strings.ToLower(value), "aws-chunked") {
		return value
	}
	var keep []string
	for coding := range strings.SplitSeq(value, ",") {
		coding = strings.Trim(coding, " \t")
		if coding != "" && !strings.EqualFold(coding, "aws-chunked") {
			keep = append(keep, coding)
		}
	}
	return strings.Join(keep, ",")
}

// New gives the payload of a request whose signature was checked; payload and seed are those of sigv4.Result. It reads
// nothing yet, and does not close r.Body.
func New(r *http.Request, payload sigv4.Payload, seed *sigv4.Seed) (Body, error) {
	if !payload.Chunked() {
		return newPlain(r, payload)
	}
	length, err := decodedLength(r.Header)
	if err != nil {
		return nil, err
	}
	announced := Announced(r.Header)
	if payload.Kind == sigv4.PayloadStreamSigned && len(announced) > 0 {
		return nil, s3err.InvalidRequest.Msg("x-amz-trailer needs an x-amz-content-sha256 that ends in -TRAILER")
	}
	if len(announced) > maxTrailers {
		return nil, s3err.MalformedTrailerError
	}
	if payload.Kind == sigv4.PayloadStreamUnsignedTrailer {
		seed = nil
	} else if seed == nil {
		return nil, s3err.AccessDenied.Msg("Access Denied: the chunks of the body are signed, but the request is not")
	}
	return newChunked(r.Body, length, seed, announced, payload.Kind != sigv4.PayloadStreamSigned), nil
}

func decodedLength(h http.Header) (int64, error) {
	values := h.Values("X-Amz-Decoded-Content-Length")
	if len(values) == 0 {
		return 0, s3err.MissingContentLength.Msg("You must provide the x-amz-decoded-content-length HTTP header.")
	}
	n, err := strconv.ParseUint(strings.Trim(values[0], " \t"), 10, 63)
	if err != nil || len(values) > 1 {
		return 0, s3err.InvalidArgument.Msg("x-amz-decoded-content-length must be one number of bytes.").
			With("ArgumentName", "x-amz-decoded-content-length").With("ArgumentValue", values[0])
	}
	return int64(n), nil
}

// readError says what a failed read of the request means to S3, unless the source said so itself.
func readError(err error) error {
	if _, ok := s3err.From(err); ok {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return s3err.RequestTimeout.Because(err)
	}
	return s3err.IncompleteBody.Because(err)
}

func newPlain(r *http.Request, payload sigv4.Payload) (Body, error) {
	if r.ContentLength < 0 {
		return nil, s3err.MissingContentLength
	}
	p := &plain{src: r.Body, length: r.ContentLength, left: r.ContentLength}
	if payload.Kind == sigv4.PayloadSigned {
		p.want = &payload.SHA256
		p.hash = sha256.New()
	}
	if p.left == 0 {
		if err := p.finish(); err != nil {
			return nil, err
		}
	}
	return p, nil
}
