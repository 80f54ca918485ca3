package sigv4

import (
	"encoding/hex"
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// PayloadKind is how the body of a request is protected.
type PayloadKind uint8

// The kinds of x-amz-content-sha256.
const (
	PayloadUnsigned              PayloadKind = iota // not at all
	PayloadSigned                                   // by the SHA-256 of the whole body
	PayloadStreamSigned                             // aws-chunked, each chunk signed
	PayloadStreamSignedTrailer                      // aws-chunked, each chunk and the trailer signed
	PayloadStreamUnsignedTrailer                    // aws-chunked with a trailer, not signed
)

// Payload is what x-amz-content-sha256 says of the body.
type Payload struct {
	Kind   PayloadKind
	SHA256 [32]byte // of the body, for PayloadSigned
}

// Chunked reports whether the body is in aws-chunked encoding.
func (p Payload) Chunked() bool { return p.Kind >= PayloadStreamSigned }

const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	contentSHA256   = "X-Amz-Content-Sha256"
)

func parsePayload(value string) (Payload, error) {
	switch value {
	case unsignedPayload:
		return Payload{}, nil
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
		return Payload{Kind: PayloadStreamSigned}, nil
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
		return Payload{Kind: PayloadStreamSignedTrailer}, nil
	case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		return Payload{Kind: PayloadStreamUnsignedTrailer}, nil
	}
	if strings.HasPrefix(value, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD") {
		return Payload{}, s3err.NotImplemented.Msg("Asymmetric signatures (AWS4-ECDSA-P256-SHA256) are not supported. Please use AWS4-HMAC-SHA256.")
	}
	p := Payload{Kind: PayloadSigned}
	if len(value) == hex.EncodedLen(len(p.SHA256)) {
		if _, err := hex.Decode(p.SHA256[:], []byte(value)); err == nil {
			return p, nil
		}
	}
	return Payload{}, s3err.InvalidArgument.Msg("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.").
		With("ArgumentName", "x-amz-content-sha256").With("ArgumentValue", value)
}
