package api

import (
	"strconv"
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// byteRange is the bytes [from, to) of an object.
type byteRange struct{ from, to int64 }

func (b byteRange) contentRange(size int64) string {
	return "bytes " + itoa(b.from) + "-" + itoa(b.to-1) + "/" + itoa(size)
}

// parseRange reads a Range header for an object of size bytes. Without ok it is to be
// ignored: it is malformed, has another unit, or names several ranges, which S3 does not serve.
// A range that has no byte of the object is an InvalidRange error.
func parseRange(v string, size int64) (b byteRange, ok bool, err error) {
	spec, found := strings.CutPrefix(v, "bytes=")
	if !found {
		return b, false, nil
	}
	first, last, found := strings.Cut(strings.TrimSpace(spec), "-")
	if !found {
		return b, false, nil
	}
	if first == "" { // the last bytes
		n, valid := digits(last)
		if !valid {
			return b, false, nil
		}
		if n == 0 || size == 0 {
			return b, false, unsatisfiable(v, size)
		}
		return byteRange{max(size-n, 0), size}, true, nil
	}
	from, valid := digits(first)
	if !valid {
		return b, false, nil
	}
	to := size
	if last != "" {
		n, valid := digits(last)
		if !valid || n < from {
			return b, false, nil
		}
		to = min(n, size-1) + 1
	}
	if from >= size {
		return b, false, unsatisfiable(v, size)
	}
	return byteRange{from, to}, true, nil
}

// digits reads a number; one too large for int64 is the largest.
func digits(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, true
}

func unsatisfiable(v string, size int64) error {
	return s3err.InvalidRange.With("RangeRequested", v).With("ActualObjectSize", itoa(size))
}
