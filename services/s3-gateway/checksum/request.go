package checksum

import (
	"crypto/md5"
	"encoding/base64"
	"net/http"
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/awschunked"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// Asked is what a request wants its body checked against.
type Asked struct {
	MD5       *[md5.Size]byte // of Content-MD5; nil: not given
	Algorithm Algorithm       // of the one x-amz-checksum-* header or trailer; None: not given
	Value     string          // the checksum as sent; "" if it comes in the trailer
	Trailer   bool            // it comes in the trailer
}

const headerPrefix = "X-Amz-Checksum-"

// FromHeaders reads Content-MD5, the x-amz-checksum-* headers, x-amz-trailer and x-amz-sdk-checksum-algorithm. Its
// errors carry S3's codes.
func FromHeaders(h http.Header) (Asked, error) {
	var a Asked
	if values, ok := h["Content-Md5"]; ok {
		sum, err := base64.StdEncoding.Strict().DecodeString(values[0])
		if err != nil || len(sum) != md5.Size || len(values) > 1 {
			return a, s3err.InvalidDigest.With("Content-MD5", values[0])
		}
		a.MD5 = (*[md5.Size]byte)(sum)
	}
	for name, values := range h {
		if !strings.HasPrefix(name, headerPrefix) {
			continue
		}
		switch name[len(headerPrefix):] {
		case "Algorithm", "Mode", "Type":
			continue
		}
		alg, ok := byHeader(name)
		if !ok {
			return a, s3err.NotImplemented.Msg("The checksum %s is not supported. Use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256.", strings.ToLower(name))
		}
		if a.Algorithm != None || len(values) > 1 {
			return a, tooMany()
		}
		if !alg.Valid(values[0]) {
			return a, s3err.InvalidRequest.Msg("Value for %s header is invalid.", alg.Header())
		}
		a.Algorithm, a.Value = alg, values[0]
	}
	for _, name := range awschunked.Announced(h) {
		if !strings.HasPrefix(name, strings.ToLower(headerPrefix)) {
			return a, s3err.InvalidRequest.Msg("The value specified in the x-amz-trailer header is not supported")
		}
		alg, ok := byHeader(name)
		if !ok {
			return a, s3err.NotImplemented.Msg("The checksum %s is not supported. Use CRC32, CRC32C, CRC64NVME, SHA1 or SHA256.", name)
		}
		if a.Algorithm != None {
			return a, tooMany()
		}
		a.Algorithm, a.Trailer = alg, true
	}
	return a, a.checkSDK(h.Get("X-Amz-Sdk-Checksum-Algorithm"))
}

func tooMany() error {
	return s3err.InvalidRequest.Msg("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
}

// checkSDK compares x-amz-sdk-checksum-algorithm with what was found.
func (a Asked) checkSDK(name string) error {
	if name == "" {
		return nil
	}
	alg, ok := Parse(name)
	switch {
	case !ok:
		return s3err.InvalidRequest.Msg("Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")
	case a.Algorithm == None && a.MD5 == nil:
		return s3err.InvalidRequest.Msg("x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	case a.Algorithm != None && a.Algorithm != alg:
		return s3err.InvalidRequest.Msg("Value for x-amz-sdk-checksum-algorithm header is invalid.")
	}
	return nil
}

// Check compares what was asked with what was computed. trailer is the value of the trailer with the checksum, if that
// was asked. Its errors carry S3's codes.
func (a Asked) Check(got Sums, trailer string) error {
	if a.MD5 != nil && *a.MD5 != got.MD5 {
		return s3err.BadDigest.With("ExpectedDigest", Encode(a.MD5[:])).With("CalculatedDigest", Encode(got.MD5[:]))
	}
	if a.Algorithm == None {
		return nil
	}
	want := a.Value
	if a.Trailer {
		want = trailer
		if !a.Algorithm.Valid(want) {
			return s3err.InvalidRequest.Msg("Value for %s trailing header is invalid.", a.Algorithm.Header())
		}
	}
	if want != got.Value(a.Algorithm) {
		return s3err.BadDigest.Msg("The %s you specified did not match the calculated checksum.", a.Algorithm.String())
	}
	return nil
}
