package checksum

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strconv"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// Type says what the checksum of an object made of parts is computed over.
type Type string

// The types.
const (
	FullObject Type = "FULL_OBJECT" // the whole body
	Composite  Type = "COMPOSITE"   // the checksums of the parts
)

// TypeFor decides the type of a multipart upload's checksum from what the client asked for ("" is the algorithm's
// default): S3 takes CRC64NVME only of the full object, SHA1 and SHA256 only as composite. Its errors carry S3's codes.
func (a Algorithm) TypeFor(asked string) (Type, error) {
	if a == None {
		if asked != "" {
			return "", s3err.InvalidRequest.Msg("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return "", nil
	}
	t := Type(asked)
	switch t {
	case "":
		if a == CRC64NVME {
			return FullObject, nil
		}
		return Composite, nil
	case FullObject:
		if a == SHA1 || a == SHA256 {
			return "", wrongType(a, t)
		}
	case Composite:
		if a == CRC64NVME {
			return "", wrongType(a, t)
		}
	default:
		return "", s3err.InvalidRequest.Msg("Value for x-amz-checksum-type header is invalid.")
	}
	return t, nil
}

func wrongType(a Algorithm, t Type) error {
	return s3err.InvalidRequest.Msg("The %s checksum type cannot be used with the %s checksum algorithm.", string(t), a.String())
}

// Part is one part of an object: its checksum as S3 shows it, and its size in bytes.
type Part struct {
	Value string
	Size  int64
}

// OfParts computes the checksum of an object from those of its parts, of the given type, as S3 shows it: a composite
// one ends in "-" and the number of parts. It fails if a part's checksum is missing or malformed.
func (a Algorithm) OfParts(t Type, parts []Part) (string, error) {
	if t == FullObject {
		return a.full(parts)
	}
	h := a.New()
	for i, p := range parts {
		sum, ok := a.Decode(p.Value)
		if !ok {
			return "", badPart(a, i, p)
		}
		h.Write(sum)
	}
	return Encode(h.Sum(nil)) + "-" + strconv.Itoa(len(parts)), nil
}

func (a Algorithm) full(parts []Part) (string, error) {
	c, ok := crcs[a]
	if !ok {
		return "", fmt.Errorf("a %s of a full object cannot be computed from its parts", a)
	}
	var whole uint64
	for i, p := range parts {
		sum, ok := a.Decode(p.Value)
		if !ok {
			return "", badPart(a, i, p)
		}
		if i == 0 {
			whole = a.number(sum)
		} else {
			whole = c.combine(whole, a.number(sum), uint64(p.Size))
		}
	}
	return Encode(a.bytes(whole)), nil
}

func badPart(a Algorithm, i int, p Part) error {
	return fmt.Errorf("the part at position %d has no %s checksum but %q", i+1, a, p.Value)
}

// ETag is the ETag (without quotes) of an object made of parts with the given ETags (without quotes). It fails if one
// is not an MD5 in hexadecimal.
func ETag(parts []string) (string, error) {
	h := md5.New()
	var sum [md5.Size]byte
	for i, p := range parts {
		if n, err := hex.Decode(sum[:], []byte(p[:min(len(p), 2*len(sum))])); err != nil || n != len(sum) || len(p) != 2*n {
			return "", fmt.Errorf("the part at position %d has the ETag %q, which is not an MD5", i+1, p)
		}
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts)), nil
}
