package awschunked

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

const (
	// trailerMax bounds all that follows the last chunk, in bytes.
	trailerMax = 4 << 10
	// maxTrailers bounds the trailers that a request may announce.
	maxTrailers = 8

	trailerSignature = "x-amz-trailer-signature"
)

// readTrailer reads to the end of the body. Empty lines mean nothing: clients put them in different places.
func (c *chunked) readTrailer() error {
	var canonical []byte
	var signature string
	total := 0
	for {
		l, err := c.line()
		if err != nil && err != io.EOF {
			return err
		}
		total += len(l)
		if total > trailerMax {
			return s3err.MalformedTrailerError
		}
		text := strings.TrimRight(string(l), "\r\n")
		if text != "" {
			if err := c.addTrailer(text, &canonical, &signature); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
	}
	for _, name := range c.announced {
		if _, ok := c.values[name]; !ok {
			return s3err.MalformedTrailerError
		}
	}
	if c.seed == nil || !c.trailer {
		return nil
	}
	if signature == "" {
		if len(c.values) == 0 {
			return nil
		}
		return s3err.MalformedTrailerError
	}
	sum := sha256.Sum256(canonical)
	c.begin("AWS4-HMAC-SHA256-TRAILER")
	c.toSign = hex.AppendEncode(c.toSign, sum[:])
	return c.compare(signature)
}

// addTrailer takes one line of the trailer.
func (c *chunked) addTrailer(text string, canonical *[]byte, signature *string) error {
	name, value, ok := strings.Cut(text, ":")
	name = strings.ToLower(name)
	value = strings.Trim(value, " \t")
	if !ok || !c.trailer || len(*signature) > 0 {
		return s3err.MalformedTrailerError
	}
	if name == trailerSignature && c.seed != nil {
		*signature = value
		if value == "" {
			return s3err.MalformedTrailerError
		}
		return nil
	}
	if _, twice := c.values[name]; twice || !slices.Contains(c.announced, name) {
		return s3err.MalformedTrailerError
	}
	if c.values == nil {
		c.values = make(map[string]string, 1)
	}
	c.values[name] = value
	*canonical = append(append(append(append(*canonical, name...), ':'), value...), '\n')
	return nil
}
